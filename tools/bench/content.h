#ifndef BENCH_CONTENT_H
#define BENCH_CONTENT_H

#include <stddef.h>
#include <stdint.h>

/* What the load writes: bytes that depend on a seed and a number alone, so that whoever looks at a file later
 * (check.h) can say what must be in it. Nothing here keeps state but a store. */

/* splitmix64; `state` belongs to the caller. */
uint32_t content_random(uint64_t *state);

/* Words as common as words are, a few often, many seldom: exactly `len` bytes, no terminator. */
void content_words(uint64_t seed, char *out, size_t len);

enum { CONTENT_LINE_MAX = 4096 };

/* The shape of a file of lines: a log's or a transcript's. */
struct content_lines {
	uint64_t seed;
	const char *kind; /* what stands in each line before its number */
	size_t min, max;  /* bytes of a line; 100 <= min <= max <= CONTENT_LINE_MAX */
};

/* Line `n` with its newline; its length. */
size_t content_line(const struct content_lines *lines, long n, char out[CONTENT_LINE_MAX]);

/* A session store: pretty-printed JSON. Each update changes one session of it and the version, which
 * stands at both ends; the length stays. A store that was updated n times is the same whoever did it. */
struct store;

struct store *store_create(uint64_t seed, size_t bytes); /* version 0, about `bytes` long; dies without memory */
void store_destroy(struct store *store);
void store_update(struct store *store);
long store_version(const struct store *store);
const char *store_text(const struct store *store, size_t *len); /* the store's own, until the next update */

/* The version that `text` says it has, or -1. */
long store_version_of(const char *text, size_t len);

#endif
