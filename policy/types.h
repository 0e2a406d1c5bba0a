/* Words that every part of policy/ shares: classes, time, causes.
 *
 * policy/ decides and never acts: no system call, no allocation, no lock, no
 * clock. A function gets an event with the time at which it happened and says
 * what follows. `make lint` checks with nm(1) that no object here imports
 * anything but memory and string functions. */
#ifndef CLAWFS_POLICY_TYPES_H
#define CLAWFS_POLICY_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a file is handled as; DESIGN.md section 2. The order is that of the
 * stats and never changes between releases, because scripts read it. */
enum policy_class {
	CLASS_LOG,	/* append-only tail in RAM, flushed on interval, lines, bytes, urgency */
	CLASS_APPEND,	/* append-only tail in RAM, flushed on a short interval */
	CLASS_SNAPSHOT, /* whole file in RAM, debounced, replaced atomically */
	CLASS_STATE,	/* as snapshot, with a short window */
	CLASS_VOLATILE, /* RAM only */
	CLASS_SQLITE,	/* handled by the SQLite rules */
	CLASS_THROUGH,	/* straight to the lower file */
	CLASS_COUNT
};

/* Milliseconds of a monotonic clock (P4: a Pi boots without a wall clock and
 * NTP steps it). The origin is the caller's; only differences mean anything. */
typedef int64_t msec_t;
#define MSEC_NEVER INT64_MAX

/* a + b, saturating at MSEC_NEVER, so that "never" stays never and an absurd
 * interval from a configuration file cannot wrap into the past. */
static inline msec_t msec_add(msec_t a, msec_t b)
{
	msec_t sum;

	return __builtin_add_overflow(a, b, &sum) ? MSEC_NEVER : sum;
}

static inline msec_t msec_min(msec_t a, msec_t b)
{
	return a < b ? a : b;
}

/* Why a file is flushed; counted in the stats. */
enum policy_cause {
	CAUSE_NONE,
	CAUSE_INTERVAL, /* its window passed */
	CAUSE_LINES,	/* as many lines as log_lines allows are waiting */
	CAUSE_BYTES,	/* as many bytes as log_bytes allows are waiting */
	CAUSE_URGENT,	/* a line of level error or fatal */
	CAUSE_PRESSURE, /* RAM is short */
	CAUSE_SYNC,	/* fsync, fdatasync, O_SYNC, `flush` */
	CAUSE_CLASS,	/* used in a way its class does not fit: materialised */
	CAUSE_REACH,	/* not due yet, but near enough to share the epoch */
	CAUSE_END,	/* unmount or signal */
	CAUSE_COUNT
};

/* Names as they stand in options, rules and stats; stable. The pointers are
 * static. `policy_class_parse` returns CLASS_COUNT for an unknown name. */
const char *policy_class_name(enum policy_class cls);
enum policy_class policy_class_parse(const char *name, size_t len);
const char *policy_cause_name(enum policy_cause cause);

#endif
