#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

#include <stdio.h>

/* Counts FUSE requests where they are sent, in the kernel (tracepoint fuse_request_send, Linux 6.11 and later),
 * the same for every FUSE file system. An instance of the tracing ring buffer is our own: nobody else's tracing is
 * touched. */
struct trace;

/* `tracefs` is where tracefs is mounted. NULL when this kernel has no such tracepoint. */
struct trace *trace_create(const char *tracefs);
void trace_destroy(struct trace *trace);

void trace_begin(struct trace *trace);

/* Prints "{"OPEN":1.00,...}": the requests on the file system of `path` since trace_begin, by `operations`. */
void trace_end(struct trace *trace, const char *path, long operations, FILE *out);

#endif
