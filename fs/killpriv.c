#include "fs/killpriv.h"
#include "fs/attr.h"
#include <errno.h>
#include <fuse_lowlevel.h>

/* The mode of an open file, without the tree's lock; 0 when it is not at hand. */
static mode_t open_mode(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	struct stat st;

	pthread_rwlock_rdlock(&f->lock);
	int fd = f->place != PLACE_LOWER ? f->fd_up : f->fd_wr >= 0 ? f->fd_wr : f->fd_rd;
	mode_t mode = fd >= 0 && fs->lower.sys->fstat(fd, &st) == 0 ? st.st_mode : 0;
	pthread_rwlock_unlock(&f->lock);
	return mode;
}

int killpriv(struct clawfs *fs, struct caller who, uint32_t node, uint32_t slot)
{
	struct stat st = {0};

	if (who.uid == 0)
		return 0;
	st.st_mode = slot ? open_mode(fs, slot) : 0;
	if (!st.st_mode) {
		int rc = fs_getattr(fs, node, &st);
		if (rc < 0)
			return rc;
	}
	if (!S_ISREG(st.st_mode) || !killpriv_has(st.st_mode))
		return 0;
	mode_t mode = st.st_mode & ~(mode_t)S_ISUID;
	/* As the kernel (setattr_should_drop_sgid), but for supplementary groups, which are not looked up: without
	 * execute permission for the group the bit means nothing. */
	if (mode & S_IXGRP || who.gid != st.st_gid)
		mode &= ~(mode_t)S_ISGID;
	if (mode == st.st_mode)
		return 0;
	st.st_mode = mode;
	int rc = fs_setattr(fs, node, NULL, &st, FUSE_SET_ATTR_MODE, clock_now(), &st);
	/* Attributes only, no pages: the kernel takes no lock for it that a request could hold. */
	if (rc == 0)
		fuse_lowlevel_notify_inval_inode(fs->session, node, -1, 0);
	return rc;
}
