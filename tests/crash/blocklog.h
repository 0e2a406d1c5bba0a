/* The log of what reached a block device: records one after the other, each followed by its bytes. */
#ifndef CLAWFS_TESTS_CRASH_BLOCKLOG_H
#define CLAWFS_TESTS_CRASH_BLOCKLOG_H

#include <stdint.h>

enum { BLOCK_WRITE = 1, BLOCK_FLUSH = 2 };

struct block_record {
	uint64_t time_us; /* CLOCK_MONOTONIC, when it came */
	uint64_t offset;
	uint32_t length; /* bytes that follow; 0 for a flush */
	uint32_t kind;
};

#endif
