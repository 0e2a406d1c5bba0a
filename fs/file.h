/* The content of one regular file that is open or in the upper.
 *
 *   place   bytes are                                        in the upper tree   fd_up
 *   LOWER   in the lower file                                no                  -1
 *   TAIL    [0, flushed) in the lower file,                  yes                 open
 *           [flushed, size) in the upper file, which has
 *           real data from the page that holds `flushed`
 *   WHOLE   in the upper file                                yes                 open
 *   PACKED  in the lower's X.log.gz (view.h)                 no                  -1
 *
 *   F1 place LOWER: fd_up == -1, ram == 0, policy CLEAN unless nameless
 *   F2 place TAIL: flushed <= size of the upper file; flushed == 0 when the node is not on the lower
 *   F3 the node has the UPPER flag exactly when place is TAIL or WHOLE and the node is no orphan
 *   F4 readers > 0 implies a descriptor to read every byte from: fd_rd when place is LOWER, or when it
 *      is TAIL and flushed > 0; writers > 0, place LOWER and `through` implies fd_wr
 *   F5 `through` and policy CLEAN: place LOWER
 *   F6 FILE_IO_PASSED: `through`, place LOWER, backing > 0; FILE_IO_UPPER: place not LOWER, backing > 0,
 *      and fd_up stays the file it is until the last handle is closed; else backing == 0
 *   F8 `filled`: place TAIL; the pages before `flushed` lie in the upper too. `anywhere`: FILE_IO_UPPER, place WHOLE
 *   F7 PACKED: policy CLEAN, writers == 0, and readers > 0 implies an open view
 *
 * Transitions: file_raise (LOWER -> TAIL, WHOLE) on the first write of a
 * cached class; file_settle (-> LOWER, or WHOLE -> TAIL) when a flush left
 * nothing dirty and nobody writes. A file that is used in a way its class
 * does not fit is materialised: flushed, then `through` until it is closed. */
#ifndef CLAWFS_FILE_H
#define CLAWFS_FILE_H

#include "policy/life.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct clawfs;
struct handle;

enum file_place { PLACE_LOWER, PLACE_TAIL, PLACE_WHOLE, PLACE_PACKED };
static inline bool place_is_upper(enum file_place place)
{
	return place == PLACE_TAIL || place == PLACE_WHOLE;
}

/* How the kernel reaches the content for open handles; see fs/passthrough.h. */
enum file_io { FILE_IO_NONE, FILE_IO_DAEMON, FILE_IO_PASSED, FILE_IO_UPPER };

#define FILES_MAX (1u << 20)

/* What the last look at an upper file that is written past us has found; see observe.h. */
struct observed {
	off_t size;
	struct timespec mtime;
	msec_t at;   /* of the look */
	int watch;   /* inotify's, while the next write is waited for; 0 */
	int backing; /* the kernel's id of fd_up, once it had one; 0 */
};

struct file {
	pthread_rwlock_t lock;
	uint32_t node;
	/* attach lock */
	uint32_t refs;	  /* handles, running flushes, and one for being in the upper */
	uint32_t readers; /* handles that may read */
	uint32_t writers; /* handles that may write */
	uint32_t cached;  /* readers that the kernel serves from its pages */
	int32_t backing;  /* the kernel's id while passed through; 0. To write, the file lock too */
	/* file lock */
	enum policy_class cls;
	enum file_place place;
	enum file_io io;
	bool through;		       /* of no cached class, or materialised */
	bool orphan;		       /* the node has no name left */
	bool rotates;		       /* a log that may be cut (fs/rotate.h) */
	bool lockfile;		       /* called like a lock file */
	bool direct;		       /* of the handles that are open: past the kernel's pages */
	bool ragged;		       /* the last write ended within a page, which the kernel then does not keep */
	struct policy_writers written; /* how it was written last */
	int fd_rd;		       /* on the lower; -1 */
	int fd_wr;		       /* on the lower; -1 */
	int fd_up;		       /* in the upper; -1 */
	bool filled;		       /* what was flushed of a tail is in the upper too */
	bool anywhere;		       /* FILE_IO_UPPER: a handle may have it written elsewhere than at its end */
	bool foreign; /* a program that outlived its mount still writes the upper file; see observe.h */
	off_t flushed;
	uint64_t marked;     /* inode of fd_up while before/ has a mark for it (a rewrite, or distrust of a tail); 0 */
	uint64_t committing; /* inode that a flush is about to give the name on the lower; 0 */
	uint64_t version;    /* counts changes of content */
	uint64_t cut;	     /* bytes that rotations took from its beginning since it was opened */
	bool distrust;	     /* a sync failed: what the lower shows beyond `flushed` may never reach the card (P9) */
	struct observed seen;
	/* sched lock */
	struct policy_file policy;
	uint64_t ram;
	uint64_t app_writes, app_bytes; /* by applications, under the name it has */
	uint32_t saves;			/* complete versions since the last flush began */
	uint32_t in_flight_saves;
};

struct file *file_at(struct clawfs *fs, uint32_t slot);

/* --- references; no file lock held --------------------------------------- */

/* The node's content state, made if it has none, with one reference more;
 * 0 without memory. Tree lock held. */
uint32_t file_get(struct clawfs *fs, uint32_t node);
/* The same of a node just made, whose name is known to give it the class `cls`. */
uint32_t file_get_new(struct clawfs *fs, uint32_t node, enum policy_class cls);
void file_ref(struct clawfs *fs, uint32_t slot);
/* The same for a content state that exists; 0 when the node has none. */
uint32_t file_peek(struct clawfs *fs, uint32_t node);
/* Gives one back; the last closes everything. The node may be freed by node_reap then. */
void file_put(struct clawfs *fs, uint32_t slot);
/* The node has got another name: what content state it has is no orphan's, and handled as `through` from now on. Tree
 * lock held for writing. */
void file_linked(struct clawfs *fs, uint32_t node);

/* --- open files ---------------------------------------------------------- */

/* Makes ready what `flags` (O_ACCMODE) needs, counts the handle and takes a
 * reference. Tree lock held for reading. Negative errno as open(2). */
int file_open(struct clawfs *fs, uint32_t node, int flags, uint32_t *slot);
/* As file_open for a file that was just created on the lower as `fd`, which is taken over. */
int file_open_created(struct clawfs *fs, uint32_t node, int flags, int fd, uint32_t *slot);
/* Whether what the handle does is to come to us past the kernel's pages: reading a log that may be cut under it; and
 * all that is done with a lock file while its writer has it, since a write past the pages is spared the question for
 * the file's privileges. To be asked once for each handle that file_open has counted, before it is used. */
bool file_is_direct(struct clawfs *fs, struct handle *h);
/* Undoes file_open; settles a clean file. No lock held. */
void file_close(struct clawfs *fs, struct handle *h, msec_t now);

/* The class that the file's name gives it; hard-linked and special files are CLASS_THROUGH. Tree lock held. */
enum policy_class file_classify(struct clawfs *fs, uint32_t parent, const char *name);
static inline bool class_is_cached(enum policy_class cls)
{
	return cls != CLASS_THROUGH && cls != CLASS_SQLITE;
}
static inline bool class_is_tail(enum policy_class cls)
{
	return cls == CLASS_LOG || cls == CLASS_APPEND;
}

/* --- content; no lock held ----------------------------------------------- */

/* As pread(2). */
ssize_t file_read(struct clawfs *fs, uint32_t slot, void *buf, size_t len, off_t off);
/* As pwrite(2); with O_APPEND in the handle at the end, whatever `off`; without, a writer that goes on where it was
 * before a rotation goes on behind what is left. h->wrote says where. All
 * of it or an error: -ENOSPC, -EIO, -EROFS and others of the lower (P9). */
ssize_t file_write(struct clawfs *fs, struct handle *h, const void *buf, size_t len, off_t off, msec_t now);
/* As ftruncate(2). `h` NULL for truncate(2) by name. */
int file_truncate(struct clawfs *fs, uint32_t slot, struct handle *h, off_t size, msec_t now);
/* As fallocate(2), lseek(2) with SEEK_DATA or SEEK_HOLE, copy_file_range(2) (which may copy less). What
 * is in RAM has no holes; fallocate materialises it. */
int file_fallocate(struct clawfs *fs, uint32_t slot, int mode, off_t off, off_t len, msec_t now);
off_t file_seek(struct clawfs *fs, uint32_t slot, off_t off, int whence);
ssize_t file_copy(struct clawfs *fs, struct handle *in, off_t in_off, struct handle *out, off_t out_off, size_t len,
		  msec_t now);
/* fsync(2), fdatasync(2): everything of the file is on the card when it
 * returns 0 (P5). */
int file_sync(struct clawfs *fs, uint32_t slot, struct handle *h, bool data_only, msec_t now);
/* Flushes and makes the file `through` until it is closed. For names that are
 * about to be linked, exchanged or moved out of their class. */
int file_materialise(struct clawfs *fs, uint32_t slot, msec_t now);
/* A file was just created through the handle: it is empty until it is written, and no version yet. */
void file_rewrite_begin(struct clawfs *fs, struct handle *h, msec_t now);
/* close(2) of a descriptor, maybe not the last: what was written is not to be lost in favour of the version
 * before, should the daemon die (P6); it may not be complete yet. */
void file_flush(struct clawfs *fs, struct handle *h);
/* Whether the kernel reads and writes it past us (passthrough.h). */
bool file_is_passed(struct clawfs *fs, uint32_t slot);
/* Whether file_flush has anything to do for handles of this file. */
bool file_wants_flush(struct clawfs *fs, uint32_t slot);
/* The handle's version is complete (close, fsync). */
void file_rewrite_end(struct clawfs *fs, struct handle *h, msec_t now);

/* --- for the flusher and for names; locks as said ------------------------ */

/* Moves a clean file out of the upper, if nothing keeps it there. Tree lock for writing; takes the
 * file lock. */
void file_settle(struct clawfs *fs, uint32_t slot);
/* The node is about to lose its last name, and has lost it: what open handles
 * need is kept, nothing of it will be flushed. Tree lock for writing. The
 * first may fail as open(2); the second gives back the upper's reference. */
int file_orphan_prepare(struct clawfs *fs, uint32_t slot);
void file_orphan(struct clawfs *fs, uint32_t slot);
/* The version before need not be kept any more. File lock held for writing. */
void file_unmark(struct clawfs *fs, uint32_t slot);
/* Gives back the RAM of what a tail's flush has brought to the lower. File lock held for writing. */
void file_punch(struct clawfs *fs, uint32_t slot);
/* The node goes on under a name of class `cls`, in the upper. Tree lock for writing. */
void file_reclass(struct clawfs *fs, uint32_t slot, enum policy_class cls);
/* Waits until no flush of the file runs. No lock held. */
void file_wait_flush(struct clawfs *fs, uint32_t slot);
/* Takes over a file of `size` bytes that lies in the upper: fd_up, and the place it has. One reference is kept for
 * being in the upper; the caller sets the node's flag. Tree lock for writing. */
void file_adopt(struct clawfs *fs, uint32_t slot, enum file_place place, off_t flushed, int fd_up, off_t size);
/* A change without bytes: mode, times, name. Tree lock held. */
void file_touch(struct clawfs *fs, uint32_t slot, msec_t now);
/* Names the first of F1-F8 that does not hold, or NULL. Tree lock and file lock held. */
const char *file_check(struct clawfs *fs, uint32_t slot);

#endif
