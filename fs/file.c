#include "fs/file.h"
#include "fs/epoch.h"
#include "fs/fs.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_FLOOR(off) ((off) & ~(off_t)4095)

struct file *file_at(struct clawfs *fs, uint32_t slot)
{
	return shm_table_at(fs->files, slot);
}

static off_t fd_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -errno : st.st_size;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

enum policy_class file_classify(struct clawfs *fs, uint32_t parent, const char *name)
{
	char path[PATH_MAX];

	/* Below a directory that is in RAM only nothing can be anywhere else. */
	if (!dir_on_lower(fs, parent))
		return CLASS_VOLATILE;
	if (node_child_path(&fs->nodes, parent, name, path, sizeof(path)) < 0)
		return CLASS_THROUGH;
	return policy_classify(&fs->config.rules, path);
}

/* --- references ---------------------------------------------------------- */

uint32_t file_get(struct clawfs *fs, uint32_t node)
{
	struct node *n = fs_node(fs, node);
	uint32_t slot;

	pthread_mutex_lock(&fs->attach);
	slot = __atomic_load_n(&n->file, __ATOMIC_RELAXED);
	if (!slot) {
		slot = shm_table_alloc(fs->files);
		if (slot) {
			struct file *f = file_at(fs, slot);
			const struct name *name = n->name ? name_at(&fs->nodes, n->name) : NULL;
			rwlock_init(&f->lock);
			f->node = node;
			f->fd_rd = f->fd_wr = f->fd_up = -1;
			f->cls = name ? file_classify(fs, name->parent, name->text) : CLASS_THROUGH;
			f->orphan = n->flags & NODE_ORPHAN;
			/* A file of several names is never cached: its names may have several classes. */
			f->through = !class_is_cached(f->cls) || f->orphan || (name && name->sibling) || n->db;
			policy_file_init(&f->policy, f->cls);
			__atomic_store_n(&n->file, slot, __ATOMIC_RELEASE);
		}
	}
	if (slot)
		file_at(fs, slot)->refs++;
	pthread_mutex_unlock(&fs->attach);
	return slot;
}

void file_ref(struct clawfs *fs, uint32_t slot)
{
	pthread_mutex_lock(&fs->attach);
	file_at(fs, slot)->refs++;
	pthread_mutex_unlock(&fs->attach);
}

uint32_t file_peek(struct clawfs *fs, uint32_t node)
{
	pthread_mutex_lock(&fs->attach);
	uint32_t slot = __atomic_load_n(&fs_node(fs, node)->file, __ATOMIC_RELAXED);
	if (slot)
		file_at(fs, slot)->refs++;
	pthread_mutex_unlock(&fs->attach);
	return slot;
}

void file_put(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	pthread_mutex_lock(&fs->attach);
	if (--f->refs == 0) {
		pthread_mutex_lock(&fs->sched.lock);
		sched_account(fs, f, 0);
		policy_set_update(&fs->sched.set, slot, MSEC_NEVER);
		pthread_mutex_unlock(&fs->sched.lock);
		if (f->fd_wr != f->fd_rd)
			close_fd(&f->fd_wr);
		close_fd(&f->fd_rd);
		close_fd(&f->fd_up);
		pthread_rwlock_destroy(&f->lock);
		__atomic_store_n(&fs_node(fs, f->node)->file, 0, __ATOMIC_RELEASE);
		shm_table_free(fs->files, slot);
	}
	pthread_mutex_unlock(&fs->attach);
}

static void close_lower(struct file *f)
{
	if (f->fd_wr != f->fd_rd)
		close_fd(&f->fd_wr);
	f->fd_wr = -1;
	close_fd(&f->fd_rd);
}

/* --- open ---------------------------------------------------------------- */

/* Gets the missing descriptors on the lower. `own`: the daemon needs them,
 * whatever the mode says. Tree lock and file lock (writing) held. */
static int open_lower(struct clawfs *fs, struct file *f, bool rd, bool wr, bool own)
{
	struct node *n = fs_node(fs, f->node);
	int dirfd = -1;
	const char *name = NULL;
	struct stat st;

	rd = rd && f->fd_rd < 0;
	wr = wr && f->fd_wr < 0;
	if (!rd && !wr)
		return 0;
	if (!(n->flags & NODE_ORPHAN)) {
		int rc = node_place_lower(fs, f->node, &dirfd, &name);
		if (rc < 0)
			return rc;
	} else if (n->lower_fd < 0) {
		return -ESTALE;
	}
	int flags = rd && wr ? O_RDWR : wr ? O_WRONLY : O_RDONLY;
	int fd = !name ? lower_reopen(&fs->lower, n->lower_fd, flags)
		 : own ? lower_open_own(&fs->lower, dirfd, name, flags)
		       : lower_open(&fs->lower, dirfd, name, flags, 0);
	if (fd < 0)
		return fd;
	if (fs->lower.sys->fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EIO;
	}
	if (rd)
		f->fd_rd = fd;
	if (wr)
		f->fd_wr = fd;
	if (st.st_nlink > 1)
		f->through = true;
	return 0;
}

/* What the handles need while the place is LOWER (F4). A file of a cached
 * class is not written there, so a card that has turned read-only does not
 * keep writers out (P9); its size is read through fd_rd. Locks as open_lower. */
static int open_needed(struct clawfs *fs, struct file *f, bool own)
{
	pthread_mutex_lock(&fs->attach);
	bool rd = f->readers > 0, wr = f->writers > 0;
	pthread_mutex_unlock(&fs->attach);
	int rc = open_lower(fs, f, rd || (wr && !f->through), wr && f->through, own);
	/* Several names may have come to light. */
	return rc == 0 && f->through ? open_lower(fs, f, rd, wr, own) : rc;
}

int file_open(struct clawfs *fs, uint32_t node, int flags, uint32_t *slot)
{
	int acc = flags & O_ACCMODE;
	bool rd = acc != O_WRONLY, wr = acc != O_RDONLY;
	int rc = 0;

	*slot = file_get(fs, node);
	if (!*slot)
		return -ENOMEM;
	struct file *f = file_at(fs, *slot);
	pthread_rwlock_wrlock(&f->lock);
	/* The kernel has checked the mode; of what the daemon needs for itself it need not allow. */
	if (f->place == PLACE_LOWER && !f->through)
		rc = open_lower(fs, f, true, false, true);
	if (rc == 0 && f->place == PLACE_LOWER && f->through) {
		rc = open_lower(fs, f, rd, wr, false);
		if (rc == 0 && f->fd_rd >= 0)
			db_probe(fs, node, f->fd_rd, clock_now());
	} else if (f->place == PLACE_TAIL && f->flushed > 0)
		rc = open_lower(fs, f, rd, false, true);
	if (rc == 0) {
		pthread_mutex_lock(&fs->attach);
		f->readers += rd;
		f->writers += wr;
		pthread_mutex_unlock(&fs->attach);
	}
	pthread_rwlock_unlock(&f->lock);
	if (rc < 0)
		file_put(fs, *slot);
	return rc;
}

int file_open_created(struct clawfs *fs, uint32_t node, int flags, int fd, uint32_t *slot)
{
	int acc = flags & O_ACCMODE;

	*slot = file_get(fs, node);
	if (!*slot) {
		close(fd);
		return -ENOMEM;
	}
	struct file *f = file_at(fs, *slot);
	pthread_rwlock_wrlock(&f->lock);
	if (acc != O_WRONLY)
		f->fd_rd = fd;
	if (acc != O_RDONLY)
		f->fd_wr = fd;
	pthread_mutex_lock(&fs->attach);
	f->readers += acc != O_WRONLY;
	f->writers += acc != O_RDONLY;
	pthread_mutex_unlock(&fs->attach);
	pthread_rwlock_unlock(&f->lock);
	return 0;
}

void file_unmark(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	if (f->marked)
		upper_unmark(&fs->upper, f->marked);
	f->marked = 0;
}

bool file_wants_flush(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	pthread_rwlock_rdlock(&f->lock);
	bool wants = f->cls == CLASS_SNAPSHOT || f->cls == CLASS_STATE;
	pthread_rwlock_unlock(&f->lock);
	return wants;
}

bool file_is_passed(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	pthread_rwlock_rdlock(&f->lock);
	bool passed = f->io == FILE_IO_PASSED;
	pthread_rwlock_unlock(&f->lock);
	return passed;
}

void file_flush(struct clawfs *fs, struct handle *h)
{
	struct file *f = file_at(fs, h->file);

	pthread_rwlock_wrlock(&f->lock);
	pthread_mutex_lock(&fs->sched.lock);
	/* A shell closes a copy of the descriptor before it writes anything. */
	bool written = h->rewriting && !f->policy.truncated;
	pthread_mutex_unlock(&fs->sched.lock);
	if (written)
		file_unmark(fs, h->file);
	pthread_rwlock_unlock(&f->lock);
}

void file_rewrite_end(struct clawfs *fs, struct handle *h, msec_t now)
{
	struct file *f = file_at(fs, h->file);

	pthread_rwlock_wrlock(&f->lock);
	bool ended = h->rewriting;
	h->rewriting = false;
	if (ended)
		file_unmark(fs, h->file);
	pthread_rwlock_unlock(&f->lock);
	if (!ended)
		return;
	pthread_mutex_lock(&fs->sched.lock);
	policy_file_rewrite_end(&f->policy, now);
	f->saves++;
	sched_update(fs, h->file, f);
	pthread_cond_broadcast(&fs->sched.changed);
	pthread_mutex_unlock(&fs->sched.lock);
}

void file_close(struct clawfs *fs, struct handle *h, msec_t now)
{
	struct file *f = file_at(fs, h->file);
	int acc = (int)h->flags & O_ACCMODE;
	bool settle;

	file_rewrite_end(fs, h, now);
	pthread_rwlock_wrlock(&f->lock);
	pthread_mutex_lock(&fs->attach);
	f->readers -= acc != O_WRONLY;
	f->writers -= acc != O_RDONLY;
	bool last = f->readers + f->writers == 0;
	bool quiet = f->writers == 0;
	pthread_mutex_unlock(&fs->attach);
	bool passed = f->io == FILE_IO_PASSED;
	if (last) {
		passthrough_detach(fs, f);
		close_lower(f);
	}
	pthread_mutex_lock(&fs->sched.lock);
	settle = quiet && f->place != PLACE_LOWER && !f->orphan && f->policy.state == POLICY_CLEAN;
	pthread_mutex_unlock(&fs->sched.lock);
	pthread_rwlock_unlock(&f->lock);
	if (settle) {
		pthread_rwlock_wrlock(&fs->tree);
		file_settle(fs, h->file);
		pthread_rwlock_unlock(&fs->tree);
	}
	if (passed && acc != O_RDONLY)
		db_look(fs, f->node, now);
	file_put(fs, h->file);
}

/* --- into the upper and out of it ---------------------------------------- */

void file_adopt(struct clawfs *fs, uint32_t slot, enum file_place place, off_t flushed, int fd_up)
{
	struct file *f = file_at(fs, slot);
	off_t size = fd_size(fd_up);

	f->place = place;
	f->flushed = flushed;
	f->fd_up = fd_up;
	f->version++;
	file_ref(fs, slot);
	pthread_mutex_lock(&fs->sched.lock);
	fs->sched.files++;
	sched_account(fs, f, (uint64_t)(size - (place == PLACE_TAIL ? PAGE_FLOOR(flushed) : 0)));
	pthread_mutex_unlock(&fs->sched.lock);
}

static int copy_bytes(const struct lower *lower, int from, int to, off_t size)
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

/* Gives the upper file the owner, mode and times of the lower one. */
static int copy_attributes(int fd, const struct stat *st)
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

/* Begins a new version of a whole file in the upper as a fresh, empty file, and keeps the one before until it is
 * complete: a daemon that dies in between must not lose what was acknowledged (P6). Locks as raise_file. */
static int renew_upper(struct clawfs *fs, uint32_t slot)
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
	rc = copy_attributes(fd, &st);
	if (rc == 0)
		rc = mark_upper(fs, f, fd, updir, name, true);
	rc = place_upper(fs, slot, rc, fd, &work, updir, name);
	if (rc < 0)
		return rc;
	close(f->fd_up);
	f->fd_up = fd;
	return 0;
}

/* Brings a clean file into the upper: as a tail, or whole, or whole and empty.
 * It is built in work/ and renamed into the tree complete, so that a crash
 * cannot leave a piece of it there. Tree lock and file lock held for writing. */
static int raise_file(struct clawfs *fs, uint32_t slot, bool tail, bool empty, bool mark)
{
	struct file *f = file_at(fs, slot);
	struct node *n = fs_node(fs, f->node);
	struct upper_work work = upper_work_name(&fs->upper);
	int updir;
	const char *name;
	struct stat st;

	int rc = open_lower(fs, f, true, false, true);
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
		rc = copy_bytes(&fs->lower, f->fd_rd, fd, st.st_size);
	}
	if (rc == 0)
		rc = copy_attributes(fd, &st);
	if (rc == 0 && mark)
		rc = mark_upper(fs, f, fd, updir, name, false);
	rc = place_upper(fs, slot, rc, fd, &work, updir, name);
	if (rc < 0)
		return rc;
	/* A tail goes on reading its head there. */
	if (!tail)
		close_lower(f);
	n->flags |= NODE_UPPER;
	file_adopt(fs, slot, tail ? PLACE_TAIL : PLACE_WHOLE, tail ? st.st_size : 0, fd);
	return 0;
}

/* Takes a clean file out of the upper. Locks as raise_file. */
static void drop_file(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	struct node *n = fs_node(fs, f->node);
	int updir;
	const char *name;

	/* Without the descriptors that open handles need, it stays: clean, but in RAM. */
	int rc = open_needed(fs, f, true);
	if (rc == 0)
		rc = node_place_upper(fs, f->node, &updir, &name);
	if (rc == 0 && unlinkat(updir, name, 0) < 0)
		rc = -errno;
	if (rc < 0) {
		log_warn(fs->log, "cannot move a flushed file out of RAM: %s; trying again later", strerror(-rc));
		return;
	}
	file_unmark(fs, slot);
	close_fd(&f->fd_up);
	f->place = PLACE_LOWER;
	f->flushed = 0;
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

	struct stat st;

	if (hole == 0 || fstat(f->fd_up, &st) < 0 ||
	    fallocate(f->fd_up, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, hole) < 0)
		return;
	/* That was ours, not the application's: its mtime stays. */
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	if (futimens(f->fd_up, times) < 0)
		log_warn(fs->log, "cannot keep the times of a file in the upper: %s", strerror(errno));
	pthread_mutex_lock(&fs->sched.lock);
	sched_account(fs, f, (uint64_t)(fd_size(f->fd_up) - hole));
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
	if (!clean || f->orphan || f->place == PLACE_LOWER)
		goto out;
	if (written && !f->through && !tight) {
		/* While it is open for writing the upper is its place; what
		 * the lower has need not be held twice. */
		if (class_is_tail(f->cls) && f->place == PLACE_WHOLE && open_lower(fs, f, true, false, true) == 0) {
			f->place = PLACE_TAIL;
			f->flushed = fd_size(f->fd_up);
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
		rc = open_lower(fs, f, true, true, true);
	} else if (open && f->place == PLACE_LOWER && !f->through) {
		/* A nameless file is not cached. */
		f->through = true;
		rc = open_needed(fs, f, true);
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
	pinned = f->place != PLACE_LOWER;
	if (f->place == PLACE_LOWER) {
		f->through = true;
	} else if (!open) {
		/* Nobody reads it any more, but a stat through an O_PATH
		 * descriptor is still possible until the kernel forgets it. */
		if (n->lower_fd < 0) {
			n->lower_fd = f->fd_up;
			fs->nodes.dirfds++;
			f->fd_up = -1;
		}
		close_fd(&f->fd_up);
		f->place = PLACE_LOWER;
		f->through = true;
	} else if (f->place == PLACE_TAIL && f->flushed > 0) {
		/* One piece again, in the nameless lower file: a forgotten
		 * writer of a deleted log must not fill the RAM. */
		off_t size = fd_size(f->fd_up);
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
			close_fd(&f->fd_up);
			f->place = PLACE_LOWER;
			f->through = true;
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
	/* What the kernel writes past us stays where it is until it is closed. */
	f->through = !class_is_cached(cls) || fs_node(fs, f->node)->flags & NODE_ORPHAN || fs_node(fs, f->node)->db ||
		     f->io == FILE_IO_PASSED;
	/* The lower has another file of this name, or the class wants it
	 * replaced in one piece; everything is in the upper, so it is whole. */
	if (f->place == PLACE_TAIL && f->flushed == 0 &&
	    (!class_is_tail(cls) || fs_node(fs, f->node)->flags & NODE_LOWER))
		f->place = PLACE_WHOLE;
	if (f->place == PLACE_LOWER && open_needed(fs, f, true) < 0)
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

/* --- reading and writing ------------------------------------------------- */

ssize_t file_read(struct clawfs *fs, uint32_t slot, void *buf, size_t len, off_t off)
{
	struct file *f = file_at(fs, slot);
	ssize_t got = 0;

	pthread_rwlock_rdlock(&f->lock);
	if (f->place == PLACE_LOWER) {
		got = lower_pread(&fs->lower, f->fd_rd, buf, len, off);
	} else {
		size_t head = 0;
		if (f->place == PLACE_TAIL && off < f->flushed) {
			head = (size_t)(f->flushed - off) < len ? (size_t)(f->flushed - off) : len;
			got = lower_pread(&fs->lower, f->fd_rd, buf, head, off);
			/* Shorter than what was flushed: somebody changed the lower. */
			if (got >= 0 && (size_t)got < head)
				got = -EIO;
		}
		if (got >= 0 && head < len) {
			ssize_t n =
				lower_pread(&fs->lower, f->fd_up, (char *)buf + head, len - head, off + (off_t)head);
			got = n < 0 ? n : got + n;
		}
	}
	pthread_rwlock_unlock(&f->lock);
	return got;
}

enum plan { DO_LOWER, DO_UPPER, DO_RAISE, DO_MATERIALISE };

/* What a write of [off, off + len) takes; file lock held. */
static enum plan plan_write(struct clawfs *fs, struct file *f, off_t off, size_t len)
{
	off_t end = off + (off_t)len;

	if (f->place == PLACE_LOWER && (f->through || f->orphan))
		return DO_LOWER;
	off_t size = fd_size(f->place == PLACE_LOWER ? f->fd_rd : f->fd_up);
	if (size > end)
		end = size;
	if (f->place == PLACE_TAIL || (f->place == PLACE_LOWER && class_is_tail(f->cls))) {
		/* Nor is one write taken that could not fit beside another. */
		if (off != size || (off_t)len > fs->config.file_max)
			return DO_MATERIALISE;
		return f->place == PLACE_LOWER ? DO_RAISE : DO_UPPER;
	}
	if (end > fs->config.file_max)
		return DO_MATERIALISE;
	return f->place == PLACE_LOWER ? DO_RAISE : DO_UPPER;
}

/* Where O_APPEND writes. */
static off_t append_offset(struct file *f)
{
	return fd_size(f->place != PLACE_LOWER ? f->fd_up : f->fd_wr >= 0 ? f->fd_wr : f->fd_rd);
}

static int write_upper(struct clawfs *fs, uint32_t slot, const void *buf, size_t len, off_t off,
		       struct policy_scan scan, msec_t now)
{
	struct file *f = file_at(fs, slot);
	off_t before = fd_size(f->fd_up);
	int rc = lower_pwrite(&fs->lower, f->fd_up, buf, len, off);

	if (rc < 0) {
		/* The tmpfs is full: leave no piece of the write behind. */
		if (before >= 0 && fd_size(f->fd_up) > before && ftruncate(f->fd_up, before) < 0)
			return -EIO;
		return rc;
	}
	f->version++;
	off_t size = fd_size(f->fd_up);
	pthread_mutex_lock(&fs->sched.lock);
	sched_account(fs, f, (uint64_t)(size - (f->place == PLACE_TAIL ? PAGE_FLOOR(f->flushed) : 0)));
	/* What has no name is never flushed. */
	if (!f->orphan)
		policy_file_write(&f->policy, now, len, scan);
	f->app_writes++;
	f->app_bytes += len;
	sched_update(fs, slot, f);
	pthread_mutex_unlock(&fs->sched.lock);
	return 0;
}

ssize_t file_write(struct clawfs *fs, struct handle *h, const void *buf, size_t len, off_t off, msec_t now)
{
	uint32_t slot = h->file;
	struct file *f = file_at(fs, slot);
	bool append = h->flags & O_APPEND;
	struct policy_scan scan = {0};
	bool scanned = false, full = false;
	enum policy_class cls = CLASS_THROUGH;
	struct db_io db;
	int rc = db_change_begin(fs, f->node, buf, len, off, &db);

	if (rc < 0)
		return rc;
	for (bool done = false; rc == 0 && !done;) {
		pthread_rwlock_rdlock(&f->lock);
		off_t at = append ? append_offset(f) : off;
		/* A database is not held in RAM, whatever its name: its syncs and its log's go together (P7). */
		full |= db.db && !f->through && !f->orphan;
		enum plan plan = full ? DO_MATERIALISE : plan_write(fs, f, at, len);
		cls = f->cls;
		if (plan == DO_LOWER) {
			off_t before = fd_size(f->fd_wr);
			rc = lower_pwrite(&fs->lower, f->fd_wr, buf, len, at);
			/* Nothing of an append that failed stays: it will be tried again. */
			if (rc < 0 && at == before)
				fs->lower.sys->ftruncate(f->fd_wr, before);
			done = true;
		}
		pthread_rwlock_unlock(&f->lock);
		if (done)
			break;
		if (plan == DO_MATERIALISE) {
			rc = file_materialise(fs, slot, now);
			full = false;
			continue;
		}
		rc = sched_admit(fs, len);
		if (rc < 0)
			break;
		if (class_is_tail(cls) && !scanned) {
			scan = policy_scan(buf, len);
			scanned = true;
		}
		if (plan == DO_RAISE)
			pthread_rwlock_wrlock(&fs->tree);
		pthread_rwlock_wrlock(&f->lock);
		at = append ? append_offset(f) : off;
		/* Between the locks a flush may have settled the file. */
		if (plan_write(fs, f, at, len) == plan) {
			if (plan == DO_RAISE)
				rc = raise_file(fs, slot, class_is_tail(f->cls), false, false);
			if (rc == 0)
				rc = write_upper(fs, slot, buf, len, at, scan, now);
			done = true;
			if (rc == -ENOSPC) {
				/* The tmpfs has less room than ram_max allows: the lower may have it. */
				rc = 0;
				done = false;
				full = true;
			}
		}
		pthread_rwlock_unlock(&f->lock);
		if (plan == DO_RAISE)
			pthread_rwlock_unlock(&fs->tree);
	}
	db_change_end(fs, &db, buf, len, off, h->pid, now);
	if (rc < 0)
		return rc;
	stats_app_write(fs->stats, now, cls, len);
	if (h->flags & (O_SYNC | O_DSYNC)) {
		rc = file_sync(fs, slot, NULL, !(h->flags & (O_SYNC & ~O_DSYNC)), now);
		if (rc < 0)
			return rc;
	}
	return (ssize_t)len;
}

/* --- truncation ---------------------------------------------------------- */

enum { TRUNCATE_DONE, TRUNCATE_MATERIALISE, TRUNCATE_WAIT };

static int truncate_lower(struct clawfs *fs, struct file *f, off_t size)
{
	bool opened = f->fd_wr < 0;
	int rc = open_lower(fs, f, false, true, true);

	if (rc == 0 && fs->lower.sys->ftruncate(f->fd_wr, size) < 0)
		rc = -errno;
	if (opened && f->fd_wr >= 0)
		close_fd(&f->fd_wr);
	return rc;
}

/* One attempt, tree lock and file lock held for writing. */
static int truncate_step(struct clawfs *fs, uint32_t slot, off_t size, bool mark)
{
	struct file *f = file_at(fs, slot);
	int rc;

	if (f->place == PLACE_LOWER) {
		if (f->through || f->orphan || class_is_tail(f->cls))
			return truncate_lower(fs, f, size);
		if (size > fs->config.file_max)
			return TRUNCATE_MATERIALISE;
		if (size > 0) {
			struct stat st;
			rc = open_lower(fs, f, true, false, true);
			if (rc < 0)
				return rc;
			if (fs->lower.sys->fstat(f->fd_rd, &st) < 0)
				return -errno;
			if (st.st_size > fs->config.file_max)
				return TRUNCATE_MATERIALISE;
		}
		rc = raise_file(fs, slot, false, size == 0, mark);
		if (rc < 0)
			return rc;
	}
	off_t old = fd_size(f->fd_up);
	if (f->place == PLACE_TAIL) {
		if (size > old)
			return TRUNCATE_MATERIALISE;
		/* What a running flush carries must not reach the lower after the cut. */
		pthread_mutex_lock(&fs->sched.lock);
		bool flushing = f->policy.state == POLICY_FLUSHING || f->policy.state == POLICY_REDIRTIED;
		pthread_mutex_unlock(&fs->sched.lock);
		if (flushing)
			return TRUNCATE_WAIT;
		/* A flush that failed may have left more there than was booked. */
		if (size >= f->flushed && fs_node(fs, f->node)->flags & NODE_LOWER) {
			rc = open_lower(fs, f, true, false, true);
			if (rc == 0 && fd_size(f->fd_rd) > size)
				rc = truncate_lower(fs, f, size);
			if (rc < 0)
				return rc;
		}
		if (size < f->flushed) {
			rc = truncate_lower(fs, f, size);
			if (rc < 0)
				return rc;
			/* The page with the new end is brought along by the hole's rule. */
			f->flushed = size;
			off_t start = PAGE_FLOOR(size);
			char page[4096];
			rc = open_lower(fs, f, true, false, true);
			if (rc < 0)
				return rc;
			ssize_t n = lower_pread(&fs->lower, f->fd_rd, page, (size_t)(size - start), start);
			if (n < 0)
				return (int)n;
			if (ftruncate(f->fd_up, size) < 0)
				return -errno;
			rc = lower_pwrite(&fs->lower, f->fd_up, page, (size_t)n, start);
			if (rc < 0)
				return rc;
		}
	} else if (size > fs->config.file_max) {
		return TRUNCATE_MATERIALISE;
	} else if (mark && old > 0 && !f->marked && !f->orphan) {
		rc = renew_upper(fs, slot);
		if (rc < 0)
			return rc;
	}
	if (ftruncate(f->fd_up, size) < 0)
		return -errno;
	f->version++;
	pthread_mutex_lock(&fs->sched.lock);
	sched_account(fs, f, (uint64_t)(size - (f->place == PLACE_TAIL ? PAGE_FLOOR(f->flushed) : 0)));
	pthread_mutex_unlock(&fs->sched.lock);
	return TRUNCATE_DONE;
}

/* The handle has emptied the file: until it is closed or synced there is no
 * version to flush (P3). False when that does not apply. File lock held for writing. */
static bool begin_rewrite(struct clawfs *fs, struct handle *h, msec_t now)
{
	struct file *f = file_at(fs, h->file);

	if (h->rewriting || f->orphan || f->place != PLACE_WHOLE || (f->cls != CLASS_SNAPSHOT && f->cls != CLASS_STATE))
		return false;
	h->rewriting = true;
	pthread_mutex_lock(&fs->sched.lock);
	policy_file_rewrite_begin(&f->policy, now);
	sched_update(fs, h->file, f);
	pthread_mutex_unlock(&fs->sched.lock);
	return true;
}

void file_rewrite_begin(struct clawfs *fs, struct handle *h, msec_t now)
{
	struct file *f = file_at(fs, h->file);

	pthread_rwlock_wrlock(&f->lock);
	begin_rewrite(fs, h, now);
	pthread_rwlock_unlock(&f->lock);
}

int file_truncate(struct clawfs *fs, uint32_t slot, struct handle *h, off_t size, msec_t now)
{
	struct file *f = file_at(fs, slot);
	struct db_io db;
	int rc = db_change_begin(fs, f->node, NULL, 0, size, &db);

	if (rc < 0)
		return rc;
	do {
		pthread_rwlock_wrlock(&fs->tree);
		pthread_rwlock_wrlock(&f->lock);
		bool mark = size == 0 && h && !h->rewriting && (f->cls == CLASS_SNAPSHOT || f->cls == CLASS_STATE);
		rc = truncate_step(fs, slot, size, mark);
		if (rc == TRUNCATE_DONE && f->place != PLACE_LOWER && !f->orphan &&
		    !(size == 0 && h && begin_rewrite(fs, h, now)))
			file_touch(fs, slot, now);
		pthread_rwlock_unlock(&f->lock);
		pthread_rwlock_unlock(&fs->tree);
		if (rc == TRUNCATE_WAIT)
			file_wait_flush(fs, slot);
		if (rc == TRUNCATE_MATERIALISE) {
			int err = file_materialise(fs, slot, now);
			if (err < 0)
				rc = err;
		}
	} while (rc > 0);
	db_change_end(fs, &db, NULL, 0, size, h ? h->pid : 0, now);
	return rc;
}

/* --- durability ---------------------------------------------------------- */

void file_wait_flush(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	pthread_mutex_lock(&fs->sched.lock);
	while (f->policy.state == POLICY_FLUSHING || f->policy.state == POLICY_REDIRTIED)
		pthread_cond_wait(&fs->sched.changed, &fs->sched.lock);
	pthread_mutex_unlock(&fs->sched.lock);
}

/* Flushes what is dirty as of now. */
static int sync_upper(struct clawfs *fs, uint32_t slot, enum policy_cause cause)
{
	struct file *f = file_at(fs, slot);

	for (;;) {
		pthread_mutex_lock(&fs->sched.lock);
		while (f->policy.state == POLICY_FLUSHING || f->policy.state == POLICY_REDIRTIED)
			pthread_cond_wait(&fs->sched.changed, &fs->sched.lock);
		bool clean = f->policy.state == POLICY_CLEAN;
		if (!clean)
			policy_file_demand(&f->policy);
		pthread_mutex_unlock(&fs->sched.lock);
		if (clean)
			return 0;
		/* 0: somebody else's flush came first; look again. */
		int rc = epoch_run(fs, &slot, 1, cause);
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
}

int file_sync(struct clawfs *fs, uint32_t slot, struct handle *h, bool data_only, msec_t now)
{
	struct file *f = file_at(fs, slot);

	/* Who calls fsync says that this is a version. */
	if (h)
		file_rewrite_end(fs, h, now);
	/* What it holds by now was not seen when it was written. */
	if (file_is_passed(fs, slot))
		db_look(fs, f->node, now);
	int known = db_fsync(fs, f->node, data_only, now);
	if (known)
		return known < 0 ? known : 0;
	pthread_rwlock_rdlock(&f->lock);
	if (f->place != PLACE_LOWER) {
		bool orphan = f->orphan;
		pthread_rwlock_unlock(&f->lock);
		/* Nobody can reach a nameless file in RAM after a power cut. */
		return orphan ? 0 : sync_upper(fs, slot, CAUSE_SYNC);
	}
	/* The card may take long: not with the lock. */
	int open = f->fd_wr >= 0 ? f->fd_wr : f->fd_rd;
	int fd = open < 0 ? -1 : fcntl(open, F_DUPFD_CLOEXEC, 0);
	pthread_rwlock_unlock(&f->lock);
	/* Nobody has it open: a flush has just made it durable. */
	if (open < 0)
		return 0;
	if (fd < 0)
		return -errno;
	int rc = (data_only ? fs->lower.sys->fdatasync(fd) : fs->lower.sys->fsync(fd)) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

/* A nameless file that outgrew RAM goes to a nameless file on the lower. */
static int spill_orphan(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	int rc = 0;

	pthread_rwlock_wrlock(&fs->tree);
	pthread_rwlock_wrlock(&f->lock);
	if (f->place != PLACE_LOWER) {
		int dir = lower_temp_dir(&fs->lower);
		struct upper_work name = upper_work_name(&fs->upper);
		int fd = dir < 0 ? dir : lower_open(&fs->lower, dir, name.text, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0) {
			rc = fd;
		} else {
			fs->lower.sys->unlinkat(dir, name.text, 0);
			struct stat st;
			rc = fstat(f->fd_up, &st) < 0 ? -errno : copy_bytes(&fs->lower, f->fd_up, fd, st.st_size);
			if (rc == 0)
				rc = copy_attributes(fd, &st);
			if (rc < 0) {
				close(fd);
			} else {
				close_lower(f);
				close_fd(&f->fd_up);
				f->fd_rd = f->fd_wr = fd;
				struct node *n = fs_node(fs, f->node);
				if (n->lower_fd < 0) {
					n->lower_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
					fs->nodes.dirfds += n->lower_fd >= 0;
				}
				f->place = PLACE_LOWER;
				f->through = true;
				pthread_mutex_lock(&fs->sched.lock);
				sched_account(fs, f, 0);
				pthread_mutex_unlock(&fs->sched.lock);
			}
		}
	}
	pthread_rwlock_unlock(&f->lock);
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}

int file_materialise(struct clawfs *fs, uint32_t slot, msec_t now)
{
	enum { TRIES = 16 };
	struct file *f = file_at(fs, slot);

	for (int i = 0; i < TRIES; i++) {
		pthread_rwlock_rdlock(&fs->tree);
		pthread_rwlock_wrlock(&f->lock);
		f->through = true;
		bool orphan = f->orphan;
		bool done = f->place == PLACE_LOWER;
		int rc = done ? open_needed(fs, f, true) : 0;
		pthread_rwlock_unlock(&f->lock);
		pthread_rwlock_unlock(&fs->tree);
		if (done)
			return rc;
		rc = orphan ? spill_orphan(fs, slot) : sync_upper(fs, slot, CAUSE_CLASS);
		if (rc < 0)
			return rc;
		pthread_rwlock_wrlock(&fs->tree);
		file_settle(fs, slot);
		pthread_rwlock_unlock(&fs->tree);
	}
	/* The kernel serialises writers of an inode, so this is one that
	 * lost the race sixteen times. */
	log_warn(fs->log, "a file was written faster than it could be materialised; its writer is asked to try again");
	(void)now;
	return -EAGAIN;
}

const char *file_check(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	const struct node *n = fs_node(fs, f->node);
	const char *broken = NULL;

	pthread_mutex_lock(&fs->attach);
	bool readers = f->readers > 0, writers = f->writers > 0;
	pthread_mutex_unlock(&fs->attach);
	pthread_mutex_lock(&fs->sched.lock);
	bool clean = f->policy.state == POLICY_CLEAN;
	uint64_t ram = f->ram;
	broken = policy_file_check(&f->policy);
	pthread_mutex_unlock(&fs->sched.lock);
	if (broken)
		return broken;
	/* A nameless one may have lost its place while a flush of it runs. */
	if (f->place == PLACE_LOWER && (f->fd_up >= 0 || ram != 0 || (!clean && !f->orphan)))
		return "F1";
	if (f->place == PLACE_TAIL && f->flushed > fd_size(f->fd_up))
		return "F2";
	if (!f->orphan && (f->place != PLACE_LOWER) != !!(n->flags & NODE_UPPER))
		return "F3";
	if (f->place == PLACE_LOWER && ((readers && f->fd_rd < 0) || (writers && f->through && f->fd_wr < 0)))
		return "F4";
	if (f->place == PLACE_TAIL && f->flushed > 0 && readers && f->fd_rd < 0)
		return "F4";
	if (f->io == FILE_IO_PASSED ? !f->through || f->place != PLACE_LOWER || f->backing <= 0 : f->backing != 0)
		return "F6";
	return NULL;
}
