#include "fs/attr.h"
#include "fs/control.h"
#include "fs/killpriv.h"
#include "fs/listing.h"
#include "fs/names.h"
#include "fs/ops.h"
#include "fs/opsimpl.h"
#include "fs/rotate.h"
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint32_t handle_new(fuse_req_t req, uint32_t node, uint32_t slot, int flags)
{
	struct clawfs *fs = req_fs(req);
	uint32_t index = shm_table_alloc(fs->handles);
	struct request *r = request_current();

	if (index) {
		struct handle *h = handle_at(fs, index);
		h->pid = fuse_req_ctx(req)->pid;
		h->node = node;
		h->file = slot;
		h->flags = (uint32_t)flags;
		if (r)
			r->handle = index;
		__atomic_store_n(&h->state, HANDLE_OPEN, __ATOMIC_RELEASE);
	}
	return index;
}

uint32_t handle_made(fuse_req_t req)
{
	const struct request *r = request_is_again() ? request_current() : NULL;

	return r && r->handle && handle_at(req_fs(req), r->handle)->state == HANDLE_OPEN ? r->handle : 0;
}

void ops_take_back(struct clawfs *fs)
{
	struct request *r = request_current();

	/* Else it is answered as it was done. */
	if (!r || r->state != REQUEST_BEGUN || (r->handle && handle_at(fs, r->handle)->state == HANDLE_OPEN))
		return;
	while (r->gave > 0) {
		uint32_t node = r->given[r->gave - 1];
		__atomic_store_n(&r->gave, r->gave - 1, __ATOMIC_RELEASE);
		fs_forget(fs, node, 1);
	}
}

void handle_end(struct clawfs *fs, uint32_t index)
{
	struct handle *h = handle_at(fs, index);
	struct request *r = request_current();
	bool release = r && (r->opcode == FUSE_RELEASE || r->opcode == FUSE_RELEASEDIR);

	if (release)
		r->handle = index;
	__atomic_store_n(&h->state, HANDLE_CLOSING, __ATOMIC_RELEASE);
	listing_destroy(fs->listings[index]);
	fs->listings[index] = NULL;
	if (h->file)
		file_close(fs, h, clock_now());
	/* Before the index can be another's. */
	if (release)
		request_done(0, 0);
	else if (r)
		r->handle = 0;
	h->state = HANDLE_NONE;
	shm_table_free(fs->handles, index);
}

/* Undoes an open whose handle cannot be had or given. */
static void abandon(struct clawfs *fs, uint32_t node, uint32_t slot, int flags)
{
	struct handle h = {.node = node, .file = slot, .flags = (uint32_t)flags};

	file_close(fs, &h, clock_now());
}

static void open_virtual(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);
	uint32_t index = handle_made(req);

	if (!index)
		index = handle_new(req, (uint32_t)ino, 0, fi->flags);
	if (!index) {
		fuse_reply_err(req, ENFILE);
		return;
	}
	if (ino != NODE_CTL_CONTROL)
		fs->listings[index] = control_read(fs, (uint32_t)ino, clock_now());
	fi->fh = index;
	/* Sizes are not known before; every open is a fresh text. */
	fi->direct_io = 1;
	fi->noflush = 1;
	if (fuse_reply_open(req, fi) < 0)
		handle_end(fs, index);
}

/* O_TRUNC. */
static int truncate_opened(fuse_req_t req, uint32_t node, uint32_t index)
{
	struct clawfs *fs = req_fs(req);
	struct handle *h = handle_at(fs, index);
	int rc = killpriv(fs, req_caller(req), node, h->file);

	return rc < 0 ? rc : file_truncate(fs, h->file, h, 0, clock_now());
}

/* Opens the file and makes the handle. */
static int open_file(fuse_req_t req, uint32_t node, int flags, uint32_t *index)
{
	struct clawfs *fs = req_fs(req);
	uint32_t slot = 0;
	int rc = db_open_begin(fs, node);

	while (rc == 0) {
		pthread_rwlock_rdlock(&fs->tree);
		rc = db_fenced(fs, fuse_req_ctx(req)->pid) ? -EIO : file_open(fs, node, flags, &slot);
		pthread_rwlock_unlock(&fs->tree);
		if (rc != -VIEW_AGAIN)
			break;
		rc = view_revive(fs, node);
	}
	if (rc < 0)
		return rc;
	*index = handle_new(req, node, slot, flags);
	if (*index)
		return 0;
	abandon(fs, node, slot, flags);
	return -ENFILE;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	if (is_virtual(ino)) {
		open_virtual(req, ino, fi);
		return;
	}
	uint32_t index = handle_made(req);
	int rc = index ? 0 : open_file(req, (uint32_t)ino, fi->flags, &index);
	if (rc == 0)
		fi->direct_io = file_is_direct(fs, handle_at(fs, index));
	if (rc == 0 && fi->flags & O_TRUNC) {
		rc = truncate_opened(req, (uint32_t)ino, index);
		if (rc < 0)
			handle_end(fs, index);
	}
	if (rc < 0) {
		fuse_reply_err(req, -rc);
		return;
	}
	uint32_t slot = handle_at(fs, index)->file;
	fi->fh = index;
	/* A round trip that few files need. */
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY || !file_wants_flush(fs, slot);
	struct passthrough_open how = passthrough_attach(fs, slot, fi->flags);
	if (how.error < 0)
		fuse_reply_err(req, -how.error);
	if (how.error < 0 || passthrough_reply_open(req, fi, how) < 0)
		handle_end(fs, index);
}

/* The last step of both ways to create. `index` 0: there is no handle yet. */
static void reply_create(fuse_req_t req, uint32_t node, const char *name, uint32_t slot, uint32_t index,
			 const struct stat *st, struct fuse_file_info *fi, bool created)
{
	struct clawfs *fs = req_fs(req);
	struct fuse_entry_param e = {
		.ino = node,
		.attr = *st,
		.attr_timeout = attr_seconds(fs, node),
		.entry_timeout = entry_seconds(fs, node, name),
	};

	if (!index)
		index = handle_new(req, node, slot, fi->flags);
	int rc = index ? 0 : -ENFILE;
	fi->direct_io = index && file_is_direct(fs, handle_at(fs, index));
	if (rc == 0 && created && (fi->flags & O_ACCMODE) != O_RDONLY)
		file_rewrite_begin(fs, handle_at(fs, index), clock_now());
	else if (rc == 0 && !created && fi->flags & O_TRUNC)
		rc = truncate_opened(req, node, index);
	fi->fh = index;
	if (rc == 0) {
		struct passthrough_open how = passthrough_attach(fs, slot, fi->flags);
		rc = how.error;
		e.attr_timeout = attr_seconds(fs, node);
		/* A round trip that few files need. */
		fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY || !file_wants_flush(fs, slot);
		if (rc == 0 && passthrough_reply_create(req, &e, fi, how) == 0)
			return;
	}
	if (index)
		handle_end(fs, index);
	else
		abandon(fs, node, slot, fi->flags);
	request_gives_not(node);
	fs_forget(fs, node, 1);
	if (rc < 0)
		fuse_reply_err(req, -rc);
}

/* The request was begun by the worker before, which has made the file, and maybe the handle. */
static bool create_again(fuse_req_t req, const char *name, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);
	const struct request *r = request_is_again() ? request_current() : NULL;
	uint32_t index = handle_made(req), slot = 0;
	struct stat st;

	bool made = r && r->state == REQUEST_MADE;
	if (!index && !made)
		return false;
	uint32_t node = index ? handle_at(fs, index)->node : r->node;
	pthread_rwlock_rdlock(&fs->tree);
	int rc = index ? 0 : file_open(fs, node, fi->flags, &slot);
	pthread_rwlock_unlock(&fs->tree);
	if (index)
		slot = handle_at(fs, index)->file;
	if (rc == 0)
		rc = fs_getattr(fs, node, &st);
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		reply_create(req, node, name, slot, index, &st, fi, made);
	return true;
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct stat st;
	uint32_t node, slot;
	bool created;

	if (create_again(req, name, fi))
		return;
	int rc = is_virtual(parent) ? -EPERM
				    : fs_create(req_fs(req), req_caller(req), (uint32_t)parent, name, mode, fi->flags,
						clock_now(), &node, &st, &slot, &created);

	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		reply_create(req, node, name, slot, 0, &st, fi, created);
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	struct stat st;
	uint32_t node, slot;
	int rc = is_virtual(parent) ? -EPERM
				    : fs_tmpfile(req_fs(req), req_caller(req), (uint32_t)parent, mode, fi->flags, &node,
						 &st, &slot);

	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		reply_create(req, node, "", slot, 0, &st, fi, false);
}
#endif

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	if (!is_virtual(ino))
		file_flush(fs, handle_at(fs, fi->fh));
	fuse_reply_err(req, 0);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (!request_was_done())
		handle_end(req_fs(req), (uint32_t)fi->fh);
	fuse_reply_err(req, 0);
}

/* A copy: with the answer under way the file may be closed, and its text be freed. */
static ssize_t read_virtual(const struct listing *text, char *buf, size_t size, off_t off)
{
	if (!text || (size_t)off >= text->used)
		return 0;
	size_t n = text->used - (size_t)off < size ? text->used - (size_t)off : size;
	memcpy(buf, text->data + off, n);
	return (ssize_t)n;
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	/* A worker before this one has taken the text that was being read. */
	if (is_virtual(ino) && ino != NODE_CTL_CONTROL && !fs->listings[fi->fh])
		fs->listings[fi->fh] = control_read(fs, (uint32_t)ino, clock_now());
	char *buf = malloc(size);
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	ssize_t n = is_virtual(ino) ? read_virtual(fs->listings[fi->fh], buf, size, off)
				    : file_read(fs, handle_at(fs, fi->fh)->file, buf, size, off);
	if (n >= 0 && !is_virtual(ino))
		rotate_saw_read(fs, handle_at(fs, fi->fh), off + n);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
	free(buf);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);
	ssize_t n;
	int rc = 0;
	bool moved = false;

	if (is_virtual(ino)) {
		n = ino == NODE_CTL_CONTROL ? control_command(fs, buf, size) : -EPERM;
		n = n < 0 ? n : (ssize_t)size;
	} else {
		struct handle h = *handle_at(fs, fi->fh);
		/* Dirty pages of a mapping come through any handle, and belong where they say. */
		if (fi->writepage)
			h.flags &= ~(uint32_t)O_APPEND;
		else
			rc = killpriv(fs, req_caller(req), (uint32_t)ino, h.file);
		h.wrote = off;
		n = rc < 0 ? rc : file_write(fs, &h, buf, size, off, clock_now());
		__atomic_store_n(&handle_at(fs, fi->fh)->cut, h.cut, __ATOMIC_RELAXED);
		moved = n >= 0 && h.wrote != off;
	}
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
	/* The kernel has put it where it thought the end was. */
	if (moved)
		inval_inode(fs, (uint32_t)ino, true);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	if (is_virtual(ino)) {
		fuse_reply_err(req, 0);
		return;
	}
	struct handle *h = handle_at(fs, fi->fh);
	reply_rc(req, file_sync(fs, h->file, h, datasync, clock_now()));
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	uint32_t slot = handle_at(fs, fi->fh)->file;
	int rc = killpriv(fs, req_caller(req), (uint32_t)ino, slot);
	reply_rc(req, rc < 0 ? rc : file_fallocate(fs, slot, mode, off, len, clock_now()));
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	(void)ino;
	off_t at = file_seek(fs, handle_at(fs, fi->fh)->file, off, whence);
	if (at < 0)
		fuse_reply_err(req, (int)-at);
	else
		fuse_reply_lseek(req, at);
}

void op_copy(fuse_req_t req, fuse_ino_t in, off_t in_off, struct fuse_file_info *in_fi, fuse_ino_t out, off_t out_off,
	     struct fuse_file_info *out_fi, size_t len, int flags)
{
	struct clawfs *fs = req_fs(req);

	(void)flags;
	if (is_virtual(in) || is_virtual(out)) {
		fuse_reply_err(req, EXDEV);
		return;
	}
	ssize_t n = killpriv(fs, req_caller(req), (uint32_t)out, handle_at(fs, out_fi->fh)->file);
	if (n == 0)
		n = file_copy(fs, handle_at(fs, in_fi->fh), in_off, handle_at(fs, out_fi->fh), out_off, len,
			      clock_now());
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}
