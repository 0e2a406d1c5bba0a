/* Snapshots and state files: each operation writes the whole file anew, in one of the ways that applications have.
 * P3: what is there is at every moment one complete version. */
#include "load.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How: kind->arg. */
enum {
	BY_RENAME = 1,	 /* a temporary name, renamed over it */
	WITH_LOCK = 2,	 /* below a lock file made with O_EXCL */
	WITH_SYNC = 4,	 /* fsync before the rename, of the directory after it */
	IN_PLACE = 8,	 /* O_TRUNC, two writes, close */
	CHANGE_SIZE = 16 /* from some bytes to 200 KiB */
};

static size_t version_size(const struct actor *a, uint32_t n)
{
	uint64_t r = mix(a->seed, 1, n);

	return 64 + (a->kind->arg & CHANGE_SIZE ? 20000 + r % 180000 : r % 6000);
}

static char *version_text(const struct actor *a, uint32_t n, size_t *size)
{
	*size = version_size(a, n);
	char *text = malloc(*size);

	if (text) {
		int len = snprintf(text, *size, "{\"version\":%08u,\"size\":%08zu,\"text\":\"", n, *size);
		fill(text + len, *size - (size_t)len - 3, mix(a->seed, 2, n));
		memcpy(text + *size - 3, "\"}\n", 3);
	}
	return text;
}

static int write_in_place(struct actor *a, const char *path, const char *text, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return failed(a, "open with O_TRUNC");
	int rc = put(fd, text, size / 2);
	if (rc == 0)
		rc = put(fd, text + size / 2, size - size / 2);
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc < 0) {
		errno = -rc;
		return failed(a, "write in place");
	}
	return 0;
}

static int sync_parent(struct actor *a, const char *path)
{
	char dir[1024];

	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0) {
		failed(a, "fsync of the directory");
		if (fd >= 0)
			close(fd);
		return -EIO;
	}
	close(fd);
	return 0;
}

static int write_by_rename(struct actor *a, const char *path, const char *text, size_t size, uint32_t n)
{
	char temp[1024];

	snprintf(temp, sizeof(temp), "%s.%u.tmp", path, n % 5);
	int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(a, "open of the temporary file");
	int rc = put(fd, text, size);
	if (rc == 0 && a->kind->arg & WITH_SYNC && fsync(fd) < 0)
		rc = -errno;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc < 0) {
		errno = -rc;
		return failed(a, "write of the temporary file");
	}
	if (rename(temp, path) < 0)
		return failed(a, "rename over the file");
	return a->kind->arg & WITH_SYNC ? sync_parent(a, path) : 0;
}

static int version_step(struct actor *a, uint32_t n)
{
	const char *path = below(a->root, a->kind->path);
	char lock[1024];
	size_t size;
	int rc, lock_fd = -1;

	if (a->kind->arg & WITH_LOCK) {
		snprintf(lock, sizeof(lock), "%s.lock", path);
		/* A lock of a life before is stale to its owner. */
		if (a->doubt || a->stale)
			unlink(lock);
		lock_fd = open(lock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (lock_fd < 0 || put(lock_fd, "4711", 4) < 0) {
			rc = failed(a, "the lock file");
			if (lock_fd >= 0)
				close(lock_fd);
			return rc;
		}
	}
	char *text = version_text(a, n, &size);
	if (!text)
		rc = -ENOMEM;
	else if (a->kind->arg & BY_RENAME)
		rc = write_by_rename(a, path, text, size, n);
	else
		rc = write_in_place(a, path, text, size);
	free(text);
	if (lock_fd >= 0) {
		close(lock_fd);
		if (unlink(lock) < 0 && rc == 0)
			rc = failed(a, "unlink of the lock file");
	}
	return rc;
}

static int version_check(struct actor *a, const char *root, enum judge judge, uint32_t min, uint32_t max,
			 struct verdict *v)
{
	const char *path = below(root, a->kind->path);
	char *data, *text, lock[1024];
	size_t size;
	uint32_t n = 0;
	ssize_t have = slurp(path, &data);

	snprintf(lock, sizeof(lock), "%s.lock", path);
	if (judge == JUDGE_CUT && access(lock, F_OK) == 0) {
		free(data);
		return wrong(v, "%s outlived the power cut", lock);
	}
	if (have < 0) {
		/* Before its first version. */
		if (errno == ENOENT && min == 0)
			return 0;
		return wrong(v, "%s: %s", path, strerror(errno));
	}
	if (have < 20 || sscanf(data, "{\"version\":%8u", &n) != 1) {
		/* Its writer had cut it and was told of an error before it was done; or had just made it. */
		bool half = (judge == JUDGE_FAULT || min == 0) && judge != JUDGE_CUT && max > min &&
			    a->kind->arg & IN_PLACE;
		v->found = min;
		v->partial = true;
		int rc =
			half ? 0 : wrong(v, "%s: %zd bytes that begin with \"%.40s\" are no version", path, have, data);
		free(data);
		return rc;
	}
	text = version_text(a, n, &size);
	bool same = text && size == (size_t)have && memcmp(text, data, size) == 0;
	bool half = (judge == JUDGE_FAULT || min == 0) && judge != JUDGE_CUT && n == max && max > min &&
		    a->kind->arg & IN_PLACE && (size_t)have < size && text && memcmp(text, data, (size_t)have) == 0;
	free(text);
	free(data);
	v->found = n;
	if (half) {
		v->found = min;
		v->partial = true;
		return 0;
	}
	if (!same)
		return wrong(v, "%s: version %u is torn: %zd of %zu bytes, or others", path, n, have, size);
	if (n < min || n > max)
		return wrong(v, "%s: has version %u, expected %u to %u", path, n, min, max);
	return 0;
}

#define VERSION(symbol, text, where, window, short_window, pause, how)                                                 \
	const struct actor_kind symbol = {.name = (text),                                                              \
					  .path = (where),                                                             \
					  .window_ms = (window),                                                       \
					  .short_ms = (short_window),                                                  \
					  .pause_us = (pause),                                                         \
					  .arg = (how),                                                                \
					  .step = version_step,                                                        \
					  .check = version_check}

VERSION(kind_sessions, "sessions", "agents/main/sessions/sessions.json", 5000, 1000, 15000,
	BY_RENAME | WITH_LOCK | CHANGE_SIZE);
VERSION(kind_state, "state", "auth-profiles.json", 1000, 500, 11000, BY_RENAME);
VERSION(kind_config, "config", "secureclaw.json", 1000, 500, 13000, IN_PLACE | CHANGE_SIZE);
/* Its own syncs make it durable. */
VERSION(kind_synced, "synced", "credentials/token.json", 0, 0, 70000, BY_RENAME | WITH_SYNC);
