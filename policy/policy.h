/* When does a file go to the lower? One struct policy_file a file, driven by
 * events; one struct policy_set for all files, a heap of deadlines.
 *
 *   state       what is where                                  leaves by
 *   CLEAN       everything is on the lower                     change -> DIRTY
 *   DIRTY       changes wait for a flush                       flush_begin -> FLUSHING, drop -> CLEAN
 *   FLUSHING    a flush runs, nothing changed since it began   flush_end ok -> CLEAN, failed -> DIRTY;
 *                                                              change -> REDIRTIED
 *   REDIRTIED   a flush runs, and the file changed again       flush_end -> DIRTY (first kept on failure)
 *
 * Invariants (policy_file_check):
 *   I1 CLEAN: first == last == MSEC_NEVER, lines == bytes == 0, !urgent, !demanded, failures == 0
 *   I2 DIRTY, REDIRTIED: first <= last < MSEC_NEVER
 *   I3 FLUSHING: what waits is as in I1, and in_flight_first < MSEC_NEVER
 *   I4 in_flight_first <= in_flight_last < MSEC_NEVER in FLUSHING and REDIRTIED; elsewhere nothing is in flight
 *   I5 retry_at == 0 and error == 0 exactly when failures == 0
 *   I6 truncated only while rewriting > 0
 *
 * The due time, computed from the state (P4, and DESIGN.md section 6: a
 * debounce without a cap never fires):
 *   log       first + log_flush_ms; now at log_lines, log_bytes or urgency
 *   append    first + append_flush_ms; at log_bytes now
 *   snapshot  min(last + session_debounce_ms, first + session_max_ms)
 *   state     first + state_flush_ms
 *   volatile  never, but for demand and pressure
 *   others    as state (they are not held in RAM; a caller that does gets a bound)
 *   demanded  now
 *   rewriting > 0 (snapshot, state): not before first + rewrite_max_ms, unless demanded; never while
 *             `truncated` (P3: a truncation never goes without the write that follows it), unless
 *             demanded
 *   failures  not before retry_at, unless demanded
 * Urgency makes due at most once a second: an urgent file is due at
 * max(now, start of the last flush that took an urgent line + 1000).
 *
 * Times are >= 0 (a monotonic clock's). */
#ifndef CLAWFS_POLICY_POLICY_H
#define CLAWFS_POLICY_POLICY_H

#include "policy/config.h"
#include "policy/urgent.h"

enum policy_state { POLICY_CLEAN, POLICY_DIRTY, POLICY_FLUSHING, POLICY_REDIRTIED };

/* Plain data without pointers: lives in shared memory. Zeroed and then
 * initialised by policy_file_init. Read freely; written by policy/ only. */
struct policy_file {
	enum policy_class cls;
	enum policy_state state;
	msec_t first;		/* earliest change that no flush has taken */
	msec_t last;		/* latest such change */
	msec_t in_flight_first; /* `first` of what the running flush took */
	msec_t in_flight_last;	/* likewise `last`: a debounce goes on where a failed flush found it */
	uint64_t bytes;		/* written since the last flush began */
	uint32_t lines;		/* likewise */
	uint64_t in_flight_bytes;
	uint32_t in_flight_lines;
	bool urgent;
	bool in_flight_urgent;
	msec_t urgent_at;   /* start of the last flush that took an urgent line; MSEC_NEVER: none yet */
	bool demanded;	    /* somebody waits for durability, or the mount ends */
	bool truncated;	    /* cut to nothing by a writer and not written since */
	uint32_t rewriting; /* open writers that truncated it */
	uint32_t failures;  /* flushes failed in a row */
	int32_t error;	    /* negative errno of the last failure, 0 */
	msec_t retry_at;
};

void policy_file_init(struct policy_file *f, enum policy_class cls);

/* --- events; `now` never goes back within one file ---------------------- */

/* `bytes` were written, with `scan` of what they hold (zeros for classes
 * whose content does not matter). */
void policy_file_write(struct policy_file *f, msec_t now, uint64_t bytes, struct policy_scan scan);

/* Mode, owner or times changed, or the size by an explicit truncate(2) to
 * something, or the file was renamed into place: a change without bytes. */
void policy_file_touch(struct policy_file *f, msec_t now);

/* A writer cut the file to nothing through its open handle (O_TRUNC or
 * ftruncate): that handle rewrites it until it says rewrite_end (close, or
 * fsync, which calls the version complete). Counted. */
void policy_file_rewrite_begin(struct policy_file *f, msec_t now);
void policy_file_rewrite_end(struct policy_file *f, msec_t now);

/* `f` (fresh, dirty or clean) takes the place of `old` by rename: the new
 * version's wait counts from the oldest change that the lower still misses
 * (old->first; nothing of what a running flush has taken), so that steady
 * saves cannot postpone for ever (P4). What `f` itself has waiting counts too,
 * unless it was volatile: a temporary file's bytes were never to reach the
 * lower. A demand on `old` and its back-off pass to `f`. `f` is dirty
 * afterwards and of class `cls`; `old` may be NULL. */
void policy_file_replace(struct policy_file *f, enum policy_class cls, const struct policy_file *old, msec_t now);

/* Somebody asks for durability now. Without effect on a CLEAN file. The next
 * flush_begin takes the demand with it; if that flush fails, whoever demanded
 * is told and may demand again, and nobody else makes a failing card busy. A
 * demand that comes while a flush runs asks for one more, unless the running
 * one leaves the file CLEAN. */
void policy_file_demand(struct policy_file *f);

/* Nothing is left to flush (unlinked, or replaced): CLEAN; only from DIRTY or CLEAN. */
void policy_file_drop(struct policy_file *f);

/* The flusher takes what is there (DIRTY -> FLUSHING). */
void policy_file_flush_begin(struct policy_file *f, msec_t now);

/* The flush that began last has ended. `error` 0 or a negative errno: on
 * failure everything it took counts as waiting again, with its old first
 * (P9), and the next try is at retry_at = now + min(retry_ms << (failures-1),
 * retry_max_ms). `left` says that the flush left a piece behind on purpose
 * (a log's unfinished last line): the file is DIRTY with first = now, or as
 * it was changed meanwhile. */
void policy_file_flush_end(struct policy_file *f, const struct policy_config *config, msec_t now, int error, bool left);

/* The flush that began last was given up before it wrote anything, because the
 * file is being rewritten meanwhile: everything waits again, with its old
 * first. */
void policy_file_flush_abort(struct policy_file *f);

/* The process that drove the file has died in the middle of anything: no flush runs any more, what it took waits again,
 * and nobody is known to rewrite the file. Then, for each writer that still does: */
void policy_file_revive(struct policy_file *f);
void policy_file_revive_rewriter(struct policy_file *f);

/* --- queries ------------------------------------------------------------ */

/* When the file is due; MSEC_NEVER when CLEAN, FLUSHING or REDIRTIED (the end
 * of the running flush asks again) or held back. A time in the past means now. */
msec_t policy_file_due(const struct policy_file *f, const struct policy_config *config);

/* Why it is due at `now`; CAUSE_REACH when it is not. */
enum policy_cause policy_file_cause(const struct policy_file *f, const struct policy_config *config, msec_t now);

/* Names the first invariant that does not hold ("I2"), or NULL. */
const char *policy_file_check(const struct policy_file *f);

/* --- RAM (P11) ---------------------------------------------------------- */

enum policy_pressure {
	PRESSURE_NONE, /* below half of ram_max */
	PRESSURE_SOFT, /* everything dirty is due now, but for volatile files */
	PRESSURE_HARD  /* 7/8 and above: volatile files too; writers wait at ram_max */
};

enum policy_pressure policy_pressure(const struct policy_config *config, uint64_t used);

/* May `bytes` more come in on top of `used`? */
bool policy_admit(const struct policy_config *config, uint64_t used, uint64_t bytes);

/* --- all files: a binary heap of due times ------------------------------ */

struct policy_entry {
	msec_t due;
	uint32_t slot; /* the caller's name for the file */
};

/* `heap` and `position` are the caller's memory, `capacity` entries each, one
 * for every slot number below `capacity`. position[slot] is the entry's place
 * in the heap plus one, 0 when the slot is not in it. */
struct policy_set {
	struct policy_entry *heap;
	uint32_t *position;
	uint32_t count;
	uint32_t capacity;
};

/* Hands over zeroed memory, or larger memory that holds the old content. */
void policy_set_storage(struct policy_set *set, struct policy_entry *heap, uint32_t *position, uint32_t capacity);

/* Inserts the slot, moves it, or with MSEC_NEVER removes it. O(log n). */
void policy_set_update(struct policy_set *set, uint32_t slot, msec_t due);

/* When the flusher must wake: the earliest due time; MSEC_NEVER without one,
 * and then it need not wake at all (P11 asks for wakes of its own). */
msec_t policy_set_wake(const struct policy_set *set);

/* If the earliest is due at `now`: removes it and all that are due by
 * now + reach, into `slots`, earliest first, ties by slot number, at most
 * `max`; the number taken. 0 when nothing is due. */
uint32_t policy_set_take(struct policy_set *set, msec_t now, msec_t reach, uint32_t *slots, uint32_t max);

#endif
