/* What an interrupted job leaves, at every point, is one of: nothing (the
 * replacement lies in the temporary directory, which the next mount empties,
 * P12); a longer prefix of a log (P2); the complete new version (P3). */
#include "fs/job.h"
#include "fs/crashpoint.h"
#include "fs/fileimpl.h"
#include "fs/names.h"
#include "fs/observe.h"
#include "fs/rotate.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, COPY_TRIES = 3 };

/* --- begin --------------------------------------------------------------- */

/* Where the last complete line ends, so that a power cut costs whole lines;
 * `to` when there is no line end at all: then it has waited long enough. */
static off_t line_end(const struct lower *lower, int fd, off_t from, off_t to)
{
	char buf[16384];

	for (off_t end = to; end > from;) {
		off_t start = end - from > (off_t)sizeof(buf) ? end - (off_t)sizeof(buf) : from;
		ssize_t n = lower_pread(lower, fd, buf, (size_t)(end - start), start);
		if (n <= 0)
			return to;
		const char *nl = memrchr(buf, '\n', (size_t)n);
		if (nl)
			return start + (nl - buf) + 1;
		end = start;
	}
	return to;
}

bool job_begin(struct clawfs *fs, struct job *job, uint32_t slot, enum policy_cause cause)
{
	struct file *f = file_at(fs, slot);
	msec_t now = clock_now();
	bool urgent_or_interval;

	memset(job, 0, sizeof(*job));
	job->slot = slot;
	job->src = job->fd = job->temp_dir = -1;
	job->begin = now;

	/* A file in RAM whose directory is in RAM too needs the directory first. */
	pthread_rwlock_rdlock(&fs->tree);
	uint32_t parent = node_parent(&fs->nodes, f->node);
	bool dir_in_ram = parent && !dir_on_lower(fs, parent);
	pthread_rwlock_unlock(&fs->tree);
	if (dir_in_ram) {
		pthread_rwlock_wrlock(&fs->tree);
		parent = node_parent(&fs->nodes, f->node);
		if (parent)
			job->error = dir_materialise(fs, parent, now);
		pthread_rwlock_unlock(&fs->tree);
	}

	pthread_rwlock_rdlock(&fs->tree);
	pthread_rwlock_wrlock(&f->lock);
	observe_look(fs, slot, now);
	pthread_mutex_lock(&fs->sched.lock);
	const struct node *n = fs_node(fs, f->node);
	bool dirty = f->policy.state == POLICY_DIRTY && f->place != PLACE_LOWER && !f->orphan && n->name;
	/* It may have begun to be rewritten since it was collected. A wish for durability says so by `demanded`. */
	if (dirty && f->policy.rewriting > 0 && (cause == CAUSE_NONE || cause == CAUSE_PRESSURE) &&
	    policy_file_due(&f->policy, &fs->config) > now) {
		dirty = false;
		sched_update(fs, slot, f);
	}
	if (dirty) {
		job->cause = cause != CAUSE_NONE ? cause : policy_file_cause(&f->policy, &fs->config, now);
		job->retry = f->policy.failures > 0;
		job->rewriting = f->policy.rewriting > 0;
		policy_file_flush_begin(&f->policy, now);
		f->in_flight_saves = f->saves;
		f->saves = 0;
		sched_update(fs, slot, f);
	}
	pthread_mutex_unlock(&fs->sched.lock);
	if (dirty) {
		const struct name *name = name_at(&fs->nodes, n->name);
		job->active = true;
		job->node = f->node;
		job->parent = name->parent;
		memcpy(job->name, name->text, (size_t)name->len + 1);
		job->lineage = n->lineage;
		job->version = f->version;
		job->cls = f->cls;
		job->append = f->place == PLACE_TAIL;
		job->distrust = f->distrust;
		job->own = n->flags & NODE_OWN;
		job->src = fcntl(f->fd_up, F_DUPFD_CLOEXEC, 0);
		if (job->src < 0 || fstat(job->src, &job->st) < 0)
			job->error = -errno;
		job->from = job->append ? f->flushed : 0;
		job->to = job->st.st_size;
		urgent_or_interval = job->cause != CAUSE_SYNC && job->cause != CAUSE_END && job->cause != CAUSE_CLASS;
		if (!job->error && job->append && urgent_or_interval) {
			job->to = line_end(&fs->lower, job->src, job->from, job->to);
			off_t to = rotate_flush_to(fs, slot, job->src, job->from, job->to);
			job->followed = to < job->to;
			job->to = to;
			job->left = job->to < job->st.st_size;
		}
	}
	pthread_rwlock_unlock(&f->lock);
	pthread_rwlock_unlock(&fs->tree);
	if (dirty)
		file_ref(fs, slot);
	return dirty;
}

/* --- write --------------------------------------------------------------- */

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

/* The application did not change the directory now: it did when it made the
 * name. So a flush leaves the directory's times as the mount shows them. */
static void dir_keep_times(struct clawfs *fs, uint32_t dir, const struct stat *shown)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, shown->st_mtim};
	int fd = dir_lower(fs, dir);

	if (fd >= 0)
		fs->lower.sys->utimensat(AT_FDCWD, lower_fdpath(fd).text, times, 0);
}

/* Opens the lower log, creating it under the tree lock, so that an unlink
 * comes either before (then it is not created) or after (then it removes it). */
static int open_log(struct clawfs *fs, struct job *job)
{
	int rc = 0;

	pthread_rwlock_wrlock(&fs->tree);
	struct node *n = fs_node(fs, job->node);
	if (node_find(&fs->nodes, job->parent, job->name) != job->node) {
		job->cancelled = true;
		goto out;
	}
	int dirfd = dir_lower(fs, job->parent);
	if (dirfd < 0) {
		rc = dirfd;
		goto out;
	}
	if (n->flags & NODE_LOWER) {
		rc = lower_open_own(&fs->lower, dirfd, job->name, O_RDWR);
		/* The failed try may have made the name without syncing it. */
		job->created |= job->retry || job->distrust;
	} else {
		struct stat st, shown;
		bool known = node_stat(fs, job->parent, &shown) == 0;
		rc = lower_open(&fs->lower, dirfd, job->name, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (rc >= 0) {
			job->created = true;
			if (known)
				dir_keep_times(fs, job->parent, &shown);
			if (fs->lower.sys->fstat(rc, &st) == 0)
				node_set_lower(&fs->nodes, job->node, st.st_dev, st.st_ino);
		}
	}
out:
	pthread_rwlock_unlock(&fs->tree);
	if (rc > 0)
		job->fd = rc;
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
	if (!(n->flags & NODE_ORPHAN) && n->flags & NODE_LOWER && n->lineage == job->lineage) {
		int dirfd = dir_lower(fs, job->parent);
		if (dirfd >= 0)
			fd = lower_open_own(&fs->lower, dirfd, job->name, O_RDONLY);
	}
	if (fd >= 0 && (fs->lower.sys->fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != job->st.st_size)) {
		close(fd);
		fd = -1;
	}
	/* The replaced version may still be open or known to the kernel as a
	 * node of its own; then the two must not share the lower's file. */
	/* What a save by rename replaces takes its attributes with it. */
	if (fd >= 0 && !job->own && fs->lower.sys->listxattr(lower_fdpath(fd).text, NULL, 0) > 0) {
		close(fd);
		fd = -1;
	}
	uint32_t other = fd >= 0 ? node_find_lower(&fs->nodes, st.st_dev, st.st_ino) : 0;
	if (other && other != job->node) {
		close(fd);
		fd = -1;
	}
	pthread_rwlock_unlock(&fs->tree);
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

/* What the mount now has under the job's name is (a successor of) this file. */
static uint32_t current_node(struct clawfs *fs, const struct job *job)
{
	uint32_t cur = node_find(&fs->nodes, job->parent, job->name);

	return cur && fs_node(fs, cur)->lineage == job->lineage && fs_node(fs, cur)->flags & NODE_UPPER ? cur : 0;
}

/* A fresh file for the replacement: in the temporary directory, or beside the
 * target when that is on another device. */
static int open_temp(struct clawfs *fs, struct job *job)
{
	struct upper_work unique = upper_work_name(&fs->upper);
	struct stat st;
	int fd;

	pthread_rwlock_wrlock(&fs->tree);
	/* Its directory may be gone too, and the number be another's. */
	if (!current_node(fs, job)) {
		job->cancelled = true;
		pthread_rwlock_unlock(&fs->tree);
		return 0;
	}
	int dir = dir_lower(fs, job->parent);
	int temp = dir < 0 ? dir : lower_temp_dir(&fs->lower);
	if (dir >= 0 && (temp < 0 || fs->lower.sys->fstat(dir, &st) < 0 || st.st_dev != fs->lower.dev)) {
		temp = dir;
		snprintf(job->temp, sizeof(job->temp), LOWER_TEMP_PREFIX "%s", unique.text);
	} else {
		snprintf(job->temp, sizeof(job->temp), "%s", unique.text);
	}
	if (temp >= 0) {
		fd = lower_open(&fs->lower, temp, job->temp, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd >= 0) {
			job->temp_dir = fcntl(temp, F_DUPFD_CLOEXEC, 0);
			job->fd = fd;
		}
	} else {
		fd = temp;
	}
	pthread_rwlock_unlock(&fs->tree);
	return fd < 0 ? fd : job->temp_dir < 0 ? -EMFILE : 0;
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
		pthread_rwlock_rdlock(&fs->tree);
		int dir = dir_lower(fs, job->parent);
		int old = dir < 0 ? dir : lower_open_own(&fs->lower, dir, job->name, O_RDONLY);
		pthread_rwlock_unlock(&fs->tree);
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

/* --- commit -------------------------------------------------------------- */

/* The readers of the file go on, on the lower's new file. */
static void take_descriptor(struct clawfs *fs, struct job *job)
{
	struct file *f = file_at(fs, job->slot);

	pthread_rwlock_wrlock(&f->lock);
	if (job->append && f->place == PLACE_TAIL) {
		CRASH_POINT("job: book tail");
		f->flushed = job->to;
		CRASH_POINT("job: punch");
		file_punch(fs, job->slot);
		if (f->fd_rd < 0)
			f->fd_rd = fcntl(job->fd, F_DUPFD_CLOEXEC, 0);
	} else if (!job->append) {
		/* They were on the file that has just been replaced. */
		file_close_lower(f);
		/* What was flushed while it was rewritten is newer than the version before. A rewrite that began
		 * later still needs that. */
		if (job->rewriting)
			file_unmark(fs, job->slot);
	}
	pthread_rwlock_unlock(&f->lock);
}

static void commit_whole(struct clawfs *fs, struct job *job)
{
	struct stat st;
	uint32_t cur = current_node(fs, job);

	/* A log in the upper is a tail of the lower's file of its name: it
	 * cannot be given another's. */
	if (!cur || (cur != job->node && class_is_tail(file_classify(fs, job->parent, job->name)))) {
		job->cancelled = true;
		return;
	}
	if (fs->lower.sys->fstat(job->fd, &st) < 0) {
		job->error = -errno;
		return;
	}
	if (!job->identical) {
		int dir = dir_lower(fs, job->parent);
		struct stat shown;
		bool known = node_stat(fs, job->parent, &shown) == 0;
		/* So that a successor knows whose the lower's new file is. */
		file_at(fs, job->slot)->committing = cur == job->node ? st.st_ino : 0;
		if (dir < 0 || fs->lower.sys->renameat2(job->temp_dir, job->temp, dir, job->name, 0) < 0) {
			job->error = dir < 0 ? dir : -errno;
			return;
		}
		if (known)
			dir_keep_times(fs, job->parent, &shown);
		close(job->temp_dir);
		job->temp_dir = -1;
		job->created = true;
	}
	if (cur == job->node) {
		CRASH_POINT("job: set lower");
		node_set_lower(&fs->nodes, cur, st.st_dev, st.st_ino);
		CRASH_POINT("job: take descriptor");
		take_descriptor(fs, job);
		CRASH_POINT("job: set times");
		struct node *n = fs_node(fs, cur);
		/* Before the flag says that it counts. */
		n->mtime = job->st.st_mtim;
		if (job->identical && !(n->flags & NODE_TIMES)) {
			n->flags |= NODE_TIMES;
			__atomic_add_fetch(&fs->sched.times_pending, 1, __ATOMIC_RELEASE);
		}
		if (!job->identical && n->flags & NODE_TIMES) {
			n->flags &= ~(uint32_t)NODE_TIMES;
			__atomic_sub_fetch(&fs->sched.times_pending, 1, __ATOMIC_RELEASE);
		}
	} else if (!(fs_node(fs, cur)->flags & NODE_LOWER)) {
		/* A successor that was in RAM only now hides an older version. */
		node_ram_remove(&fs->nodes, cur);
		fs_node(fs, cur)->flags |= NODE_LOWER;
	}
}

void job_commit(struct clawfs *fs, struct job *job)
{
	if (job->error || job->cancelled)
		return;
	pthread_rwlock_wrlock(&fs->tree);
	if (!job->append)
		commit_whole(fs, job);
	else if (node_find(&fs->nodes, job->parent, job->name) == job->node)
		take_descriptor(fs, job);
	else
		job->cancelled = true;
	pthread_rwlock_unlock(&fs->tree);
}

/* --- end ----------------------------------------------------------------- */

static void report(struct clawfs *fs, const struct job *job, msec_t now)
{
	struct file *f = file_at(fs, job->slot);
	uint64_t merged = f->in_flight_saves;

	if (job->error && !job->retry)
		log_error(fs->log, "cannot flush %s: %s; it stays in RAM and is tried again", job->name,
			  strerror(-job->error));
	if (!job->error && job->retry)
		log_info(fs->log, "flushed %s after an earlier failure", job->name);
	if (job->cancelled)
		return;
	stats_flush(fs->stats, now,
		    &(struct stats_flush){
			    .cls = job->cls,
			    .cause = job->cause,
			    .bytes = (uint64_t)(job->to - job->from),
			    .coalesced = merged > 1 ? merged - 1 : 0,
			    .identical = job->identical,
			    .error = job->error,
			    .us = (now - job->begin) * 1000,
		    });
}

/* Whether the lower still can be believed in what it shows of the file; said in the upper too, for a mount to come
 * (recover.c). Tree lock and file lock held for writing. */
static void note_trust(struct clawfs *fs, const struct job *job)
{
	struct file *f = file_at(fs, job->slot);

	if (job->aborted || job->cancelled || f->place == PLACE_LOWER || f->orphan)
		return;
	if (!job->error && f->distrust) {
		f->distrust = false;
		if (f->place == PLACE_TAIL)
			file_unmark(fs, job->slot);
	} else if (job->sync_failed || job->error == -EIO) {
		f->distrust = true;
		if (f->place == PLACE_TAIL && job->append && !f->marked) {
			int rc = upper_mark_tail(&fs->upper, job->st.st_ino, f->flushed);
			if (rc < 0)
				log_warn(fs->log, "cannot mark %s in the upper: %s", job->name, strerror(-rc));
			else
				f->marked = job->st.st_ino;
		}
	}
}

void job_end(struct clawfs *fs, struct job *job, msec_t now)
{
	struct file *f = file_at(fs, job->slot);

	if (job->temp_dir >= 0) {
		fs->lower.sys->unlinkat(job->temp_dir, job->temp, 0);
		close(job->temp_dir);
	}
	if (job->fd >= 0)
		close(job->fd);
	if (job->src >= 0)
		close(job->src);
	report(fs, job, now);

	pthread_rwlock_wrlock(&fs->tree);
	pthread_rwlock_wrlock(&f->lock);
	bool orphan = f->orphan;
	note_trust(fs, job);
	pthread_rwlock_unlock(&f->lock);
	pthread_mutex_lock(&fs->sched.lock);
	if (job->aborted)
		policy_file_flush_abort(&f->policy);
	else
		policy_file_flush_end(&f->policy, &fs->config, now, job->error, job->left && !job->cancelled);
	/* They have waited as long as the others (P4). */
	if (job->followed && !job->error)
		policy_file_demand(&f->policy);
	if (job->error || job->aborted)
		f->saves += f->in_flight_saves;
	if (orphan && f->policy.state == POLICY_DIRTY)
		policy_file_drop(&f->policy);
	/* Cancelled while it has a name: it was renamed, which made it dirty again. */
	sched_update(fs, job->slot, f);
	pthread_cond_broadcast(&fs->sched.changed);
	bool clean = f->policy.state == POLICY_CLEAN;
	pthread_mutex_unlock(&fs->sched.lock);
	uint32_t node = job->node;
	if (clean && !orphan)
		file_settle(fs, job->slot);
	if (job->append && job->cls == CLASS_LOG && !job->error && !job->cancelled && !orphan)
		life_closed_node(fs, node, true, now);
	file_put(fs, job->slot);
	node_reap(&fs->nodes, node);
	pthread_rwlock_unlock(&fs->tree);
}
