/* When must a database's write-ahead log be synced? One struct policy_barrier
 * a database, for the file itself ("db") and its "-wal".
 *
 * SQLite with its defaults asks for an fsync of the WAL at every commit. The
 * barrier acknowledges it and keeps it for later (P5's one exception), in the
 * way of `PRAGMA synchronous=NORMAL`, with a bound in time on top. The rules:
 *
 *   event                  needs first                            why
 *   write to the WAL       its new header durable (B1)            frames of a new generation over those of an old
 *                                                                 one that still has its header would be replayed
 *   write of its header    the db durable (B2)                    from then on the old frames are gone
 *   truncation, unlink     the db durable (B2)                    the same
 *   write to the db        the WAL durable (B3)                   a page may be torn, or of a transaction whose
 *                                                                 rest is nowhere else
 *   rename of either       both durable (B4)                      names and content change place together
 *   fsync of the WAL       nothing, or its header durable (B1);   `full`: the WAL durable
 *                          in `normal` by the deadline (B5)
 *   fsync of the db        the db durable                         always
 *
 * SQLite itself asks for the syncs of B1 to B3 when `synchronous` is NORMAL or
 * FULL; the barrier needs none of them to be asked for, so that it also holds
 * for an application that switched them off.
 *
 * Safety (P7). What SQLite makes of the files after a power cut is decided by
 * the durable header of the WAL, the longest chain of frames behind it that
 * carry its salt and a right cumulative checksum, cut after the last frame that
 * ends a transaction, and the db for every page that is not in that chain.
 * Writes that were not synced are there or not, each for itself, torn or whole.
 *
 *   Let G be the generation of the WAL (the time between two headers), F its
 *   frames. By B1 no frame of G is written before its header is durable, so
 *   behind the durable header lie frames of G, left-overs of earlier
 *   generations, and garbage; the salt and the checksum chain end the log at
 *   the first that is not of G. So a prefix of F is recovered, and of it whole
 *   transactions.
 *   - No checkpoint of G has begun: the db is as the last generation left it:
 *     complete, because B2 made it durable before the header of G was
 *     written. Result: that, and a prefix of G's commits.
 *   - A checkpoint of frames up to f is under way: every frame up to f was
 *     written before the checkpoint's first db write, so by B3 it is durable,
 *     and the recovered prefix contains f. Every page that the checkpoint may
 *     have touched, torn or whole, is in the recovered WAL and hides the
 *     db's. Result: a prefix of commits that reaches at least to f.
 *   - The checkpoint is complete and the header of G + 1 is being written, or
 *     the WAL truncated or unlinked: by B2 the db is durable and equals G
 *     replayed. Be the old header there: G is replayed over its own result,
 *     which changes nothing. Be the new one there, or none, or a torn one
 *     (which has no right checksum): the db alone, which is the same.
 *     Result: all commits of G.
 *   - Names: by B4 a rename moves a durable db and a durable WAL, so the cut
 *     finds either name on the same content. That two renames are two is the
 *     application's own; SecureClaw closes a database, which folds its WAL
 *     in, before it renames.
 *   Which commits: by B5 every commit that was acknowledged sqlite_sync_ms ago
 *   (`normal`); every one before the last checkpoint (`off`); every one
 *   (`full`). Always a prefix.
 *
 * Invariants (policy_barrier_check):
 *   S1 wal_durable <= wal_seq, db_durable <= db_seq, head_seq <= wal_seq
 *   S2 asked < MSEC_NEVER only with mode NORMAL or failures > 0, and only while the WAL is not durable
 *   S3 failures == 0 exactly when error == 0
 *
 * "Before" calls say what must be done first: bits of enum barrier_action. The
 * caller does it (policy_barrier_sync_begin, the sync, policy_barrier_sync_end)
 * and asks again until the answer is 0, with no write of the other kind let
 * through in between. "After" calls are made when the write has ended, well or
 * not, and before its caller is told: a sync covers the writes that were
 * counted when it began. */
#ifndef CLAWFS_POLICY_BARRIER_H
#define CLAWFS_POLICY_BARRIER_H

#include "policy/types.h"

enum policy_sync {
	SYNC_NORMAL, /* as above */
	SYNC_FULL,   /* nothing is elided */
	SYNC_OFF,    /* as NORMAL without the deadline of B5 */
	SYNC_COUNT
};

enum barrier_action { BARRIER_SYNC_WAL = 1, BARRIER_SYNC_DB = 2 };

enum barrier_event {
	BARRIER_WAL_WRITE,    /* beyond the header */
	BARRIER_WAL_HEAD,     /* of the header (the first 32 bytes), or of more that begins there */
	BARRIER_WAL_TRUNCATE, /* by ftruncate or O_TRUNC */
	BARRIER_WAL_UNLINK,
	BARRIER_WAL_FSYNC,
	BARRIER_DB_WRITE, /* and truncation of the db */
	BARRIER_DB_FSYNC,
	BARRIER_RENAME, /* of the db or of the WAL, also over something */
	BARRIER_EVENTS
};

/* Plain data without pointers: lives in shared memory. Zeroed and then
 * initialised by policy_barrier_init. */
struct policy_barrier {
	enum policy_sync mode;
	uint64_t wal_seq, wal_durable; /* changes of the WAL that ended; how many of them are durable */
	uint64_t head_seq;	       /* as wal_seq when the header was last written */
	uint64_t db_seq, db_durable;
	msec_t asked;		/* first fsync of the WAL that was acknowledged and is not kept; MSEC_NEVER */
	msec_t in_flight_asked; /* what the running sync will keep; MSEC_NEVER */
	uint64_t fsyncs_asked, fsyncs_done,
		fsyncs_elided; /* of WAL and db, by applications; done also by the barrier */
	msec_t longest;	       /* time that a commit waited for durability */
	uint32_t failures;     /* syncs of the WAL failed in a row */
	int32_t error;	       /* negative errno of the last, 0 */
	msec_t retry_at;
};

void policy_barrier_init(struct policy_barrier *b, enum policy_sync mode);

/* What must be durable before the event may go on: bits, or 0. Has no effect. */
unsigned policy_barrier_before(const struct policy_barrier *b, enum barrier_event event);

/* The event has happened (for a write: has ended). A WAL_FSYNC that is not
 * followed by a sync is acknowledged by this and counted as elided; DB_FSYNC
 * and WAL_FSYNC that were done are counted by sync_end. */
void policy_barrier_after(struct policy_barrier *b, enum barrier_event event, msec_t now);

/* A WAL that the kernel writes past us (passthrough) was looked at, and has
 * changed since it was looked at last. `head`: its header too. To be called
 * before an event is judged; then B1 rests on the application's own sync of
 * the header, which synchronous=NORMAL and FULL both make. */
void policy_barrier_observed(struct policy_barrier *b, bool head);

/* The WAL is another file now (created, or gone): nothing of it is outstanding. */
void policy_barrier_wal_new(struct policy_barrier *b);

/* One BARRIER_SYNC_* begins; the token goes to sync_end. One sync of a kind at a time. */
uint64_t policy_barrier_sync_begin(struct policy_barrier *b, enum barrier_action what);
/* It has ended. On failure (negative errno) what it should have covered is
 * outstanding as before, fsyncs of the WAL are done and not elided until one
 * succeeds, and the next try by itself is at now + min(retry_ms << (failures-1), retry_max_ms). */
void policy_barrier_sync_end(struct policy_barrier *b, enum barrier_action what, uint64_t token, int error, msec_t now,
			     int64_t retry_ms, int64_t retry_max_ms);

/* The process that kept it has died in the middle of anything: nothing counts as durable, no sync runs, and a commit
 * waits since when it waited. */
void policy_barrier_revive(struct policy_barrier *b);

/* When the WAL is to be synced without anybody asking (B5): a fifth of
 * sync_ms before the bound, which is the card's time; MSEC_NEVER. */
msec_t policy_barrier_due(const struct policy_barrier *b, int64_t sync_ms);

/* Names the first invariant that does not hold, or NULL. */
const char *policy_barrier_check(const struct policy_barrier *b);

/* "normal", "full", "off"; static. Parse: SYNC_COUNT for another word. */
const char *policy_sync_name(enum policy_sync mode);
enum policy_sync policy_sync_parse(const char *word);

#endif
