/* When: the set of deadlines, the RAM budget, and the flusher thread that
 * waits for the one and obeys the other. What is decided is policy/'s; this
 * is where it meets threads. */
#ifndef CLAWFS_SCHED_H
#define CLAWFS_SCHED_H

#include "policy/policy.h"
#include <pthread.h>

struct clawfs;
struct file;

struct sched {
	pthread_mutex_t lock;
	pthread_cond_t wake;	/* the flusher: a deadline moved to the front, or stop */
	pthread_cond_t changed; /* a flush ended, RAM was freed, a rewrite ended */
	struct policy_set set;
	uint64_t used;		/* bytes in the upper */
	uint32_t files;		/* files in the upper */
	int stuck;		/* the lower has refused all that could give RAM back: its negative errno; else 0 */
	uint32_t times_pending; /* nodes with NODE_TIMES; atomic */
	uint32_t epochs;	/* that run right now; atomic */
	bool stop;
	bool running;
	pthread_t thread;
};

int sched_init(struct sched *s);
void sched_fini(struct sched *s);
/* 0 or -EAGAIN. */
int sched_start(struct clawfs *fs);
/* Ends the thread after the epoch that is running. */
void sched_stop(struct clawfs *fs);

/* Re-reads the file's due time after an event on file->policy and wakes the
 * flusher if need be. sched.lock held. */
void sched_update(struct clawfs *fs, uint32_t slot, struct file *f);

/* Says how much of the upper the file takes now. sched.lock held. */
void sched_account(struct clawfs *fs, struct file *f, uint64_t bytes);

/* Waits until `bytes` more fit under ram_max (P11). 0; or, when the lower
 * refuses so that waiting is pointless, its errno (P9); -ENOSPC when nothing
 * frees RAM for long. No lock held. */
int sched_admit(struct clawfs *fs, uint64_t bytes);

/* Everything that is dirty, but volatile files, is made durable (P8): what
 * is being rewritten right now gets a second to be completed, and is then
 * flushed as it is unless it is empty. The first error, a negative errno,
 * after trying all. No lock held. */
int sched_flush_all(struct clawfs *fs, enum policy_cause cause);
/* The same for the node and what is below it. */
int sched_flush_below(struct clawfs *fs, uint32_t node, enum policy_cause cause);

/* fsync(2) of a directory: its entries are on the card when it returns 0 (P5).
 * Entries of class volatile are not, unless they were synced themselves. No
 * lock held. */
int sched_flush_dir(struct clawfs *fs, uint32_t dir);

#endif
