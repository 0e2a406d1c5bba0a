/* What the parts of the FUSE edge share: ops.c (session, names, attributes,
 * the table), ops_file.c (open files), ops_dir.c (open directories). For nobody else. */
#ifndef CLAWFS_OPSIMPL_H
#define CLAWFS_OPSIMPL_H

#include "fs/fs.h"
#include "fs/view.h"
#include <errno.h>
#include <fuse_lowlevel.h>

static inline struct clawfs *req_fs(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct caller req_caller(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct caller){.uid = ctx->uid, .gid = ctx->gid, .pid = ctx->pid};
}

static inline bool is_virtual(fuse_ino_t ino)
{
	return ino > NODE_ROOT && ino < NODE_FIRST;
}

/* How long the kernel may go by what it was told. Nobody but the mount changes the lower, so what the kernel has cached
 * stays true until the kernel itself changes it; the bound is the user's wish alone. */
static inline double cache_seconds(struct clawfs *fs)
{
	return (double)CONFIG(fs, cache_ms) / 1000;
}

/* ... by a node's attributes. */
static inline double attr_seconds(struct clawfs *fs, uint32_t node)
{
	return passthrough_is_written(fs, node) || (node && view_is(fs, node)) ? 0 : cache_seconds(fs);
}
/* ... and by what a name means; node 0: that it is absent. X.log and X.log.gz come and go with each other. */
static inline double entry_seconds(struct clawfs *fs, uint32_t node, const char *name)
{
	struct log_name log;

	if (policy_log_unpacked(name, &log) || (node ? view_is(fs, node) : policy_log_is(name)))
		return 0;
	return cache_seconds(fs);
}

static inline void reply_rc(fuse_req_t req, int rc)
{
	fuse_reply_err(req, rc < 0 ? -rc : 0);
}

static inline struct handle *handle_at(struct clawfs *fs, uint64_t fh)
{
	return shm_table_at(fs->handles, (uint32_t)fh);
}

/* A handle for an opened file; 0 without room. */
uint32_t handle_new(fuse_req_t req, uint32_t node, uint32_t slot, int flags);
/* The handle that an earlier worker made for this very request, 0 none: it is open, and so is the file. */
uint32_t handle_made(fuse_req_t req);
/* Closes the file, if there is one, and frees the handle. */
void handle_end(struct clawfs *fs, uint32_t index);

/* --- ops_file.c --- */

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);
#endif
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_copy(fuse_req_t req, fuse_ino_t in, off_t in_off, struct fuse_file_info *in_fi, fuse_ino_t out, off_t out_off,
	     struct fuse_file_info *out_fi, size_t len, int flags);

/* --- ops_dir.c --- */

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

#endif
