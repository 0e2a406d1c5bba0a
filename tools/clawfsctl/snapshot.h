/* stats.json at one moment. Read with SQLite's JSON functions, which are here anyway. */
#ifndef CLAWFSCTL_SNAPSHOT_H
#define CLAWFSCTL_SNAPSHOT_H

#include "tools/clawfsctl/place.h"
#include <stdint.h>

struct snapshot;

/* Reads the mount's. NULL with the line printed and *status set. */
struct snapshot *snapshot_create(const struct ctl_command *self, const struct place *place, int *status);
void snapshot_destroy(struct snapshot *s);

/* The value at a path of SQLite's ("$.totals.dirty_bytes"); 0 or "" when there is none. The text is valid until the
 * next call. */
int64_t snapshot_number(struct snapshot *s, const char *path);
double snapshot_real(struct snapshot *s, const char *path);
const char *snapshot_text(struct snapshot *s, const char *path);

struct snapshot_db {
	const char *path, *mode, *trouble;
	bool excluded;
	int64_t wal_bytes, asked, done, elided, error;
};

/* Calls `each` for every database. */
void snapshot_databases(struct snapshot *s, void (*each)(const struct snapshot_db *db, void *arg), void *arg);

#endif
