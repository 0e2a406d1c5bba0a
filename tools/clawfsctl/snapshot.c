#include "tools/clawfsctl/snapshot.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct snapshot {
	sqlite3 *sql;
	sqlite3_stmt *get;
	char *json;
};

static sqlite3_stmt *prepare(struct snapshot *s, const char *text)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(s->sql, text, -1, &stmt, NULL) != SQLITE_OK)
		return NULL;
	sqlite3_bind_text(stmt, 1, s->json, -1, SQLITE_STATIC);
	return stmt;
}

static bool is_json(struct snapshot *s)
{
	sqlite3_stmt *stmt = prepare(s, "SELECT json_valid(?1)");
	bool valid = stmt && sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_int(stmt, 0);

	sqlite3_finalize(stmt);
	return valid;
}

struct snapshot *snapshot_create(const struct ctl_command *self, const struct place *place, int *status)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	*status = CTL_FAILED;
	if (!s) {
		ctl_complain(self, "out of memory");
		return NULL;
	}
	s->json = place_read(self, place, "stats.json", status);
	if (!s->json) {
		snapshot_destroy(s);
		return NULL;
	}
	if (sqlite3_open(":memory:", &s->sql) != SQLITE_OK || !is_json(s) ||
	    !(s->get = prepare(s, "SELECT json_extract(?1, ?2)"))) {
		ctl_complain(self, "%s/.clawfs/stats.json cannot be read as JSON: %s", place->mountpoint,
			     s->sql ? sqlite3_errmsg(s->sql) : "out of memory");
		snapshot_destroy(s);
		return NULL;
	}
	return s;
}

void snapshot_destroy(struct snapshot *s)
{
	if (!s)
		return;
	sqlite3_finalize(s->get);
	sqlite3_close(s->sql);
	free(s->json);
	free(s);
}

static bool get(struct snapshot *s, const char *path)
{
	sqlite3_reset(s->get);
	sqlite3_bind_text(s->get, 2, path, -1, SQLITE_TRANSIENT);
	return sqlite3_step(s->get) == SQLITE_ROW;
}

int64_t snapshot_number(struct snapshot *s, const char *path)
{
	return get(s, path) ? sqlite3_column_int64(s->get, 0) : 0;
}

double snapshot_real(struct snapshot *s, const char *path)
{
	return get(s, path) ? sqlite3_column_double(s->get, 0) : 0;
}

const char *snapshot_text(struct snapshot *s, const char *path)
{
	const unsigned char *text = get(s, path) ? sqlite3_column_text(s->get, 0) : NULL;

	return text ? (const char *)text : "";
}

static const char *column(sqlite3_stmt *stmt, int i)
{
	const unsigned char *text = sqlite3_column_text(stmt, i);

	return text ? (const char *)text : "";
}

void snapshot_databases(struct snapshot *s, void (*each)(const struct snapshot_db *db, void *arg), void *arg)
{
	sqlite3_stmt *stmt = prepare(s, "SELECT key, value ->> 'mode', value ->> 'trouble', value ->> 'excluded',"
					" value ->> 'wal_bytes', value ->> 'fsyncs_asked', value ->> 'fsyncs_done',"
					" value ->> 'fsyncs_elided', value ->> 'error'"
					" FROM json_each(?1, '$.sqlite') ORDER BY key");

	while (stmt && sqlite3_step(stmt) == SQLITE_ROW) {
		struct snapshot_db db = {.path = column(stmt, 0),
					 .mode = column(stmt, 1),
					 .trouble = column(stmt, 2),
					 .excluded = sqlite3_column_int(stmt, 3) != 0,
					 .wal_bytes = sqlite3_column_int64(stmt, 4),
					 .asked = sqlite3_column_int64(stmt, 5),
					 .done = sqlite3_column_int64(stmt, 6),
					 .elided = sqlite3_column_int64(stmt, 7),
					 .error = sqlite3_column_int64(stmt, 8)};
		each(&db, arg);
	}
	sqlite3_finalize(stmt);
}
