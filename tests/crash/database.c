/* Rows into a SQLite database, one transaction an operation, with the library's defaults.
 * P7: it is sound, and has a prefix of the commits. */
#include "load.h"
#include <errno.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_MAX_BYTES = 6000, REOPEN_EVERY = 300 };

static int row_text(const struct actor *a, uint32_t n, char text[TEXT_MAX_BYTES])
{
	int len = 20 + (int)(mix(a->seed, 1, n) % a->kind->arg);

	fill(text, (size_t)len, mix(a->seed, 2, n));
	return len;
}

/* --- at work: a process of its own, because a page of the shared memory of a mount that was killed is a SIGBUS -----
 */

struct order {
	uint32_t n;
	bool doubt;
};

struct answer {
	int rc;
	char error[256];
};

struct worker {
	pid_t pid;
	int fd;
};

static void database_drop(struct actor *a)
{
	struct worker *w = a->own;

	if (!w)
		return;
	close(w->fd);
	waitpid(w->pid, NULL, 0);
	free(w);
	a->own = NULL;
}

static struct worker *worker_start(struct actor *a)
{
	char index[16], seed[32], fd_text[16];
	struct worker *w = malloc(sizeof(*w));
	int fds[2];
	unsigned i = 0;

	while (actor_kinds[i] != a->kind)
		i++;
	snprintf(index, sizeof(index), "%u", i);
	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)a->seed);
	if (!w || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	/* In the child alone: another one that had it would keep the pipe open when this one dies. */
	enum { THEIRS = 60 };
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], THEIRS);
	snprintf(fd_text, sizeof(fd_text), "%d", THEIRS);
	char *const args[] = {(char[]){"crash"}, (char[]){"database"}, fd_text, index, seed, a->root, NULL};
	if (posix_spawn(&w->pid, "/proc/self/exe", &actions, NULL, args, environ) != 0)
		abort();
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	w->fd = fds[0];
	return w;
}

static int database_step(struct actor *a, uint32_t n)
{
	struct order order = {.n = n, .doubt = a->doubt};
	struct answer answer;

	if (a->doubt)
		database_drop(a);
	if (!a->own)
		a->own = worker_start(a);
	const struct worker *w = a->own;
	if (send(w->fd, &order, sizeof(order), MSG_NOSIGNAL) != sizeof(order) ||
	    recv(w->fd, &answer, sizeof(answer), MSG_WAITALL) != sizeof(answer)) {
		snprintf(a->error, sizeof(a->error), "the program that uses the database died");
		return -EIO;
	}
	if (answer.rc < 0)
		memcpy(a->error, answer.error, sizeof(a->error));
	return answer.rc;
}

static int said(struct actor *a, sqlite3 *db, const char *what)
{
	int rc = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;

	snprintf(a->error, sizeof(a->error), "%s: %s (%d)", what, db ? sqlite3_errmsg(db) : "no memory", rc);
	return -EIO;
}

static int database_open(struct actor *a, sqlite3 **db)
{
	if (sqlite3_open_v2(below(a->root, a->kind->path), db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) ==
		    SQLITE_OK &&
	    sqlite3_busy_timeout(*db, 20000) == SQLITE_OK &&
	    sqlite3_exec(*db, "create table if not exists t(n integer primary key, text)", NULL, NULL, NULL) ==
		    SQLITE_OK)
		return 0;
	int rc = said(a, *db, "open of the database");
	sqlite3_close_v2(*db);
	*db = NULL;
	return rc;
}

static int insert(struct actor *a, sqlite3 **db, const struct order *order)
{
	char text[TEXT_MAX_BYTES];
	sqlite3_stmt *stmt = NULL;

	if (order->n % REOPEN_EVERY == 0) {
		sqlite3_close_v2(*db);
		*db = NULL;
	}
	if (!*db) {
		int rc = database_open(a, db);
		if (rc < 0)
			return rc;
	}
	/* What a program does that does not know whether its commit came through. */
	const char *sql = order->doubt ? "insert or replace into t values (?, ?)" : "insert into t values (?, ?)";
	if (sqlite3_prepare_v2(*db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return said(a, *db, "prepare");
	sqlite3_bind_int64(stmt, 1, order->n);
	sqlite3_bind_text(stmt, 2, text, row_text(a, order->n, text), SQLITE_STATIC);
	int rc = sqlite3_step(stmt) == SQLITE_DONE ? 0 : said(a, *db, "insert");
	sqlite3_finalize(stmt);
	return rc;
}

int database_work(char **args)
{
	int fd = atoi(args[0]);
	struct actor a = {.kind = actor_kinds[atoi(args[1])], .seed = strtoull(args[2], NULL, 10)};
	struct order order;
	sqlite3 *db = NULL;

	snprintf(a.root, sizeof(a.root), "%s", args[3]);
	while (recv(fd, &order, sizeof(order), MSG_WAITALL) == sizeof(order)) {
		struct answer answer = {.rc = insert(&a, &db, &order)};
		memcpy(answer.error, a.error, sizeof(answer.error));
		if (send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer))
			break;
	}
	sqlite3_close_v2(db);
	return 0;
}

/* --- judged ------------------------------------------------------------------ */

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
	usec_t end = usec_now() + 10000000;
	sqlite3 *db = NULL;

	(void)judge;
	if (access(path, F_OK) < 0)
		return errno == ENOENT && min == 0 ? 0 : wrong(v, "%s: %s", path, strerror(errno));
	/* A mount keeps a database that the kernel still holds open for the dead one before it (EBUSY). */
	while (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
		bool again = sqlite3_errcode(db) == SQLITE_CANTOPEN && usec_now() < end;
		if (!again)
			wrong(v, "%s: %s", path, db ? sqlite3_errmsg(db) : "no memory");
		sqlite3_close_v2(db);
		if (!again)
			return -1;
		usleep(20000);
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
				     .short_ms = 1000,
				     .pause_us = 12000,
				     .arg = 3000,
				     .step = database_step,
				     .check = database_check,
				     .drop = database_drop};
/* Small rows, fast: checkpoints all the time. */
const struct actor_kind kind_busydb = {.name = "busydb",
				       .path = "agents/main/agent/index.db",
				       .window_ms = 5000,
				       .short_ms = 1000,
				       .pause_us = 3000,
				       .arg = 300,
				       .step = database_step,
				       .check = database_check,
				       .drop = database_drop};
