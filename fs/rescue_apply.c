#include "fs/control.h"
#include "fs/lower.h"
#include "fs/pax.h"
#include "fs/rescue.h"
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { CHUNK = 64 << 10 };
#define TEMP_NAME LOWER_TEMP_PREFIX "rescue"

struct applying {
	struct lower lower;
	struct pax_reader reader;
	struct pax_entry *entry;
	char *buf, *other; /* CHUNK each */
	bool force;
	rescue_said_fn *said;
	void *arg;
	int refused;
	char why[256];
};

/* --- what an entry is ----------------------------------------------------- */

/* A relative path of plain components. */
static bool is_plain(const char *path)
{
	for (const char *p = path;; p++) {
		size_t len = strcspn(p, "/");
		if (len == 0 || len > NAME_MAX || (len == 1 && p[0] == '.') || (len == 2 && memcmp(p, "..", 2) == 0))
			return false;
		p += len;
		if (!*p)
			return true;
	}
}

enum kind { KIND_README, KIND_DIR, KIND_WHOLE, KIND_TAIL, KIND_FOREIGN };

/* `path`: where it belongs, within e->path; `from`: the tail's offset. */
static enum kind kind_of(const struct pax_entry *e, const char **path, int64_t *from)
{
	const char *p = e->path;

	*from = 0;
	*path = p;
	if (strcmp(p, "README") == 0 && !e->dir)
		return KIND_README;
	if (strncmp(p, "files/", 6) == 0) {
		*path = p + 6;
		return !is_plain(*path) ? KIND_FOREIGN : e->dir ? KIND_DIR : KIND_WHOLE;
	}
	if (strncmp(p, "tails/", 6) != 0 || e->dir)
		return KIND_FOREIGN;
	for (p += 6; *p >= '0' && *p <= '9' && *from < INT64_MAX / 20; p++)
		*from = *from * 10 + (*p - '0');
	*path = p + 1;
	return *p == '/' && p > e->path + 6 && is_plain(*path) ? KIND_TAIL : KIND_FOREIGN;
}

/* --- the directory it belongs to ------------------------------------------ */

/* Owner, mode and times of what was made, from its entry. An ordinary user's files are that user's. */
static int set_attributes(struct applying *a, int fd)
{
	const struct pax_entry *e = a->entry;
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, e->mtime};
	const struct lower_calls *sys = a->lower.sys;

	if (a->lower.privileged && sys->fchown(fd, e->uid, e->gid) < 0)
		return -errno;
	if (sys->fchmod(fd, e->mode) < 0 || sys->futimens(fd, times) < 0)
		return -errno;
	return 0;
}

/* The directory of `path`, whose last component `name` gets; our own descriptor, O_PATH. */
static int open_parent(struct applying *a, const char *path, const char **name)
{
	char part[NAME_MAX + 1];
	int dir = lower_open(&a->lower, a->lower.root, ".", O_PATH | O_DIRECTORY, 0);

	for (const char *slash; dir >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		int next = lower_open(&a->lower, dir, part, O_PATH | O_DIRECTORY, 0);
		close(dir);
		dir = next;
	}
	*name = path;
	return dir;
}

static int apply_dir(struct applying *a, const char *path)
{
	const char *name;
	int dir = open_parent(a, path, &name);
	int rc = dir < 0 ? dir : 0;

	if (rc < 0)
		return rc;
	if (a->lower.sys->mkdirat(dir, name, 0700) < 0) {
		/* One that is there stays as it is. */
		rc = errno == EEXIST ? 0 : -errno;
	} else {
		int fd = lower_open(&a->lower, dir, name, O_RDONLY | O_DIRECTORY, 0);
		rc = fd < 0 ? fd : set_attributes(a, fd);
		if (rc == 0)
			rc = lower_sync_dir(&a->lower, dir);
		if (fd >= 0)
			close(fd);
	}
	close(dir);
	return rc;
}

/* --- files ---------------------------------------------------------------- */

static int refuse(struct applying *a, const char *why)
{
	snprintf(a->why, sizeof(a->why), "%s", why);
	return RESCUE_REFUSED;
}

/* Leaves the entry's data where it begins. */
static int rewind_to(struct applying *a, off_t start)
{
	if (lseek(a->reader.fd, start, SEEK_SET) < 0)
		return -errno;
	a->reader.left = a->entry->size;
	return 0;
}

/* How many bytes of the entry's data `fd` has from `from` on: up to its end, or the first difference, or all. */
static int64_t count_same(struct applying *a, int fd, int64_t from)
{
	int64_t same = 0;

	for (;;) {
		ssize_t n = pax_read(&a->reader, a->buf, CHUNK);
		if (n <= 0)
			return n < 0 ? n : same;
		ssize_t m = lower_pread(&a->lower, fd, a->other, (size_t)n, from + same);
		if (m < 0)
			return m;
		ssize_t i = 0;
		while (i < m && a->buf[i] == a->other[i])
			i++;
		same += i;
		if (i < n)
			return same;
	}
}

static int write_data(struct applying *a, int fd, int64_t from)
{
	for (;;) {
		ssize_t n = pax_read(&a->reader, a->buf, CHUNK);
		if (n <= 0)
			return (int)n;
		int rc = lower_pwrite(&a->lower, fd, a->buf, (size_t)n, from);
		if (rc < 0)
			return rc;
		from += n;
	}
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static int replace(struct applying *a, int dir, const char *name)
{
	const struct lower_calls *sys = a->lower.sys;

	/* Of an apply that was interrupted. */
	sys->unlinkat(dir, TEMP_NAME, 0);
	int fd = lower_open(&a->lower, dir, TEMP_NAME, O_WRONLY | O_CREAT | O_EXCL, 0600);
	int rc = fd < 0 ? fd : write_data(a, fd, 0);
	if (rc == 0)
		rc = set_attributes(a, fd);
	if (rc == 0 && sys->fsync(fd) < 0)
		rc = -errno;
	if (rc == 0 && sys->renameat2(dir, TEMP_NAME, dir, name, 0) < 0)
		rc = -errno;
	if (rc == 0)
		rc = lower_sync_dir(&a->lower, dir);
	if (fd >= 0) {
		close(fd);
		if (rc < 0)
			sys->unlinkat(dir, TEMP_NAME, 0);
	}
	return rc < 0 ? rc : RESCUE_APPLIED;
}

static int apply_whole(struct applying *a, int dir, const char *name)
{
	const struct pax_entry *e = a->entry;
	struct stat st;
	off_t start = lseek(a->reader.fd, 0, SEEK_CUR);
	int fd;

	if (a->lower.sys->fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!S_ISREG(st.st_mode))
			return refuse(a, "something that is no regular file has its name by now; move that away");
		fd = lower_open_own(&a->lower, dir, name, O_RDONLY);
		if (fd < 0)
			return fd;
		int64_t same = st.st_size == e->size ? count_same(a, fd, 0) : 0;
		close(fd);
		if (same < 0)
			return (int)same;
		if (st.st_size == e->size && same == e->size)
			return RESCUE_THERE;
		if (!a->force && is_later(&st.st_mtim, &e->mtime))
			return refuse(a, "it was changed later than what was saved; compare the two, or use force");
		int rc = rewind_to(a, start);
		if (rc < 0)
			return rc;
	} else if (errno != ENOENT) {
		return -errno;
	}
	return replace(a, dir, name);
}

static int apply_tail(struct applying *a, int dir, const char *name, int64_t from)
{
	const struct pax_entry *e = a->entry;
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, e->mtime};
	struct stat st;
	off_t start = lseek(a->reader.fd, 0, SEEK_CUR);
	int fd = lower_open_own(&a->lower, dir, name, O_RDWR);
	int rc = 0;

	if (fd == -ENOENT && from == 0)
		return replace(a, dir, name);
	if (fd == -ENOENT)
		return refuse(a, "the log that it continues is not there; put it there, or read the archive's README");
	if (fd < 0)
		return fd == -ELOOP ? refuse(a, "a symbolic link has its name by now; move that away") : fd;
	if (a->lower.sys->fstat(fd, &st) < 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = refuse(a, "something that is no regular file has its name by now; move that away");
	else if (st.st_size < from)
		rc = refuse(a, "the log is shorter than what was on the card; read the archive's README");
	if (rc == 0) {
		int64_t same = count_same(a, fd, from);
		if (same < 0)
			rc = (int)same;
		else if (same == e->size)
			rc = RESCUE_THERE;
		else if (st.st_size > from + same)
			rc = refuse(a, "the log was continued without it; read the archive's README");
		else
			rc = rewind_to(a, start);
		if (rc == 0)
			rc = write_data(a, fd, from);
		if (rc == 0 && (a->lower.sys->futimens(fd, times) < 0 || a->lower.sys->fsync(fd) < 0))
			rc = -errno;
	}
	close(fd);
	return rc;
}

static int apply_entry(struct applying *a)
{
	const char *path, *name;
	int64_t from;
	enum kind kind = kind_of(a->entry, &path, &from);
	int rc = 0;

	if (kind == KIND_README)
		return 0;
	if (kind == KIND_DIR) {
		rc = apply_dir(a, path);
		if (rc == 0)
			return 0;
	} else {
		int dir = open_parent(a, path, &name);
		rc = dir < 0 ? dir : kind == KIND_WHOLE ? apply_whole(a, dir, name) : apply_tail(a, dir, name, from);
		if (dir >= 0)
			close(dir);
	}
	if (rc == -EBADMSG)
		return rc;
	if (rc < 0) {
		snprintf(a->why, sizeof(a->why), "%s", strerror(rc == -EXDEV || rc == -ELOOP ? ENOTDIR : -rc));
		rc = RESCUE_REFUSED;
	}
	a->refused += rc == RESCUE_REFUSED;
	a->said(a->arg, path, (enum rescue_outcome)rc, rc == RESCUE_REFUSED ? a->why : "");
	return 0;
}

/* --- the archive ---------------------------------------------------------- */

/* Once over it, with `apply` for each entry or only to see that it can be read. */
static int each_entry(struct applying *a, int tar, bool apply)
{
	const char *path;
	int64_t from;
	int rc;

	if (lseek(tar, 0, SEEK_SET) < 0)
		return -errno;
	pax_reader_init(&a->reader, tar);
	for (bool first = true; (rc = pax_next(&a->reader, a->entry)) > 0; first = false) {
		enum kind kind = kind_of(a->entry, &path, &from);
		if (kind == KIND_FOREIGN || (kind == KIND_README) != first)
			return -EBADMSG;
		rc = apply ? apply_entry(a) : 0;
		if (rc < 0)
			return rc;
	}
	return rc;
}

/* As a mount takes it (session.c). The mount itself is another directory, with a lock of its own. */
static int lock_lower(struct applying *a, const char *dir, char *why, size_t why_size)
{
	struct statfs fs;
	struct stat st;
	bool live = fstatfs(a->lower.root, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC &&
		    a->lower.sys->fstatat(a->lower.root, CONTROL_DIR "/control", &st, AT_SYMLINK_NOFOLLOW) == 0;

	if (!live && flock(a->lower.root, LOCK_EX | LOCK_NB) == 0)
		return 0;
	int rc = live || errno == EWOULDBLOCK ? -EBUSY : -errno;
	snprintf(why, why_size, "%s: %s", dir, rc == -EBUSY ? "mounted by clawfs; unmount it first" : strerror(-rc));
	return rc;
}

int rescue_apply(int tar, const char *dir, bool force, rescue_said_fn *said, void *arg, char *why, size_t why_size)
{
	struct applying a = {.force = force, .said = said, .arg = arg};
	int rc = lower_init(&a.lower, dir, lower_calls_default());

	if (rc < 0) {
		snprintf(why, why_size, "%s: %s; name an existing directory that you may write", dir, strerror(-rc));
		return rc;
	}
	rc = lock_lower(&a, dir, why, why_size);
	if (rc == 0) {
		a.entry = malloc(sizeof(*a.entry));
		a.buf = malloc(2 * (size_t)CHUNK);
		a.other = a.buf ? a.buf + CHUNK : NULL;
		rc = a.entry && a.buf ? each_entry(&a, tar, false) : -ENOMEM;
		if (rc == 0)
			rc = each_entry(&a, tar, true);
		if (rc == -EBADMSG)
			snprintf(why, why_size, "the archive is damaged, or no rescue; tar -tvf shows what is in it");
		else if (rc < 0)
			snprintf(why, why_size, "cannot read the archive: %s", strerror(-rc));
		free(a.entry);
		free(a.buf);
	}
	lower_fini(&a.lower);
	return rc < 0 ? rc : a.refused;
}
