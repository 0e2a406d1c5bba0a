#include "fs/upper.h"
#include "fs/lower.h"
#include "fs/private.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

static bool fd_is_ram(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* The daemon's alone, and in RAM. */
static int open_private(int dirfd, const char *path, bool *existed, char *why, size_t why_size)
{
	int fd = private_dir_open(dirfd, path, existed, "the upper", "upper", why, why_size);

	if (fd >= 0 && !fd_is_ram(fd)) {
		snprintf(why, why_size,
			 "the upper %s is not on a RAM file system; mount a tmpfs there or name one with -o upper=DIR",
			 path);
		close(fd);
		if (!*existed)
			unlinkat(dirfd, path, AT_REMOVEDIR);
		return -EINVAL;
	}
	return fd;
}

bool upper_is_dirty(const struct upper *u)
{
	int fd = openat(u->tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	int entries = 0;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (readdir(dir))
		entries++;
	closedir(dir);
	return entries > 2;
}

/* Refuses a directory that holds anything but an upper: it would be removed. */
static int check_foreign(int dirfd, const char *path, char *why, size_t why_size)
{
	static const char *const parts[] = {".", "..", "tree", "work", "before", "intent", "intent.new", "lower"};
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int rc = 0;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -EIO;
	}
	for (struct dirent *d; rc == 0 && (d = readdir(dir));) {
		bool known = false;
		for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
			known |= strcmp(d->d_name, parts[i]) == 0;
		if (!known) {
			snprintf(why, why_size,
				 "the upper %s holds something else (%s); name an empty directory with -o upper=DIR",
				 path, d->d_name);
			rc = -EEXIST;
		}
	}
	closedir(dir);
	return rc;
}

static void owner_name(const struct lower *lower, char between, char *name, size_t size)
{
	snprintf(name, size, "%llx%c%llx%c%llx", (unsigned long long)lower->dev, between,
		 (unsigned long long)lower->ino, between, (unsigned long long)lower->fsid);
}

/* One mount at a time, and always of the same lower (P10): what is found here
 * goes nowhere else. */
static int claim(struct upper *u, const struct lower *lower, char *why, size_t why_size)
{
	char mine[64], theirs[64] = "";

	if (flock(u->dir, LOCK_EX | LOCK_NB) < 0) {
		snprintf(why, why_size, "the upper %s is in use by another mount; name another with -o upper=DIR",
			 u->path);
		return -EBUSY;
	}
	owner_name(lower, ':', mine, sizeof(mine));
	int fd = openat(u->dir, "lower", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n = fd < 0 ? -1 : pread(fd, theirs, sizeof(theirs) - 1, 0);
	int rc = 0;
	if (n > 0 && strcmp(mine, theirs) != 0 && upper_is_dirty(u)) {
		snprintf(why, why_size,
			 "the upper %s holds data of another directory (%s); mount that first, or name another with -o "
			 "upper=DIR",
			 u->path, theirs);
		rc = -EBUSY;
	} else if (n < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, mine, strlen(mine), 0) < 0) {
		rc = -errno;
		snprintf(why, why_size, "cannot set up the upper %s: %s", u->path, strerror(-rc));
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

/* The base that holds one directory a lower. */
static int open_base(char *base, size_t size, char *why, size_t why_size)
{
	bool existed;

	if (geteuid() == 0) {
		int run = open("/run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		bool ram = run >= 0 && fd_is_ram(run);
		if (run >= 0)
			close(run);
		if (ram) {
			snprintf(base, size, "/run/clawfs");
			return open_private(AT_FDCWD, base, &existed, why, why_size);
		}
	}
	/* Not $XDG_RUNTIME_DIR: it vanishes at logout, with what is in it. */
	snprintf(base, size, "/dev/shm/clawfs-%u", (unsigned)geteuid());
	return open_private(AT_FDCWD, base, &existed, why, why_size);
}

/* Removes everything below `dirfd`, which it closes. */
static void remove_below(int dirfd)
{
	DIR *dir = dirfd < 0 ? NULL : fdopendir(dirfd);

	if (!dir) {
		if (dirfd >= 0)
			close(dirfd);
		return;
	}
	for (struct dirent *d; (d = readdir(dir));) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd, d->d_name, 0) == 0)
			continue;
		/* A directory in RAM may have any mode. */
		if (fchmodat(dirfd, d->d_name, 0700, 0) < 0)
			continue;
		int sub = openat(dirfd, d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			remove_below(sub);
		unlinkat(dirfd, d->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
}

void upper_empty_work(struct upper *u)
{
	int fd = openat(u->work, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	remove_below(fd);
}

int upper_open(struct upper *u, const char *path, const struct lower *lower, char *why, size_t why_size)
{
	*u = (struct upper){.dir = -1, .tree = -1, .work = -1, .before = -1};
	if (*path) {
		u->dir = open_private(AT_FDCWD, path, &u->kept, why, why_size);
		/* The daemon leaves the directory that this may be relative to. */
		char *real = u->dir < 0 ? NULL : realpath(path, NULL);
		snprintf(u->path, sizeof(u->path), "%s", real ? real : path);
		free(real);
	} else {
		char base[64], name[64];
		int fd = open_base(base, sizeof(base), why, why_size);
		if (fd < 0)
			return fd;
		owner_name(lower, '-', name, sizeof(name));
		snprintf(u->path, sizeof(u->path), "%s/%s", base, name);
		u->dir = open_private(fd, name, &u->based, why, why_size);
		u->based = true;
		close(fd);
	}
	if (u->dir < 0)
		return u->dir;
	int bad = check_foreign(u->dir, u->path, why, why_size);
	if (bad < 0) {
		upper_close(u, false);
		return bad;
	}
	static const char *const subdirs[] = {"tree", "work", "before"};
	int *fds[] = {&u->tree, &u->work, &u->before};
	for (int i = 0; i < 3; i++) {
		if (mkdirat(u->dir, subdirs[i], 0700) < 0 && errno != EEXIST)
			goto err;
		*fds[i] = openat(u->dir, subdirs[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*fds[i] < 0)
			goto err;
	}
	bad = claim(u, lower, why, why_size);
	if (bad < 0) {
		upper_close(u, false);
		return bad;
	}
	upper_empty_work(u);
	return 0;
err:;
	int rc = -errno;
	snprintf(why, why_size, "cannot set up the upper %s: %s", u->path, strerror(-rc));
	upper_close(u, false);
	return rc;
}

void upper_close(struct upper *u, bool remove)
{
	if (u->dir < 0)
		return;
	if (u->tree >= 0)
		close(u->tree);
	if (u->work >= 0)
		close(u->work);
	if (u->before >= 0)
		close(u->before);
	if (remove) {
		remove_below(u->dir);
		if (!u->kept)
			rmdir(u->path);
		/* The common base goes with the last upper in it. */
		char *slash = strrchr(u->path, '/');
		if (u->based && slash) {
			*slash = '\0';
			rmdir(u->path);
		}
	} else {
		close(u->dir);
	}
	*u = (struct upper){.dir = -1, .tree = -1, .work = -1, .before = -1};
}

struct upper_work upper_work_name(struct upper *u)
{
	struct upper_work w;

	snprintf(w.text, sizeof(w.text), "%llu",
		 (unsigned long long)__atomic_add_fetch(&u->next_work, 1, __ATOMIC_RELAXED));
	return w;
}

int upper_hide(struct upper *u, int dirfd, const char *name, const struct upper_work *hidden)
{
	return renameat(dirfd, name, u->work, hidden->text) < 0 ? -errno : 0;
}

void upper_discard(struct upper *u, const struct upper_work *hidden)
{
	unlinkat(u->work, hidden->text, 0);
}

struct mark {
	char text[24];
};

static struct mark mark_name(uint64_t ino)
{
	struct mark m;

	snprintf(m.text, sizeof(m.text), "%llu", (unsigned long long)ino);
	return m;
}

int upper_mark(struct upper *u, uint64_t ino, int dirfd, const char *name, bool kept)
{
	struct mark m = mark_name(ino);

	/* Of an earlier file of this inode number. */
	unlinkat(u->before, m.text, 0);
	int rc = kept ? linkat(dirfd, name, u->before, m.text, 0) : symlinkat("lower", u->before, m.text);
	return rc < 0 ? -errno : 0;
}

void upper_unmark(struct upper *u, uint64_t ino)
{
	unlinkat(u->before, mark_name(ino).text, 0);
}

int upper_restore(struct upper *u, uint64_t ino, int dirfd, const char *name)
{
	struct mark m = mark_name(ino);
	struct stat st;

	if (fstatat(u->before, m.text, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISLNK(st.st_mode))
		return upper_tail_mark(u, ino) >= 0 ? 0 : 2;
	return renameat(u->before, m.text, dirfd, name) < 0 ? -errno : 1;
}

int upper_mark_tail(struct upper *u, uint64_t ino, off_t flushed)
{
	char text[32];

	snprintf(text, sizeof(text), "tail %lld", (long long)flushed);
	unlinkat(u->before, mark_name(ino).text, 0);
	return symlinkat(text, u->before, mark_name(ino).text) < 0 ? -errno : 0;
}

off_t upper_tail_mark(struct upper *u, uint64_t ino)
{
	char text[32];
	long long flushed;
	ssize_t n = readlinkat(u->before, mark_name(ino).text, text, sizeof(text) - 1);

	if (n < 0)
		return -ENOENT;
	text[n] = '\0';
	return sscanf(text, "tail %lld", &flushed) == 1 && flushed >= 0 ? flushed : -ENOENT;
}

int upper_open_before(struct upper *u, uint64_t ino)
{
	int fd = openat(u->before, mark_name(ino).text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void upper_unmark_rewrites(struct upper *u)
{
	int fd = openat(u->before, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *d; (d = readdir(dir));)
		if (upper_tail_mark(u, strtoull(d->d_name, NULL, 10)) < 0)
			unlinkat(u->before, d->d_name, 0);
	closedir(dir);
}

int upper_intent_set(struct upper *u, const struct upper_intent *intent)
{
	int fd = openat(u->dir, "intent.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	int rc = write(fd, intent, sizeof(*intent)) == (ssize_t)sizeof(*intent) ? 0 : -ENOSPC;
	close(fd);
	/* Complete or not there. */
	if (rc == 0 && renameat(u->dir, "intent.new", u->dir, "intent") < 0)
		rc = -errno;
	return rc;
}

void upper_intent_clear(struct upper *u)
{
	unlinkat(u->dir, "intent", 0);
}

bool upper_intent_get(struct upper *u, struct upper_intent *intent)
{
	int fd = openat(u->dir, "intent", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return false;
	bool ok = read(fd, intent, sizeof(*intent)) == (ssize_t)sizeof(*intent) &&
		  memchr(intent->from, '\0', sizeof(intent->from)) && memchr(intent->to, '\0', sizeof(intent->to));
	close(fd);
	return ok;
}
