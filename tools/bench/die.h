#ifndef BENCH_DIE_H
#define BENCH_DIE_H

/* A benchmark that went wrong has no result: one line on stderr, "PROGRAM: ...", exit status 1. `error` is a
 * negative errno, or 0 when there is none to name. */
__attribute__((noreturn, format(printf, 2, 3))) void die(int error, const char *format, ...);

/* CLOCK_MONOTONIC in ms: the same in every process. */
double now_ms(void);

/* Returns at `at` (ms as of now_ms) or later; at once when that is past. */
void sleep_until(double at);

#endif
