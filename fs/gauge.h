/* What is in RAM right now, for those who show it. */
#ifndef CLAWFS_GAUGE_H
#define CLAWFS_GAUGE_H

#include "fs/fs.h"

struct gauge {
	uint64_t files;
	uint64_t dirty_bytes;
	msec_t oldest; /* first change that the lower misses; MSEC_NEVER */
};

/* What the lower refuses (P9). */
struct refusal {
	int error; /* negative errno of one of them; 0: nothing is refused */
	unsigned files;
	msec_t next; /* when it is tried again; MSEC_NEVER */
};

/* Of each class, with the RAM in use and what is refused; `refused` comes as {.next = MSEC_NEVER}. Walks all files; no
 * lock held. */
void gauges_read(struct clawfs *fs, struct gauge gauge[CLASS_COUNT], uint64_t *used, struct refusal *refused);

/* Of all classes, what waits for a flush: 0 dirty bytes means that a power cut costs nothing. Volatile files wait for
 * none. */
struct gauge gauge_sum(const struct gauge gauge[CLASS_COUNT]);

/* Since when, in ms; 0 when nothing waits. */
int64_t gauge_age(const struct gauge *gauge, msec_t now);

#endif
