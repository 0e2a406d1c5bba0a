/* What runs in the steward's process: the only code that calls SQLite. */
#include "fs/sandbox.h"
#include "fs/steward.h"
#include "policy/visit.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* SQLite's ordinary VFS makes every name absolute and resolves it. We stand in
 * the directory, and its path may meanwhile lead elsewhere (the mount covers
 * it, somebody renamed it): names stay as they are. */
static int full_pathname(sqlite3_vfs *vfs, const char *name, int room, char *out)
{
	(void)vfs;
	return snprintf(out, (size_t)room, "%s", name) < room ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* What the visit may touch: "./NAME" and the three names beside it. A journal of anybody's making may name any path
 * as its super-journal, and SQLite would unlink it, with our rights (P10). That such a path is absent must not be
 * said either, because then the journal counts as committed: the answer is an I/O error. */
static struct {
	const char *name; /* "" outside a visit */
	bool refused;
	int (*open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
	int (*remove)(sqlite3_vfs *, const char *, int);
	int (*access)(sqlite3_vfs *, const char *, int, int *);
} allowed;

static const char *const beside[] = {"", "-journal", "-wal", "-shm"};

static bool may_touch(const char *name)
{
	size_t len = strlen(allowed.name);

	for (size_t i = 0; name && i < sizeof(beside) / sizeof(*beside); i++)
		if (strncmp(name, allowed.name, len) == 0 && strcmp(name + len, beside[i]) == 0)
			return true;
	/* A temporary file of SQLite's own has no name. */
	if (!name)
		return true;
	allowed.refused = true;
	return false;
}

static int open_allowed(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	file->pMethods = NULL;
	return may_touch(name) ? allowed.open(vfs, name, file, flags, out) : SQLITE_IOERR;
}

static int delete_allowed(sqlite3_vfs *vfs, const char *name, int sync)
{
	return may_touch(name) ? allowed.remove(vfs, name, sync) : SQLITE_IOERR_DELETE;
}

static int access_allowed(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
	return may_touch(name) ? allowed.access(vfs, name, flags, out) : SQLITE_IOERR_ACCESS;
}

/* SQLite would wait in the open of a FIFO, for ever. */
static bool all_regular(const char *name)
{
	for (size_t i = 0; i < sizeof(beside) / sizeof(*beside); i++) {
		char path[320];
		struct stat st;
		snprintf(path, sizeof(path), "%s%s", name, beside[i]);
		if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
			return false;
	}
	return true;
}

static const char *relative_vfs(void)
{
	static sqlite3_vfs vfs;

	if (!vfs.zName) {
		const sqlite3_vfs *unix_vfs = sqlite3_vfs_find(NULL);
		if (!unix_vfs)
			return NULL;
		vfs = *unix_vfs;
		vfs.zName = "clawfs";
		vfs.pNext = NULL;
		vfs.xFullPathname = full_pathname;
		allowed.open = vfs.xOpen;
		allowed.remove = vfs.xDelete;
		allowed.access = vfs.xAccess;
		vfs.xOpen = open_allowed;
		vfs.xDelete = delete_allowed;
		vfs.xAccess = access_allowed;
		sqlite3_vfs_register(&vfs, 0);
	}
	return vfs.zName;
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void failed(struct steward_reply *reply, int rc, const char *what, const char *why)
{
	int primary = rc & 0xff;

	reply->rc = primary == SQLITE_BUSY || primary == SQLITE_LOCKED ? STEWARD_BUSY : STEWARD_FAILED;
	snprintf(reply->why, sizeof(reply->why), "%s: %s", what, why);
}

/* The first column of the first row, as text; "" without one. */
static int query_text(sqlite3 *db, const char *sql, char *out, size_t room)
{
	sqlite3_stmt *stmt;

	out[0] = '\0';
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		const unsigned char *text = sqlite3_column_text(stmt, 0);
		snprintf(out, room, "%s", text ? (const char *)text : "");
	}
	int end = sqlite3_finalize(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? end : rc;
}

/* Puts the database into WAL mode. What SQLite writes for that is one page,
 * whose changed bytes lie in one sector, so no journal guards it and no sync is
 * waited for with the lock held: the lock is held for as long as one write
 * takes, and an application that waits for no lock is not told "busy" for the
 * time of the card (the barrier makes the page durable before the first header
 * of the WAL is written, B2). */
static int enforce(sqlite3 *db, bool has_journal, struct steward_reply *reply)
{
	char text[32];

	/* Reads the header and recovers, also what a crash left hot. Also says whether it can be read at all. */
	int rc = query_text(db, "SELECT count(*) FROM sqlite_schema", text, sizeof(text));
	if (rc == SQLITE_OK)
		rc = query_text(db, "PRAGMA journal_mode", text, sizeof(text));
	if (rc != SQLITE_OK || strcmp(text, "wal") == 0)
		return rc;
	/* What journal_mode=PERSIST has left is only in the way now. */
	if (has_journal) {
		rc = query_text(db, "PRAGMA journal_mode=PERSIST", text, sizeof(text));
		if (rc == SQLITE_OK)
			rc = query_text(db, "PRAGMA journal_mode=DELETE", text, sizeof(text));
	}
	if (rc == SQLITE_OK)
		rc = query_text(db, "PRAGMA synchronous=OFF", text, sizeof(text));
	if (rc == SQLITE_OK)
		rc = query_text(db, "PRAGMA journal_mode=MEMORY", text, sizeof(text));
	if (rc == SQLITE_OK)
		rc = query_text(db, "PRAGMA journal_mode=WAL", text, sizeof(text));
	if (rc == SQLITE_OK && strcmp(text, "wal") != 0)
		rc = SQLITE_BUSY;
	reply->changed = rc == SQLITE_OK;
	if (rc == SQLITE_OK)
		rc = query_text(db, "PRAGMA synchronous=FULL", text, sizeof(text));
	return rc;
}

/* Between two transactions of somebody who hardly pauses. No lock is held from one try to the next: SQLite's own
 * busy handler would wait with a lock that keeps writers out. */
static int enforce_between(sqlite3 *db, bool has_journal, struct steward_reply *reply)
{
	enum { TRIES = 10 };
	int rc = SQLITE_BUSY;

	for (int i = 0; i < TRIES && (rc & 0xff) == SQLITE_BUSY; i++) {
		if (i > 0)
			usleep(1000 + (useconds_t)i * 700);
		rc = enforce(db, has_journal, reply);
	}
	return rc;
}

static int checkpoint(sqlite3 *db, bool truncate, struct steward_reply *reply)
{
	int frames = 0, moved = 0, rc;
	uint64_t begin = now_us();

	/* Attaches to the WAL. */
	char text[32];
	rc = query_text(db, "PRAGMA schema_version", text, sizeof(text));
	/* PASSIVE keeps no one waiting, so it does the bulk; TRUNCATE keeps
	 * writers out, so it comes when next to nothing is left. */
	for (int i = 0; rc == SQLITE_OK && i < 8; i++) {
		rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
		if (!truncate || moved >= frames)
			break;
	}
	if (rc == SQLITE_OK) {
		reply->frames = frames > 0 ? (uint32_t)frames : 0;
		reply->moved = moved > 0 ? (uint32_t)moved : 0;
	}
	if (rc == SQLITE_OK && truncate)
		rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	reply->us = now_us() - begin;
	return rc;
}

static void visit(const struct steward_request *request, struct steward_reply *reply)
{
	char text[32];
	sqlite3 *db = NULL;
	struct stat st;

	if (lstat(request->name, &st) < 0) {
		failed(reply, SQLITE_ERROR, "cannot look at it", strerror(errno));
		return;
	}
	if (!S_ISREG(st.st_mode) || (request->ino && st.st_ino != request->ino)) {
		failed(reply, SQLITE_BUSY, "it is another file by now", "its name was taken");
		return;
	}
	/* SQLite would take a name like "file:x" for a URI, and ":memory:" for something else. */
	char name[300], journal[320];
	snprintf(name, sizeof(name), "./%s", request->name);
	snprintf(journal, sizeof(journal), "%s-journal", name);
	bool has_journal = access(journal, F_OK) == 0;
	if (!all_regular(name)) {
		failed(reply, SQLITE_ERROR, "what lies beside it is no regular file", "remove that");
		return;
	}
	allowed.name = name;
	allowed.refused = false;
	int rc = sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, relative_vfs());
	if (rc == SQLITE_OK) {
		sqlite3_busy_timeout(db, 0);
		query_text(db, "PRAGMA mmap_size=0", text, sizeof(text));
		char cache[64];
		snprintf(cache, sizeof(cache), "PRAGMA cache_size=-%llu", (unsigned long long)(request->cache >> 10));
		query_text(db, cache, text, sizeof(text));
		/* Triggers and views of a hostile schema are none of ours. */
		sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	}
	if (rc == SQLITE_OK && request->work & VISIT_ENFORCE)
		rc = enforce_between(db, has_journal, reply);
	if (rc == SQLITE_OK && request->work & (VISIT_CHECKPOINT | VISIT_TRUNCATE))
		rc = checkpoint(db, request->work & VISIT_TRUNCATE, reply);
	if (rc != SQLITE_OK)
		failed(reply, rc, "SQLite", db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	/* Its application may recover it, and then it is ours again. */
	if (rc != SQLITE_OK && allowed.refused) {
		reply->rc = STEWARD_BUSY;
		snprintf(reply->why, sizeof(reply->why),
			 "its journal belongs to several databases; open it with its application");
	}
	sqlite3_close(db);
	allowed.name = "";
}

/* --- where --------------------------------------------------------------- */

/* Into the directory below the mount, one component at a time, through no link. */
static int enter_live(const struct steward_request *request)
{
	int fd = open(request->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	char path[sizeof(request->dir)];
	char *save = NULL;

	/* Unmounted lazily: what is there now is something else, maybe the lower itself. */
	if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_dev != request->dev)) {
		close(fd);
		return -ESTALE;
	}
	memcpy(path, request->dir, sizeof(path));
	path[sizeof(path) - 1] = '\0';
	for (char *part = strtok_r(path, "/", &save); fd >= 0 && part; part = strtok_r(NULL, "/", &save)) {
		int next = openat(fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int error = errno;
		close(fd);
		errno = error;
		fd = next;
	}
	if (fd < 0)
		return -errno;
	int rc = fchdir(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

/* 1, 0 at the end; the descriptor that came along in `fd`, or -1. */
static int receive(int sock, struct steward_request *request, int *fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {request, sizeof(*request)};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n;

	*fd = -1;
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(int));
	return n == (ssize_t)sizeof(*request);
}

int steward_child_main(int sock)
{
	static struct steward_request request;
	int dirfd;

	/* A daemon that dies while we work on the lower must not leave us there: the next mount may be served before
	 * we are done. The signal follows the thread that started us, so that thread's end ends us too. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sandbox_begin(SANDBOX_STEWARD, "clawfs-steward", sock) < 0)
		return 1;
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	while (receive(sock, &request, &dirfd)) {
		struct steward_reply reply = {0};
		request.name[sizeof(request.name) - 1] = '\0';
		int rc = request.live ? enter_live(&request) : fchdir(dirfd) < 0 ? -errno : 0;
		if (rc < 0)
			failed(&reply, SQLITE_ERROR, "cannot enter its directory", strerror(-rc));
		else
			visit(&request, &reply);
		/* Must not keep the mount busy. */
		if (chdir("/") < 0)
			return 1;
		if (dirfd >= 0)
			close(dirfd);
		if (send(sock, &reply, sizeof(reply), MSG_NOSIGNAL) < 0)
			return 1;
	}
	return 0;
}
