#include "fs/ops.h"
#include "fs/attr.h"
#include "fs/control.h"
#include "fs/killpriv.h"
#include "fs/listing.h"
#include "fs/names.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Nobody but the mount changes the lower, so what the kernel has cached stays
 * true until the kernel itself changes it. */
#define CACHE_SECONDS 86400.0
#define MAX_WRITE     (1u << 20)

static struct clawfs *req_fs(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct caller req_caller(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct caller){.uid = ctx->uid, .gid = ctx->gid, .pid = ctx->pid};
}

static bool is_virtual(fuse_ino_t ino)
{
	return ino > NODE_ROOT && ino < NODE_FIRST;
}

/* How long the kernel may go by a node's attributes. */
static double attr_seconds(struct clawfs *fs, uint32_t node)
{
	return passthrough_is_written(fs, node) ? 0 : CACHE_SECONDS;
}

static void reply_rc(fuse_req_t req, int rc)
{
	fuse_reply_err(req, rc < 0 ? -rc : 0);
}

static void reply_node(fuse_req_t req, int rc, uint32_t node, const struct stat *st)
{
	struct clawfs *fs = req_fs(req);

	if (rc < 0) {
		fuse_reply_err(req, -rc);
		return;
	}
	struct fuse_entry_param e = {
		.ino = node,
		.attr = *st,
		.attr_timeout = attr_seconds(fs, node),
		.entry_timeout = CACHE_SECONDS,
	};
	/* Unanswered (interrupted): the kernel does not know the node. */
	if (fuse_reply_entry(req, &e) < 0)
		fs_forget(fs, node, 1);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct clawfs *fs = userdata;

	conn->want |= conn->capable & (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
				       FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_READ | FUSE_CAP_CACHE_SYMLINKS);
	/* The kernel's writeback cache would hold acknowledged data where a
	 * dead daemon cannot get at it (P6), and re-appends whole pages
	 * (DESIGN.md section 6). */
	conn->want &= ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_SPLICE_READ |
				  FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	/* The kernel sees every change of content: a time that changed is no reason to throw its pages away, least of
	 * all a database's, or those of a mapped "-shm". */
	conn->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
	conn->want |= conn->capable & FUSE_CAP_EXPLICIT_INVAL_DATA;
	conn->max_write = MAX_WRITE;
	passthrough_init(fs, conn);
	session_is_live(fs);
}

/* --- names --------------------------------------------------------------- */

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct clawfs *fs = req_fs(req);
	struct stat st;
	uint32_t node;
	int rc;

	if (parent == NODE_ROOT && strcmp(name, CONTROL_DIR) == 0) {
		control_stat(fs, NODE_CTL_DIR, &st);
		reply_node(req, 0, NODE_CTL_DIR, &st);
		return;
	}
	if (is_virtual(parent)) {
		node = control_find(name);
		if (node)
			control_stat(fs, node, &st);
		reply_node(req, node ? 0 : -ENOENT, node, &st);
		return;
	}
	rc = fs_lookup(fs, (uint32_t)parent, name, &node, &st);
	if (rc == -ENOENT) {
		/* That it is absent may be remembered too: SQLite asks for its journals all the time. */
		struct fuse_entry_param absent = {.entry_timeout = CACHE_SECONDS};
		fuse_reply_entry(req, &absent);
		return;
	}
	reply_node(req, rc, node, &st);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	fs_forget(req_fs(req), (uint32_t)ino, nlookup);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		fs_forget(req_fs(req), (uint32_t)forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct stat st;
	uint32_t node = 0;
	int rc = is_virtual(parent) ? -EPERM
				    : fs_mknod(req_fs(req), req_caller(req), (uint32_t)parent, name, mode, rdev,
					       clock_now(), &node, &st);

	reply_node(req, rc, node, &st);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct stat st;
	uint32_t node = 0;
	int rc = is_virtual(parent) ? -EPERM
				    : fs_mkdir(req_fs(req), req_caller(req), (uint32_t)parent, name, mode, &node, &st);

	reply_node(req, rc, node, &st);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct stat st;
	uint32_t node = 0;
	int rc = is_virtual(parent)
			 ? -EPERM
			 : fs_symlink(req_fs(req), req_caller(req), target, (uint32_t)parent, name, &node, &st);

	reply_node(req, rc, node, &st);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct stat st;
	int rc = is_virtual(ino) || is_virtual(parent)
			 ? -EPERM
			 : fs_link(req_fs(req), (uint32_t)ino, (uint32_t)parent, name, clock_now(), &st);

	reply_node(req, rc, (uint32_t)ino, &st);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_rc(req, is_virtual(parent) ? -EPERM : fs_unlink(req_fs(req), req_caller(req), (uint32_t)parent, name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	bool ours = is_virtual(parent) || (parent == NODE_ROOT && strcmp(name, CONTROL_DIR) == 0);

	reply_rc(req, ours ? -EPERM : fs_rmdir(req_fs(req), (uint32_t)parent, name));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
		      unsigned flags)
{
	bool ours = is_virtual(parent) || is_virtual(newparent);

	reply_rc(req, ours ? -EPERM
			   : fs_rename(req_fs(req), req_caller(req), (uint32_t)parent, name, (uint32_t)newparent,
				       newname, flags, clock_now()));
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char buf[PATH_MAX + 1];
	int rc = fs_readlink(req_fs(req), (uint32_t)ino, buf, sizeof(buf));

	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_readlink(req, buf);
}

/* --- attributes ---------------------------------------------------------- */

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);
	struct stat st;
	int rc = 0;

	(void)fi;
	if (is_virtual(ino))
		control_stat(fs, (uint32_t)ino, &st);
	else
		rc = fs_getattr(fs, (uint32_t)ino, &st);
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_attr(req, &st, attr_seconds(fs, (uint32_t)ino));
}

static struct handle *handle_at(struct clawfs *fs, uint64_t fh)
{
	return shm_table_at(fs->handles, (uint32_t)fh);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);
	struct stat st;
	int rc = 0;

	/* `echo flush > control` truncates first. */
	if (is_virtual(ino) && to_set & FUSE_SET_ATTR_SIZE)
		control_stat(fs, (uint32_t)ino, &st);
	else if (is_virtual(ino))
		rc = -EPERM;
	else if (to_set & FUSE_SET_ATTR_SIZE)
		rc = killpriv(fs, req_caller(req), (uint32_t)ino, fi ? handle_at(fs, fi->fh)->file : 0);
	if (rc == 0 && !is_virtual(ino))
		rc = fs_setattr(fs, (uint32_t)ino, fi ? handle_at(fs, fi->fh) : NULL, attr, to_set, clock_now(), &st);
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_attr(req, &st, attr_seconds(fs, (uint32_t)ino));
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;
	int rc = fs_statfs(req_fs(req), &st);

	(void)ino;
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_statfs(req, &st);
}

/* Answers with a count when `size` is 0, else with the bytes. */
static void reply_xattr(fuse_req_t req, ssize_t n, const char *value, size_t size)
{
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)n);
	else
		fuse_reply_buf(req, value, (size_t)n);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char *value = size ? malloc(size) : NULL;

	if (size && !value) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	ssize_t n = is_virtual(ino) ? -ENODATA : fs_getxattr(req_fs(req), (uint32_t)ino, name, value, size);
	reply_xattr(req, n, value, size);
	free(value);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char *list = size ? malloc(size) : NULL;

	if (size && !list) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	ssize_t n = is_virtual(ino) ? 0 : fs_listxattr(req_fs(req), (uint32_t)ino, list, size);
	reply_xattr(req, n, list, size);
	free(list);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	reply_rc(req, is_virtual(ino) ? -EPERM
				      : fs_setxattr(req_fs(req), (uint32_t)ino, name, value, size, flags, clock_now()));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	reply_rc(req, is_virtual(ino) ? -EPERM : fs_removexattr(req_fs(req), (uint32_t)ino, name, clock_now()));
}

/* --- files --------------------------------------------------------------- */

/* A handle for an opened file; 0 without room. */
static uint32_t handle_new(fuse_req_t req, uint32_t node, uint32_t slot, int flags)
{
	struct clawfs *fs = req_fs(req);
	uint32_t index = shm_table_alloc(fs->handles);

	if (index) {
		struct handle *h = handle_at(fs, index);
		h->pid = fuse_req_ctx(req)->pid;
		h->node = node;
		h->file = slot;
		h->flags = (uint32_t)flags;
	}
	return index;
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
	uint32_t index = handle_new(req, (uint32_t)ino, 0, fi->flags);

	if (!index) {
		fuse_reply_err(req, ENFILE);
		return;
	}
	if (ino != NODE_CTL_CONTROL)
		fs->listings[index] = control_read(fs, (uint32_t)ino, clock_now());
	fi->fh = index;
	/* Sizes are not known before; every open is a fresh text. */
	fi->direct_io = 1;
	if (fuse_reply_open(req, fi) < 0) {
		listing_destroy(fs->listings[index]);
		fs->listings[index] = NULL;
		shm_table_free(fs->handles, index);
	}
}

/* O_TRUNC. */
static int truncate_opened(fuse_req_t req, uint32_t node, uint32_t index)
{
	struct clawfs *fs = req_fs(req);
	struct handle *h = handle_at(fs, index);
	int rc = killpriv(fs, req_caller(req), node, h->file);

	return rc < 0 ? rc : file_truncate(fs, h->file, h, 0, clock_now());
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);
	uint32_t slot = 0;

	if (is_virtual(ino)) {
		open_virtual(req, ino, fi);
		return;
	}
	int rc = db_open_begin(fs, (uint32_t)ino);
	if (rc == 0) {
		pthread_rwlock_rdlock(&fs->tree);
		rc = db_fenced(fs, fuse_req_ctx(req)->pid) ? -EIO : file_open(fs, (uint32_t)ino, fi->flags, &slot);
		pthread_rwlock_unlock(&fs->tree);
	}
	if (rc < 0) {
		fuse_reply_err(req, -rc);
		return;
	}
	uint32_t index = handle_new(req, (uint32_t)ino, slot, fi->flags);
	if (!index) {
		abandon(fs, (uint32_t)ino, slot, fi->flags);
		fuse_reply_err(req, ENFILE);
		return;
	}
	if (fi->flags & O_TRUNC)
		rc = truncate_opened(req, (uint32_t)ino, index);
	fi->fh = index;
	/* A round trip that few files need. */
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY || !file_wants_flush(fs, slot);
	if (rc < 0)
		fuse_reply_err(req, -rc);
	if (rc < 0 || passthrough_reply_open(req, fi, passthrough_attach(fs, slot, fi->flags)) < 0) {
		file_close(fs, handle_at(fs, index), clock_now());
		shm_table_free(fs->handles, index);
	}
}

/* The last step of both ways to create. */
static void reply_create(fuse_req_t req, uint32_t node, uint32_t slot, const struct stat *st, struct fuse_file_info *fi,
			 bool created)
{
	struct clawfs *fs = req_fs(req);
	uint32_t index = handle_new(req, node, slot, fi->flags);
	struct fuse_entry_param e = {
		.ino = node,
		.attr = *st,
		.attr_timeout = attr_seconds(fs, node),
		.entry_timeout = CACHE_SECONDS,
	};
	int rc = index ? 0 : -ENFILE;

	if (rc == 0 && created && (fi->flags & O_ACCMODE) != O_RDONLY)
		file_rewrite_begin(fs, handle_at(fs, index), clock_now());
	else if (rc == 0 && !created && fi->flags & O_TRUNC)
		rc = truncate_opened(req, node, index);
	fi->fh = index;
	struct passthrough_open how = {0};
	if (rc == 0)
		how = passthrough_attach(fs, slot, fi->flags);
	e.attr_timeout = attr_seconds(fs, node);
	/* A round trip that few files need. */
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY || !file_wants_flush(fs, slot);
	if (rc < 0)
		fuse_reply_err(req, -rc);
	if (rc < 0 || passthrough_reply_create(req, &e, fi, how) < 0) {
		if (index) {
			file_close(fs, handle_at(fs, index), clock_now());
			shm_table_free(fs->handles, index);
		} else {
			abandon(fs, node, slot, fi->flags);
		}
		fs_forget(fs, node, 1);
	}
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct stat st;
	uint32_t node, slot;
	bool created;
	int rc = is_virtual(parent) ? -EPERM
				    : fs_create(req_fs(req), req_caller(req), (uint32_t)parent, name, mode, fi->flags,
						clock_now(), &node, &st, &slot, &created);

	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		reply_create(req, node, slot, &st, fi, created);
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
static void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	struct stat st;
	uint32_t node, slot;
	int rc = is_virtual(parent) ? -EPERM
				    : fs_tmpfile(req_fs(req), req_caller(req), (uint32_t)parent, mode, fi->flags, &node,
						 &st, &slot);

	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		reply_create(req, node, slot, &st, fi, false);
}
#endif

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	if (!is_virtual(ino))
		file_flush(fs, handle_at(fs, fi->fh));
	fuse_reply_err(req, 0);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	if (is_virtual(ino)) {
		listing_destroy(fs->listings[fi->fh]);
		fs->listings[fi->fh] = NULL;
	} else {
		file_close(fs, handle_at(fs, fi->fh), clock_now());
	}
	shm_table_free(fs->handles, (uint32_t)fi->fh);
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

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	char *buf = malloc(size);
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	ssize_t n = is_virtual(ino) ? read_virtual(fs->listings[fi->fh], buf, size, off)
				    : file_read(fs, handle_at(fs, fi->fh)->file, buf, size, off);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
	free(buf);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);
	ssize_t n;
	int rc = 0;

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
		n = rc < 0 ? rc : file_write(fs, &h, buf, size, off, clock_now());
	}
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	if (is_virtual(ino)) {
		fuse_reply_err(req, 0);
		return;
	}
	struct handle *h = handle_at(fs, fi->fh);
	reply_rc(req, file_sync(fs, h->file, h, datasync, clock_now()));
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	uint32_t slot = handle_at(fs, fi->fh)->file;
	int rc = killpriv(fs, req_caller(req), (uint32_t)ino, slot);
	reply_rc(req, rc < 0 ? rc : file_fallocate(fs, slot, mode, off, len, clock_now()));
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	(void)ino;
	off_t at = file_seek(fs, handle_at(fs, fi->fh)->file, off, whence);
	if (at < 0)
		fuse_reply_err(req, (int)-at);
	else
		fuse_reply_lseek(req, at);
}

static void op_copy(fuse_req_t req, fuse_ino_t in, off_t in_off, struct fuse_file_info *in_fi, fuse_ino_t out,
		    off_t out_off, struct fuse_file_info *out_fi, size_t len, int flags)
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

/* --- directories --------------------------------------------------------- */

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);
	uint32_t index = handle_new(req, (uint32_t)ino, 0, fi->flags);

	if (!index) {
		fuse_reply_err(req, ENFILE);
		return;
	}
	fi->fh = index;
	if (fuse_reply_open(req, fi) < 0)
		shm_table_free(fs->handles, index);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);

	(void)ino;
	listing_destroy(fs->listings[fi->fh]);
	fs->listings[fi->fh] = NULL;
	shm_table_free(fs->handles, (uint32_t)fi->fh);
	fuse_reply_err(req, 0);
}

/* One entry into the reply; its size, 0 when the name has vanished. */
static size_t add_entry(fuse_req_t req, char *buf, size_t room, const struct listing_entry *e, off_t next, bool plus,
			uint32_t dir)
{
	struct clawfs *fs = req_fs(req);
	struct fuse_entry_param param = {0};
	bool dots = strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0;

	param.attr.st_ino = e->ino;
	param.attr.st_mode = DTTOIF(e->type);
	if (!plus)
		return fuse_add_direntry(req, buf, room, e->name, &param.attr, next);
	uint32_t node = 0;
	if (!dots && !is_virtual(dir)) {
		struct stat st;
		if (fs_lookup(fs, dir, e->name, &node, &st) == 0) {
			param.ino = node;
			param.attr = st;
			param.entry_timeout = CACHE_SECONDS;
			param.attr_timeout = attr_seconds(fs, node);
		}
	}
	size_t size = fuse_add_direntry_plus(req, buf, room, e->name, &param, next);
	/* What does not fit is not given: the kernel must not be owed a forget. */
	if (size > room && node)
		fs_forget(fs, node, 1);
	return size;
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct clawfs *fs = req_fs(req);
	struct listing **list = &fs->listings[fi->fh];
	int rc = 0;

	/* From the start again: rewinddir(3) shows what is there now. */
	if (off == 0 || !*list) {
		listing_destroy(*list);
		*list = is_virtual(ino) ? control_list() : listing_read_dir(fs, (uint32_t)ino, &rc);
	}
	char *buf = *list ? malloc(size) : NULL;
	if (!buf) {
		fuse_reply_err(req, rc < 0 ? -rc : ENOMEM);
		return;
	}
	size_t used = 0;
	for (uint32_t i = (uint32_t)off; i < (*list)->count; i++) {
		size_t n = add_entry(req, buf + used, size - used, listing_at(*list, i), (off_t)i + 1, plus,
				     (uint32_t)ino);
		if (n > size - used)
			break;
		used += n;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, true);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	reply_rc(req, is_virtual(ino) ? 0 : sched_flush_dir(req_fs(req), (uint32_t)ino));
}

const struct fuse_lowlevel_ops *ops_table(void)
{
	/* Left out on purpose: access (default_permissions decides), getlk,
	 * setlk and flock (locks are the kernel's). */
	static const struct fuse_lowlevel_ops ops = {
		.init = op_init,
		.lookup = op_lookup,
		.forget = op_forget,
		.forget_multi = op_forget_multi,
		.getattr = op_getattr,
		.setattr = op_setattr,
		.readlink = op_readlink,
		.mknod = op_mknod,
		.mkdir = op_mkdir,
		.unlink = op_unlink,
		.rmdir = op_rmdir,
		.symlink = op_symlink,
		.rename = op_rename,
		.link = op_link,
		.open = op_open,
		.read = op_read,
		.write = op_write,
		.flush = op_flush,
		.release = op_release,
		.fsync = op_fsync,
		.opendir = op_opendir,
		.readdir = op_readdir,
		.readdirplus = op_readdirplus,
		.releasedir = op_releasedir,
		.fsyncdir = op_fsyncdir,
		.statfs = op_statfs,
		.setxattr = op_setxattr,
		.getxattr = op_getxattr,
		.listxattr = op_listxattr,
		.removexattr = op_removexattr,
		.create = op_create,
		.fallocate = op_fallocate,
		.lseek = op_lseek,
		.copy_file_range = op_copy,
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
		.tmpfile = op_tmpfile,
#endif
	};

	return &ops;
}
