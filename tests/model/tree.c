/* Whole trees: comparing, cleaning. */
#include "model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct names {
	char **v;
	size_t n;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
	*names = (struct names){NULL, 0};
}

/* 0 or an errno. */
static int names_read(struct names *names, int parent, const char *path)
{
	int fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	*names = (struct names){NULL, 0};
	if (!dir) {
		err = errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (errno = 0, e = readdir(dir)) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		names->v = xrealloc(names->v, (names->n + 1) * sizeof(names->v[0]));
		names->v[names->n] = strdup(e->d_name);
		if (!names->v[names->n++])
			die("out of memory");
	}
	err = errno;
	closedir(dir);
	qsort(names->v, names->n, sizeof(names->v[0]), by_text);
	return err;
}

struct found {
	ino_t ino;
	struct ident id;
	char *path;
};

struct compare {
	const struct side *a, *b;
	unsigned flags;
	struct found *found;
	size_t nfound;
	char *why;
};

static bool differ(struct compare *c, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static bool differ(struct compare *c, const char *path, const char *fmt, ...)
{
	size_t len = strlen(path), n;
	va_list ap;

	if (len > 100)
		say(c->why, "%.20s...%s (%zu bytes): ", path, path + len - 12, len);
	else
		say(c->why, "%s: ", path);
	n = strlen(c->why);
	va_start(ap, fmt);
	vsnprintf(c->why + n, WHY_SIZE - n, fmt, ap);
	va_end(ap);
	return false;
}

static bool compare_bytes(struct compare *c, const char *path)
{
	static unsigned char x[65536], y[65536];
	int fa = openat(c->a->rootfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), ea = fa < 0 ? errno : 0;
	int fb = openat(c->b->rootfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), eb = fb < 0 ? errno : 0;
	bool same = ea == eb;
	ssize_t n = 0, m = 0, at;
	long off = 0;

	if (!same)
		differ(c, path, "open: %s %s, %s %s", c->a->label, errno_name(ea), c->b->label, errno_name(eb));
	while (same && fa >= 0) {
		n = read(fa, x, sizeof(x));
		m = read(fb, y, sizeof(y));
		if (n != m) {
			same = differ(c, path, "read at %ld: %s %zd, %s %zd", off, c->a->label, n, c->b->label, m);
		} else if (n > 0 && memcmp(x, y, (size_t)n) != 0) {
			for (at = 0; x[at] == y[at]; at++)
				;
			same = differ(c, path, "byte %ld is %#04x, %s has %#04x", off + at, x[at], c->b->label, y[at]);
		}
		off += n;
		if (n <= 0)
			break;
	}
	if (fa >= 0)
		close(fa);
	if (fb >= 0)
		close(fb);
	return same;
}

static bool compare_link(struct compare *c, const char *path)
{
	char x[PATH_MAX] = "", y[PATH_MAX] = "";
	ssize_t n = readlinkat(c->a->rootfd, path, x, sizeof(x) - 1);
	ssize_t m = readlinkat(c->b->rootfd, path, y, sizeof(y) - 1);

	if (n != m || strcmp(x, y) != 0)
		return differ(c, path, "symlink to \"%s\", %s has \"%s\"", x, c->b->label, y);
	return true;
}

static bool compare_xattrs(struct compare *c, const char *path)
{
	static struct res x, y;
	char full[PATH_MAX * 2];

	res_reset(&x);
	res_reset(&y);
	snprintf(full, sizeof(full), "%s/%s", c->a->root, path);
	res_xattrs(&x, full);
	snprintf(full, sizeof(full), "%s/%s", c->b->root, path);
	res_xattrs(&y, full);
	if (x.len != y.len || (x.len && memcmp(x.data, y.data, x.len) != 0))
		return differ(c, path, "user.* attributes differ (%zu bytes of them, %s has %zu)", x.len, c->b->label,
			      y.len);
	return true;
}

static bool compare_dir(struct compare *c, const char *path);

static bool compare_entry(struct compare *c, const char *path)
{
	struct stat m, p;
	struct found *found;
	char why[WHY_SIZE];
	struct ident id;

	int a_error = fstatat(c->a->rootfd, path, &m, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
	int b_error = fstatat(c->b->rootfd, path, &p, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;

	/* A directory that may be listed but not searched, to an ordinary user. */
	if (a_error == EACCES && b_error == EACCES)
		return true;
	if (a_error)
		return differ(c, path, "lstat on %s: %s", c->a->label, errno_name(a_error));
	if (b_error)
		return differ(c, path, "lstat on %s: %s", c->b->label, errno_name(b_error));
	ident_get(&id, c->b->rootfd, path);
	if (!pair_check(c->a, &m, &p, &id, c->flags, why))
		return differ(c, path, "%s", why);
	c->found = xrealloc(c->found, (c->nfound + 1) * sizeof(c->found[0]));
	found = &c->found[c->nfound++];
	*found = (struct found){m.st_ino, id, strdup(path)};
	if (!compare_xattrs(c, path))
		return false;
	if (S_ISREG(p.st_mode))
		return compare_bytes(c, path);
	if (S_ISLNK(p.st_mode))
		return compare_link(c, path);
	return !S_ISDIR(p.st_mode) || compare_dir(c, path);
}

static bool compare_dir(struct compare *c, const char *path)
{
	struct names x, y;
	int ex = names_read(&x, c->a->rootfd, path), ey = names_read(&y, c->b->rootfd, path);
	bool same = ex == ey ||
		    differ(c, path, "readdir: %s %s, %s %s", c->a->label, errno_name(ex), c->b->label, errno_name(ey));
	char sub[PATH_MAX];
	int order;

	for (size_t i = 0; same && (i < x.n || i < y.n); i++) {
		order = i == x.n ? 1 : i == y.n ? -1 : strcmp(x.v[i], y.v[i]);
		if (order != 0)
			same = differ(c, path, "\"%s\" is only on %s", order < 0 ? x.v[i] : y.v[i],
				      order < 0 ? c->a->label : c->b->label);
		else if (snprintf(sub, sizeof(sub), "%s%s%s", strcmp(path, ".") ? path : "",
				  strcmp(path, ".") ? "/" : "", x.v[i]) < (int)sizeof(sub))
			same = compare_entry(c, sub);
	}
	names_free(&x);
	names_free(&y);
	return same;
}

static int by_ino(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* Two live files never share an inode number. */
static bool found_distinct(struct compare *c)
{
	struct found *at = c->found;

	qsort(at, c->nfound, sizeof(at[0]), by_ino);
	for (size_t i = 1; i < c->nfound; i++, at++)
		if (at[0].ino == at[1].ino && at[0].id.len > 0 && memcmp(&at[0].id, &at[1].id, sizeof(at[0].id)) != 0)
			return differ(c, at[0].path, "inode number %lu is also that of another file, %s",
				      (unsigned long)at[0].ino, at[1].path);
	return true;
}

static void compare_free(struct compare *c)
{
	for (size_t i = 0; i < c->nfound; i++)
		free(c->found[i].path);
	free(c->found);
}

bool tree_compare(const struct side *a, const struct side *b, const char *top, unsigned flags, char *why)
{
	struct compare c = {.a = a, .b = b, .flags = flags, .why = why};
	bool same = compare_dir(&c, top);

	compare_free(&c);
	return same;
}

/* "r7", "logs/r7", "workspace/r7" */
static const char *const tops[] = {"", "logs/", "workspace/"};

static const char *top_path(const struct side *s, unsigned i, char *buf)
{
	snprintf(buf, PATH_MAX, "%sr%d", tops[i], s->run);
	return buf;
}

bool run_compare(const struct side *a, const struct side *b, unsigned flags, char *why)
{
	struct compare c = {.a = a, .b = b, .flags = flags, .why = why};
	struct stat st, other;
	bool same = true;
	char path[PATH_MAX];

	for (unsigned i = 0; same && i < 3; i++) {
		top_path(a, i, path);
		if (fstatat(a->rootfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		    fstatat(b->rootfd, path, &other, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* renamed away, on both */
		same = compare_entry(&c, path);
	}
	same = same && (!(flags & PAIR_INODES) || found_distinct(&c));
	compare_free(&c);
	return same;
}

/* An ordinary user cannot empty a directory that he cannot write to. Failing
 * that, what comes next fails too and says so. */
static void make_accessible(int root, const char *path, mode_t mode)
{
	if (geteuid() != 0 && fchmodat(root, path, mode, 0) < 0)
		return;
}

static bool remove_all(int root, const char *path)
{
	char sub[PATH_MAX];
	struct names names;
	bool done = true;

	if (unlinkat(root, path, 0) == 0 || errno == ENOENT)
		return true;
	make_accessible(root, path, 0700);
	if (names_read(&names, root, path) == 0)
		for (size_t i = 0; i < names.n; i++)
			if (snprintf(sub, sizeof(sub), "%s/%s", path, names.v[i]) < (int)sizeof(sub))
				done &= remove_all(root, sub);
	names_free(&names);
	return unlinkat(root, path, AT_REMOVEDIR) == 0 && done;
}

static bool purge(const struct side *s, const char *path, char *why)
{
	char sub[PATH_MAX];
	struct names names;
	struct stat st;
	bool done = true;
	int err;

	if (fstatat(s->rootfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return true;
	if ((st.st_mode & 0700) != 0700)
		make_accessible(s->rootfd, path, st.st_mode | 0700);
	err = names_read(&names, s->rootfd, path);
	for (size_t i = 0; done && i < names.n; i++) {
		if (snprintf(sub, sizeof(sub), "%s/%s", path, names.v[i]) >= (int)sizeof(sub))
			continue;
		done = name_volatile(sub) ? remove_all(s->rootfd, sub) : purge(s, sub, why);
		if (!done && !why[0])
			say(why, "%s: removing it on %s: %s", sub, s->label, errno_name(errno));
	}
	names_free(&names);
	if (err && !why[0])
		say(why, "%s: reading it on %s: %s", path, s->label, errno_name(err));
	return done && err == 0;
}

bool run_purge(const struct side *a, const struct side *b, char *why)
{
	char path[PATH_MAX];
	bool done = true;

	why[0] = '\0';
	for (unsigned i = 0; done && i < 3; i++) {
		top_path(a, i, path);
		done = purge(a, path, why) && purge(b, path, why);
	}
	return done;
}

void run_remove(const struct side *s)
{
	char path[PATH_MAX];

	for (unsigned i = 0; i < 3; i++)
		remove_all(s->rootfd, top_path(s, i, path));
}
