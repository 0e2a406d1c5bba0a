#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/bench/content.h"

/* The mixed load of the application on its data directory, and what can be said about such a directory
 * later. One plan, from the same options, serves all of it. */

enum stream { STREAM_LOG, STREAM_SAVE, STREAM_INSERT, STREAM_QUERY, STREAM_TRANSCRIPT, STREAMS };

/* What the application does about writes itself. */
enum buffering {
	BUFFERING_NONE,	  /* every line and every save is written, SQLite at its defaults */
	BUFFERING_WRITES, /* 100 lines or 5 s, a save every 2 s, WAL and synchronous=NORMAL */
	BUFFERING_SYNCED, /* the same, with fdatasync */
};

struct plan {
	uint64_t seed;
	double seconds;
	double a_minute[STREAMS];
	size_t line_min, line_max, store_size;
	int rows; /* chunks in the database beforehand */
	enum buffering buffering;
};

/* Lines that are in the log and the transcript beforehand. */
enum { LOG_BASE = 500, TRANSCRIPT_BASE = 50 };

extern const char *const stream_names[STREAMS];

/* How many operations of a stream there are, and when the n-th is due, ms after the start: each at a random
 * place in its slot, so that the streams do not march in step. */
long plan_count(const struct plan *plan, enum stream stream);
double plan_due(const struct plan *plan, enum stream stream, long n);
struct content_lines plan_lines(const struct plan *plan, enum stream stream);

/* Where things are below the data directory `dir`. */
enum { LOAD_PATH = 2048 };
void load_path(const char *dir, enum stream stream, char path[LOAD_PATH]);

/* Makes the directory as the load finds it. */
void load_setup(const struct plan *plan, const char *dir);

/* When each operation was acknowledged, in the files ACKS/<stream>, which are written by mapping and so can be
 * read at any moment: ms as of now_ms, 0 for not yet. */
double *acks_create(const char *acks, enum stream stream, long count);
double *acks_open(const char *acks, enum stream stream, long *count);

/* What the processes that serve a configuration took while the load ran: `pids` and all below them. */
struct usage {
	double cpu_ms;
	long rss_kib, pss_kib; /* the most at any one look */
	int processes;
	long switches; /* context switches of all their threads: how often somebody woke up */
};
struct watch;
struct watch *watch_create(const int *pids, int count);
void watch_look(struct watch *watch);
struct usage watch_destroy(struct watch *watch); /* looks a last time */

/* Runs the load on `dir`; JSON of the latencies to `out`. With `progress` a line on stderr each second
 * that begins with it. */
void load_run(const struct plan *plan, const char *dir, const char *acks, const char *progress, struct watch *watch,
	      FILE *out);

/* Compares `dir` with what had been acknowledged by `cut` (ms as of now_ms): JSON to `out`, of each stream how
 * much is missing, and what is damaged. True when nothing is. */
bool load_check(const struct plan *plan, const char *dir, const char *acks, double cut, FILE *out);

#endif
