/* How long things take: a histogram of doubling bounds, counted without a lock. */
#ifndef CLAWFS_LATENCY_H
#define CLAWFS_LATENCY_H

#include <stdint.h>

/* Bucket b counts what took less than 2^b us, and as much as the bucket before it at least; the last one has no
 * bound. 2^24 us are 17 s. */
#define LATENCY_BUCKETS 26

struct latency {
	uint64_t bucket[LATENCY_BUCKETS]; /* atomic, as the sum */
	uint64_t sum_us;
};

static inline void latency_add(struct latency *l, uint64_t us)
{
	unsigned b = us ? 64 - (unsigned)__builtin_clzll(us) : 0;

	if (b > LATENCY_BUCKETS - 1)
		b = LATENCY_BUCKETS - 1;
	__atomic_add_fetch(&l->bucket[b], 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&l->sum_us, us, __ATOMIC_RELAXED);
}

#endif
