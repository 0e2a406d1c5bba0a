/* Kernel passthrough: read, write and mmap of an open file done by the kernel
 * on a descriptor of the lower, without a round trip to the daemon (Linux 6.9
 * and later, CAP_SYS_ADMIN). And FUSE_HANDLE_KILLPRIV_V2, which spares every
 * mount a GETXATTR before each write (fs/killpriv.h has what it asks of us).
 *
 * libfuse has both from 3.17 on. Before that a shim between libfuse and the
 * device (fs/device.h) reads what the kernel offers in FUSE_INIT, completes the reply, and
 * the replies to open and create are put together here.
 *
 * How a file's content is reached is one thing for all its open handles, since
 * the kernel answers EIO to a mixture: the first handle decides, and that
 * holds until the last is closed (struct file: io, backing).
 *
 *   FILE_IO_NONE    no handle
 *   FILE_IO_DAEMON  page cache of the mount; READ and WRITE come to us
 *   FILE_IO_PASSED  the kernel goes to the lower itself, with id `backing`
 *   FILE_IO_UPPER   the kernel goes to the upper file itself (below)
 *
 * What follows from FILE_IO_PASSED:
 *   - the file stays `through` and its place LOWER until the last handle is
 *     closed, whatever it is renamed to (F6 in fs/file.h);
 *   - the kernel opens the lower file anew for each handle, with that handle's
 *     flags, so one backing id serves readers and writers alike;
 *   - the page cache of the mount is empty then: the kernel drops it at each
 *     open that is not answered keep_cache, and these never are;
 *   - the kernel notices writes of its own, but not stores through a shared
 *     mapping: while a handle may write, attributes are given with no
 *     validity (passthrough_is_written);
 *   - the lower is written with the credentials of BACKING_OPEN, which lack
 *     CAP_FSETID, so that it clears set-id bits by itself. A file that has
 *     them when it is opened is not passed through; one that gets them while
 *     it is, has its further writers served by us.
 * Writes that are passed through are not counted in the stats.
 *
 * FILE_IO_UPPER is for transcripts and logs whose first handle only appends (O_WRONLY, O_APPEND): what it writes is a
 * copy in memory, and fs/observe.h finds out what it was. What follows:
 *   - the file stays in the upper, in the same upper file, until the last handle is closed (F6). What
 *     would materialise it is refused with EBUSY (link, an exchange) or done to both its files (rename);
 *     a log is rotated in it (rotate.h);
 *   - its upper file has holes where its head was flushed: a reader that joins makes it complete
 *     (`filled`), a handle that may write anywhere makes it a whole file, and so it stays (`anywhere`);
 *   - of a log that is rotated all other handles are answered by us (FOPEN_DIRECT_IO): who follows it must be
 *     seen to, and a place in it may have moved. It is made complete all the same, for who maps it. Stores
 *     through a shared mapping of it are not seen;
 *   - O_SYNC and O_DSYNC handles that join are answered by us (FOPEN_DIRECT_IO), and begin no such file;
 *   - nobody can be made to wait: ram_max holds as far as looks come in time, and when RAM is short no file
 *     begins to be passed (P11);
 *   - the kernel's id is kept as long as the upper file is, so that the next open costs no ioctl.
 * A snapshot's temporary file is not passed: its size is not known, and the page cache that its
 * write leaves behind is what the next save reads. */
#ifndef CLAWFS_PASSTHROUGH_H
#define CLAWFS_PASSTHROUGH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clawfs;
struct file;
struct fuse_conn_info;
struct fuse_entry_param;
struct fuse_file_info;
struct fuse_req;

struct passthrough {
	uint64_t offered; /* the kernel's flags of FUSE_INIT; the shim's, before anything else runs */
	bool answered;	  /* atomic; FUSE_INIT has its reply; the shim's */
	bool wal;	  /* SQLite's write-ahead logs too; set before the mount serves */
	bool active;	  /* atomic; false for good once the kernel has refused */
	uint64_t opens;	  /* atomic: handles that were passed through */
};

/* From the init operation: asks libfuse for both features, where it has them. */
void passthrough_init(struct clawfs *fs, struct fuse_conn_info *conn);

/* The kernel's bytes of the session's start; for the unit test. `in` is what was read from the device. The reply is
 * 64 bytes (struct fuse_init_out) and only gets what was offered. Both ignore what is no such message. */
void passthrough_saw_request(struct passthrough *p, const void *in, size_t len);
void passthrough_complete_init(struct passthrough *p, void *init_out, size_t len, bool want);
/* From the device: the second part of each reply before it is sent; the first such is FUSE_INIT's. Without effect
 * where libfuse has the API. */
void passthrough_saw_reply(struct clawfs *fs, void *reply, size_t len);

/* How a handle is answered. */
struct passthrough_open {
	int id;	     /* backing id; 0: by the daemon */
	bool direct; /* with an id: only mmap is passed through */
	int error;   /* negative errno: the open fails */
};

/* Decides for a handle that file_open has counted. Takes tree (reading) and
 * file lock. What it cannot pass through the daemon serves; only a handle that joins those of an upper file may
 * fail, for want of RAM. */
struct passthrough_open passthrough_attach(struct clawfs *fs, uint32_t slot, int flags);
/* The upper file that had the id is closed. */
void passthrough_forget(struct clawfs *fs, int id);
/* The last handle is closed. File lock held for writing. */
void passthrough_detach(struct clawfs *fs, struct file *f);
/* Whether a handle that may write is passed through: then attributes change without us. No lock held
 * but the tree's; the node must be known to the kernel. */
bool passthrough_is_written(struct clawfs *fs, uint32_t node);

/* As fuse_reply_open and fuse_reply_create; fill in keep_cache and direct_io of `fi`. */
int passthrough_reply_open(struct fuse_req *req, struct fuse_file_info *fi, struct passthrough_open how);
int passthrough_reply_create(struct fuse_req *req, const struct fuse_entry_param *e, struct fuse_file_info *fi,
			     struct passthrough_open how);

#endif
