#ifndef BENCH_SCALE_H
#define BENCH_SCALE_H

#include <stdio.h>

#include "tools/bench/load.h"

/* A data directory that has grown, and what it costs. */

/* Adds to the directory that load_setup made: 100 transcripts, 10 MB of old logs, one database and 200 KB in one
 * sessions.json, each so many times. */
void scale_setup(const struct plan *plan, const char *dir, int factor);

/* Saves that sessions.json `count` times, one every `every_ms`, with the content that it has; JSON to `out`. */
void scale_resave(const struct plan *plan, const char *dir, int factor, int count, double every_ms, struct watch *watch,
		  FILE *out);

/* Does nothing for so long; what the watched processes did meanwhile, as JSON, to `out`. */
void scale_idle(double seconds, struct watch *watch, FILE *out);

#endif
