/* Operations on names. */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

void run_mkdir(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX];

	res_ret(r, mkdirat(s->rootfd, name_path(s, op->a[0], path), (mode_t)op->a[1]));
}

/* The run's own top directory stays: everything else is relative to it. */
static bool is_top(long name)
{
	return strcmp(name_alias(name), ".") == 0;
}

void run_rmdir(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX];

	r->skip = is_top(op->a[0]);
	if (!r->skip)
		res_ret(r, unlinkat(s->rootfd, name_path(s, op->a[0], path), AT_REMOVEDIR));
}

void run_unlink(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX];

	res_ret(r, unlinkat(s->rootfd, name_path(s, op->a[0], path), 0));
}

void run_rename(struct side *s, const struct op *op, struct res *r)
{
	static const unsigned flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	char from[PATH_MAX], to[PATH_MAX];

	r->skip = is_top(op->a[0]) || is_top(op->a[1]);
	if (!r->skip)
		res_ret(r, renameat2(s->rootfd, name_path(s, op->a[0], from), s->rootfd, name_path(s, op->a[1], to),
				     flags[(unsigned long)op->a[2] % 3]));
}

void run_link(struct side *s, const struct op *op, struct res *r)
{
	char from[PATH_MAX], to[PATH_MAX];

	res_ret(r, linkat(s->rootfd, name_path(s, op->a[0], from), s->rootfd, name_path(s, op->a[1], to), 0));
}

void run_symlink(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX];

	res_ret(r, symlinkat(link_target(op->a[1]), s->rootfd, name_path(s, op->a[0], path)));
}

void run_readlink(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX], target[PATH_MAX];

	res_ret(r, readlinkat(s->rootfd, name_path(s, op->a[0], path), target, sizeof(target)));
	if (r->ret > 0)
		res_add(r, target, (size_t)r->ret);
}

void run_mknod(struct side *s, const struct op *op, struct res *r)
{
	static const mode_t types[] = {S_IFIFO, S_IFSOCK, S_IFREG};
	mode_t mode = types[(unsigned long)op->a[1] % 3] | (mode_t)op->a[2];
	char path[PATH_MAX];

	res_ret(r, mknodat(s->rootfd, name_path(s, op->a[0], path), mode, 0));
}

void run_chmod(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX];

	res_ret(r, fchmodat(s->rootfd, name_path(s, op->a[0], path), (mode_t)op->a[1], 0));
}

void run_chown(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX];

	res_ret(r, fchownat(s->rootfd, name_path(s, op->a[0], path), (uid_t)op->a[1], (gid_t)op->a[2],
			    AT_SYMLINK_NOFOLLOW));
}

void run_utimens(struct side *s, const struct op *op, struct res *r)
{
	int flag = op->a[2] ? AT_SYMLINK_NOFOLLOW : 0;
	struct timespec times[2];
	const struct timespec *given = time_pair(op->a[1], times);
	char path[PATH_MAX];
	struct stat st;

	name_path(s, op->a[0], path);
	res_ret(r, utimensat(s->rootfd, path, given, flag));
	if (r->ret == 0 && sets_atime(given) && fstatat(s->rootfd, path, &st, flag) == 0)
		res_add(r, &st.st_atim, sizeof(st.st_atim));
}

static const char *full_path(const struct side *s, long name, char full[PATH_MAX * 2])
{
	char path[PATH_MAX];

	snprintf(full, PATH_MAX * 2, "%s/%s", s->root, name_path(s, name, path));
	return full;
}

void run_setxattr(struct side *s, const struct op *op, struct res *r)
{
	char full[PATH_MAX * 2], name[32];
	unsigned char value[256];
	size_t len = (unsigned long)op->a[2] % sizeof(value);

	snprintf(name, sizeof(name), "user.x%ld", op->a[1]);
	fill_bytes(value, len, (unsigned long)op->a[3]);
	/* 0, XATTR_CREATE, XATTR_REPLACE */
	res_ret(r, lsetxattr(full_path(s, op->a[0], full), name, value, len, (int)((unsigned long)op->a[4] % 3)));
}

void run_getxattr(struct side *s, const struct op *op, struct res *r)
{
	char full[PATH_MAX * 2], name[32], value[256], tiny[1];

	snprintf(name, sizeof(name), "user.x%ld", op->a[1]);
	res_ret(r, lgetxattr(full_path(s, op->a[0], full), name, value, sizeof(value)));
	if (r->ret <= 0)
		return;
	res_add(r, value, (size_t)r->ret);
	if (lgetxattr(full, name, NULL, 0) != r->ret)
		note(r, "getxattr of size 0 does not tell the size, %ld", r->ret);
	if (r->ret > 1 && (lgetxattr(full, name, tiny, 1) >= 0 || errno != ERANGE))
		note(r, "getxattr into one byte is not ERANGE");
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void res_xattrs(struct res *r, const char *path)
{
	char list[4096], *names[256], value[4096];
	ssize_t size = llistxattr(path, list, sizeof(list)), len;
	size_t n = 0;

	for (char *at = list; size > 0 && at < list + size && n < 256; at += strlen(at) + 1)
		if (strncmp(at, "user.", 5) == 0)
			names[n++] = at;
	qsort(names, n, sizeof(names[0]), by_text);
	for (size_t i = 0; i < n; i++) {
		len = lgetxattr(path, names[i], value, sizeof(value));
		res_add(r, names[i], strlen(names[i]) + 1);
		res_add(r, &len, sizeof(len));
		if (len > 0)
			res_add(r, value, (size_t)len);
	}
}

void run_listxattr(struct side *s, const struct op *op, struct res *r)
{
	char full[PATH_MAX * 2], list[4096];

	res_ret(r, llistxattr(full_path(s, op->a[0], full), list, sizeof(list)));
	if (r->ret >= 0)
		r->ret = 0; /* names outside user.* may differ */
	res_xattrs(r, full);
}

void run_removexattr(struct side *s, const struct op *op, struct res *r)
{
	char full[PATH_MAX * 2], name[32];

	snprintf(name, sizeof(name), "user.x%ld", op->a[1]);
	res_ret(r, lremovexattr(full_path(s, op->a[0], full), name));
}

void run_statfs(struct side *s, const struct op *op, struct res *r)
{
	char full[PATH_MAX * 2];
	struct statvfs st;

	res_ret(r, statvfs(full_path(s, op->a[0], full), &st));
	if (r->ret == 0 && (st.f_blocks == 0 || st.f_namemax != 255))
		note(r, "statfs: %lu blocks, names of %lu bytes", (unsigned long)st.f_blocks, st.f_namemax);
}

void run_stat(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX];
	struct stat st;

	/* Through symlinks; lstat is compared after every operation that names a path. */
	res_ret(r, fstatat(s->rootfd, name_path(s, op->a[0], path), &st, 0));
	if (r->ret == 0)
		res_add(r, &st.st_mode, sizeof(st.st_mode));
}

void run_nap(struct side *s, const struct op *op, struct res *r)
{
	usleep((unsigned)((unsigned long)op->a[0] % 500) * 1000);
}

void run_flush(struct side *s, const struct op *op, struct res *r)
{
	int fd = openat(s->rootfd, ".clawfs/control", O_WRONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) /* some other file system is being tried */
		return;
	if (fd < 0 || write(fd, "flush\n", 6) != 6)
		note(r, "writing \"flush\" to .clawfs/control: %s", strerror(errno));
	if (fd >= 0 && close(fd) < 0)
		note(r, "closing .clawfs/control: %s", strerror(errno));
}

void run_forget(struct side *s, const struct op *op, struct res *r)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	/* Names and inodes: the file system is told to forget them. Not for ordinary users. */
	r->skip = fd < 0 || write(fd, "2\n", 2) != 2;
	if (fd >= 0)
		close(fd);
}
