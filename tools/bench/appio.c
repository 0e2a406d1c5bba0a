#include "tools/bench/appio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 8192, LOCK_RETRY_MS = 10 };

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Opens, writes, closes. */
static int write_file(const char *path, int flags, mode_t mode, const void *bytes, size_t len, bool sync)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, mode), rc;

	if (fd < 0)
		return -errno;
	rc = write_all(fd, bytes, len);
	if (rc == 0 && sync && fdatasync(fd) < 0)
		rc = -errno;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

int appio_append(const char *path, const void *bytes, size_t len, bool sync)
{
	return write_file(path, O_APPEND, 0666, bytes, len, sync);
}

/* --- session store ----------------------------------------------------------------- */

/* realpath as the runtime does it: a readlink for each component below `root`. */
static void resolve(const char *root, const char *dir)
{
	char path[PATH_MAX], target[PATH_MAX];
	size_t len = strlen(dir);

	for (size_t at = strlen(root); at <= len; at++) {
		if (dir[at] != '/' && dir[at] != '\0')
			continue;
		snprintf(path, sizeof(path), "%.*s", (int)at, dir);
		/* EINVAL: no link, which is what it is after. */
		if (readlink(path, target, sizeof(target)) < 0)
			continue;
	}
}

static int take_lock(const char *path)
{
	char text[64];
	const struct timespec pause = {0, LOCK_RETRY_MS * 1000000L};
	int fd, n;

	while ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) < 0) {
		if (errno != EEXIST)
			return -errno;
		nanosleep(&pause, NULL);
	}
	n = snprintf(text, sizeof(text), "{\"pid\":%-8d,\"createdAt\":\"2026-01-01T00:00:00.000Z\"}", getpid());
	if (write(fd, text, (size_t)n) != n) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static int read_store(const char *path)
{
	char piece[READ_SIZE];
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	while (rc == 0 && (n = read(fd, piece, sizeof(piece))) != 0)
		if (n < 0)
			rc = -errno;
	close(fd);
	return rc;
}

static int replace_store(const char *path, const char *text, size_t len, bool sync)
{
	char temporary[PATH_MAX];
	static unsigned serial;
	struct stat st;
	int rc;

	/* A name of its own each time, as with the UUID of the application. */
	snprintf(temporary, sizeof(temporary), "%s.%d.%08x-bench.tmp", path, getpid(),
		 __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED));
	rc = write_file(temporary, O_TRUNC, 0600, text, len, sync);
	if (rc == 0 && rename(temporary, path) < 0)
		rc = -errno;
	if (rc == 0 && chmod(path, 0600) < 0)
		rc = -errno;
	if (rc == 0 && (lstat(temporary, &st) == 0 || errno != ENOENT))
		rc = -EEXIST;
	return rc;
}

int appio_save(const char *root, const char *dir, const char *text, size_t len, bool sync)
{
	char path[PATH_MAX - 64], lock[PATH_MAX];
	struct stat st;
	int fd, rc;

	if (snprintf(path, sizeof(path), "%s/sessions.json", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	snprintf(lock, sizeof(lock), "%s.lock", path);
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return -errno;
	resolve(root, dir);
	fd = take_lock(lock);
	if (fd < 0)
		return fd;
	rc = stat(path, &st) < 0 && errno != ENOENT ? -errno : 0;
	if (rc == 0)
		rc = read_store(path);
	if (rc == 0 && stat(path, &st) < 0 && errno != ENOENT)
		rc = -errno;
	if (rc == 0)
		rc = replace_store(path, text, len, sync);
	close(fd);
	if (unlink(lock) < 0 && rc == 0)
		rc = -errno;
	return rc;
}
