/* Counters a class, since start and for the last full minute, and the
 * distribution of flush times. Guarded by its own lock, a leaf. */
#ifndef CLAWFS_STATS_H
#define CLAWFS_STATS_H

#include "policy/types.h"

#define STATS_BUCKETS 112 /* four to each doubling, from 1 us to above an hour's half */

struct stats_class {
	uint64_t app_writes, app_bytes;	    /* write calls of applications */
	uint64_t lower_writes, lower_bytes; /* replaces and appends that reached the lower */
	uint64_t coalesced;		    /* saves that a later save made unnecessary to write */
	uint64_t identical;		    /* saves that equalled what the lower had */
	uint64_t errors;		    /* flushes that failed */
	uint64_t flushes[CAUSE_COUNT];
	uint64_t flush_us[STATS_BUCKETS]; /* from the flush's begin until durable */
};

struct stats;

/* In shared memory: a successor process goes on counting, after stats_revive. */
struct stats *stats_create(msec_t now);
void stats_revive(struct stats *stats);
void stats_destroy(struct stats *stats);

void stats_app_write(struct stats *stats, msec_t now, enum policy_class cls, uint64_t bytes);

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

/* The upper bound, in us, below which `percent` of the flushes lie; 0 without any. */
uint64_t stats_percentile(const struct stats_class *c, unsigned percent);

/* Adds all of `from` to `to`. */
void stats_add(struct stats_class *to, const struct stats_class *from);

#endif
