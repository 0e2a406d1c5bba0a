/* Where time comes from. Read at the edges (a FUSE request arrives, the
 * flusher wakes) and handed down as an argument. */
#ifndef CLAWFS_CLOCK_H
#define CLAWFS_CLOCK_H

#include "policy/types.h"
#include <time.h>

/* Milliseconds of CLOCK_MONOTONIC: deadlines must not follow NTP (P4). */
static inline msec_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (msec_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The same instant for pthread_cond_timedwait on a CLOCK_MONOTONIC condition;
 * `at` must not be MSEC_NEVER. */
static inline struct timespec clock_timespec(msec_t at)
{
	return (struct timespec){.tv_sec = at / 1000, .tv_nsec = (at % 1000) * 1000000};
}

/* Wall-clock time as the kernel stamps files with it. */
static inline struct timespec clock_stamp(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return ts;
}

#endif
