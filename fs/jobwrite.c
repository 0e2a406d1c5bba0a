/* A job's bytes, to the lower, and nobody waits for the card with a lock held. */
#include "fs/crashpoint.h"
#include "fs/job.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, COPY_TRIES = 3 };

static int write_range(const struct lower *l, int src, int dst, off_t from, off_t to)
{
	size_t size = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
	char *buf = malloc(size ? size : 1);
	int rc = 0;

	if (!buf)
		return -ENOMEM;
	for (off_t off = from; off < to && rc == 0;) {
		size_t len = to - off < CHUNK ? (size_t)(to - off) : CHUNK;
		ssize_t n = lower_pread(l, src, buf, len, off);
		if (n < 0)
			rc = (int)n;
		if (n <= 0)
			break;
		rc = lower_pwrite(l, dst, buf, (size_t)n, off);
		off += n;
	}
	free(buf);
	return rc;
}

/* Gives the lower file what stat shows on the mount (exact mtime: the
 * application compares it for equality). */
static int set_attributes(const struct lower *l, int fd, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	struct stat now;

	if (l->sys->fstat(fd, &now) < 0)
		return -errno;
	if ((now.st_uid != st->st_uid || now.st_gid != st->st_gid) && l->sys->fchown(fd, st->st_uid, st->st_gid) < 0)
		return -errno;
	/* After fchown, which clears set-id bits. */
	if ((now.st_mode & 07777) != (st->st_mode & 07777) || st->st_mode & 06000)
		if (l->sys->fchmod(fd, st->st_mode & 07777) < 0)
			return -errno;
	return l->sys->futimens(fd, times) < 0 ? -errno : 0;
}

/* Opens the lower log, creating it when the lower has none. The name is under way meanwhile, so that an unlink comes
 * either before (then it is not created) or after (then it removes it). */
static int open_log(struct clawfs *fs, struct job *job)
{
	struct underway_name under = {.parent = job->parent, .name = job->name};
	struct stat st;
	int rc;

	underway_lock(fs, job->parent, job->name);
	struct node *n = fs_node(fs, job->node);
	bool make = !(n->flags & NODE_LOWER);
	job->cancelled = node_find(&fs->nodes, job->parent, job->name) != job->node;
	rc = job->cancelled ? 0 : job_hold_dir(fs, job);
	if (rc < 0 || job->cancelled) {
		pthread_rwlock_unlock(&fs->tree);
		return rc;
	}
	if (make)
		dir_hold_times(fs, job->parent);
	underway_begin(fs, &under);
	pthread_rwlock_unlock(&fs->tree);

	CRASH_POINT("job: open log");
	if (make)
		rc = lower_open(&fs->lower, job->dir, job->name, O_RDWR | O_CREAT | O_EXCL, 0600);
	else
		rc = lower_open_own(&fs->lower, job->dir, job->name, O_RDWR);
	job->fd = rc < 0 ? -1 : rc;
	/* A failed try may have made the name without syncing it. */
	if (make && rc >= 0)
		lowernames_add(fs->nodes.lower, job->parent, job->name);
	job->created |= make ? rc >= 0 : job->retry || job->distrust;

	pthread_rwlock_wrlock(&fs->tree);
	underway_end(fs, &under);
	if (make && rc >= 0 && fs->lower.sys->fstat(rc, &st) == 0)
		node_set_lower(&fs->nodes, job->node, st.st_dev, st.st_ino);
	pthread_rwlock_unlock(&fs->tree);
	return rc < 0 ? rc : 0;
}

/* Written over in place, pages that could not be written out before may still not get there: ext4 writes them to blocks
 * that it had promised, and goes on reading those as unwritten. So the blocks are given back first. */
static int cut_distrusted(const struct lower *l, int fd, off_t from)
{
	struct stat st;

	if (l->sys->fstat(fd, &st) < 0 || (st.st_size > from && l->sys->ftruncate(fd, from) < 0))
		return -errno;
	return 0;
}

static int write_tail(struct clawfs *fs, struct job *job)
{
	int rc = open_log(fs, job);

	if (rc < 0 || job->cancelled)
		return rc;
	if (job->distrust) {
		rc = cut_distrusted(&fs->lower, job->fd, job->from);
		if (rc < 0)
			return rc;
	}
	rc = write_range(&fs->lower, job->src, job->fd, job->from, job->to);
	return rc < 0 ? rc : set_attributes(&fs->lower, job->fd, &job->st);
}

/* Whether the lower's file has these very bytes, so that a save need not be
 * written. Leaves it open in job->fd. */
static bool is_identical(struct clawfs *fs, struct job *job)
{
	struct stat st;
	bool same = false;
	int fd = -1;

	pthread_rwlock_rdlock(&fs->tree);
	const struct node *n = fs_node(fs, job->node);
	bool there = !(n->flags & NODE_ORPHAN) && n->flags & NODE_LOWER && n->lineage == job->lineage &&
		     job_hold_dir(fs, job) == 0;
	pthread_rwlock_unlock(&fs->tree);
	if (there)
		fd = lower_open_own(&fs->lower, job->dir, job->name, O_RDONLY);
	if (fd >= 0 && (fs->lower.sys->fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != job->st.st_size)) {
		close(fd);
		fd = -1;
	}
	/* What a save by rename replaces takes its attributes with it. */
	if (fd >= 0 && !job->own && fs->lower.sys->listxattr(lower_fdpath(fd).text, NULL, 0) > 0) {
		close(fd);
		fd = -1;
	}
	/* The replaced version may still be open or known to the kernel as a
	 * node of its own; then the two must not share the lower's file. */
	pthread_rwlock_rdlock(&fs->tree);
	uint32_t other = fd >= 0 ? node_find_lower(&fs->nodes, st.st_dev, st.st_ino) : 0;
	pthread_rwlock_unlock(&fs->tree);
	if (other && other != job->node) {
		close(fd);
		fd = -1;
	}
	if (fd < 0)
		return false;

	char *a = malloc(2 * (size_t)CHUNK);
	if (a) {
		char *b = a + CHUNK;
		same = true;
		for (off_t off = 0; off < job->st.st_size && same;) {
			ssize_t n1 = lower_pread(&fs->lower, job->src, a, CHUNK, off);
			ssize_t n2 = lower_pread(&fs->lower, fd, b, CHUNK, off);
			same = n1 > 0 && n1 == n2 && memcmp(a, b, (size_t)n1) == 0;
			off += n1 > 0 ? n1 : 0;
		}
		free(a);
	}
	/* Compared while it was written: no answer. */
	struct file *f = file_at(fs, job->slot);
	pthread_rwlock_rdlock(&f->lock);
	same = same && f->version == job->version;
	pthread_rwlock_unlock(&f->lock);
	if (same)
		job->fd = fd;
	else
		close(fd);
	return same;
}

/* A fresh file for the replacement: in the temporary directory, or beside the
 * target when that is on another device. */
static int open_temp(struct clawfs *fs, struct job *job)
{
	struct upper_work unique = upper_work_name(&fs->upper);
	struct stat st;

	pthread_rwlock_rdlock(&fs->tree);
	/* Its directory may be gone too, and the number be another's. */
	job->cancelled = !job_current(fs, job);
	int rc = job->cancelled ? 0 : job_hold_dir(fs, job);
	pthread_rwlock_unlock(&fs->tree);
	if (rc < 0 || job->cancelled)
		return rc;
	int temp = dir_temp(fs);
	if (temp < 0 || fs->lower.sys->fstat(job->dir, &st) < 0 || st.st_dev != fs->lower.dev) {
		temp = job->dir;
		snprintf(job->temp, sizeof(job->temp), LOWER_TEMP_PREFIX "%s", unique.text);
	} else {
		snprintf(job->temp, sizeof(job->temp), "%s", unique.text);
	}
	int fd = lower_open(&fs->lower, temp, job->temp, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return fd;
	job->fd = fd;
	job->temp_dir = fcntl(temp, F_DUPFD_CLOEXEC, 0);
	if (job->temp_dir >= 0)
		return 0;
	fs->lower.sys->unlinkat(temp, job->temp, 0);
	return -EMFILE;
}

/* Whether its writer cut the file after the job began. File lock held. */
static bool rewrite_began(struct clawfs *fs, const struct job *job)
{
	struct file *f = file_at(fs, job->slot);

	pthread_mutex_lock(&fs->sched.lock);
	bool began = f->policy.rewriting > 0 && !job->rewriting;
	pthread_mutex_unlock(&fs->sched.lock);
	return began;
}

/* Copies one version: what was written while it was copied starts it over, so
 * that no mixture of two is taken (P3). */
static int copy_version(struct clawfs *fs, struct job *job)
{
	struct file *f = file_at(fs, job->slot);
	int rc = 0;

	for (int i = 0; i < COPY_TRIES; i++) {
		bool last = i == COPY_TRIES - 1;
		/* The last try keeps writers out. */
		pthread_rwlock_rdlock(&f->lock);
		uint64_t before = f->version;
		job->aborted = rewrite_began(fs, job);
		if (!last || job->aborted)
			pthread_rwlock_unlock(&f->lock);
		if (job->aborted)
			return 0;
		if (fstat(job->src, &job->st) < 0)
			rc = -errno;
		job->to = job->st.st_size;
		if (rc == 0)
			rc = write_range(&fs->lower, job->src, job->fd, 0, job->to);
		if (rc == 0 && i > 0 && fs->lower.sys->ftruncate(job->fd, job->to) < 0)
			rc = -errno;
		if (!last)
			pthread_rwlock_rdlock(&f->lock);
		bool same = f->version == before;
		job->aborted = rewrite_began(fs, job);
		pthread_rwlock_unlock(&f->lock);
		if (rc < 0 || same || job->aborted)
			return rc;
	}
	return rc;
}

static int write_whole(struct clawfs *fs, struct job *job)
{
	int rc;

	if (!job->retry && !job->distrust && is_identical(fs, job)) {
		struct stat st;
		job->identical = true;
		if (fs->lower.sys->fstat(job->fd, &st) < 0)
			return -errno;
		if (st.st_uid != job->st.st_uid || st.st_gid != job->st.st_gid ||
		    (st.st_mode & 07777) != (job->st.st_mode & 07777))
			return set_attributes(&fs->lower, job->fd, &job->st);
		return 0;
	}
	rc = open_temp(fs, job);
	if (rc < 0 || job->cancelled)
		return rc;
	rc = copy_version(fs, job);
	if (rc == 0 && job->own) {
		/* Rewritten in place: what hangs on the file stays on it. */
		int old = lower_open_own(&fs->lower, job->dir, job->name, O_RDONLY);
		if (old >= 0) {
			rc = lower_copy_xattrs(&fs->lower, old, job->fd);
			close(old);
		}
	}
	if (rc == 0)
		rc = set_attributes(&fs->lower, job->fd, &job->st);
	return rc;
}

void job_write(struct clawfs *fs, struct job *job)
{
	if (job->error)
		return;
	job->error = job->append ? write_tail(fs, job) : write_whole(fs, job);
	/* What was taken is gone; to the steps that follow there is no such job. */
	job->cancelled |= job->aborted;
}
