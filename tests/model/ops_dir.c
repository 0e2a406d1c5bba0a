/* Reading directories, also while they change. */
#include "model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_dir(const struct side *s, long name)
{
	char path[PATH_MAX];

	return openat(s->rootfd, name_path(s, name, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names with their types, sorted. The type that readdir tells must be lstat's
 * or unknown, and so must the inode number. */
void run_readdir(struct side *s, const struct op *op, struct res *r)
{
	int fd = open_dir(s, op->a[0]);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	char **lines = NULL;
	struct dirent *e;
	struct stat st;
	size_t n = 0;

	res_ret(r, dir ? 0 : -1);
	while (dir && (e = readdir(dir))) {
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno != EACCES)
				note(r, "readdir lists \"%s\"; lstat: %s", e->d_name, errno_name(errno));
			continue;
		}
		if (e->d_type != DT_UNKNOWN && e->d_type != IFTODT(st.st_mode))
			note(r, "readdir says type %d of \"%s\", lstat %d", e->d_type, e->d_name, IFTODT(st.st_mode));
		if (strcmp(e->d_name, "..") != 0 && e->d_ino != st.st_ino)
			note(r, "readdir says inode %lu of \"%s\", lstat %lu", (unsigned long)e->d_ino, e->d_name,
			     (unsigned long)st.st_ino);
		lines = xrealloc(lines, (n + 1) * sizeof(lines[0]));
		if (asprintf(&lines[n++], "%s %d\n", e->d_name, IFTODT(st.st_mode)) < 0)
			die("out of memory");
	}
	qsort(lines, n, sizeof(lines[0]), by_text);
	for (size_t i = 0; i < n; i++) {
		res_add(r, lines[i], strlen(lines[i]));
		free(lines[i]);
	}
	free(lines);
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

void run_syncdir(struct side *s, const struct op *op, struct res *r)
{
	int fd = open_dir(s, op->a[0]);

	res_ret(r, fd);
	if (fd < 0)
		return;
	res_ret(r, fsync(fd));
	close(fd);
}

#define WALK_MAX 400

struct walk {
	char name[WALK_MAX][NAME_MAX + 1]; /* what was there before the walk, and what came while it ran */
	bool touched[WALK_MAX];
	unsigned count;
	struct {
		unsigned name;
		int64_t off;
	} seen[WALK_MAX * 2]; /* in the order of the walk; seeking back cuts it */
	unsigned nseen;
};

static unsigned walk_find(struct walk *w, const char *name)
{
	unsigned i = 0;

	while (i < w->count && strcmp(w->name[i], name) != 0)
		i++;
	return i;
}

/* A few hundred bytes at a time, so that the walk has steps to stop between. */
static long walk_read(struct walk *w, int fd, struct res *r)
{
	_Alignas(struct dirent64) char buf[1200];
	struct dirent64 *e;
	ssize_t n = getdents64(fd, buf, sizeof(buf));
	unsigned i;

	for (ssize_t at = 0; at < n; at += e->d_reclen) {
		e = (struct dirent64 *)(buf + at);
		i = walk_find(w, e->d_name);
		if (i == w->count) {
			note(r, "readdir lists \"%s\", which never was there", e->d_name);
			continue;
		}
		if (w->nseen == WALK_MAX * 2) {
			note(r, "readdir does not come to an end");
			return 0;
		}
		w->seen[w->nseen].name = i;
		w->seen[w->nseen++].off = e->d_off;
	}
	return n;
}

static void make(struct walk *w, int fd, const char *stem, unsigned i, struct res *r)
{
	static const char *const ends[] = {".log", ".json",  ".tmp",
					   ".txt", ".jsonl", "-with-a-long-name-to-fill-the-reply.txt"};
	char name[NAME_MAX + 1];
	int file;

	snprintf(name, sizeof(name), "%s%03u%s", stem, i, ends[i % 6]);
	file = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (file < 0 || (i % 3 == 0 && write(file, "x\n", 2) != 2))
		res_ret(r, -1);
	else
		close(file);
	if (walk_find(w, name) == w->count && w->count < WALK_MAX)
		snprintf(w->name[w->count++], sizeof(w->name[0]), "%s", name);
}

/* Creates and removes files between the steps, and goes back now and then.
 * Each name that was there all the time must have come exactly once. */
static void walk(struct walk *w, int fd, uint64_t rng, struct res *r)
{
	unsigned before = w->count, back = 2, fresh = 0, i, times[WALK_MAX] = {0};

	while (walk_read(w, fd, r) > 0 && r->ret == 0) {
		i = (unsigned)rng_below(&rng, before);
		if (strncmp(w->name[i], "wk", 2) == 0 && !w->touched[i]) {
			if (unlinkat(fd, w->name[i], 0) < 0)
				res_ret(r, -1);
			w->touched[i] = true;
		}
		if (w->count < WALK_MAX) {
			w->touched[w->count] = true;
			make(w, fd, "wn", fresh++, r);
		}
		if (back > 0 && w->nseen > 0 && rng_below(&rng, 4) == 0) {
			back--;
			w->nseen = (unsigned)rng_below(&rng, w->nseen) + 1;
			if (lseek(fd, w->seen[w->nseen - 1].off, SEEK_SET) < 0)
				note(r, "seekdir: %s", errno_name(errno));
		}
	}
	for (i = 0; i < w->nseen; i++)
		times[w->seen[i].name]++;
	for (i = 0; i < before; i++)
		if (!w->touched[i] && times[i] != 1)
			note(r, "reading the directory while others changed shows \"%s\" %u times", w->name[i],
			     times[i]);
}

void run_dirwalk(struct side *s, const struct op *op, struct res *r)
{
	struct walk *w = xrealloc(NULL, sizeof(*w));
	int fd = open_dir(s, op->a[0]);

	memset(w, 0, sizeof(*w));
	res_ret(r, fd < 0 ? -1 : 0);
	for (long i = 0; r->ret == 0 && i < op->a[1] % 200; i++)
		make(w, fd, "wk", (unsigned)i, r);
	if (r->ret == 0) {
		/* Names that were there already are found by a first read, unchecked. */
		DIR *dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

		for (struct dirent *e; dir && (e = readdir(dir));)
			if (walk_find(w, e->d_name) == w->count && w->count < WALK_MAX / 2)
				snprintf(w->name[w->count++], sizeof(w->name[0]), "%s", e->d_name);
		if (dir)
			closedir(dir);
		walk(w, fd, (uint64_t)op->a[2], r);
	}
	for (unsigned i = 0; fd >= 0 && i < w->count; i++)
		if (strncmp(w->name[i], "wk", 2) == 0 || strncmp(w->name[i], "wn", 2) == 0)
			unlinkat(fd, w->name[i], 0);
	if (fd >= 0)
		close(fd);
	free(w);
}
