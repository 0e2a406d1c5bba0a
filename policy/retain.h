/* Which archives are deleted, and when must that be asked again? An archive is
 * X.log.gz, or a part X.N.log that clawfs made and that is not compressed (yet,
 * or with log_gzip=off). policy_log_may_delete has said yes to it.
 *
 *   bound            goes                                                                needs a clock
 *   log_keep_days    every archive whose age is proven to be so much                     yes
 *   log_rotate_keep  of each log's parts those with the lowest numbers, above so many    no
 *   log_keep_bytes   the oldest archives, until the rest together is no more than that   order only
 * in this order; what one has condemned is gone for the next. 0 switches a bound off. What is busy (somebody
 * has it open, or its live log is beside it after an interrupted compression) is counted but not deleted.
 *
 * The age of an archive, since its log's last line:
 *   written in this run  now - last write, on the monotonic clock. Exact; no wall clock is asked.
 *   else the larger of
 *     seen               now - first seen in this run, on the monotonic clock. It is at least that old.
 *     claimed            believed clock - mtime - doubt. Nothing is claimed by an mtime that is nonsense or in
 *                        the future, while the clock has been nonsense since the run began, or
 *                        before WALL_SETTLE_MS have passed without a step.
 *   believed clock       that of policy/wall.h (W2). If that is behind a log's mtime from before this run, and
 *                        the wall clock of now is not, then this run began with a clock that was behind, and
 *                        is believed to have begun at that mtime.
 *   doubt                The mtimes of all logs and the start of this run, in order, say when the machine was
 *                        at work. A gap of more than RETAIN_GAP_MS between two neighbours is a time when
 *                        nothing was logged, or a jump of the clock: nobody can tell. The doubt is the sum of
 *                        such gaps that are newer than the archive, less RETAIN_CREDIT ms for each ms that the
 *                        clock has gone without a step.
 *
 * What follows, with keep = log_keep_days:
 *   R1 What is live, busy or not in the list is not deleted.
 *   R2 A log that was written in this run lives `keep` after its last line, exactly, as long as the run lasts,
 *      whatever the wall clock does.
 *   R3 A step of the wall clock in this run deletes nothing early. Forwards it does not move the believed clock
 *      (W2), but up to an mtime that was there before the step; backwards it makes claims smaller; both
 *      begin the settling and the credit anew.
 *   R4 A jump by J before this run, or a start with a clock that is ahead by J, mtimes being right: J up to
 *      RETAIN_GAP_MS can delete by J early (nothing tells it from time that passed). A larger J makes a gap,
 *      which is doubted: nothing is deleted for it in the first WALL_SETTLE_MS, and after h hours ages are
 *      believed that are at most h days too large. So a week of logs does not go at once but, if nobody sets
 *      the clock right, one day's after the other, over seven hours.
 *      Proof: claimed = (age + J) - doubt, and doubt >= J - RETAIN_CREDIT * (now - last step).
 *   R5 Nothing is kept for ever: an archive goes at the latest `keep` after it was first seen in a run that
 *      lasts so long, whatever its mtime and the clock say. With right mtimes and a right clock it goes when it
 *      is `keep` old, across restarts, once its doubts are paid (an hour of running for each day off).
 *   R6 Only on a machine that never runs for `keep` at a stretch, and there only what has a nonsensical or
 *      future mtime or meets a nonsensical clock, is left to log_rotate_keep and log_keep_bytes alone.
 *
 * "Oldest first" is by age as far as anything says, doubts aside; ties by mtime, then by log, number of the
 * part, slot. */
#ifndef CLAWFS_POLICY_RETAIN_H
#define CLAWFS_POLICY_RETAIN_H

#include "policy/life.h"

#define RETAIN_GAP_MS	 ((int64_t)86400000)
#define RETAIN_CREDIT	 24
#define RETAIN_RETRY_MS	 60000
#define RETAIN_RETRY_MAX 3600000

enum retain_verdict {
	RETAIN_KEEP,
	RETAIN_AGE,   /* log_keep_days */
	RETAIN_PARTS, /* log_rotate_keep */
	RETAIN_BYTES, /* log_keep_bytes */
};

struct policy_archive {
	uint32_t slot; /* the caller's name for it */
	uint32_t log;  /* the caller's name for the log whose part it is */
	uint32_t part; /* its number, if clawfs made it by rotation; else 0 */
	bool live;     /* no archive: a log whose mtime is a witness, never counted or deleted */
	bool busy;     /* somebody has it open (either name), or its live log is beside it */
	uint64_t size; /* bytes on the card */
	wall_t mtime;
	msec_t seen;	/* when it, or the log that it was, was first seen in this run */
	msec_t written; /* when the log that it was was last written in this run; MSEC_NEVER: not */
	/* answers */
	enum retain_verdict verdict;
	msec_t due; /* when its age will be proven; MSEC_NEVER: never, with log_keep_days=0 */
	/* between */
	int64_t age, doubt;
};

struct policy_retained {
	uint32_t count; /* condemned */
	uint64_t bytes;
	msec_t next; /* when the next one's age will be proven; MSEC_NEVER: no need to look */
};

/* Judges all archives of the mount at once, with `live` logs as witnesses. The
 * list is put in order, oldest first: that is the order to delete in. To be asked
 * at the mount, when an archive is made or becomes free, at `next`, and after a
 * step of the clock; after a deletion that failed not before the back-off
 * (policy_retry_failed with RETAIN_RETRY_MS and _MAX) has passed. */
struct policy_retained policy_retain(const struct policy_config *config, const struct policy_wall *wall, msec_t now,
				     struct policy_archive *list, uint32_t count);

#endif
