/* The steward: a child process that opens databases through SQLite, so that
 * whatever SQLite does to a hostile or damaged file is done to a process that
 * may die. It puts databases into WAL mode and checkpoints them:
 *   - before the mount is served and after it has ended on the lower itself,
 *     where nobody else can be then;
 *   - while it is served through the mount, as any application, because a
 *     database that is opened below its mount shares neither locks nor "-shm"
 *     with those above, and that is how databases die.
 *
 * A thread of the daemon tells it when (policy/visit.h), keeps the deadlines
 * of the barrier (policy/barrier.h) and starts it again when it has died.
 *
 * A visit and the application's renames: while the steward has a database
 * open, its SQLite may create or unlink "X-wal" by name. Should the application
 * rename or unlink a name of X meanwhile (its re-index does), that name may be
 * another database's. So a visit holds a lease; a change of such a name by
 * anybody else fences it, and from then on every request of the steward that
 * goes by a name fails with EIO (db_fenced). Nobody waits for anybody. What it
 * has open stays the file it was, so what it still does there does no harm. */
#ifndef CLAWFS_STEWARD_H
#define CLAWFS_STEWARD_H

#include <stdint.h>
#include <sys/types.h>

struct clawfs;

enum steward_rc { STEWARD_OK, STEWARD_BUSY, STEWARD_FAILED };

/* One message each way on a SOCK_SEQPACKET. */
struct steward_request {
	uint32_t work;	/* enum visit_work */
	uint32_t live;	/* through the mount: `root` and `dir` say where; else a descriptor comes along */
	uint64_t dev;	/* live: st_dev of the mount */
	uint64_t ino;	/* st_ino that the database must have; 0: any */
	uint64_t cache; /* bytes of its page cache, at most */
	char root[4096];
	char dir[4096];
	char name[256];
};

struct steward_reply {
	uint32_t rc;		/* enum steward_rc */
	uint32_t changed;	/* it was not in WAL mode and is now */
	uint64_t us;		/* the checkpoint took */
	uint32_t frames, moved; /* of the WAL, and how many of them are in the database now */
	char why[200];
};

/* Everything of 0 or a negative errno. */

/* Starts the child. Called once, before there are threads that matter; later it is started again as needed. */
int steward_create(struct clawfs *fs);
void steward_destroy(struct clawfs *fs);

/* One request on the lower: `dirfd` is the database's directory. Only while
 * the thread does not run. -EPIPE when the child died of it. */
int steward_visit_lower(struct clawfs *fs, int dirfd, const char *name, unsigned work, struct steward_reply *reply);

/* Ends the child, which is started again when it is needed: by another process of ours. While the thread does not run.
 */
void steward_pause(struct clawfs *fs);

/* The thread; it visits through the mount. */
int steward_start(struct clawfs *fs);
/* Before the session is unmounted: the thread does not use it any more when this returns. */
void steward_mute(struct clawfs *fs);
/* Ends the thread; a visit under way is broken off. May be called twice. */
void steward_stop(struct clawfs *fs);
/* Something is due earlier than before. Any lock may be held. */
void steward_wake(struct clawfs *fs);

/* The child's main program: serves `sock` until it is closed, which is also how it learns that the daemon has died. */
int steward_child_main(int sock);

#endif
