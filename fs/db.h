/* Databases: which files are one, what their write-ahead logs owe to the
 * card, and what the stats say of them.
 *
 * A database is a file whose content begins with SQLite's magic, whatever its
 * name; its write-ahead log is the file beside it with "-wal" added. A record
 * (struct db) hangs on the node of the file from the moment it is known
 * (found at mount, opened, or its first page written) until its last name is
 * gone. Which WAL belongs to it is asked of the names each time, so that a
 * rename cannot leave a stale pair.
 *
 * Every write, truncation, fsync, unlink and rename of either passes through
 * here before it is done, and policy/barrier.h says what must be durable
 * first (P7). */
#ifndef CLAWFS_DB_H
#define CLAWFS_DB_H

#include "fs/node.h"
#include "policy/barrier.h"
#include "policy/visit.h"
#include <pthread.h>

struct clawfs;
struct caller;
struct steward;

#define DBS_MAX		   4096u
#define SQLITE_MAGIC	   "SQLite format 3" /* and its NUL: 16 bytes */
#define SQLITE_HEADER_SIZE 100

/* What the header says of how commits are made. */
enum db_mode { DB_UNKNOWN, DB_ROLLBACK, DB_WAL };

#define WAL_HEADER 32

/* A WAL as it was looked at last. */
struct wal_sight {
	off_t size;
	struct timespec mtime, ctime;
	uint8_t header[WAL_HEADER];
};

/* In shared memory, no pointers. Guarded by dbs.lock, but for `node`. */
struct db {
	uint32_t link; /* the table's own, while there is no record */
	uint32_t node; /* of the database file; 0: no record. Guarded by the tree lock */
	bool excluded; /* keeps its mode, and full POSIX semantics */
	bool wal_new;  /* the WAL's name may not be durable */
	bool wal_odd;  /* what was written as WAL is none: nothing is elided */
	bool taken;    /* a program of a mount that is gone still writes its WAL: it cannot be opened until that ends */
	bool asked;    /* a sync of this WAL was asked for */
	bool db_failed;	 /* the last sync of the database did */
	bool lax;	 /* somebody checkpointed without asking for one (synchronous=OFF): B1 is ours to keep, so
			  * the next open of its WAL is not passed through */
	uint8_t syncing; /* BARRIER_SYNC_*: running */
	enum db_mode mode;
	uint32_t enforced; /* times we put it into WAL mode */
	msec_t enforced_at;
	int32_t changed_by; /* pid of the last who set another mode, but us; 0: nobody */
	char changed_comm[16];
	msec_t changed_at;
	uint64_t wal_bytes;
	struct wal_sight seen; /* of a WAL that the kernel writes past us */
	struct policy_barrier barrier;
	struct policy_visit visit;
	uint64_t checkpoints, checkpoint_us, retries; /* of the steward */
	uint64_t copied_seq;			      /* barrier.wal_seq when the database was last written */
	char trouble[96];			      /* why it was left as it is; "" */
};

/* The steward's leave to use one database (see steward.h); names decide. */
struct db_lease {
	uint32_t node; /* 0: none */
	int32_t pid;   /* of the steward; of its requests */
	bool fenced;   /* a name of the database has changed: the steward may use no name of it any more */
};

struct dbs {
	struct shm_table *table;
	pthread_mutex_t lock;	/* see fs.h; below it only leaves */
	pthread_cond_t changed; /* a sync has ended */
	struct db_lease *lease; /* in shared memory; written with the tree lock and `lock`, read with either */
	struct visit_rules rules;
	struct steward *steward;
};

/* 0, -ENOMEM, -EMFILE. */
int dbs_init(struct clawfs *fs);
void dbs_fini(struct clawfs *fs);

/* In a successor process, before threads: nothing is known to be durable. 0 or -ENOMEM. */
int dbs_revive(struct clawfs *fs, msec_t now);

/* Takes the rules of the steward's visits from the configuration. dbs.lock held, once there are threads. */
void db_rules_set(struct clawfs *fs);

struct db *db_at(struct clawfs *fs, uint32_t index);

/* --- recognising --------------------------------------------------------- */

/* Whether `header` (of `len` bytes) begins a database. */
bool db_is_header(const void *header, size_t len);
/* The node is a database: gives it a record, if it has none. `header` of at least 20 bytes. Tree lock held, any
 * way; `header` NULL: it is none, or cannot be read, but is to be seen in the stats. The record's index; 0
 * without memory. */
uint32_t db_recognise(struct clawfs *fs, uint32_t node, const void *header, msec_t now);
/* Looks into a file that was just opened on the lower as `fd`. Tree lock held. */
void db_probe(struct clawfs *fs, uint32_t node, int fd, msec_t now);
/* Looks again, after a change that was not seen byte by byte. No lock held. */
void db_look(struct clawfs *fs, uint32_t node, msec_t now);
/* The node is about to get a second name, and is no database to us any more: two names may have two WALs. */
int db_link_begin(struct clawfs *fs, uint32_t node);
/* What the scan at mount made of it: `trouble` NULL or why it was left alone; `changed`: it was put into WAL mode. */
void db_found(struct clawfs *fs, uint32_t index, const char *trouble, bool changed, bool taken);
/* The node has lost its last name. Tree lock for writing. */
void db_gone(struct clawfs *fs, uint32_t node);

/* --- around what an application does; no lock held ----------------------- */

struct db_io {
	uint32_t db; /* 0: none of ours */
	enum barrier_event event;
};

/* Before a write of `len` bytes at `off`, or (buf NULL) a truncation to `off`
 * or another change of the file's bytes: makes durable what must be. Negative
 * errno of that sync: the change must not be made. `wal` only describes. */
int db_change_begin(struct clawfs *fs, uint32_t node, const void *buf, size_t len, off_t off, struct db_io *io);
/* After it, well or not. `pid` of who did it. */
void db_change_end(struct clawfs *fs, const struct db_io *io, const void *buf, size_t len, off_t off, int pid,
		   msec_t now);

/* fsync of `node`. 1: acknowledged or done; 0: not ours, or a plain fsync is to be done; negative errno. */
int db_fsync(struct clawfs *fs, uint32_t node, bool data_only, msec_t now);

/* Whether `name`'s WAL in the directory `dirfd` is being written by a program of a mount that is gone. */
bool db_wal_is_taken(struct clawfs *fs, int dirfd, const char *name);
/* Before a database (-EBUSY while it is taken) or a WAL is opened or made: the kernel may write it past us from then
 * on, so what its header's first write would need is done now (B2). */
int db_open_begin(struct clawfs *fs, uint32_t node);
/* Before the name is made (BARRIER_WAL_HEAD), unlinked, renamed, or renamed over. */
int db_name_begin(struct clawfs *fs, uint32_t parent, const char *name, enum barrier_event event);
/* The same, when the name is going to be changed for good by `pid`: fences the steward off. Tree lock for writing. */
void db_name_changes(struct clawfs *fs, uint32_t parent, const char *name, int pid);
/* The name is new, made or renamed to: a WAL's must be made durable with it. Tree lock for writing. */
void db_name_made(struct clawfs *fs, uint32_t parent, const char *name);
/* True for a request of the steward that comes too late. Tree lock held. */
bool db_fenced(struct clawfs *fs, int pid);

/* --- for the steward's thread -------------------------------------------- */

/* Syncs every WAL whose deadline is now (B5), and returns when the next one is. */
msec_t db_tick(struct clawfs *fs, msec_t now);

/* Makes everything that was acknowledged durable (`flush`, SIGPWR, end), of databases that are the node or below
 * it. No lock held. 0 or the first error. */
int db_flush_below(struct clawfs *fs, uint32_t node);

/* What `.clawfs/stats` and stats.json say of databases. dbstats.c */
struct listing;
void db_stats_text(struct clawfs *fs, struct listing *out, msec_t now);
void db_stats_json(struct clawfs *fs, struct listing *out, msec_t now);
/* How many databases there are by mode, and the bytes of their logs. */
void db_stats_metrics(struct clawfs *fs, struct listing *out);

/* Whether the kernel may write the WAL `node` past us. Tree lock held. */
bool db_wal_may_pass(struct clawfs *fs, uint32_t node);

/* The database and WAL names: "name-wal" into `out` of NAME_MAX + 1; false when it does not fit. */
bool db_wal_name(const char *name, char *out);

#endif
