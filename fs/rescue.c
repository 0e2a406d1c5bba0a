#include "fs/rescue.h"
#include "fs/fs.h"
#include "fs/pax.h"
#include "fs/private.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the lower's path, so much goes into the name; the end of it, which tells most. */
#define STEM_MAX 150

/* --- names ---------------------------------------------------------------- */

void rescue_default_dir(char *path, size_t size)
{
	if (geteuid() == 0)
		snprintf(path, size, "/var/tmp/clawfs-rescue");
	else
		snprintf(path, size, "/var/tmp/clawfs-rescue-%u", (unsigned)geteuid());
}

int rescue_prepare(char *dir, size_t size, char *why, size_t why_size)
{
	bool existed;

	if (!dir[0]) {
		rescue_default_dir(dir, size);
		return 0;
	}
	int fd = private_dir_open(AT_FDCWD, dir, &existed, "rescues", "rescue_dir", why, why_size);
	if (fd < 0)
		return fd;
	char *real = realpath(dir, NULL);
	int rc = real ? 0 : -errno;
	if (real && (size_t)snprintf(dir, size, "%s", real) >= size)
		rc = -ENAMETOOLONG;
	if (rc < 0)
		snprintf(why, why_size, "rescue_dir %s: %s; name another directory", dir, strerror(-rc));
	free(real);
	close(fd);
	if (!existed)
		rmdir(dir);
	return rc;
}

struct stem {
	char text[STEM_MAX + 2];
};

/* "/home/pi/.secureclaw": "home-pi-.secureclaw-". */
static struct stem stem_of(const char *lower)
{
	struct stem s;

	lower += strspn(lower, "/");
	size_t len = strlen(lower);
	if (len > STEM_MAX)
		lower += len - STEM_MAX;
	snprintf(s.text, sizeof(s.text), "%s-", *lower ? lower : "root");
	for (char *c = s.text; *c; c++)
		if (*c == '/')
			*c = '-';
	return s;
}

/* The archive's name after the stem: "20261125T220703Z.tar". */
static bool is_stamp(const char *text)
{
	static const char form[] = "ddddddddTddddddZ.tar";

	for (size_t i = 0; i < sizeof(form); i++)
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;
	return true;
}

struct stamp {
	char text[32];
};

static struct stamp stamp_of(time_t now)
{
	struct stamp s;
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(s.text, sizeof(s.text), "%Y%m%dT%H%M%SZ", &tm);
	return s;
}

int rescue_find(const char *dir, const char *lower, char *path, size_t size)
{
	struct stem stem = stem_of(lower);
	char best[NAME_MAX + 1] = "";
	DIR *d = opendir(dir);

	if (!d)
		return -errno;
	for (struct dirent *e; (e = readdir(d));) {
		size_t len = strlen(stem.text);
		if (strncmp(e->d_name, stem.text, len) != 0 || !is_stamp(e->d_name + len))
			continue;
		if (strcmp(e->d_name, best) > 0)
			snprintf(best, sizeof(best), "%s", e->d_name);
	}
	closedir(d);
	if (!best[0])
		return -ENOENT;
	return (size_t)snprintf(path, size, "%s/%s", dir, best) < size ? 0 : -ENAMETOOLONG;
}

/* --- saving --------------------------------------------------------------- */

struct saving {
	struct clawfs *fs;
	int fd;
	unsigned char *dirs; /* bit by node: it is in the archive */
	struct pax_entry *entry;
	struct rescue_saved *saved;
	time_t now;
};

static int save_readme(struct saving *s)
{
	struct pax_entry *e = s->entry;
	char *text = NULL;
	int len = asprintf(&text,
			   "What clawfs held in RAM of %s, and could not write there, at %s (UTC).\n\n"
			   "clawfsctl recover applies it. By hand, in a directory D that has what was there\n"
			   "(%s itself, once it can be written, or a copy of it), as root, with this archive\n"
			   "unpacked in a directory R of its own (not in D):\n\n"
			   "  cp -a R/files/. D/             whole files; a newer one in D would be overwritten\n\n"
			   "and for each file R/tails/N/PATH, the end of a log from byte N on:\n\n"
			   "  truncate -s N D/PATH           not if D/PATH is shorter than N: then bytes are missing\n"
			   "  cat R/tails/N/PATH >> D/PATH\n",
			   s->fs->source, stamp_of(s->now).text, s->fs->source);

	if (len < 0)
		return -ENOMEM;
	memset(e, 0, sizeof(*e));
	snprintf(e->path, sizeof(e->path), "README");
	e->mode = 0600;
	e->size = len;
	e->mtime.tv_sec = s->now;
	int rc = pax_header(s->fd, e);
	if (rc == 0)
		rc = pax_write(s->fd, text, (size_t)len);
	if (rc == 0)
		rc = pax_pad(s->fd, len);
	free(text);
	return rc;
}

static void entry_fill(struct pax_entry *e, const struct stat *st, bool dir, off_t size)
{
	e->dir = dir;
	e->mode = st->st_mode & 07777;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->size = size;
	e->mtime = st->st_mtim;
}

/* The directories that lead to `dir`, and itself: each once. Tree lock held. */
static int save_dirs(struct saving *s, uint32_t dir)
{
	struct pax_entry *e = s->entry;
	struct stat st;

	if (dir == NODE_ROOT || !dir || s->dirs[dir / 8] & 1u << dir % 8)
		return 0;
	int rc = save_dirs(s, node_parent(&s->fs->nodes, dir));
	s->dirs[dir / 8] |= (unsigned char)(1u << dir % 8);
	/* The card may not even say that any more; whoever applies the archive has the directory. */
	if (rc < 0 || node_stat(s->fs, dir, &st) < 0)
		return rc;
	size_t len = (size_t)snprintf(e->path, sizeof(e->path), "files/");
	rc = node_path(&s->fs->nodes, dir, e->path + len, sizeof(e->path) - len);
	entry_fill(e, &st, true, 0);
	return rc < 0 ? rc : pax_header(s->fd, e);
}

static int save_bytes(struct saving *s, int fd, off_t from, off_t to)
{
	enum { CHUNK = 64 << 10 };
	char *buf = malloc(CHUNK);
	int rc = buf ? 0 : -ENOMEM;

	for (off_t off = from; rc == 0 && off < to;) {
		size_t want = to - off < CHUNK ? (size_t)(to - off) : CHUNK;
		ssize_t n = lower_pread(&s->fs->lower, fd, buf, want, off);
		/* The size is in the header already. */
		rc = n < 0 ? (int)n : (size_t)n < want ? -EIO : pax_write(s->fd, buf, want);
		off += n;
	}
	free(buf);
	return rc == 0 ? pax_pad(s->fd, to - from) : rc;
}

/* What a flush at the end would bring to the lower: the file in the upper, or while that is being rewritten the version
 * before (P3). -ENOENT when the lower has that. */
static int open_version(struct saving *s, struct file *f)
{
	pthread_mutex_lock(&s->fs->sched.lock);
	bool cut = f->policy.rewriting > 0 && f->policy.truncated;
	pthread_mutex_unlock(&s->fs->sched.lock);
	int fd = cut && f->marked ? upper_open_before(&s->fs->upper, f->marked) : -ENOENT;

	if (fd >= 0)
		return fd;
	if (cut && fs_node(s->fs, f->node)->flags & NODE_LOWER)
		return -ENOENT;
	fd = fcntl(f->fd_up, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static int save_file(struct saving *s, struct file *f)
{
	struct clawfs *fs = s->fs;
	struct pax_entry *e = s->entry;
	const struct node *n = fs_node(fs, f->node);
	bool tail = f->place == PLACE_TAIL && n->flags & NODE_LOWER;
	off_t from = tail ? f->flushed : 0;
	struct stat st;

	int rc = save_dirs(s, node_parent(&fs->nodes, f->node));
	int fd = rc < 0 ? rc : open_version(s, f);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	size_t len = (size_t)(tail ? snprintf(e->path, sizeof(e->path), "tails/%lld/", (long long)from)
				   : snprintf(e->path, sizeof(e->path), "files/"));
	if (rc == 0)
		rc = node_path(&fs->nodes, f->node, e->path + len, sizeof(e->path) - len);
	if (rc == 0) {
		entry_fill(e, &st, false, st.st_size - from);
		rc = pax_header(s->fd, e);
	}
	if (rc == 0)
		rc = save_bytes(s, fd, from, st.st_size);
	close(fd);
	s->saved->files++;
	s->saved->bytes += st.st_size - from;
	return rc;
}

static bool is_at_stake(struct clawfs *fs, struct file *f)
{
	pthread_mutex_lock(&fs->attach);
	bool used = f->refs > 0;
	pthread_mutex_unlock(&fs->attach);
	pthread_mutex_lock(&fs->sched.lock);
	bool dirty = f->policy.state != POLICY_CLEAN && f->policy.cls != CLASS_VOLATILE;
	pthread_mutex_unlock(&fs->sched.lock);
	return used && dirty && !f->orphan && f->place != PLACE_LOWER && fs_node(fs, f->node)->name;
}

static int save_all(struct saving *s)
{
	struct clawfs *fs = s->fs;
	uint32_t end = shm_table_end(fs->files);
	int rc = save_readme(s);

	pthread_rwlock_wrlock(&fs->tree);
	for (uint32_t i = 1; i < end && rc == 0; i++)
		if (is_at_stake(fs, file_at(fs, i)))
			rc = save_file(s, file_at(fs, i));
	pthread_rwlock_unlock(&fs->tree);
	if (rc == 0)
		rc = pax_end(s->fd);
	return rc;
}

static bool any_at_stake(struct clawfs *fs)
{
	uint32_t end = shm_table_end(fs->files);

	for (uint32_t i = 1; i < end; i++)
		if (is_at_stake(fs, file_at(fs, i)))
			return true;
	return false;
}

/* Gives the finished archive a name that is free: a clock without a battery may show a time again. */
static int put_name(struct saving *s, int dirfd, const char *part, const char *dir)
{
	struct stem stem = stem_of(s->fs->source);
	char name[NAME_MAX + 1];

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%s%s.tar", stem.text, stamp_of(s->now + i).text);
		if (renameat2(dirfd, part, dirfd, name, RENAME_NOREPLACE) == 0) {
			snprintf(s->saved->path, sizeof(s->saved->path), "%s/%s", dir, name);
			return fsync(dirfd) < 0 ? -errno : 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int rescue_save(struct clawfs *fs, const char *dir, time_t now, struct rescue_saved *saved, char *why, size_t why_size)
{
	struct saving s = {.fs = fs, .fd = -1, .saved = saved, .now = now};
	static const char part[] = "unfinished.tar";
	bool existed;

	*saved = (struct rescue_saved){0};
	if (!any_at_stake(fs))
		return 0;
	int dirfd = private_dir_open(AT_FDCWD, dir, &existed, "the rescue", "rescue_dir", why, why_size);
	if (dirfd < 0)
		return dirfd;
	s.entry = calloc(1, sizeof(*s.entry));
	s.dirs = calloc(1, shm_table_end(fs->nodes.table) / 8 + 1);
	/* A daemon that died over it left this. */
	unlinkat(dirfd, part, 0);
	s.fd = openat(dirfd, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int rc = !s.entry || !s.dirs ? -ENOMEM : s.fd < 0 ? -errno : save_all(&s);
	if (rc == 0 && fsync(s.fd) < 0)
		rc = -errno;
	if (rc == 0)
		rc = put_name(&s, dirfd, part, dir);
	if (rc < 0) {
		unlinkat(dirfd, part, 0);
		snprintf(why, why_size,
			 "cannot write to %s: %s; name a directory on another disk with -o rescue_dir=DIR", dir,
			 strerror(-rc));
		saved->path[0] = '\0';
	}
	if (s.fd >= 0)
		close(s.fd);
	close(dirfd);
	free(s.entry);
	free(s.dirs);
	return rc;
}
