/* Counters a class, since start and for the last full minute, the distribution
 * of flush times, and sums of each minute of the last hour. Guarded by its own
 * lock, a leaf; what is read and written without it says so.
 *
 * Minutes are of the monotonic clock, counted from the start. No timer ends one, because an idle mount must not wake:
 * the first event after its end does, and so does whoever reads. Minutes in which nothing happened are filled in then.
 */
#ifndef CLAWFS_STATS_H
#define CLAWFS_STATS_H

#include "policy/types.h"
#include <sys/types.h>

#define STATS_BUCKETS 112 /* four to each doubling, from 1 us to above an hour's half */

struct stats_class {
	uint64_t app_writes, app_bytes;	    /* write calls of applications */
	uint64_t lower_writes, lower_bytes; /* replaces and appends that reached the lower */
	uint64_t coalesced;		    /* saves that a later save made unnecessary to write */
	uint64_t identical;		    /* saves that equalled what the lower had */
	uint64_t errors;		    /* flushes that failed */
	uint64_t flushes[CAUSE_COUNT];
	uint64_t flush_us[STATS_BUCKETS]; /* from the flush's begin until durable */
	uint64_t flush_us_sum;
};

/* What belongs to no class. */
enum stats_count {
	STATS_READS_RAM, /* reads that reached us and were answered from RAM, all or in part */
	STATS_READS_LOWER,
	STATS_READ_BYTES_RAM,
	STATS_READ_BYTES_LOWER,
	STATS_DB_ASKED, /* syncs of databases and their logs: by applications */
	STATS_DB_DONE,	/* on the card, also by the barrier */
	STATS_DB_ELIDED,
	STATS_CHECKPOINTS, /* runs of writes to a database after its log was written: whoever makes them */
	STATS_COUNTS
};

/* Sums of one minute. */
enum stats_value {
	MINUTE_APP_WRITES,
	MINUTE_APP_BYTES,
	MINUTE_LOWER_WRITES,
	MINUTE_LOWER_BYTES,
	MINUTE_LOG_BYTES, /* written to logs by applications */
	MINUTE_SAVES,	  /* of snapshots, that were replaced by a later one or flushed */
	MINUTE_REPLACES,  /* of snapshots on the lower */
	MINUTE_FLUSHES,	  /* of files */
	MINUTE_ERRORS,	  /* flushes that failed */
	MINUTE_COUNTS,	  /* as enum stats_count from here on */
	MINUTE_DEV_WRITES = MINUTE_COUNTS + STATS_COUNTS,
	MINUTE_DEV_BYTES,
	MINUTE_DEV_FLUSHES,
	MINUTE_VALUES
};

#define STATS_MINUTES 60
#define MINUTE_MS     60000

struct stats_minute {
	msec_t end;
	bool device; /* the values of the device are known: they were looked at when it began and when it had ended */
	uint64_t value[MINUTE_VALUES];
};

struct stats;

/* In shared memory: a successor process goes on counting, after stats_revive. `device` below the lower, whose own
 * counters go into the minutes. */
struct stats *stats_create(msec_t now, dev_t device);
void stats_revive(struct stats *stats);
void stats_destroy(struct stats *stats);

/* What was counted until now is lost with the process that did: minutes begin anew, rather than to be shown as idle. */
void stats_begin(struct stats *stats, msec_t now);

/* `through`: it was written to the lower at once. */
void stats_app_write(struct stats *stats, msec_t now, enum policy_class cls, uint64_t bytes, bool through);

/* Adds to one of the counts. Takes no lock. */
void stats_count(struct stats *stats, enum stats_count which, uint64_t n);
uint64_t stats_counted(const struct stats *stats, enum stats_count which);

/* Ends the running minute if it is over. Takes no lock when it is not: called for each request. */
void stats_tick(struct stats *stats, msec_t now);

/* So many writes that were counted for class `from` turn out to be of class `to`: a temporary file
 * was renamed into place. */
void stats_app_move(struct stats *stats, msec_t now, enum policy_class from, enum policy_class to, uint64_t writes,
		    uint64_t bytes);

struct stats_flush {
	enum policy_class cls;
	enum policy_cause cause;
	uint64_t bytes;
	uint64_t coalesced;
	bool identical; /* nothing was written */
	int error;	/* 0 or negative errno */
	int64_t us;
};
void stats_flush(struct stats *stats, msec_t now, const struct stats_flush *flush);

/* Copies both: since start, and the last full minute (zeros during the
 * first). `uptime_ms` as of now. */
void stats_read(struct stats *stats, msec_t now, struct stats_class total[CLASS_COUNT],
		struct stats_class minute[CLASS_COUNT], int64_t *uptime_ms);

/* The last full minutes, at most STATS_MINUTES, the oldest first; how many. */
unsigned stats_history(struct stats *stats, msec_t now, struct stats_minute minutes[STATS_MINUTES]);

/* Sums over the last `minutes` full ones, or as many as there have been; how many. `sum->device` is whether it is known
 * of all of them. */
unsigned stats_window(struct stats *stats, msec_t now, unsigned minutes, struct stats_minute *sum);

/* The upper bound, in us, below which `percent` of the flushes lie; 0 without any. */
uint64_t stats_percentile(const struct stats_class *c, unsigned percent);

/* Adds all of `from` to `to`. */
void stats_add(struct stats_class *to, const struct stats_class *from);

#endif
