/* When is a log rotated, and when compressed? One struct policy_log a log, one
 * struct policy_packer for the mount. Names: policy/logname.h; how compressed
 * logs end: policy/retain.h.
 *
 * Rotation is asked when a flush of the log has ended well, of the file as it then is on the lower:
 *   off, a part, or smaller than log_rotate_bytes  no
 *   being compressed                               not now: what was written spoils that first
 *   it ends at a line end                          yes: all of it becomes the part
 *   it ends in an unfinished line                  not now: the next flush asks again. (Its beginning is on the
 *                                                  card. To carry it over would need two changes of the card at
 *                                                  one instant, or a time in which it is there twice or not at all.)
 *   somebody follows it, and has read more or less  not now, but at twice log_rotate_bytes in any case
 *   a rotation failed                              not before the back-off has passed
 *   it was written last by what may be copying it  not now: until somebody logs to it (policy_writers_saw)
 * A log that nobody writes is not flushed, and so not rotated, whatever its size; it is compressed when idle.
 *
 * Compression of X.log, of those that may be (policy_log_may_pack), is due
 *   log_gzip=off, empty, open by anybody, written and not yet flushed, or being compressed:  never; the event
 *                                                          that ends this is followed by another question
 *   made by rotation                                       at once
 *   written in this run                                    log_gzip_age_ms after the last write, on the
 *                                                          monotonic clock: no clock step changes that
 *   not written in this run                                log_gzip_age_ms after it was first seen in this run;
 *                                                          or earlier, log_gzip_age_ms after its mtime, as far
 *                                                          as the wall clock is believed (policy/wall.h)
 *   a compression failed                                   not before the back-off has passed
 * To compress too early costs a revival at the next write, no more; so for logs that nobody writes the believed
 * clock is good enough. To delete needs more (policy/retain.h).
 *
 * Invariants:
 *   L1 one compression at a time, none begins under pressure (RAM, or a flush runs) or within
 *      PACKER_CALM_MS of pressure of RAM, and a running one pauses meanwhile.
 *   L2 nothing is compressed within log_gzip_age_ms of a write seen in this run, but parts.
 *   L3 the result replaces the log only if nothing was written since it began, and nobody has it open.
 *   L4 after n failures in a row of one log it waits at least min(PACK_RETRY_MS << (n-1), PACK_RETRY_MAX);
 *      and the others too, but at most PACKER_RETRY_MAX: a full card fails them all. */
#ifndef CLAWFS_POLICY_LIFE_H
#define CLAWFS_POLICY_LIFE_H

#include "policy/policy.h"
#include "policy/wall.h"

#define PACK_RETRY_MS	 60000
#define PACK_RETRY_MAX	 3600000
#define PACKER_RETRY_MAX 300000
#define PACKER_CALM_MS	 10000

/* Somebody who opened the log without O_APPEND and writes to it may be logging ("> x.log" in a shell) or copying: what
 * is copied stays in one piece. A copy is cut anywhere into large writes, and ends some time. */
#define WRITERS_LINES	8     /* so many writes in a row, each up to a line end, are lines */
#define WRITERS_OPEN_MS 60000 /* who has it open for so long does not copy */

struct policy_writers {
	uint32_t lines; /* writes in a row that ended in a line end */
	bool copying;
};

/* A write ended in a line end, or not; through a handle that appends, or that has been open for `open` ms. */
void policy_writers_saw(struct policy_writers *w, bool append, bool line_end, msec_t open);

/* How something that failed waits. Zeros: nothing failed. */
struct policy_retry {
	uint32_t failures; /* in a row */
	msec_t at;	   /* not before; 0: whenever */
};

void policy_retry_failed(struct policy_retry *r, msec_t now, msec_t first, msec_t max);

/* --- one log ------------------------------------------------------------ */

/* Plain data without pointers. Read freely; written by policy/ only. */
struct policy_log {
	wall_t mtime;	/* as found */
	msec_t seen;	/* first seen in this run; of a part, when it was cut off */
	msec_t written; /* last write in this run; MSEC_NEVER: none */
	uint64_t size;
	uint32_t open;	/* handles of applications, of any kind */
	bool part;	/* made by rotation */
	bool unflushed; /* written since the last flush that left nothing behind */
	bool packing;	/* being compressed */
	bool spoiled;	/* written since that began */
	struct policy_retry pack, rotate;
};

/* Found (at mount, or by its first use), or made by rotation (`part`). One that
 * an application makes is found and then written. */
void policy_log_init(struct policy_log *l, msec_t now, wall_t mtime, uint64_t size, bool part);

/* --- events ------------------------------------------------------------- */

void policy_log_open(struct policy_log *l);
void policy_log_close(struct policy_log *l);
/* Written, truncated, or brought back to life; the size is now `size`. Times
 * set by utimens(2) are no write. */
void policy_log_write(struct policy_log *l, msec_t now, uint64_t size);
/* A flush ended well and nothing waits: the lower has it all. */
void policy_log_flushed(struct policy_log *l);

/* --- rotation ----------------------------------------------------------- */

/* Whether all of its `size` bytes on the lower become a part now; `line_end`
 * says that the last of them is a '\n'. */
bool policy_rotate_due(const struct policy_log *l, const struct policy_config *config, msec_t now, uint64_t size,
		       bool line_end);
/* ... while somebody follows it: those have read up to something from `least` to `most`. */
bool policy_rotate_followed(int64_t log_rotate_bytes, uint64_t size, uint64_t least, uint64_t most);
/* Rotated, and the log goes on with `size` bytes; or not. */
void policy_rotate_done(struct policy_log *l, uint64_t size);
void policy_rotate_failed(struct policy_log *l, msec_t now);

/* --- compression -------------------------------------------------------- */

/* One for the mount; zeroed. */
struct policy_packer {
	bool running;
	bool pressed;	/* RAM is short, or a flush runs */
	bool ram_short; /* the former */
	msec_t calm_at; /* when RAM's pressure will be over for PACKER_CALM_MS */
	struct policy_retry retry;
};

enum pack_result {
	PACK_DONE,    /* X.log.gz is there, X.log is gone, and so is its struct policy_log */
	PACK_CHANGED, /* given up, because X.log was changed, opened, renamed or unlinked */
	PACK_FAILED
};

/* How things are, whenever that changes. */
void policy_packer_pressure(struct policy_packer *p, msec_t now, enum policy_pressure ram, bool flushing);

/* When the log is due, MSEC_NEVER if at all not. For a heap: struct policy_set. */
msec_t policy_pack_due(const struct policy_log *l, const struct policy_config *config, const struct policy_wall *wall);
/* When the next compression may begin, the earliest log being due at `due`;
 * MSEC_NEVER while one runs or under pressure: the end of that asks again. */
msec_t policy_packer_wake(const struct policy_packer *p, msec_t due);

void policy_pack_begin(struct policy_packer *p, struct policy_log *l);
/* Asked between pieces: wait until that is over; give up. */
bool policy_pack_pause(const struct policy_packer *p);
bool policy_pack_spoiled(const struct policy_log *l);
/* Asked when all is written and compared, with the log held still: may the
 * result take the log's place (L3)? If not, it may wait for that or give up. */
bool policy_pack_may_swap(const struct policy_log *l);
void policy_pack_end(struct policy_packer *p, struct policy_log *l, enum pack_result result, msec_t now);

/* --- what it came to, a class ------------------------------------------- */

struct policy_life_stats {
	uint64_t rotations, rotated_bytes, rotate_errors;
	uint64_t packed, packed_before, packed_after; /* logs compressed, their bytes before and after */
	uint64_t pack_changed, pack_errors;
	uint64_t pack_ms, pack_cpu_ms;
	uint64_t revived;			     /* brought back to life by a write */
	uint64_t view_opens, view_reads, view_bytes; /* of X.log where X.log.gz is */
	uint64_t view_errors;			     /* truncated, corrupt, a bomb */
	uint64_t deleted, deleted_bytes, delete_errors;
	uint64_t deleted_age, deleted_parts, deleted_total; /* for which bound */
	uint64_t clock_steps;
};

#endif
