/* writer DIR ACKS [STOP]: writes below DIR as a gateway does, as fast as it can, until the file STOP exists or SIGTERM,
 * and goes on for a second after that. After each round it notes in the file ACKS, which is not below DIR, that the
 * round was acknowledged by the file system. writer --check DIR ACKS: says what is missing below DIR of what was
 * acknowledged; 0 when nothing is. */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t told;

static void on_term(int sig)
{
	told = sig;
}

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "writer: ");
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put(const char *dir, const char *name, int flags, const char *text)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) < 0)
		die("%s: %m", path);
}

static void replace(const char *dir, const char *name, const char *text)
{
	char temporary[4096], from[8192], to[8192];

	snprintf(temporary, sizeof(temporary), "%s.%d.tmp", name, (int)getpid());
	put(dir, temporary, O_TRUNC, text);
	snprintf(from, sizeof(from), "%s/%s", dir, temporary);
	snprintf(to, sizeof(to), "%s/%s", dir, name);
	if (rename(from, to) < 0)
		die("%s: %m", to);
}

static void make_dir(const char *dir, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	mkdir(path, 0700);
}

/* Default PRAGMAs, as the application. */
static sqlite3 *open_database(const char *dir, bool create)
{
	char path[4096];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/memory/main.sqlite", dir);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0), NULL) != SQLITE_OK)
		die("%s: %s (%d)", path, sqlite3_errmsg(db), sqlite3_system_errno(db));
	sqlite3_busy_timeout(db, 10000);
	return db;
}

static void sql(sqlite3 *db, const char *text)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		die("%s: %s", text, sqlite3_errmsg(db));
}

static void write_round(const char *dir, sqlite3 *db, long n)
{
	char line[512];

	snprintf(line, sizeof(line), "{\"n\":%ld,\"level\":\"info\",\"text\":\"%0200d\"}\n", n, 0);
	put(dir, "logs/gateway.log", O_APPEND, line);
	put(dir, "agents/main/sessions/one.jsonl", O_APPEND, line);
	snprintf(line, sizeof(line), "{\"n\": %ld, \"end\": true}", n);
	replace(dir, "agents/main/sessions/sessions.json", line);
	put(dir, "credentials.json", O_TRUNC, line);
	if (n % 5 == 0) {
		snprintf(line, sizeof(line), "INSERT OR IGNORE INTO t VALUES (%ld)", n);
		sql(db, line);
	}
}

static int write_rounds(const char *dir, const char *acks, const char *stop)
{
	struct sigaction action = {.sa_handler = on_term};
	double end = 0;

	sigaction(SIGTERM, &action, NULL);
	static const char *const dirs[] = {"logs", "memory", "agents", "agents/main", "agents/main/sessions"};
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		make_dir(dir, dirs[i]);
	sqlite3 *db = open_database(dir, true);
	sql(db, "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)");
	/* A round that was not acknowledged before we were killed is written again. */
	long n = 0;
	int fd = open(acks, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || pread(fd, &n, sizeof(n), 0) < 0)
		die("%s: %m", acks);
	for (n++; end == 0 || seconds() < end; n++) {
		write_round(dir, db, n);
		if (pwrite(fd, &n, sizeof(n), 0) != (ssize_t)sizeof(n))
			die("%s: %m", acks);
		if (end == 0 && (told || (stop && access(stop, F_OK) == 0)))
			end = seconds() + 1;
		usleep(5000);
	}
	sqlite3_close(db);
	return 0;
}

/* --- checking ------------------------------------------------------------ */

/* Lines 1..at least `acked`, in order, whole; each may be there again right after itself. */
static long check_lines(const char *dir, const char *name)
{
	char path[4096], line[512];
	long n = 0, got;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "re");
	if (!f)
		die("%s: %m", path);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "{\"n\":%ld,", &got) != 1 || (got != n && got != n + 1) || !strchr(line, '\n'))
			die("%s: after line %ld comes \"%s\"", path, n, line);
		n = got;
	}
	fclose(f);
	return n;
}

static long check_version(const char *dir, const char *name)
{
	char path[4096], text[128] = "", *end;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "re");
	if (!f || !fgets(text, sizeof(text), f))
		die("%s: %m, or empty", path);
	fclose(f);
	long n = strncmp(text, "{\"n\": ", 6) == 0 ? strtol(text + 6, &end, 10) : 0;
	if (n == 0 || strcmp(end, ", \"end\": true}") != 0)
		die("%s: is \"%s\"", path, text);
	return n;
}

static long query(sqlite3 *db, const char *text)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(db, text, -1, &stmt, NULL) != SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW)
		die("%s: %s", text, sqlite3_errmsg(db));
	long n = (long)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return n;
}

static void want(const char *what, long got, long acked)
{
	printf("%s: %ld of %ld acknowledged\n", what, got, acked);
	if (got < acked)
		die("%s: %ld are missing", what, acked - got);
}

static int check(const char *dir, const char *acks)
{
	char wal[4096];
	long acked = 0;

	int fd = open(acks, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &acked, sizeof(acked), 0) != (ssize_t)sizeof(acked) || acked < 20)
		die("%s: %m, or too few rounds (%ld)", acks, acked);
	close(fd);
	/* Folded in: plain files are left (P8). */
	snprintf(wal, sizeof(wal), "%s/memory/main.sqlite-wal", dir);
	if (access(wal, F_OK) == 0)
		die("%s is left", wal);
	want("log", check_lines(dir, "logs/gateway.log"), acked);
	want("transcript", check_lines(dir, "agents/main/sessions/one.jsonl"), acked);
	want("sessions", check_version(dir, "agents/main/sessions/sessions.json"), acked);
	want("state", check_version(dir, "credentials.json"), acked);
	sqlite3 *db = open_database(dir, false);
	if (query(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") != 1)
		die("the database is damaged");
	want("database", query(db, "SELECT count(*) FROM t"), acked / 5);
	sqlite3_close(db);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--check") == 0)
		return check(argv[2], argv[3]);
	if (argc != 3 && argc != 4)
		die("usage: writer [--check] DIR ACKS [STOP]");
	return write_rounds(argv[1], argv[2], argc == 4 ? argv[3] : NULL);
}
