/* Operations on content that are rarer than reading and writing. */
#include "fs/fileimpl.h"
#include "fs/fs.h"
#include "fs/observe.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Of a file that cannot leave the upper. RAM is not taken for what nobody has written yet. */
static int fallocate_upper(struct clawfs *fs, uint32_t slot, int mode, off_t off, off_t len, msec_t now)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct file *f = file_at(fs, slot);
	struct stat st;

	if (mode == FALLOC_FL_KEEP_SIZE)
		return 0;
	/* What is zeroed is a hole to tmpfs. */
	bool keeps = mode & FALLOC_FL_KEEP_SIZE,
	     zeroes = mode == punch || (mode & ~FALLOC_FL_KEEP_SIZE) == FALLOC_FL_ZERO_RANGE;
	if (mode != 0 && !zeroes)
		return -EOPNOTSUPP;
	pthread_rwlock_rdlock(&fs->tree);
	pthread_rwlock_wrlock(&f->lock);
	int rc = file_make_whole(fs, slot);
	if (rc == 0 && fstat(f->fd_up, &st) < 0)
		rc = -errno;
	if (rc == 0 && zeroes && fallocate(f->fd_up, punch, off, len) < 0)
		rc = -errno;
	if (rc == 0 && !keeps && off + len > st.st_size && ftruncate(f->fd_up, off + len) < 0)
		rc = -errno;
	observe_look(fs, slot, now);
	pthread_rwlock_unlock(&f->lock);
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}

int file_fallocate(struct clawfs *fs, uint32_t slot, int mode, off_t off, off_t len, msec_t now)
{
	struct file *f = file_at(fs, slot);
	struct db_io db;
	int rc = file_materialise(fs, slot, now);

	if (rc == -EBUSY)
		return fallocate_upper(fs, slot, mode, off, len, now);

	if (rc == 0)
		rc = db_change_begin(fs, f->node, NULL, 0, off, &db);
	if (rc < 0)
		return rc;
	pthread_rwlock_rdlock(&f->lock);
	rc = f->fd_wr < 0 ? -EBADF : fs->lower.sys->fallocate(f->fd_wr, mode, off, len) < 0 ? -errno : 0;
	pthread_rwlock_unlock(&f->lock);
	db_change_end(fs, &db, NULL, 0, off, 0, now);
	return rc;
}

off_t file_seek(struct clawfs *fs, uint32_t slot, off_t off, int whence)
{
	struct file *f = file_at(fs, slot);
	struct stat st;
	off_t at;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	pthread_rwlock_rdlock(&f->lock);
	if (f->place == PLACE_LOWER) {
		int fd = f->fd_rd >= 0 ? f->fd_rd : f->fd_wr;
		at = fs->lower.sys->lseek(fd, off, whence);
		at = at < 0 ? -errno : at;
	} else if (f->place == PLACE_PACKED ? view_fstat(fs, slot, &st) < 0 : fstat(f->fd_up, &st) < 0) {
		at = -EIO;
	} else if (off < 0 || off >= st.st_size) {
		at = -ENXIO;
	} else {
		at = whence == SEEK_DATA ? off : st.st_size;
	}
	pthread_rwlock_unlock(&f->lock);
	return at;
}

/* Both on the lower: the kernel copies, or shares blocks. -EXDEV: not so. */
static ssize_t copy_lower(struct clawfs *fs, struct file *from, off_t in_off, struct file *to, off_t out_off,
			  size_t len)
{
	int in = -1, out = -1;
	ssize_t n = -EXDEV;

	/* Descriptors of our own, so that no two file locks are held. */
	pthread_rwlock_rdlock(&from->lock);
	if (from->place == PLACE_LOWER)
		in = dup(from->fd_rd);
	pthread_rwlock_unlock(&from->lock);
	pthread_rwlock_rdlock(&to->lock);
	if (to->place == PLACE_LOWER && to->through)
		out = dup(to->fd_wr);
	pthread_rwlock_unlock(&to->lock);
	if (in >= 0 && out >= 0) {
		n = fs->lower.sys->copy_file_range(in, &in_off, out, &out_off, len, 0);
		n = n < 0 ? -errno : n;
	}
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return n;
}

ssize_t file_copy(struct clawfs *fs, struct handle *in, off_t in_off, struct handle *out, off_t out_off, size_t len,
		  msec_t now)
{
	enum { CHUNK = 1 << 20 };
	struct db_io db;
	int rc = db_change_begin(fs, out->node, NULL, 0, out_off, &db);

	if (rc < 0)
		return rc;
	ssize_t n = copy_lower(fs, file_at(fs, in->file), in_off, file_at(fs, out->file), out_off, len);
	db_change_end(fs, &db, NULL, 0, out_off, out->pid, now);
	/* The first page came that way: what it is shows when it is read. */
	if (n > 0 && out_off == 0)
		db_look(fs, out->node, clock_now());

	if (n > 0 && out->flags & (O_SYNC | O_DSYNC)) {
		rc = file_sync(fs, out->file, NULL, !(out->flags & (O_SYNC & ~O_DSYNC)), now);
		return rc < 0 ? rc : n;
	}
	if (n != -EXDEV && n != -EOPNOTSUPP && n != -EINVAL)
		return n;
	size_t size = len < CHUNK ? len : CHUNK;
	char *buf = malloc(size ? size : 1);
	if (!buf)
		return -ENOMEM;
	n = file_read(fs, in->file, buf, size, in_off);
	if (n > 0) {
		/* Its offset is meant, also for a handle that appends. */
		struct handle at = *out;
		at.flags &= ~(uint32_t)O_APPEND;
		n = file_write(fs, &at, buf, (size_t)n, out_off, now);
	}
	free(buf);
	return n;
}
