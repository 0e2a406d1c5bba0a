/* What the cases on SQLite let loose on a database. Compiled by sqlite.sh with
 * -lsqlite3. usage: dbtool COMMAND DB [key=value...]
 *
 *   write       who= rows= (0: until stop) stop= ack= busy= pause_us= burst= size= batch= reopen= lock= sql=
 *   read        stop= busy= reopen= lock= sql=
 *   checkpoint  stop= busy=
 *   reindex     rounds= stop= lock= busy= temporary=: the application's full re-index
 *   check       acks= cut= window= mode=: integrity and accounting; says what it found
 *   hot         dies in mid-transaction with a hot journal left
 *   super       other= when=torn|before|after: dies in the commit over two databases: in the midst of
 *               writing the first, or before or after the super-journal is deleted
 *
 * Rows of table t are (who, n, text); n counts up from 0 for each writer, and
 * the text depends on both alone, so that anybody can say what must be there.
 * A writer notes "<monotonic ms> <n>" in `ack` after each commit. `lock` is a
 * file outside, held shared around each use of a database, and exclusively by
 * reindex. `sql` is run on each new connection. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static char **args;
static const char *path;
static sqlite3 *db;
static int lock_fd = -1;
static long long busy_seen;

static double mono_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static const char *arg(const char *key, const char *otherwise)
{
	size_t len = strlen(key);

	for (char **a = args; *a; a++)
		if (strncmp(*a, key, len) == 0 && (*a)[len] == '=')
			return *a + len + 1;
	return otherwise;
}

static long long number(const char *key, long long otherwise)
{
	const char *text = arg(key, NULL);

	return text ? atoll(text) : otherwise;
}

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	printf("dbtool %s: ", path);
	vprintf(format, list);
	printf("\n");
	exit(1);
}

static bool stopped(void)
{
	const char *stop = arg("stop", NULL);

	return stop && access(stop, F_OK) == 0;
}

static void lock(int how)
{
	if (lock_fd < 0 && arg("lock", NULL))
		lock_fd = open(arg("lock", NULL), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock_fd >= 0 && flock(lock_fd, how) < 0)
		die("flock: %s", strerror(errno));
}

static bool is_busy(int rc)
{
	rc &= 0xff;
	if (rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
		return false;
	busy_seen++;
	return true;
}

/* false: busy. Any other error ends the program. */
static bool run(sqlite3 *c, const char *sql)
{
	char *why = NULL;
	int rc = sqlite3_exec(c, sql, NULL, NULL, &why);

	if (rc != SQLITE_OK && !is_busy(rc))
		die("%s: %s (%d)", sql, why, sqlite3_extended_errcode(c));
	sqlite3_free(why);
	return rc == SQLITE_OK;
}

static sqlite3 *open_db(const char *file)
{
	sqlite3 *c;

	if (sqlite3_open(file, &c) != SQLITE_OK)
		die("open %s: %s", file, sqlite3_errmsg(c));
	sqlite3_busy_timeout(c, (int)number("busy", 60000));
	if (arg("sql", NULL))
		while (!run(c, arg("sql", NULL)))
			usleep(1000);
	return c;
}

/* The one number that `sql` asks for; -1 for no row or busy. */
static long long ask(sqlite3 *c, const char *sql)
{
	sqlite3_stmt *s;
	long long value = -1;

	int rc = sqlite3_prepare_v2(c, sql, -1, &s, NULL);
	if (rc == SQLITE_OK) {
		rc = sqlite3_step(s);
		if (rc == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL)
			value = sqlite3_column_int64(s, 0);
	}
	if (rc != SQLITE_OK && rc != SQLITE_ROW && rc != SQLITE_DONE && !is_busy(rc))
		die("%s: %s (%d)", sql, sqlite3_errmsg(c), sqlite3_extended_errcode(c));
	sqlite3_finalize(s);
	return value;
}

static void text_of(char *out, long long size, long long who, long long n)
{
	uint64_t x = (uint64_t)(who * 1000003 + n + 1) * 0x9e3779b97f4a7c15;
	int at = snprintf(out, (size_t)size + 1, "%lld.%lld.", who, n);

	for (; at < size; at++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		out[at] = (char)('a' + (x >> 20) % 26);
	}
}

static const char *const schema =
	"CREATE TABLE IF NOT EXISTS t(who INTEGER, n INTEGER, text TEXT, PRIMARY KEY(who, n));"
	"CREATE INDEX IF NOT EXISTS i ON t(text)";

static void begin_use(void)
{
	lock(LOCK_SH);
	if (!db)
		db = open_db(path);
}

static void end_use(void)
{
	if (number("reopen", 0)) {
		if (sqlite3_close(db) != SQLITE_OK)
			die("close: %s", sqlite3_errmsg(db));
		db = NULL;
	}
	lock(LOCK_UN);
}

/* --- write ------------------------------------------------------------------ */

static bool insert(long long who, long long n, long long size)
{
	sqlite3_stmt *s;
	char *text = malloc((size_t)size + 1);

	text_of(text, size, who, n);
	int rc = sqlite3_prepare_v2(db, "INSERT INTO t VALUES(?, ?, ?)", -1, &s, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_bind_int64(s, 1, who);
		sqlite3_bind_int64(s, 2, n);
		sqlite3_bind_text(s, 3, text, (int)size, free);
		rc = sqlite3_step(s);
	} else {
		free(text);
	}
	if (rc != SQLITE_DONE && !is_busy(rc))
		die("insert %lld: %s (%d)", n, sqlite3_errmsg(db), sqlite3_extended_errcode(db));
	sqlite3_finalize(s);
	return rc == SQLITE_DONE;
}

/* `batch` rows in one transaction; false when it was busy and is not done. */
static bool commit(long long who, long long n, long long size, long long batch)
{
	if (batch == 1)
		return insert(who, n, size);
	if (!run(db, "BEGIN IMMEDIATE"))
		return false;
	for (long long i = 0; i < batch; i++) {
		if (!insert(who, n + i, size)) {
			run(db, "ROLLBACK");
			return false;
		}
	}
	if (run(db, "COMMIT"))
		return true;
	run(db, "ROLLBACK");
	return false;
}

static void cmd_write(void)
{
	long long who = number("who", 0), rows = number("rows", 0), size = number("size", 200);
	long long batch = number("batch", 1), pause_us = number("pause_us", 0), burst = number("burst", 1);
	long long done = 0, n = -1;
	int ack = arg("ack", NULL) ? open(arg("ack", NULL), O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
	char sql[128];

	snprintf(sql, sizeof(sql), "SELECT coalesce(max(n), -1) + 1 FROM t WHERE who = %lld", who);
	while ((!rows || done < rows) && !stopped()) {
		begin_use();
		if (n < 0) {
			while (!run(db, schema))
				usleep(1000);
			while ((n = ask(db, sql)) < 0)
				usleep(1000);
		}
		if (commit(who, n, size, batch)) {
			done += batch;
			n += batch;
			if (ack >= 0) {
				char line[64];
				int len = snprintf(line, sizeof(line), "%.3f %lld\n", mono_ms(), n - 1);
				if (write(ack, line, (size_t)len) != len)
					die("ack: %s", strerror(errno));
			}
		}
		end_use();
		if (pause_us && (done / batch) % burst == 0)
			usleep((useconds_t)pause_us);
	}
	if (db && sqlite3_close(db) != SQLITE_OK)
		die("close: %s", sqlite3_errmsg(db));
	printf("%lld rows, busy %lld\n", done, busy_seen);
}

/* --- read, check --------------------------------------------------------------- */

/* Every writer's rows are there from 0 without a gap, with their texts. `all`: every text, else the
 * last of each. Returns the number of rows, -1 when busy; most[who] is the last n. */
enum { WRITERS = 64 };
static long long account(sqlite3 *c, bool all, long long *most)
{
	sqlite3_stmt *s;
	long long rows = 0;
	char *text = NULL;

	for (int w = 0; w < WRITERS; w++)
		most[w] = -1;
	int rc = sqlite3_prepare_v2(c,
				    all ? "SELECT who, n, text, 1 FROM t ORDER BY who, n"
					: "SELECT who, max(n), text, count(*) FROM t GROUP BY who",
				    -1, &s, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		long long who = sqlite3_column_int64(s, 0), n = sqlite3_column_int64(s, 1);
		long long count = sqlite3_column_int64(s, 3), size = sqlite3_column_bytes(s, 2);
		if (who < 0 || who >= WRITERS)
			die("a row of writer %lld", who);
		if (n != most[who] + count)
			die("writer %lld: row %lld follows row %lld (%lld rows)", who, n, most[who], count);
		most[who] = n;
		rows += count;
		text = realloc(text, (size_t)size + 1);
		text_of(text, size, who, n);
		if (memcmp(text, sqlite3_column_text(s, 2), (size_t)size) != 0)
			die("writer %lld: the text of row %lld is another", who, n);
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_DONE && !is_busy(rc))
		die("read: %s (%d)", sqlite3_errmsg(c), sqlite3_extended_errcode(c));
	sqlite3_finalize(s);
	free(text);
	return rc == SQLITE_DONE ? rows : -1;
}

static void cmd_read(void)
{
	long long most[WRITERS], last[WRITERS], looks = 0;

	memset(last, -1, sizeof(last));
	do {
		begin_use();
		if (account(db, looks % 64 == 63, most) >= 0) {
			for (int w = 0; w < WRITERS; w++) {
				if (most[w] < last[w])
					die("writer %d: %lld rows and then only %lld", w, last[w] + 1, most[w] + 1);
				last[w] = most[w];
			}
			looks++;
		}
		end_use();
		usleep(2000);
	} while (!stopped());
	if (db && sqlite3_close(db) != SQLITE_OK)
		die("close: %s", sqlite3_errmsg(db));
	printf("%lld looks, busy %lld\n", looks, busy_seen);
}

static void cmd_checkpoint(void)
{
	long long count = 0;

	srandom((unsigned)getpid());
	while (!stopped()) {
		begin_use();
		int rc = sqlite3_wal_checkpoint_v2(db, NULL, (int)(random() % 4), NULL, NULL);
		if (rc != SQLITE_OK && !is_busy(rc))
			die("checkpoint: %s (%d)", sqlite3_errmsg(db), sqlite3_extended_errcode(db));
		count += rc == SQLITE_OK;
		end_use();
		usleep((useconds_t)(random() % 50000));
	}
	sqlite3_close(db);
	printf("%lld checkpoints, busy %lld\n", count, busy_seen);
}

/* The last n that was acknowledged in `file` before `until`. */
static long long acked(const char *file, double until)
{
	FILE *f = fopen(file, "r");
	long long n, last = -1;
	double at;

	while (f && fscanf(f, "%lf %lld", &at, &n) == 2)
		if (at < until)
			last = n;
	if (f)
		fclose(f);
	return last;
}

static void cmd_check(void)
{
	double cut = atof(arg("cut", "1e15")), window = (double)number("window", 0);
	long long most[WRITERS], rows;
	sqlite3_stmt *s;

	db = open_db(path);
	if (sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL) != SQLITE_OK ||
	    sqlite3_step(s) != SQLITE_ROW)
		die("integrity_check: %s (%d)", sqlite3_errmsg(db), sqlite3_extended_errcode(db));
	if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0)
		die("integrity_check: %s", sqlite3_column_text(s, 0));
	sqlite3_finalize(s);
	/* A cut may have come before the first commit. */
	rows = 0;
	memset(most, -1, sizeof(most));
	if (ask(db, "SELECT count(*) FROM sqlite_master WHERE name = 't'") == 1)
		rows = account(db, true, most);
	printf("%lld rows", rows);
	for (int w = 0; arg("acks", NULL) && w < WRITERS; w++) {
		char file[4096];
		snprintf(file, sizeof(file), "%s/%d", arg("acks", NULL), w);
		if (access(file, F_OK) < 0)
			continue;
		long long wanted = acked(file, cut - window);
		printf(", %d: %lld/%lld", w, most[w], wanted);
		if (most[w] < wanted)
			die("writer %d: the last row is %lld; %lld was acknowledged %.0f ms before the cut", w, most[w],
			    wanted, window);
	}
	printf("\n");
	if (sqlite3_close(db) != SQLITE_OK)
		die("close");
}

/* --- reindex --------------------------------------------------------------------- */

static const char *const suffixes[] = {"", "-wal", "-shm"};

static void rename_all(const char *from, const char *to)
{
	for (int i = 0; i < 3; i++) {
		char a[4096], b[4096];
		snprintf(a, sizeof(a), "%s%s", from, suffixes[i]);
		snprintf(b, sizeof(b), "%s%s", to, suffixes[i]);
		if (rename(a, b) < 0 && errno != ENOENT)
			die("rename %s: %s", a, strerror(errno));
	}
}

static void cmd_reindex(void)
{
	char temporary[4000], backup[4000], sql[4200];
	long long rounds = number("rounds", 0), round = 0;

	for (; (!rounds || round < rounds) && !stopped(); round++) {
		unsigned long long uuid = (unsigned long long)(mono_ms() * 1000) ^ (unsigned long long)getpid() << 40;
		snprintf(temporary, sizeof(temporary), "%s.tmp-%016llx", path, uuid);
		snprintf(backup, sizeof(backup), "%s.backup-%016llx", path, uuid);
		lock(LOCK_EX);
		sqlite3 *live = open_db(path), *built = open_db(temporary);
		run(built, schema);
		long long wanted = ask(live, "SELECT count(*) FROM t");
		snprintf(sql, sizeof(sql), "ATTACH '%s' AS live", path);
		run(built, sql);
		run(built, "BEGIN; INSERT INTO t SELECT * FROM live.t; COMMIT; DETACH live");
		/* One after the other, each its own transaction, as the application's upserts. */
		for (int i = 0; i < 5; i++) {
			snprintf(sql, sizeof(sql),
				 "CREATE TABLE IF NOT EXISTS meta(k PRIMARY KEY, v);"
				 "INSERT OR REPLACE INTO meta VALUES('step', %d)",
				 i);
			run(built, sql);
		}
		if (sqlite3_close(live) != SQLITE_OK || sqlite3_close(built) != SQLITE_OK)
			die("close");
		rename_all(path, backup);
		rename_all(temporary, path);
		for (int i = 0; i < 3; i++) {
			snprintf(sql, sizeof(sql), "%s%s", backup, suffixes[i]);
			if (unlink(sql) < 0 && errno != ENOENT)
				die("unlink %s: %s", sql, strerror(errno));
		}
		live = open_db(path);
		long long got = ask(live, "SELECT count(*) FROM t");
		if (got != wanted)
			die("round %lld: %lld rows before, %lld after", round, wanted, got);
		if (sqlite3_close(live) != SQLITE_OK)
			die("close");
		lock(LOCK_UN);
		usleep((useconds_t)number("pause_us", 100000));
	}
	printf("%lld rounds, busy %lld\n", round, busy_seen);
}

/* --- deaths ------------------------------------------------------------------------ */

static void cmd_hot(void)
{
	db = open_db(path);
	run(db, schema);
	for (int n = 0; n < 200; n++)
		insert(0, n, 2000);
	/* With a cache of next to nothing pages go to the database before the commit. */
	run(db, "PRAGMA cache_size=5; BEGIN; UPDATE t SET text = 'torn' || n; DELETE FROM t WHERE n % 3 = 0");
	kill(getpid(), SIGKILL);
}

/* SQLite names the super-journal after the first database: "A-mj" and 9 hex digits. */
static int (*real_delete)(sqlite3_vfs *, const char *, int);

static int dying_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	const char *mj = strstr(name, "-mj");

	if (!mj)
		return real_delete(vfs, name, sync_dir);
	if (strcmp(arg("when", "before"), "after") == 0)
		real_delete(vfs, name, sync_dir);
	kill(getpid(), SIGKILL);
	return SQLITE_IOERR;
}

/* The second page of the first database is written to its half. */
static ssize_t dying_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	char link[64], file[4096];
	static int pages;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t got = readlink(link, file, sizeof(file) - 1);
	file[got < 0 ? 0 : got] = '\0';
	if (strcmp(file, path) == 0 && ++pages == 2) {
		if (pwrite(fd, buf, len / 2, off) < 0 || fsync(fd) < 0)
			die("pwrite: %s", strerror(errno));
		kill(getpid(), SIGKILL);
	}
	return pwrite(fd, buf, len, off);
}

static void cmd_super(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	const char *when = arg("when", "before");
	char sql[4200];

	db = open_db(path);
	snprintf(sql, sizeof(sql), "ATTACH '%s' AS other", arg("other", ""));
	run(db, sql);
	for (int i = 0; i < 2; i++) {
		snprintf(sql, sizeof(sql),
			 "CREATE TABLE %s.s(n INTEGER PRIMARY KEY, v TEXT);"
			 "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 50)"
			 "INSERT INTO %s.s SELECT n, 'old' || hex(zeroblob(1000)) FROM c",
			 i ? "other" : "main", i ? "other" : "main");
		run(db, sql);
	}
	if (strcmp(when, "torn") == 0) {
		vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)dying_pwrite);
		vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)dying_pwrite);
	} else {
		real_delete = vfs->xDelete;
		vfs->xDelete = dying_delete;
	}
	/* Not of the same length: a page that is written to its half is no page. */
	run(db, "BEGIN; UPDATE main.s SET v = 'new' || hex(randomblob(700)) || n;"
		"UPDATE other.s SET v = 'new' || hex(randomblob(700)) || n; COMMIT");
	die("no super-journal was made");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} commands[] = {{"write", cmd_write},	  {"read", cmd_read},	{"checkpoint", cmd_checkpoint},
			{"reindex", cmd_reindex}, {"check", cmd_check}, {"hot", cmd_hot},
			{"super", cmd_super}};

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; argc > 2 && i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		path = argv[2];
		args = argv + 3;
		commands[i].run();
		return 0;
	}
	fprintf(stderr, "usage: dbtool write|read|checkpoint|reindex|check|hot|super DB [key=value...]\n");
	return 2;
}
