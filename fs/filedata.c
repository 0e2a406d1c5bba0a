#include "fs/fileimpl.h"
#include "fs/fs.h"
#include "fs/observe.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t file_read(struct clawfs *fs, uint32_t slot, void *buf, size_t len, off_t off)
{
	struct file *f = file_at(fs, slot);
	ssize_t got = 0;

	pthread_rwlock_rdlock(&f->lock);
	bool ram = f->place == PLACE_WHOLE || (f->place == PLACE_TAIL && off + (off_t)len > f->flushed);
	bool packed = f->place == PLACE_PACKED;
	if (packed) {
		got = view_read(fs, slot, buf, len, off);
	} else if (f->place == PLACE_LOWER) {
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
	if (packed && got == -EIO)
		view_complain(fs, slot);
	stats_count(fs->stats, ram ? STATS_READS_RAM : STATS_READS_LOWER, 1);
	if (got > 0)
		stats_count(fs->stats, ram ? STATS_READ_BYTES_RAM : STATS_READ_BYTES_LOWER, (uint64_t)got);
	return got;
}

enum plan { DO_LOWER, DO_UPPER, DO_RAISE, DO_WHOLE, DO_MATERIALISE };

/* How long the file is now, or a negative errno; file lock held. */
static off_t content_size(const struct file *f)
{
	return file_fd_size(f->place != PLACE_LOWER ? f->fd_up : f->fd_wr >= 0 ? f->fd_wr : f->fd_rd);
}

/* What a write of [off, off + len) to a file of `size` bytes takes; file lock held. */
static enum plan plan_write(struct clawfs *fs, struct file *f, off_t size, off_t off, size_t len)
{
	off_t end = off + (off_t)len;

	if (f->place == PLACE_LOWER && (f->through || f->orphan))
		return DO_LOWER;
	if (size > end)
		end = size;
	/* As long as the kernel writes there, nothing else can be its place. */
	if (f->io == FILE_IO_UPPER)
		return f->place == PLACE_TAIL && off != size ? DO_WHOLE : DO_UPPER;
	if (f->place == PLACE_TAIL || (f->place == PLACE_LOWER && class_is_tail(f->cls))) {
		/* Nor is one write taken that could not fit beside another. */
		if (off != size || (off_t)len > CONFIG(fs, file_max))
			return DO_MATERIALISE;
		return f->place == PLACE_LOWER ? DO_RAISE : DO_UPPER;
	}
	if (end > CONFIG(fs, file_max))
		return DO_MATERIALISE;
	return f->place == PLACE_LOWER ? DO_RAISE : DO_UPPER;
}

/* Writing at the end is not done twice: where that was is remembered before, and that it is done, after. File lock
 * held. */
static void append_begin(uint32_t slot, off_t at, size_t len)
{
	struct request *r = request_current();

	if (!r || r->opcode != FUSE_WRITE)
		return;
	r->slot = 0;
	r->off = at;
	r->len = (off_t)len;
	__atomic_store_n(&r->slot, slot, __ATOMIC_RELEASE);
}

static void append_end(int rc)
{
	struct request *r = request_current();

	if (!r || !r->slot)
		return;
	if (rc == 0)
		request_done(0, 0);
	__atomic_store_n(&r->slot, 0, __ATOMIC_RELEASE);
}

/* Where the kernel appends as well: at the end that there is when it is written. */
static int append_upper(struct clawfs *fs, uint32_t slot, const char *buf, size_t len, msec_t now)
{
	struct file *f = file_at(fs, slot);
	int rc = 0;

	while (len > 0 && rc == 0) {
		const struct iovec iov = {.iov_base = (char *)buf, .iov_len = len};
		ssize_t n = pwritev2(f->fd_up, &iov, 1, 0, RWF_APPEND);
		if (n <= 0)
			rc = n < 0 ? -errno : -ENOSPC;
		else
			buf += n, len -= (size_t)n;
	}
	observe_look(fs, slot, now);
	return rc;
}

/* Where a write through the handle goes. The offset of a descriptor does not know of rotations: a writer that goes on
 * where it was is meant to go on behind what is left. One that has looked for the end, or went back behind what was cut
 * off, has a new place. */
static off_t write_offset(const struct file *f, struct handle *h, off_t size, off_t off)
{
	off_t moved = (off_t)(f->cut - h->cut);

	if (h->flags & O_APPEND)
		return size;
	if (moved == 0)
		return off;
	if (off < moved || off == size) {
		h->cut = f->cut;
		return off;
	}
	return off - moved;
}

/* `before`: its size. */
static int write_upper(struct clawfs *fs, uint32_t slot, const void *buf, size_t len, off_t off, off_t before,
		       struct policy_scan scan, msec_t now)
{
	struct file *f = file_at(fs, slot);
	int rc = lower_pwrite(&fs->lower, f->fd_up, buf, len, off);

	if (rc < 0) {
		/* The tmpfs is full: leave no piece of the write behind. */
		if (before >= 0 && file_fd_size(f->fd_up) > before && ftruncate(f->fd_up, before) < 0)
			return -EIO;
		return rc;
	}
	if (f->io == FILE_IO_UPPER) {
		observe_look(fs, slot, now);
		return 0;
	}
	f->version++;
	off_t end = off + (off_t)len;
	f->ragged = end >= before && end % getpagesize() != 0;
	pthread_mutex_lock(&fs->sched.lock);
	/* Nobody else writes there. */
	file_account(fs, f, len > 0 && end > before ? end : before);
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
	struct policy_scan scan = {0};
	bool scanned = false, full = false, through = false, append = h->flags & O_APPEND;
	enum policy_class cls = CLASS_THROUGH;
	struct db_io db;
	int rc = db_change_begin(fs, f->node, buf, len, off, &db);

	if (rc < 0)
		return rc;
	for (bool done = append && request_was_done(); rc == 0 && !done;) {
		pthread_rwlock_rdlock(&f->lock);
		off_t size = content_size(f);
		off_t at = h->wrote = write_offset(f, h, size, off);
		/* A database is not held in RAM, whatever its name: its syncs and its log's go together (P7). */
		full |= db.db && !f->through && !f->orphan && f->io != FILE_IO_UPPER;
		enum plan plan = full ? DO_MATERIALISE : plan_write(fs, f, size, at, len);
		cls = f->cls;
		if (plan == DO_LOWER) {
			if (append)
				append_begin(slot, at, len);
			rc = lower_pwrite(&fs->lower, f->fd_wr, buf, len, at);
			/* Nothing of an append that failed stays: it will be tried again. */
			if (rc < 0 && at == size)
				fs->lower.sys->ftruncate(f->fd_wr, size);
			append_end(rc);
			done = through = true;
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
		if (plan == DO_RAISE || plan == DO_WHOLE)
			pthread_rwlock_wrlock(&fs->tree);
		pthread_rwlock_wrlock(&f->lock);
		size = content_size(f);
		at = h->wrote = write_offset(f, h, size, off);
		/* Between the locks a flush may have settled the file. */
		if (plan_write(fs, f, size, at, len) == plan) {
			if (plan == DO_RAISE)
				rc = file_raise(fs, slot, class_is_tail(f->cls), false, false);
			bool shared = f->io == FILE_IO_UPPER;
			if (plan == DO_WHOLE)
				rc = file_make_whole(fs, slot);
			if (append)
				append_begin(slot, at, len);
			if (rc == 0 && shared && append)
				rc = append_upper(fs, slot, buf, len, now);
			else if (rc == 0)
				rc = write_upper(fs, slot, buf, len, at, size, scan, now);
			append_end(rc);
			if (rc == 0 && len > 0)
				policy_writers_saw(&f->written, h->flags & O_APPEND,
						   ((const char *)buf)[len - 1] == '\n', now - h->opened);
			done = true;
			if (rc == -ENOSPC && !shared) {
				/* The tmpfs has less room than ram_max allows: the lower may have it. */
				rc = 0;
				done = false;
				full = true;
			}
		}
		pthread_rwlock_unlock(&f->lock);
		if (plan == DO_RAISE || plan == DO_WHOLE)
			pthread_rwlock_unlock(&fs->tree);
	}
	db_change_end(fs, &db, buf, len, off, h->pid, now);
	if (rc < 0)
		return rc;
	stats_app_write(fs->stats, now, cls, len, through);
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
	int rc = file_open_lower(fs, f, false, true, true);

	if (rc == 0 && fs->lower.sys->ftruncate(f->fd_wr, size) < 0)
		rc = -errno;
	if (opened && f->fd_wr >= 0)
		file_close_fd(&f->fd_wr);
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
		if (size > CONFIG(fs, file_max))
			return TRUNCATE_MATERIALISE;
		if (size > 0) {
			struct stat st;
			rc = file_open_lower(fs, f, true, false, true);
			if (rc < 0)
				return rc;
			if (fs->lower.sys->fstat(f->fd_rd, &st) < 0)
				return -errno;
			if (st.st_size > CONFIG(fs, file_max))
				return TRUNCATE_MATERIALISE;
		}
		rc = file_raise(fs, slot, false, size == 0, mark);
		if (rc < 0)
			return rc;
	}
	off_t old = file_fd_size(f->fd_up);
	if (f->io == FILE_IO_UPPER && size > old) {
		rc = file_make_whole(fs, slot);
		if (rc < 0)
			return rc;
	}
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
			rc = file_open_lower(fs, f, true, false, true);
			if (rc == 0 && file_fd_size(f->fd_rd) > size)
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
			if (f->marked)
				upper_mark_tail(&fs->upper, f->marked, size);
			off_t start = PAGE_FLOOR(size);
			char page[4096];
			rc = file_open_lower(fs, f, true, false, true);
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
	} else if (size > CONFIG(fs, file_max) && f->io != FILE_IO_UPPER) {
		return TRUNCATE_MATERIALISE;
	} else if (mark && old > 0 && !f->marked && !f->orphan) {
		rc = file_renew(fs, slot);
		if (rc < 0)
			return rc;
	}
	if (ftruncate(f->fd_up, size) < 0)
		return -errno;
	f->version++;
	pthread_mutex_lock(&fs->sched.lock);
	file_account(fs, f, size);
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
