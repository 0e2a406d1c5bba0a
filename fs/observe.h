/* Files that the kernel writes past the daemon, into their upper file
 * (FILE_IO_UPPER; passthrough.h says which). What policy/ would be told by a
 * write it is told by a *look*: the upper file has this size and this mtime, seen
 * at this time. What a look finds new counts as written when the look before it
 * was, which is the earliest it can have been (P4).
 *
 * Looked at is
 *   - when a handle that may write is closed, and at fsync (P5);
 *   - before each flush of the file, and before a flush of everything (P8);
 *   - TICK_MS after it was opened, and on as long as each look finds something new;
 *   - once nothing was new: when inotify tells of the next write. So a log
 *     that somebody merely has open wakes nobody.
 * An urgent line and a full RAM are seen that much later.
 *
 * A program may go on writing when its mount is gone (kill -9, SIGTERM): its
 * descriptor is on the upper file. Such a file stays in the upper at the end, and
 * is *foreign* to the next mount: a lease on it is refused. It is looked at every
 * tick until the lease is granted (P6). */
#ifndef CLAWFS_OBSERVE_H
#define CLAWFS_OBSERVE_H

#include "policy/types.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct clawfs;
struct file;
struct stat;

struct observer {
	pthread_t thread;
	bool running;
	int timer, notify, stop; /* descriptors */
	bool armed;		 /* atomic: the timer is set */
	uint32_t files;		 /* atomic: those that are to be looked at */
};

/* 0 or a negative errno. Stopping twice is nothing. */
int observe_start(struct clawfs *fs);
void observe_stop(struct clawfs *fs);

/* The first handle has got the kernel's id of the upper file, which is as `st` says; the last one is closed. File lock
 * held for writing. */
void observe_begin(struct clawfs *fs, uint32_t slot, const struct stat *st, msec_t now);
void observe_end(struct clawfs *fs, struct file *f);

/* In a worker that takes over: the file's state is what the one before has left. */
void observe_revive(struct clawfs *fs, uint32_t slot);

/* Tells policy/ what is new; true when something is. Without effect on a file that is not passed. File lock held
 * for writing. */
bool observe_look(struct clawfs *fs, uint32_t slot, msec_t now);
/* The same for all such files. No lock held. */
void observe_look_all(struct clawfs *fs, msec_t now);

/* The upper file is about to be closed or to be another. File lock held for writing. */
void observe_forget(struct clawfs *fs, struct file *f);

/* From recovery, before the upper file is opened for writing: whether somebody else has it so. */
bool observe_has_writer(int updir, const char *name);
/* Such a file was adopted. Tree lock held for writing. */
void observe_adopt(struct clawfs *fs, uint32_t slot);
/* Whether a program that outlived its mount writes it. File lock held. */
bool observe_is_foreign(const struct file *f);

/* Whether the node's file must stay in the upper for now. Tree lock held. */
bool observe_is_pinned(struct clawfs *fs, uint32_t node);
/* Whether such a file can be renamed on both sides, or be `replaced`: 1; 0 when the lower lacks some of it, so that it
 * is to be synced first. The upper has no tail of what is no log (`tail` of the new name): it is made whole. Negative
 * errno as write(2). Tree lock held for writing. */
int observe_may_rename(struct clawfs *fs, uint32_t node, bool replaced, bool tail);

/* Before the last flush: whose programs are gone by now is left alone. */
void observe_release(struct clawfs *fs);
/* After it: how many files may still be written, so that the upper must stay. */
uint32_t observe_left(struct clawfs *fs);

#endif
