#include "tools/bench/memory.h"

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench/content.h"
#include "tools/bench/die.h"

enum { TEXT = 1500, DIMENSIONS = 768, EMBEDDING = 8192, CHUNKS_PER_FILE = 8, PER_TRANSACTION = 100 };

struct memory {
	sqlite3 *db;
	sqlite3_stmt *put_file, *put_chunk, *put_fts, *put_meta, *search, *fetch;
};

static void check(sqlite3 *db, int rc, const char *what)
{
	if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
		return;
	die(0, "SQLite: %s: %s (%d)", what, sqlite3_errmsg(db), sqlite3_extended_errcode(db));
}

static sqlite3 *open_db(const char *path)
{
	sqlite3 *db;
	int rc = sqlite3_open(path, &db);

	check(db, rc, path);
	return db;
}

static void run(sqlite3 *db, const char *sql)
{
	check(db, sqlite3_exec(db, sql, NULL, NULL, NULL), sql);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *s;

	check(db, sqlite3_prepare_v2(db, sql, -1, &s, NULL), sql);
	return s;
}

static void step(sqlite3_stmt *s)
{
	check(sqlite3_db_handle(s), sqlite3_step(s), sqlite3_sql(s));
	check(sqlite3_db_handle(s), sqlite3_reset(s), sqlite3_sql(s));
}

/* --- chunks --------------------------------------------------------------------- */

static void make_embedding(char *out, int n)
{
	uint64_t state = (uint64_t)n * 2;
	int at = 1;

	out[0] = '[';
	for (int i = 0; i < DIMENSIONS && at < EMBEDDING - 16; i++)
		at += snprintf(out + at, 16, "%s%.6f", i ? "," : "", content_random(&state) / 2147483648.0 - 1);
	while (at < EMBEDDING - 1)
		out[at++] = ' ';
	out[at++] = ']';
	out[at] = '\0';
}

static const char schema[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);"
	"CREATE TABLE files(path TEXT PRIMARY KEY, source TEXT NOT NULL, hash TEXT NOT NULL, mtime INTEGER NOT NULL,"
	" size INTEGER NOT NULL);"
	"CREATE TABLE chunks(id TEXT PRIMARY KEY, path TEXT NOT NULL, source TEXT NOT NULL, start_line INTEGER,"
	" end_line INTEGER, hash TEXT NOT NULL, model TEXT NOT NULL, text TEXT NOT NULL, embedding TEXT NOT NULL,"
	" updated_at INTEGER);"
	"CREATE INDEX idx_chunks_path ON chunks(path);"
	"CREATE VIRTUAL TABLE chunks_fts USING fts5(text, id UNINDEXED, path UNINDEXED, source UNINDEXED,"
	" model UNINDEXED, start_line UNINDEXED, end_line UNINDEXED)";

static struct memory *prepare_all(sqlite3 *db)
{
	struct memory *m = calloc(1, sizeof(*m));

	if (!m)
		die(0, "no memory");
	m->db = db;
	m->put_file = prepare(db, "INSERT INTO files VALUES(?, 'memory', ?, ?, ?) ON CONFLICT(path) DO UPDATE SET "
				  "hash=excluded.hash, mtime=excluded.mtime, size=excluded.size");
	m->put_chunk = prepare(db, "INSERT INTO chunks VALUES(?, ?, 'memory', ?, ?, ?, 'model', ?, ?, ?)");
	m->put_fts = prepare(db, "INSERT INTO chunks_fts VALUES(?, ?, ?, 'memory', 'model', ?, ?)");
	m->put_meta =
		prepare(db, "INSERT INTO meta VALUES('last', ?) ON CONFLICT(key) DO UPDATE SET value=excluded.value");
	m->search = prepare(db, "SELECT id FROM chunks_fts WHERE chunks_fts MATCH ? ORDER BY rank LIMIT 10");
	m->fetch = prepare(db, "SELECT path, text, embedding FROM chunks WHERE id = ?");
	return m;
}

struct memory *memory_open(const char *path, const char *pragmas)
{
	sqlite3 *db = open_db(path);

	if (pragmas)
		run(db, pragmas);
	return prepare_all(db);
}

void memory_close(struct memory *m)
{
	sqlite3_finalize(m->put_file);
	sqlite3_finalize(m->put_chunk);
	sqlite3_finalize(m->put_fts);
	sqlite3_finalize(m->put_meta);
	sqlite3_finalize(m->search);
	sqlite3_finalize(m->fetch);
	sqlite3_db_config(m->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	check(m->db, sqlite3_close(m->db), "close");
	free(m);
}

void memory_create(const char *path, int rows)
{
	sqlite3 *db = open_db(path);

	/* Not in one transaction: the full-text index is to be as old as its rows. */
	run(db, "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY");
	run(db, schema);
	struct memory *m = prepare_all(db);
	for (int n = 0; n < rows; n++)
		memory_insert(m, n);
	memory_close(m);
}

void memory_insert(struct memory *m, int n)
{
	char text[TEXT + 1] = {0}, embedding[EMBEDDING + 1], id[40], path[40], hash[40];
	uint64_t state = (uint64_t)n * 3 + 7;

	snprintf(id, sizeof(id), "%08x%08x%08x", content_random(&state), content_random(&state), (unsigned)n);
	snprintf(hash, sizeof(hash), "%08x%08x", content_random(&state), content_random(&state));
	snprintf(path, sizeof(path), "memory/%06d.md", n / CHUNKS_PER_FILE);
	content_words((uint64_t)n * 2 + 1, text, TEXT);
	make_embedding(embedding, n);

	sqlite3_bind_text(m->put_file, 1, path, -1, SQLITE_STATIC);
	sqlite3_bind_text(m->put_file, 2, "", -1, SQLITE_STATIC);
	sqlite3_bind_int(m->put_file, 3, n);
	sqlite3_bind_int(m->put_file, 4, 0);
	step(m->put_file);
	sqlite3_bind_text(m->put_chunk, 1, id, -1, SQLITE_STATIC);
	sqlite3_bind_text(m->put_chunk, 2, path, -1, SQLITE_STATIC);
	sqlite3_bind_int(m->put_chunk, 3, n % CHUNKS_PER_FILE * 40);
	sqlite3_bind_int(m->put_chunk, 4, n % CHUNKS_PER_FILE * 40 + 39);
	sqlite3_bind_text(m->put_chunk, 5, hash, -1, SQLITE_STATIC);
	sqlite3_bind_text(m->put_chunk, 6, text, TEXT, SQLITE_STATIC);
	sqlite3_bind_text(m->put_chunk, 7, embedding, EMBEDDING, SQLITE_STATIC);
	sqlite3_bind_int(m->put_chunk, 8, n);
	step(m->put_chunk);
	sqlite3_bind_text(m->put_fts, 1, text, TEXT, SQLITE_STATIC);
	sqlite3_bind_text(m->put_fts, 2, id, -1, SQLITE_STATIC);
	sqlite3_bind_text(m->put_fts, 3, path, -1, SQLITE_STATIC);
	sqlite3_bind_int(m->put_fts, 4, n % CHUNKS_PER_FILE * 40);
	sqlite3_bind_int(m->put_fts, 5, n % CHUNKS_PER_FILE * 40 + 39);
	step(m->put_fts);
	sqlite3_bind_text(m->put_file, 2, hash, -1, SQLITE_STATIC);
	sqlite3_bind_int(m->put_file, 4, (n % CHUNKS_PER_FILE + 1) * TEXT);
	step(m->put_file);
	sqlite3_bind_text(m->put_meta, 1, id, -1, SQLITE_STATIC);
	step(m->put_meta);
}

void memory_query(struct memory *m, int n)
{
	char words[64] = {0}, match[80], id[40];
	uint64_t state = (uint64_t)n * 11 + 5;
	int rc;

	content_words(state, words, sizeof(words) - 1);
	/* The second of them: as common as words are. */
	const char *word = strchr(words, ' ') + 1;
	words[word - words + (long)strcspn(word, " ")] = '\0';
	snprintf(match, sizeof(match), "\"%s\"", word);
	sqlite3_bind_text(m->search, 1, match, -1, SQLITE_STATIC);
	while ((rc = sqlite3_step(m->search)) == SQLITE_ROW) {
		snprintf(id, sizeof(id), "%s", (const char *)sqlite3_column_text(m->search, 0));
		sqlite3_bind_text(m->fetch, 1, id, -1, SQLITE_STATIC);
		if (sqlite3_step(m->fetch) != SQLITE_ROW || sqlite3_column_bytes(m->fetch, 2) != EMBEDDING)
			die(0, "the index finds chunk %s, the table does not have it", id);
		check(m->db, sqlite3_reset(m->fetch), "fetch");
	}
	check(m->db, rc, "search");
	check(m->db, sqlite3_reset(m->search), "search");
}

/* --- check ---------------------------------------------------------------------- */

/* The first column of the first row, as text; false when SQLite finds something wrong. */
static int ask(sqlite3 *db, const char *sql, char *out, int size)
{
	sqlite3_stmt *s;
	int rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(s);
		if (rc == SQLITE_ROW)
			snprintf(out, (size_t)size, "%s", (const char *)sqlite3_column_text(s, 0));
		sqlite3_finalize(s);
	}
	if (rc == SQLITE_ROW)
		return 1;
	snprintf(out, (size_t)size, "%s", sqlite3_errmsg(db));
	return 0;
}

int memory_check(const char *path, char *why, int size)
{
	sqlite3 *db = NULL;
	char count[64], newest[64], last[64], indexed[64];
	int ok = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK;

	if (!ok)
		snprintf(why, (size_t)size, "%s", db ? sqlite3_errmsg(db) : "no memory");
	ok = ok && ask(db, "PRAGMA integrity_check(1)", why, size);
	if (ok && strcmp(why, "ok") != 0)
		ok = 0;
	ok = ok && ask(db, "SELECT count(*) FROM chunks", why, size) && snprintf(count, 64, "%.60s", why) > 0 &&
	     ask(db, "SELECT max(updated_at) FROM chunks", why, size) && snprintf(newest, 64, "%.60s", why) > 0 &&
	     ask(db, "SELECT substr(value, 17) FROM meta WHERE key = 'last'", why, size) &&
	     snprintf(last, 64, "%.60s", why) > 0 && ask(db, "SELECT count(*) FROM chunks_fts", why, size) &&
	     snprintf(indexed, 64, "%.60s", why) > 0;
	sqlite3_close(db);
	if (!ok)
		return -1;
	int whole = (int)strtol(last, NULL, 16) + 1, rows = atoi(count), fts = atoi(indexed);
	if (rows != atoi(newest) + 1 || rows < whole || rows > whole + 1 || fts < whole || fts > rows) {
		snprintf(why, (size_t)size, "%d chunks, the newest %s, %d indexed, %d finished: no prefix of them",
			 rows, newest, fts, whole);
		return -1;
	}
	return whole - 1;
}

/* --- bulk ----------------------------------------------------------------------- */

static double lap(double *since)
{
	double took = now_ms() - *since;

	*since = now_ms();
	return took;
}

/* Key and state of row n's content. */
static uint64_t row_key(int n, char key[32])
{
	uint64_t state = (uint64_t)n * 5;

	snprintf(key, 32, "%08x-%d", content_random(&state), n);
	return state;
}

void memory_bulk(const char *path, int rows, double ms[BULK_PARTS])
{
	sqlite3 *db = open_db(path);
	char key[32], value[200];
	long long sum = 0, scanned;
	double since;

	run(db, "CREATE TABLE bulk(id INTEGER PRIMARY KEY, k TEXT NOT NULL, v BLOB NOT NULL)");
	/* A database is as its users find it: under clawfs in WAL mode, some seconds after it is there. */
	sleep_until(now_ms() + 3000);
	sqlite3_stmt *s = prepare(db, "INSERT INTO bulk VALUES(?, ?, ?)");
	since = now_ms();
	for (int n = 0; n < rows; n++) {
		if (n % PER_TRANSACTION == 0)
			run(db, "BEGIN");
		uint64_t state = row_key(n, key);
		for (size_t i = 0; i < sizeof(value); i += 4) {
			uint32_t r = content_random(&state);
			memcpy(value + i, &r, 4);
		}
		sqlite3_bind_int(s, 1, n);
		sqlite3_bind_text(s, 2, key, -1, SQLITE_STATIC);
		sqlite3_bind_blob(s, 3, value, sizeof(value), SQLITE_STATIC);
		step(s);
		if (n % PER_TRANSACTION == PER_TRANSACTION - 1 || n == rows - 1)
			run(db, "COMMIT");
	}
	sqlite3_finalize(s);
	ms[BULK_INSERTS] = lap(&since);
	run(db, "CREATE INDEX bulk_k ON bulk(k)");
	ms[BULK_INDEX] = lap(&since);
	s = prepare(db, "SELECT id, length(v) FROM bulk WHERE k = ?");
	for (int n = 0; n < rows; n++) {
		row_key((int)((long long)n * 7919 % rows), key);
		sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
		check(db, sqlite3_step(s), "point query");
		sum += sqlite3_column_int64(s, 0) + sqlite3_column_int64(s, 1);
		check(db, sqlite3_reset(s), "point query");
	}
	sqlite3_finalize(s);
	ms[BULK_QUERIES] = lap(&since);
	s = prepare(db, "SELECT sum(length(v)) + sum(id) FROM bulk WHERE v NOT LIKE 'x'");
	check(db, sqlite3_step(s), "scan");
	scanned = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	ms[BULK_SCAN] = lap(&since);
	if (scanned != sum && rows % 7919 != 0)
		die(0, "the scan finds %lld, the queries %lld", scanned, sum);
	check(db, sqlite3_close(db), "close");
}
