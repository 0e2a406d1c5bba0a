/* What the preloaded library (preload.c) and the tester share: a page of a file that CRASH_FAULT_PAGE names. */
#ifndef CLAWFS_TESTS_CRASH_FAULTPAGE_H
#define CLAWFS_TESTS_CRASH_FAULTPAGE_H

#include <stdint.h>

#define FAULT_CALLS(X)                                                                                                 \
	X(open)                                                                                                        \
	X(read)                                                                                                        \
	X(write)                                                                                                       \
	X(pread)                                                                                                       \
	X(pwrite)                                                                                                      \
	X(ftruncate)                                                                                                   \
	X(fallocate)                                                                                                   \
	X(fsync)                                                                                                       \
	X(fdatasync)                                                                                                   \
	X(syncfs)                                                                                                      \
	X(sync_file_range)                                                                                             \
	X(copy_file_range)                                                                                             \
	X(lseek)                                                                                                       \
	X(fstat)                                                                                                       \
	X(fstatat)                                                                                                     \
	X(fstatvfs)                                                                                                    \
	X(rename)                                                                                                      \
	X(unlink)                                                                                                      \
	X(mkdir)                                                                                                       \
	X(mknod)                                                                                                       \
	X(symlink)                                                                                                     \
	X(link)                                                                                                        \
	X(readlink)                                                                                                    \
	X(chmod)                                                                                                       \
	X(chown)                                                                                                       \
	X(utimens)                                                                                                     \
	X(getxattr)                                                                                                    \
	X(listxattr)                                                                                                   \
	X(setxattr)                                                                                                    \
	X(getdents)                                                                                                    \
	X(dup)                                                                                                         \
	X(point) /* CRASH_POINT() of a debug build */

enum fault_call {
#define X(name) CALL_##name,
	FAULT_CALLS(X)
#undef X
		CALLS
};

enum fault_side { SIDE_NONE, SIDE_LOWER, SIDE_UPPER, SIDES };

enum fault_mode {
	FAULT_OFF,
	FAULT_ONCE,
	FAULT_EVER,
	FAULT_SHORT,	   /* a write does half of it, once */
	FAULT_KILL_BEFORE, /* SIGKILL to the process, before the call */
	FAULT_KILL_AFTER,
};

enum { POINTS_MAX = 200 };

struct fault_page {
	uint64_t lower_dev, upper_dev; /* by which a side is known */
	uint32_t mode;		       /* enum fault_mode; written last, by the tester */
	uint32_t side;		       /* SIDE_NONE: any */
	uint32_t call;		       /* CALLS: any */
	uint32_t point;		       /* with CALL_point: which; 0: any */
	int32_t error;
	uint32_t skip;	    /* so many calls that fit are let by */
	uint32_t fired;	    /* how often it struck */
	int64_t clock_step; /* seconds that CLOCK_REALTIME is off */
	uint64_t counts[SIDES][CALLS];
	uint32_t points;
	char point_names[POINTS_MAX][40];
	uint64_t point_counts[POINTS_MAX]; /* [1, points] */
};

#endif
