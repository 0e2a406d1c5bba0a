#include "fs/ops.h"
#include "fs/attr.h"
#include "fs/control.h"
#include "fs/killpriv.h"
#include "fs/names.h"
#include "fs/opsimpl.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_WRITE (1u << 20)

static void reply_node(fuse_req_t req, int rc, uint32_t node, const char *name, const struct stat *st)
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
		.entry_timeout = entry_seconds(fs, node, name),
	};
	/* Unanswered (interrupted): the kernel does not know the node. */
	if (fuse_reply_entry(req, &e) < 0)
		fs_forget(fs, node, 1);
}

/* The worker before this one has done it, but for the answer. */
static bool answer_again(fuse_req_t req, const char *name)
{
	const struct request *r = request_current();
	struct stat st;

	if (!request_was_done())
		return false;
	if (r->node)
		reply_node(req, fs_getattr(req_fs(req), r->node, &st), r->node, name, &st);
	else
		reply_rc(req, r->rc);
	return true;
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
		reply_node(req, 0, NODE_CTL_DIR, name, &st);
		return;
	}
	if (is_virtual(parent)) {
		node = control_find(fs, name);
		if (node)
			control_stat(fs, node, &st);
		reply_node(req, node ? 0 : -ENOENT, node, name, &st);
		return;
	}
	rc = fs_lookup(fs, (uint32_t)parent, name, &node, &st);
	if (rc == -ENOENT) {
		/* That it is absent may be remembered too: SQLite asks for its journals all the time. */
		struct fuse_entry_param absent = {.entry_timeout = entry_seconds(fs, 0, name)};
		fuse_reply_entry(req, &absent);
		return;
	}
	reply_node(req, rc, node, name, &st);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	request_forgets();
	fs_forget(req_fs(req), (uint32_t)ino, nlookup);
	request_forgotten();
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	/* Those that request_read had no room for first. */
	for (size_t i = count; i-- > 0;) {
		if (i < REQUEST_GIVEN_MAX)
			request_forgets();
		fs_forget(req_fs(req), (uint32_t)forgets[i].ino, forgets[i].nlookup);
	}
	request_forgotten();
	fuse_reply_none(req);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct stat st;
	uint32_t node = 0;

	if (answer_again(req, name))
		return;
	int rc = is_virtual(parent) ? -EPERM
				    : fs_mknod(req_fs(req), req_caller(req), (uint32_t)parent, name, mode, rdev,
					       clock_now(), &node, &st);

	reply_node(req, rc, node, name, &st);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct stat st;
	uint32_t node = 0;

	if (answer_again(req, name))
		return;
	int rc = is_virtual(parent) ? -EPERM
				    : fs_mkdir(req_fs(req), req_caller(req), (uint32_t)parent, name, mode, &node, &st);

	reply_node(req, rc, node, name, &st);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct stat st;
	uint32_t node = 0;

	if (answer_again(req, name))
		return;
	int rc = is_virtual(parent)
			 ? -EPERM
			 : fs_symlink(req_fs(req), req_caller(req), target, (uint32_t)parent, name, &node, &st);

	reply_node(req, rc, node, name, &st);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct stat st;

	if (answer_again(req, name))
		return;
	int rc = is_virtual(ino) || is_virtual(parent)
			 ? -EPERM
			 : fs_link(req_fs(req), (uint32_t)ino, (uint32_t)parent, name, clock_now(), &st);

	reply_node(req, rc, (uint32_t)ino, name, &st);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (!answer_again(req, name))
		reply_rc(req,
			 is_virtual(parent) ? -EPERM : fs_unlink(req_fs(req), req_caller(req), (uint32_t)parent, name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	bool ours = is_virtual(parent) || (parent == NODE_ROOT && strcmp(name, CONTROL_DIR) == 0);

	if (!answer_again(req, name))
		reply_rc(req, ours ? -EPERM : fs_rmdir(req_fs(req), (uint32_t)parent, name));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
		      unsigned flags)
{
	bool ours = is_virtual(parent) || is_virtual(newparent);

	if (answer_again(req, name))
		return;
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
	if (!is_virtual(ino) && strcmp(name, HOLD_ATTRIBUTE) == 0) {
		reply_rc(req, hold_serve(req_fs(req), (uint32_t)ino));
		return;
	}
	reply_rc(req, is_virtual(ino) ? -EPERM
				      : fs_setxattr(req_fs(req), (uint32_t)ino, name, value, size, flags, clock_now()));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	reply_rc(req, is_virtual(ino) ? -EPERM : fs_removexattr(req_fs(req), (uint32_t)ino, name, clock_now()));
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
