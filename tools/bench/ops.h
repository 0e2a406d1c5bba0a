#ifndef BENCH_OPS_H
#define BENCH_OPS_H

#include <stddef.h>

/* The microbenchmarks' operations. Each is done on several targets in turn. */

enum { OPS_PATH = 1024 };

/* A data directory on one file system. */
struct target {
	const char *name, *dir;
	char path[OPS_PATH]; /* what the operation at hand works on */
	int fd;
	struct memory *memory;
	struct store *store;
	long done; /* operations so far, of the kind at hand */
};

struct op {
	const char *name;
	size_t bytes; /* that one operation moves, or 0 when its latency is what counts */
	int batch;    /* operations in a row on one target */
	void (*prepare)(struct target *target, const struct op *op); /* may be NULL */
	void (*step)(struct target *target, const struct op *op);
	void (*finish)(struct target *target); /* may be NULL */
};

extern const struct op ops_table[];
extern const int ops_count;

/* Makes what the operations need below target->dir. */
void ops_setup(struct target *target);

#endif
