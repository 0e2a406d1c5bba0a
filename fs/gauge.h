/* What is in RAM right now, for those who show it. */
#ifndef CLAWFS_GAUGE_H
#define CLAWFS_GAUGE_H

#include "fs/fs.h"

struct gauge {
	uint64_t files;
	uint64_t dirty_bytes;
	msec_t oldest; /* first change that the lower misses; MSEC_NEVER */
};

/* Of each class, with the RAM in use and the lower's last error (negative errno, 0). Walks all files; no lock held. */
void gauges_read(struct clawfs *fs, struct gauge gauge[CLASS_COUNT], uint64_t *used, int *error);

/* Of all classes, what waits for a flush: 0 dirty bytes means that a power cut costs nothing. Volatile files wait for
 * none. */
struct gauge gauge_sum(const struct gauge gauge[CLASS_COUNT]);

/* Since when, in ms; 0 when nothing waits. */
int64_t gauge_age(const struct gauge *gauge, msec_t now);

#endif
