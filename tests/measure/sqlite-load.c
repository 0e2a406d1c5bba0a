/* The application's load on SQLite, for sqlite.sh. usage:
 *   sqlite-load setup DB ROWS              tables, and ROWS chunks
 *   sqlite-load paced DB FROM COUNT MS     COUNT chunks after FROM, one every MS ms, all PRAGMAs at their
 *                                          defaults; the latencies in ms on stdout, one a line
 *   sqlite-load queries DB                 what is in it, asked in several ways
 *   sqlite-load bulk DB ROWS MODE          ROWS rows in transactions of 100, an index, ROWS point queries, a
 *                                          scan, on a new database in journal mode MODE ("": as it comes);
 *                                          "part ms" on stdout, one a line
 * Content depends on the row alone: two databases with the same calls behind them
 * answer the same.
 *
 * A chunk is what the memory index writes for one: five statements, each its own
 * transaction. */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEXT = 1500, DIMENSIONS = 768, EMBEDDING = 8192, PER_TRANSACTION = 100, CHUNKS_PER_FILE = 8 };

static sqlite3 *db;

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void check(int rc, const char *what)
{
	if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
		return;
	fprintf(stderr, "sqlite-load: %s: %s (%d)\n", what, sqlite3_errmsg(db), sqlite3_extended_errcode(db));
	exit(1);
}

static void run(const char *sql)
{
	check(sqlite3_exec(db, sql, NULL, NULL, NULL), sql);
}

static sqlite3_stmt *prepare(const char *sql)
{
	sqlite3_stmt *s;

	check(sqlite3_prepare_v2(db, sql, -1, &s, NULL), sql);
	return s;
}

static void step(sqlite3_stmt *s)
{
	check(sqlite3_step(s), sqlite3_sql(s));
	check(sqlite3_reset(s), sqlite3_sql(s));
}

/* --- content -------------------------------------------------------------------- */

static uint64_t random_state;

static uint32_t next_random(void)
{
	random_state += 0x9e3779b97f4a7c15;
	uint64_t z = random_state;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)(z >> 32);
}

/* Words as common as words are: a few often, many seldom. */
static void make_text(char *out, int n)
{
	int at = 0;

	random_state = (uint64_t)n * 2 + 1;
	while (at < TEXT) {
		double u = next_random() / 4294967296.0;
		uint32_t word = (uint32_t)(6000 * u * u * u);
		char spelled[24];
		int len = snprintf(spelled, sizeof(spelled), "%c%c%x ", (int)('a' + word % 26),
				   (int)('a' + word / 26 % 26), word);
		if (at + len > TEXT)
			len = TEXT - at;
		memcpy(out + at, spelled, (size_t)len);
		at += len;
	}
	out[TEXT] = '\0';
}

static void make_embedding(char *out, int n)
{
	int at = 1;

	random_state = (uint64_t)n * 2;
	out[0] = '[';
	for (int i = 0; i < DIMENSIONS && at < EMBEDDING - 16; i++)
		at += snprintf(out + at, 16, "%s%.6f", i ? "," : "", next_random() / 2147483648.0 - 1);
	while (at < EMBEDDING - 1)
		out[at++] = ' ';
	out[at++] = ']';
	out[at] = '\0';
}

/* --- chunks --------------------------------------------------------------------- */

static sqlite3_stmt *put_file, *put_chunk, *put_fts, *put_meta;

static void prepare_chunks(void)
{
	put_file = prepare("INSERT INTO files VALUES(?, 'memory', ?, ?, ?) ON CONFLICT(path) DO UPDATE SET "
			   "hash=excluded.hash, mtime=excluded.mtime, size=excluded.size");
	put_chunk = prepare("INSERT INTO chunks VALUES(?, ?, 'memory', ?, ?, ?, 'model', ?, ?, ?)");
	put_fts = prepare("INSERT INTO chunks_fts VALUES(?, ?, ?, 'memory', 'model', ?, ?)");
	put_meta = prepare("INSERT INTO meta VALUES('last', ?) ON CONFLICT(key) DO UPDATE SET value=excluded.value");
}

static void insert_chunk(int n)
{
	static char text[TEXT + 1], embedding[EMBEDDING + 1];
	char id[40], path[40], hash[40];

	random_state = (uint64_t)n * 3 + 7;
	snprintf(id, sizeof(id), "%08x%08x%08x", next_random(), next_random(), (unsigned)n);
	snprintf(hash, sizeof(hash), "%08x%08x%08x", next_random(), next_random(), next_random());
	snprintf(path, sizeof(path), "memory/%06d.md", n / CHUNKS_PER_FILE);
	make_text(text, n);
	make_embedding(embedding, n);

	sqlite3_bind_text(put_file, 1, path, -1, SQLITE_STATIC);
	sqlite3_bind_text(put_file, 2, "", -1, SQLITE_STATIC);
	sqlite3_bind_int(put_file, 3, n);
	sqlite3_bind_int(put_file, 4, 0);
	step(put_file);
	sqlite3_bind_text(put_chunk, 1, id, -1, SQLITE_STATIC);
	sqlite3_bind_text(put_chunk, 2, path, -1, SQLITE_STATIC);
	sqlite3_bind_int(put_chunk, 3, n % CHUNKS_PER_FILE * 40);
	sqlite3_bind_int(put_chunk, 4, n % CHUNKS_PER_FILE * 40 + 39);
	sqlite3_bind_text(put_chunk, 5, hash, -1, SQLITE_STATIC);
	sqlite3_bind_text(put_chunk, 6, text, TEXT, SQLITE_STATIC);
	sqlite3_bind_text(put_chunk, 7, embedding, EMBEDDING, SQLITE_STATIC);
	sqlite3_bind_int(put_chunk, 8, n);
	step(put_chunk);
	sqlite3_bind_text(put_fts, 1, text, TEXT, SQLITE_STATIC);
	sqlite3_bind_text(put_fts, 2, id, -1, SQLITE_STATIC);
	sqlite3_bind_text(put_fts, 3, path, -1, SQLITE_STATIC);
	sqlite3_bind_int(put_fts, 4, n % CHUNKS_PER_FILE * 40);
	sqlite3_bind_int(put_fts, 5, n % CHUNKS_PER_FILE * 40 + 39);
	step(put_fts);
	sqlite3_bind_text(put_file, 2, hash, -1, SQLITE_STATIC);
	sqlite3_bind_int(put_file, 4, (n % CHUNKS_PER_FILE + 1) * TEXT);
	step(put_file);
	sqlite3_bind_text(put_meta, 1, id, -1, SQLITE_STATIC);
	step(put_meta);
}

static void cmd_setup(int rows)
{
	run("CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);"
	    "CREATE TABLE files(path TEXT PRIMARY KEY, source TEXT NOT NULL, hash TEXT NOT NULL, mtime INTEGER NOT "
	    "NULL,"
	    " size INTEGER NOT NULL);"
	    "CREATE TABLE chunks(id TEXT PRIMARY KEY, path TEXT NOT NULL, source TEXT NOT NULL, start_line INTEGER,"
	    " end_line INTEGER, hash TEXT NOT NULL, model TEXT NOT NULL, text TEXT NOT NULL, embedding TEXT NOT NULL,"
	    " updated_at INTEGER);"
	    "CREATE INDEX idx_chunks_path ON chunks(path);"
	    "CREATE VIRTUAL TABLE chunks_fts USING fts5(text, id UNINDEXED, path UNINDEXED, source UNINDEXED,"
	    " model UNINDEXED, start_line UNINDEXED, end_line UNINDEXED)");
	/* Not in one transaction: the full-text index is to be as old as its rows. */
	run("PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY");
	prepare_chunks();
	for (int n = 0; n < rows; n++)
		insert_chunk(n);
}

static void cmd_paced(int from, int count, double every)
{
	double *latency = calloc((size_t)count, sizeof(*latency)), start;

	prepare_chunks();
	start = now_ms();
	for (int i = 0; i < count; i++) {
		double wait = start + i * every - now_ms();
		struct timespec ts = {(time_t)(wait / 1e3), (long)(wait * 1e6) % 1000000000};
		if (wait > 0)
			nanosleep(&ts, NULL);
		double begin = now_ms();
		insert_chunk(from + i);
		latency[i] = now_ms() - begin;
	}
	for (int i = 0; i < count; i++)
		printf("%.3f\n", latency[i]);
	free(latency);
}

static void print_all(const char *sql)
{
	sqlite3_stmt *s = prepare(sql);
	int rc;

	printf("-- %s\n", sql);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(s); i++)
			printf("%s%s", i ? "|" : "", (const char *)sqlite3_column_text(s, i));
		printf("\n");
	}
	check(rc, sql);
	sqlite3_finalize(s);
}

static void cmd_queries(void)
{
	print_all("PRAGMA integrity_check");
	print_all("SELECT * FROM chunks ORDER BY id");
	print_all("SELECT * FROM files ORDER BY path");
	print_all("SELECT * FROM meta");
	print_all("SELECT path, count(*) FROM chunks GROUP BY path ORDER BY 2 DESC, 1 LIMIT 20");
	print_all("SELECT id, bm25(chunks_fts) FROM chunks_fts WHERE chunks_fts MATCH 'aa0' ORDER BY 2, 1 LIMIT 50");
	print_all("SELECT id, start_line FROM chunks_fts WHERE chunks_fts MATCH 'kb24 OR ba1' ORDER BY rank, id LIMIT "
		  "50");
	print_all("SELECT count(*) FROM chunks_fts WHERE chunks_fts MATCH 'ca2 NEAR da3'");
}

/* --- bulk -------------------------------------------------------------------------- */

static void lap(const char *part, double *since)
{
	double now = now_ms();

	printf("%s %.1f\n", part, now - *since);
	*since = now_ms();
}

static void cmd_bulk(int rows, const char *mode)
{
	char sql[64], key[32], value[200];
	double since;
	long long sum = 0;
	sqlite3_stmt *s;

	if (*mode) {
		snprintf(sql, sizeof(sql), "PRAGMA journal_mode=%s", mode);
		run(sql);
	}
	run("CREATE TABLE bulk(id INTEGER PRIMARY KEY, k TEXT NOT NULL, v BLOB NOT NULL)");
	/* A database is as its users find it: under clawfs in WAL mode. */
	struct timespec settle = {3, 0};
	nanosleep(&settle, NULL);
	s = prepare("INSERT INTO bulk VALUES(?, ?, ?)");
	since = now_ms();
	for (int n = 0; n < rows; n++) {
		if (n % PER_TRANSACTION == 0)
			run("BEGIN");
		random_state = (uint64_t)n * 5;
		snprintf(key, sizeof(key), "%08x-%d", next_random(), n);
		for (size_t i = 0; i < sizeof(value); i += 4) {
			uint32_t r = next_random();
			memcpy(value + i, &r, 4);
		}
		sqlite3_bind_int(s, 1, n);
		sqlite3_bind_text(s, 2, key, -1, SQLITE_STATIC);
		sqlite3_bind_blob(s, 3, value, sizeof(value), SQLITE_STATIC);
		step(s);
		if (n % PER_TRANSACTION == PER_TRANSACTION - 1)
			run("COMMIT");
	}
	sqlite3_finalize(s);
	lap("inserts", &since);
	run("CREATE INDEX bulk_k ON bulk(k)");
	lap("index", &since);
	s = prepare("SELECT id, length(v) FROM bulk WHERE k = ?");
	for (int n = 0; n < rows; n++) {
		int row = (int)((long long)n * 7919 % rows);
		random_state = (uint64_t)row * 5;
		snprintf(key, sizeof(key), "%08x-%d", next_random(), row);
		sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
		check(sqlite3_step(s), "point query");
		sum += sqlite3_column_int64(s, 0) + sqlite3_column_int64(s, 1);
		check(sqlite3_reset(s), "point query");
	}
	sqlite3_finalize(s);
	lap("queries", &since);
	s = prepare("SELECT sum(length(v)) + sum(id) FROM bulk WHERE v NOT LIKE 'x'");
	check(sqlite3_step(s), "scan");
	if (sqlite3_column_int64(s, 0) != sum) {
		fprintf(stderr, "sqlite-load: the scan finds %lld, the queries %lld\n",
			(long long)sqlite3_column_int64(s, 0), sum);
		exit(1);
	}
	sqlite3_finalize(s);
	lap("scan", &since);
}

int main(int argc, char **argv)
{
	sqlite3_stmt **const statements[] = {&put_file, &put_chunk, &put_fts, &put_meta};

	if (argc < 3) {
		fprintf(stderr, "usage: sqlite-load setup|paced|queries|bulk DB [...]\n");
		return 2;
	}
	check(sqlite3_open(argv[2], &db), argv[2]);
	if (strcmp(argv[1], "setup") == 0 && argc == 4)
		cmd_setup(atoi(argv[3]));
	else if (strcmp(argv[1], "paced") == 0 && argc == 6)
		cmd_paced(atoi(argv[3]), atoi(argv[4]), atof(argv[5]));
	else if (strcmp(argv[1], "queries") == 0)
		cmd_queries();
	else if (strcmp(argv[1], "bulk") == 0 && argc == 5)
		cmd_bulk(atoi(argv[3]), argv[4]);
	else
		return 2;
	for (size_t i = 0; i < sizeof(statements) / sizeof(*statements); i++)
		sqlite3_finalize(*statements[i]);
	check(sqlite3_close(db), "close");
	return 0;
}
