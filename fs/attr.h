/* Attributes: stat, setattr, extended attributes, statfs. No lock held. */
#ifndef CLAWFS_ATTR_H
#define CLAWFS_ATTR_H

#include "fs/fs.h"

int fs_getattr(struct clawfs *fs, uint32_t node, struct stat *st);

/* What setattr(2)-like calls change: FUSE_SET_ATTR_* bits in `mask`. `h` is
 * the open handle that ftruncate came through, or NULL. Changes what it can
 * in the order size, owner, mode, times; the first failure ends it. */
int fs_setattr(struct clawfs *fs, uint32_t node, struct handle *h, const struct stat *attr, int mask, msec_t now,
	       struct stat *st);

int fs_readlink(struct clawfs *fs, uint32_t node, char *buf, size_t size);
int fs_statfs(struct clawfs *fs, struct statvfs *st);

/* As getxattr(2) and its kin: counts, or -ERANGE, -ENODATA, -ENOTSUP. */
ssize_t fs_getxattr(struct clawfs *fs, uint32_t node, const char *name, void *value, size_t size);
ssize_t fs_listxattr(struct clawfs *fs, uint32_t node, char *list, size_t size);
int fs_setxattr(struct clawfs *fs, uint32_t node, const char *name, const void *value, size_t size, int flags,
		msec_t now);
int fs_removexattr(struct clawfs *fs, uint32_t node, const char *name, msec_t now);

#endif
