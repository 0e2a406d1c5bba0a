#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stdbool.h>

/* The application's memory index, a SQLite database of chunks of text with their embeddings and a full-text
 * index, as it writes and asks it. Content depends on a chunk's number alone: two databases with the same calls
 * behind them answer the same. Whatever SQLite refuses ends the program with one line (die.h).
 * A handle belongs to one thread. */
struct memory;

/* Opens or makes the database. `pragmas`: SQL to run first, or NULL for all defaults, as the application has it. */
struct memory *memory_open(const char *path, const char *pragmas);
/* Leaves a write-ahead log as it is: the application runs for months, and its last checkpoint belongs to no minute. */
void memory_close(struct memory *memory);

/* Tables, and chunks 0 .. rows - 1, without waiting for the disk. */
void memory_create(const char *path, int rows);

/* Chunk `n`: five statements, each its own transaction. */
void memory_insert(struct memory *memory, int n);

/* Query `n`: the best ten of a full-text search and their chunks. */
void memory_query(struct memory *memory, int n);

/* What a database holds, after a crash say: it must be sound and hold the chunks 0 .. last, whole but for the
 * statements of one more. Returns `last` or -1, with one line in `why`. */
int memory_check(const char *path, char *why, int size);

/* A larger job on a new database `path`: `rows` rows in transactions of 100, an index, as many point queries, a
 * scan. Milliseconds of each part go to ms[]. */
enum { BULK_INSERTS, BULK_INDEX, BULK_QUERIES, BULK_SCAN, BULK_PARTS };
void memory_bulk(const char *path, int rows, double ms[BULK_PARTS]);

#endif
