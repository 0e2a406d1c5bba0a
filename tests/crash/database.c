/* Rows into a SQLite database, one transaction an operation, with the library's defaults.
 * P7: it is sound, and has a prefix of the commits. */
#include "load.h"
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX_BYTES = 6000, REOPEN_EVERY = 300 };

static int row_text(const struct actor *a, uint32_t n, char text[TEXT_MAX_BYTES])
{
	int len = 20 + (int)(mix(a->seed, 1, n) % a->kind->arg);

	fill(text, (size_t)len, mix(a->seed, 2, n));
	return len;
}

static void database_drop(struct actor *a)
{
	sqlite3_close_v2(a->own);
	a->own = NULL;
}

static int said(struct actor *a, sqlite3 *db, const char *what)
{
	int rc = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;

	snprintf(a->error, sizeof(a->error), "%s: %s (%d)", what, db ? sqlite3_errmsg(db) : "no memory", rc);
	return -EIO;
}

static int database_open(struct actor *a)
{
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(below(a->root, a->kind->path), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
		    SQLITE_OK ||
	    sqlite3_busy_timeout(db, 20000) != SQLITE_OK ||
	    sqlite3_exec(db, "create table if not exists t(n integer primary key, text)", NULL, NULL, NULL) !=
		    SQLITE_OK) {
		int rc = said(a, db, "open of the database");
		sqlite3_close_v2(db);
		return rc;
	}
	a->own = db;
	return 0;
}

static int database_step(struct actor *a, uint32_t n)
{
	char text[TEXT_MAX_BYTES];
	sqlite3_stmt *stmt = NULL;

	if (a->doubt || n % REOPEN_EVERY == 0)
		database_drop(a);
	if (!a->own) {
		int rc = database_open(a);
		if (rc < 0)
			return rc;
	}
	sqlite3 *db = a->own;
	/* What a program does that does not know whether its commit came through. */
	const char *sql = a->doubt ? "insert or replace into t values (?, ?)" : "insert into t values (?, ?)";
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return said(a, db, "prepare");
	sqlite3_bind_int64(stmt, 1, n);
	sqlite3_bind_text(stmt, 2, text, row_text(a, n, text), SQLITE_STATIC);
	int rc = sqlite3_step(stmt) == SQLITE_DONE ? 0 : said(a, db, "insert");
	sqlite3_finalize(stmt);
	return rc;
}

static int check_rows(struct actor *a, sqlite3 *db, struct verdict *v)
{
	char text[TEXT_MAX_BYTES];
	sqlite3_stmt *stmt = NULL;
	uint32_t n = 0;
	int rc;

	if (sqlite3_prepare_v2(db, "pragma integrity_check", -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW || strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0) {
		wrong(v, "%s: corrupt: %s", a->kind->path, sqlite3_errmsg(db));
		sqlite3_finalize(stmt);
		return -1;
	}
	sqlite3_finalize(stmt);
	if (sqlite3_prepare_v2(db, "select n, text from t order by n", -1, &stmt, NULL) != SQLITE_OK) {
		/* Before its first transaction. */
		v->found = 0;
		return strstr(sqlite3_errmsg(db), "no such table")
			       ? 0
			       : wrong(v, "%s: %s", a->kind->path, sqlite3_errmsg(db));
	}
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		n++;
		int len = row_text(a, n, text);
		if (sqlite3_column_int64(stmt, 0) != n || sqlite3_column_bytes(stmt, 1) != len ||
		    memcmp(sqlite3_column_text(stmt, 1), text, (size_t)len) != 0) {
			wrong(v, "%s: row %u is missing or other than it was written", a->kind->path, n);
			sqlite3_finalize(stmt);
			return -1;
		}
	}
	v->found = n;
	if (rc != SQLITE_DONE)
		wrong(v, "%s: %s", a->kind->path, sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? 0 : -1;
}

static int database_check(struct actor *a, const char *root, enum judge judge, uint32_t min, uint32_t max,
			  struct verdict *v)
{
	const char *path = below(root, a->kind->path);
	sqlite3 *db = NULL;

	(void)judge;
	if (access(path, F_OK) < 0)
		return errno == ENOENT && min == 0 ? 0 : wrong(v, "%s: %s", path, strerror(errno));
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
		wrong(v, "%s: %s", path, db ? sqlite3_errmsg(db) : "no memory");
		sqlite3_close_v2(db);
		return -1;
	}
	sqlite3_busy_timeout(db, 20000);
	int rc = check_rows(a, db, v);
	sqlite3_close_v2(db);
	if (rc == 0 && (v->found < min || v->found > max))
		rc = wrong(v, "%s: has %u rows, expected %u to %u", path, v->found, min, max);
	return rc;
}

const struct actor_kind kind_rows = {.name = "rows",
				     .path = "memory/main.sqlite",
				     .window_ms = 5000,
				     .pause_us = 12000,
				     .arg = 3000,
				     .step = database_step,
				     .check = database_check,
				     .drop = database_drop};
/* Small rows, fast: checkpoints all the time. */
const struct actor_kind kind_busydb = {.name = "busydb",
				       .path = "agents/main/agent/index.db",
				       .window_ms = 5000,
				       .pause_us = 3000,
				       .arg = 300,
				       .step = database_step,
				       .check = database_check,
				       .drop = database_drop};
