#include "fs/crashpoint.h"
#include "fs/fileimpl.h"
#include "fs/fs.h"
#include "fs/observe.h"
#include "fs/rotate.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void file_account(struct clawfs *fs, struct file *f, off_t size)
{
	bool holes = f->place == PLACE_TAIL && !f->filled;

	sched_account(fs, f, (uint64_t)(size - (holes ? PAGE_FLOOR(f->flushed) : 0)));
}

void file_adopt(struct clawfs *fs, uint32_t slot, enum file_place place, off_t flushed, int fd_up, off_t size)
{
	struct file *f = file_at(fs, slot);

	f->place = place;
	f->flushed = flushed;
	f->fd_up = fd_up;
	f->version++;
	file_ref(fs, slot);
	pthread_mutex_lock(&fs->sched.lock);
	fs->sched.files++;
	file_account(fs, f, size);
	pthread_mutex_unlock(&fs->sched.lock);
}

int file_copy_bytes(const struct lower *lower, int from, int to, off_t size)
{
	enum { CHUNK = 256 << 10 };
	char *buf = malloc(CHUNK);
	int rc = 0;

	if (!buf)
		return -ENOMEM;
	for (off_t off = 0; off < size && rc == 0;) {
		ssize_t n = lower_pread(lower, from, buf, CHUNK, off);
		if (n <= 0) {
			rc = (int)n;
			break;
		}
		rc = lower_pwrite(lower, to, buf, (size_t)n, off);
		off += n;
	}
	free(buf);
	return rc;
}

int file_copy_attributes(int fd, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};

	if ((st->st_uid != geteuid() || st->st_gid != getegid()) && fchown(fd, st->st_uid, st->st_gid) < 0 &&
	    errno != EPERM)
		return -errno;
	if (fchmod(fd, st->st_mode & 07777) < 0 || futimens(fd, times) < 0)
		return -errno;
	return 0;
}

/* The file open on `fd`, not in the tree yet, begins a new version. */
static int mark_upper(struct clawfs *fs, struct file *f, int fd, int updir, const char *name, bool kept)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	int rc = upper_mark(&fs->upper, st.st_ino, updir, name, kept);
	if (rc == 0)
		f->marked = st.st_ino;
	return rc;
}

/* Gives the file built as `work` its name in the tree, if all went well so far (`rc`); else takes it away. */
static int place_upper(struct clawfs *fs, uint32_t slot, int rc, int fd, const struct upper_work *work, int updir,
		       const char *name)
{
	if (rc == 0 && renameat(fs->upper.work, work->text, updir, name) < 0)
		rc = -errno;
	if (rc < 0) {
		file_unmark(fs, slot);
		close(fd);
		unlinkat(fs->upper.work, work->text, 0);
	}
	return rc;
}

int file_renew(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	struct upper_work work = upper_work_name(&fs->upper);
	struct stat st;
	int updir;
	const char *name;

	int rc = node_place_upper(fs, f->node, &updir, &name);
	if (rc < 0)
		return rc;
	if (fstat(f->fd_up, &st) < 0)
		return -errno;
	int fd = openat(fs->upper.work, work.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	st.st_mtim.tv_nsec = UTIME_NOW;
	rc = file_copy_attributes(fd, &st);
	if (rc == 0)
		rc = mark_upper(fs, f, fd, updir, name, true);
	rc = place_upper(fs, slot, rc, fd, &work, updir, name);
	if (rc < 0)
		return rc;
	observe_forget(fs, f);
	int old = f->fd_up;
	__atomic_store_n(&f->fd_up, fd, __ATOMIC_RELEASE);
	close(old);
	return 0;
}

void file_close_upper(struct clawfs *fs, struct file *f)
{
	observe_forget(fs, f);
	file_close_fd(&f->fd_up);
}

/* That was ours, not the application's: the mtime stays, unless it was written meanwhile. */
static void keep_mtime(struct clawfs *fs, struct file *f, const struct stat *before)
{
	const struct timespec times[2] = {before->st_atim, before->st_mtim};
	const struct timespec current[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
	struct stat after;

	if (futimens(f->fd_up, times) < 0)
		log_warn(fs->log, "cannot keep the times of a file in the upper: %s", strerror(errno));
	else if (f->io == FILE_IO_UPPER && fstat(f->fd_up, &after) == 0 && after.st_size != before->st_size)
		futimens(f->fd_up, current);
}

int file_fill(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	off_t head = PAGE_FLOOR(f->flushed);
	struct stat st = {0};
	int rc = 0;

	if (f->place != PLACE_TAIL || f->filled)
		return 0;
	if (head > 0) {
		rc = file_open_lower(fs, f, true, false, true);
		if (rc == 0 && fstat(f->fd_up, &st) < 0)
			rc = -errno;
		if (rc == 0)
			rc = file_copy_bytes(&fs->lower, f->fd_rd, f->fd_up, head);
		if (rc < 0) {
			fallocate(f->fd_up, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, head);
			return rc;
		}
		keep_mtime(fs, f, &st);
	}
	f->filled = true;
	pthread_mutex_lock(&fs->sched.lock);
	file_account(fs, f, file_fd_size(f->fd_up));
	pthread_mutex_unlock(&fs->sched.lock);
	return 0;
}

int file_make_whole(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	int rc = file_fill(fs, slot);

	if (rc < 0 || f->place != PLACE_TAIL)
		return rc;
	/* What is whole needs no belief in the lower. */
	file_unmark(fs, slot);
	f->filled = false;
	f->place = PLACE_WHOLE;
	f->flushed = 0;
	return 0;
}

int file_raise(struct clawfs *fs, uint32_t slot, bool tail, bool empty, bool mark)
{
	struct file *f = file_at(fs, slot);
	struct node *n = fs_node(fs, f->node);
	struct upper_work work = upper_work_name(&fs->upper);
	int updir;
	const char *name;
	struct stat st;

	int rc = file_open_lower(fs, f, true, false, true);
	if (rc < 0)
		return rc;
	if (fs->lower.sys->fstat(f->fd_rd, &st) < 0)
		return -errno;
	rc = node_place_upper(fs, f->node, &updir, &name);
	if (rc < 0)
		return rc;
	int fd = openat(fs->upper.work, work.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (tail) {
		/* Whole pages are either holes or real content (see recover.c),
		 * so the page in which the tail begins is brought along. */
		char page[4096];
		off_t start = PAGE_FLOOR(st.st_size);
		ssize_t len = lower_pread(&fs->lower, f->fd_rd, page, (size_t)(st.st_size - start), start);
		if (ftruncate(fd, st.st_size) < 0)
			rc = -errno;
		else if (len < 0)
			rc = (int)len;
		else
			rc = lower_pwrite(&fs->lower, fd, page, (size_t)len, start);
	} else if (!empty) {
		rc = file_copy_bytes(&fs->lower, f->fd_rd, fd, st.st_size);
	}
	if (rc == 0)
		rc = file_copy_attributes(fd, &st);
	if (rc == 0 && mark)
		rc = mark_upper(fs, f, fd, updir, name, false);
	rc = place_upper(fs, slot, rc, fd, &work, updir, name);
	if (rc < 0)
		return rc;
	/* A tail goes on reading its head there. */
	if (!tail)
		file_close_lower(f);
	CRASH_POINT("file: raised");
	n->flags |= NODE_UPPER;
	CRASH_POINT("file: adopt");
	file_adopt(fs, slot, tail ? PLACE_TAIL : PLACE_WHOLE, tail ? st.st_size : 0, fd, file_fd_size(fd));
	return 0;
}

/* Takes a clean file out of the upper. Locks as file_raise. */
static void drop_file(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	struct node *n = fs_node(fs, f->node);
	int updir;
	const char *name = "of no name";

	/* Without the descriptors that open handles need, it stays: clean, but in RAM. */
	int rc = file_open_needed(fs, f, true);
	if (rc == 0)
		rc = node_place_upper(fs, f->node, &updir, &name);
	if (rc == 0 && unlinkat(updir, name, 0) < 0)
		rc = -errno;
	if (rc < 0) {
		log_warn(fs->log, "cannot move a flushed file out of RAM: %s; trying again later (%s)", strerror(-rc),
			 name);
		return;
	}
	file_unmark(fs, slot);
	file_close_upper(fs, f);
	f->place = PLACE_LOWER;
	f->filled = false;
	f->flushed = 0;
	f->distrust = false;
	n->flags &= ~(uint32_t)NODE_UPPER;
	pthread_mutex_lock(&fs->sched.lock);
	sched_account(fs, f, 0);
	fs->sched.files--;
	pthread_mutex_unlock(&fs->sched.lock);
}

void file_punch(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	off_t hole = PAGE_FLOOR(f->flushed);

	struct stat st = {0};

	if (f->filled) {
		pthread_mutex_lock(&fs->attach);
		bool read = f->io == FILE_IO_UPPER && f->readers > 0;
		pthread_mutex_unlock(&fs->attach);
		/* They read all of it there. */
		if (read)
			return;
		f->filled = false;
	}
	if (hole == 0 || fstat(f->fd_up, &st) < 0 ||
	    fallocate(f->fd_up, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, hole) < 0)
		return;
	keep_mtime(fs, f, &st);
	pthread_mutex_lock(&fs->sched.lock);
	file_account(fs, f, file_fd_size(f->fd_up));
	pthread_mutex_unlock(&fs->sched.lock);
}

void file_settle(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	bool dropped = false;

	pthread_rwlock_wrlock(&f->lock);
	pthread_mutex_lock(&fs->sched.lock);
	bool clean = f->policy.state == POLICY_CLEAN;
	bool tight = policy_pressure(&fs->config, fs->sched.used) != PRESSURE_NONE;
	pthread_mutex_unlock(&fs->sched.lock);
	pthread_mutex_lock(&fs->attach);
	bool written = f->writers > 0;
	pthread_mutex_unlock(&fs->attach);
	if (!clean || f->orphan || !place_is_upper(f->place))
		goto out;
	/* Nor can it leave while the kernel takes handles there. */
	if ((written && !f->through && !tight) || f->io == FILE_IO_UPPER || observe_is_foreign(f)) {
		/* While it is open for writing the upper is its place; what
		 * the lower has need not be held twice. */
		if (class_is_tail(f->cls) && f->place == PLACE_WHOLE && !f->anywhere &&
		    file_open_lower(fs, f, true, false, true) == 0) {
			/* In this order: a successor believes the place. */
			f->flushed = file_fd_size(f->fd_up);
			f->filled = true;
			__atomic_store_n(&f->place, PLACE_TAIL, __ATOMIC_RELEASE);
		}
		if (f->place == PLACE_TAIL)
			file_punch(fs, slot);
		goto out;
	}
	drop_file(fs, slot);
	dropped = f->place == PLACE_LOWER;
out:
	pthread_rwlock_unlock(&f->lock);
	if (dropped) {
		clawfs_check(fs, f->node);
		file_put(fs, slot);
	}
}

int file_orphan_prepare(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	int rc = 0;

	pthread_rwlock_wrlock(&f->lock);
	pthread_mutex_lock(&fs->attach);
	bool open = f->readers + f->writers > 0;
	pthread_mutex_unlock(&fs->attach);
	if (open && f->place == PLACE_TAIL && f->flushed > 0) {
		rc = file_open_lower(fs, f, true, true, true);
	} else if (open && f->place == PLACE_LOWER && !f->through) {
		/* A nameless file is not cached. */
		f->through = true;
		rc = file_open_needed(fs, f, true);
	}
	pthread_rwlock_unlock(&f->lock);
	return rc;
}

void file_orphan(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	struct node *n = fs_node(fs, f->node);
	bool pinned;

	pthread_rwlock_wrlock(&f->lock);
	pthread_mutex_lock(&fs->attach);
	bool open = f->readers + f->writers > 0;
	pthread_mutex_unlock(&fs->attach);
	f->orphan = true;
	file_unmark(fs, slot);
	pinned = place_is_upper(f->place);
	if (f->place == PLACE_PACKED) {
		/* Its view has it open. */
	} else if (f->place == PLACE_LOWER) {
		f->through = true;
	} else if (!open) {
		/* Nobody reads it any more, but a stat through an O_PATH
		 * descriptor is still possible until the kernel forgets it. */
		observe_forget(fs, f);
		if (n->lower_fd < 0) {
			n->lower_fd = f->fd_up;
			fs->nodes.dirfds++;
			f->fd_up = -1;
		}
		file_close_fd(&f->fd_up);
		f->place = PLACE_LOWER;
		f->filled = false;
		f->through = true;
	} else if (f->place == PLACE_TAIL && f->flushed > 0 && f->io != FILE_IO_UPPER) {
		/* One piece again, in the nameless lower file: a forgotten
		 * writer of a deleted log must not fill the RAM. */
		off_t size = file_fd_size(f->fd_up);
		int rc = 0;
		char buf[16384];
		for (off_t off = f->flushed; off < size && rc == 0;) {
			ssize_t len = lower_pread(&fs->lower, f->fd_up, buf, sizeof(buf), off);
			rc = len <= 0 ? -EIO : lower_pwrite(&fs->lower, f->fd_wr, buf, (size_t)len, off);
			off += len;
		}
		struct stat st;
		if (rc == 0 && fstat(f->fd_up, &st) == 0) {
			const struct timespec times[2] = {st.st_atim, st.st_mtim};
			fs->lower.sys->futimens(f->fd_wr, times);
			f->filled = false;
			f->through = true;
			/* In this order: at each moment a record says where all of it is. */
			__atomic_store_n(&f->place, PLACE_LOWER, __ATOMIC_RELEASE);
			file_close_upper(fs, f);
		}
	}
	pthread_mutex_lock(&fs->sched.lock);
	if (f->place == PLACE_LOWER)
		sched_account(fs, f, 0);
	fs->sched.files -= pinned;
	if (f->policy.state == POLICY_DIRTY)
		policy_file_drop(&f->policy);
	sched_update(fs, slot, f);
	pthread_mutex_unlock(&fs->sched.lock);
	pthread_rwlock_unlock(&f->lock);
	if (pinned)
		file_put(fs, slot);
}

void file_reclass(struct clawfs *fs, uint32_t slot, enum policy_class cls)
{
	struct file *f = file_at(fs, slot);

	pthread_rwlock_wrlock(&f->lock);
	f->cls = cls;
	const struct name *called = fs_node(fs, f->node)->name ? name_at(&fs->nodes, fs_node(fs, f->node)->name) : NULL;
	f->rotates = called && rotate_applies(fs, called->parent, called->text);
	f->lockfile = called && cls == CLASS_VOLATILE && policy_is_lock(called->text);
	/* What the kernel writes past us stays where it is until it is closed. */
	f->through = f->io != FILE_IO_UPPER && (!class_is_cached(cls) || fs_node(fs, f->node)->flags & NODE_ORPHAN ||
						fs_node(fs, f->node)->db || f->io == FILE_IO_PASSED);
	/* The lower has another file of this name, or the class wants it
	 * replaced in one piece; everything is in the upper, so it is whole. */
	if (f->place == PLACE_TAIL && f->flushed == 0 &&
	    (!class_is_tail(cls) || fs_node(fs, f->node)->flags & NODE_LOWER)) {
		/* What is whole needs no belief in the lower. */
		file_unmark(fs, slot);
		f->place = PLACE_WHOLE;
		f->filled = false;
	}
	if (f->place == PLACE_LOWER && file_open_needed(fs, f, true) < 0)
		log_warn(fs->log, "an open file was renamed and can no longer be written; open it again");
	pthread_rwlock_unlock(&f->lock);
}

void file_touch(struct clawfs *fs, uint32_t slot, msec_t now)
{
	struct file *f = file_at(fs, slot);

	pthread_mutex_lock(&fs->sched.lock);
	policy_file_touch(&f->policy, now);
	sched_update(fs, slot, f);
	pthread_mutex_unlock(&fs->sched.lock);
}
