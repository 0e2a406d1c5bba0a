#include "fs/attr.h"
#include "fs/names.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <unistd.h>

/* --- stat ---------------------------------------------------------------- */

static int stat_dir(struct clawfs *fs, uint32_t node, struct stat *st)
{
	const struct node *n = fs_node(fs, node);
	int fd = n->flags & NODE_LOWER	 ? dir_lower(fs, node)
		 : n->flags & NODE_UPPER ? dir_upper(fs, node)
		 : n->lower_fd >= 0	 ? n->lower_fd
					 : n->upper_fd;

	if (fd < 0)
		return n->flags & NODE_ORPHAN ? -ESTALE : fd;
	if (fs->lower.sys->fstat(fd, st) < 0)
		return -errno;
	/* File systems that do not count directories say 1. */
	if (st->st_nlink > 1 && n->flags & NODE_LOWER)
		st->st_nlink += n->ram_dirs;
	if (n->flags & NODE_DIRTIME) {
		st->st_mtim = n->mtime;
		st->st_ctim = n->ctime;
	}
	return 0;
}

/* True when the file's content state answers. */
static bool stat_open(struct clawfs *fs, uint32_t node, struct stat *st, int *rc)
{
	uint32_t slot = file_peek(fs, node);
	bool answered = false;

	if (!slot)
		return false;
	struct file *f = file_at(fs, slot);
	pthread_rwlock_rdlock(&f->lock);
	int fd = f->place == PLACE_PACKED  ? -1
		 : f->place != PLACE_LOWER ? f->fd_up
		 : f->fd_rd >= 0	   ? f->fd_rd
					   : f->fd_wr;
	if (fd >= 0) {
		answered = true;
		*rc = fs->lower.sys->fstat(fd, st) < 0 ? -errno : 0;
	}
	if (answered && place_is_upper(f->place)) {
		st->st_nlink = f->orphan ? 0 : 1;
		st->st_blocks = (st->st_size + 511) / 512;
	}
	pthread_rwlock_unlock(&f->lock);
	file_put(fs, slot);
	return answered;
}

int node_stat(struct clawfs *fs, uint32_t node, struct stat *st)
{
	const struct node *n = fs_node(fs, node);
	int dir, rc = 0;
	const char *name;

	if (S_ISDIR(n->type)) {
		rc = stat_dir(fs, node, st);
	} else if (n->flags & NODE_PACKED) {
		rc = view_stat(fs, node, st);
	} else if (!stat_open(fs, node, st, &rc)) {
		if (n->flags & NODE_ORPHAN) {
			rc = n->lower_fd < 0 ? -ESTALE : fs->lower.sys->fstat(n->lower_fd, st) < 0 ? -errno : 0;
		} else if (n->flags & NODE_LOWER) {
			rc = node_place_lower(fs, node, &dir, &name);
			if (rc == 0 && fs->lower.sys->fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
				rc = -errno;
		} else {
			rc = node_place_upper(fs, node, &dir, &name);
			if (rc == 0 && fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
				rc = -errno;
		}
	}
	if (rc < 0)
		return rc;
	st->st_ino = n->ino;
	/* Its name on the lower may go on until the flush that replaces it. */
	if (n->flags & NODE_ORPHAN && !(n->flags & NODE_OWN))
		st->st_nlink = 0;
	if (!S_ISDIR(n->type) && n->flags & NODE_TIMES && !(n->flags & NODE_UPPER))
		st->st_mtim = n->mtime;
	return 0;
}

int fs_getattr(struct clawfs *fs, uint32_t node, struct stat *st)
{
	for (;;) {
		pthread_rwlock_rdlock(&fs->tree);
		int rc = node_stat(fs, node, st);
		pthread_rwlock_unlock(&fs->tree);
		if (rc == -VIEW_AGAIN)
			rc = view_measure(fs, node);
		else
			return rc;
		if (rc < 0)
			return rc;
	}
}

/* --- setattr ------------------------------------------------------------- */

struct change {
	int mask;
	uid_t uid;
	gid_t gid;
	mode_t mode;
	struct timespec times[2];
};

static bool change_any(const struct change *c)
{
	return c->mask &
	       (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME);
}

/* To what `fd` is open on, an O_PATH descriptor or not. */
static int change_fd(const struct lower_calls *sys, int fd, const struct change *c)
{
	struct lower_fdpath path = lower_fdpath(fd);

	if (c->mask & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) &&
	    sys->fchownat(fd, "", c->uid, c->gid, AT_EMPTY_PATH) < 0)
		return -errno;
	if (c->mask & FUSE_SET_ATTR_MODE && sys->chmod(path.text, c->mode) < 0)
		return -errno;
	if (c->mask & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME) &&
	    sys->utimensat(AT_FDCWD, path.text, c->times, 0) < 0)
		return -errno;
	return 0;
}

/* Symlinks cannot be reached through /proc. */
static int change_link(const struct lower_calls *sys, int dir, const char *name, const struct change *c)
{
	if (c->mask & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) &&
	    sys->fchownat(dir, name, c->uid, c->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (c->mask & FUSE_SET_ATTR_MODE)
		return -EOPNOTSUPP;
	if (c->mask & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME) &&
	    sys->utimensat(dir, name, c->times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int change_lower(struct clawfs *fs, uint32_t node, const struct change *c)
{
	const struct node *n = fs_node(fs, node);
	int dir, rc;
	const char *name;

	if (n->flags & NODE_ORPHAN || node == NODE_ROOT)
		return change_fd(fs->lower.sys, node == NODE_ROOT ? fs->lower.root : n->lower_fd, c);
	rc = node_place_lower(fs, node, &dir, &name);
	if (rc < 0)
		return rc;
	if (S_ISLNK(n->type))
		return change_link(fs->lower.sys, dir, name, c);
	int fd = lower_open(&fs->lower, dir, name, O_PATH, 0);
	if (fd < 0)
		return fd;
	rc = change_fd(fs->lower.sys, fd, c);
	close(fd);
	return rc;
}

static int change_upper(struct clawfs *fs, uint32_t node, const struct change *c)
{
	int dir;
	const char *name;
	int rc = node_place_upper(fs, node, &dir, &name);

	if (rc < 0)
		return rc;
	if (S_ISLNK(fs_node(fs, node)->type))
		return change_link(fs->lower.sys, dir, name, c);
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = change_fd(fs->lower.sys, fd, c);
	close(fd);
	return rc;
}

/* The same of a descriptor that is more than O_PATH: no path, which /proc would make for it. */
static int change_real_fd(const struct lower_calls *sys, int fd, const struct change *c)
{
	if (c->mask & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) && sys->fchown(fd, c->uid, c->gid) < 0)
		return -errno;
	if (c->mask & FUSE_SET_ATTR_MODE && sys->fchmod(fd, c->mode) < 0)
		return -errno;
	if (c->mask & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME) && sys->futimens(fd, c->times) < 0)
		return -errno;
	return 0;
}

/* A file whose bytes are open here, maybe nameless: true when it was changed through that. */
static bool change_open(struct clawfs *fs, uint32_t node, const struct change *c, int *rc)
{
	uint32_t slot = file_peek(fs, node);

	if (!slot)
		return false;
	struct file *f = file_at(fs, slot);
	pthread_rwlock_wrlock(&f->lock);
	int fd = f->place != PLACE_LOWER ? f->fd_up : f->fd_rd >= 0 ? f->fd_rd : f->fd_wr;
	if (fd >= 0)
		*rc = change_real_fd(fs->lower.sys, fd, c);
	pthread_rwlock_unlock(&f->lock);
	file_put(fs, slot);
	return fd >= 0;
}

/* Tree lock for writing. */
static int change_node(struct clawfs *fs, uint32_t node, const struct change *change, msec_t now)
{
	struct node *n = fs_node(fs, node);
	struct change c = *change;
	int rc = 0;

	if (n->flags & NODE_ORPHAN && change_open(fs, node, &c, &rc))
		return rc;
	if (n->flags & NODE_UPPER) {
		if (!S_ISREG(n->type) || !change_open(fs, node, &c, &rc))
			rc = change_upper(fs, node, &c);
		/* The lower's copy of this very file must not stay readable
		 * for longer than the mount's (P10); its times come with the
		 * content. */
		if (rc == 0 && S_ISDIR(n->type) && c.mask & FUSE_SET_ATTR_MTIME)
			n->flags &= ~(uint32_t)NODE_DIRTIME;
		c.mask &= ~(FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME);
		if (rc == 0 && n->flags & NODE_OWN && change_any(&c))
			rc = change_lower(fs, node, &c);
		uint32_t slot = file_peek(fs, node);
		if (rc == 0 && slot)
			file_touch(fs, slot, now);
		if (slot)
			file_put(fs, slot);
		return rc;
	}
	rc = change_lower(fs, node, &c);
	if (rc == 0 && c.mask & FUSE_SET_ATTR_MTIME) {
		if (S_ISDIR(n->type))
			n->flags &= ~(uint32_t)NODE_DIRTIME;
		if (n->flags & NODE_TIMES) {
			n->flags &= ~(uint32_t)NODE_TIMES;
			__atomic_sub_fetch(&fs->sched.times_pending, 1, __ATOMIC_RELEASE);
		}
	}
	return rc;
}

static int truncate_node(struct clawfs *fs, uint32_t node, struct handle *h, off_t size, msec_t now)
{
	uint32_t slot = 0;
	bool view = true;

	if (h && h->file)
		return file_truncate(fs, h->file, h, size, now);
	while (view) {
		pthread_rwlock_rdlock(&fs->tree);
		view = view_is(fs, node);
		/* Whoever has its content state keeps it from being compressed. */
		if (!view)
			slot = file_get(fs, node);
		pthread_rwlock_unlock(&fs->tree);
		int rc = view ? view_revive(fs, node) : 0;
		if (rc < 0)
			return rc;
	}
	if (!slot)
		return -ENOMEM;
	int rc = file_truncate(fs, slot, NULL, size, now);
	file_put(fs, slot);
	return rc;
}

int fs_setattr(struct clawfs *fs, uint32_t node, struct handle *h, const struct stat *attr, int mask, msec_t now,
	       struct stat *st)
{
	const struct timespec omit = {.tv_nsec = UTIME_OMIT}, current = {.tv_nsec = UTIME_NOW};
	struct change c = {
		.mask = mask,
		.uid = mask & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
		.gid = mask & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1,
		.mode = attr->st_mode & 07777,
		.times = {omit, omit},
	};
	int rc = 0;

	if (mask & FUSE_SET_ATTR_ATIME)
		c.times[0] = mask & FUSE_SET_ATTR_ATIME_NOW ? current : attr->st_atim;
	if (mask & FUSE_SET_ATTR_MTIME)
		c.times[1] = mask & FUSE_SET_ATTR_MTIME_NOW ? current : attr->st_mtim;
	if (mask & FUSE_SET_ATTR_SIZE)
		rc = truncate_node(fs, node, h, attr->st_size, now);
	if (rc < 0)
		return rc;
	pthread_rwlock_wrlock(&fs->tree);
	while (rc == 0 && change_any(&c) && view_is(fs, node) && !(fs_node(fs, node)->flags & NODE_ORPHAN)) {
		pthread_rwlock_unlock(&fs->tree);
		rc = view_revive(fs, node);
		pthread_rwlock_wrlock(&fs->tree);
	}
	if (rc == 0 && change_any(&c))
		rc = change_node(fs, node, &c, now);
	if (rc == 0)
		rc = node_stat(fs, node, st);
	pthread_rwlock_unlock(&fs->tree);
	return rc == -VIEW_AGAIN ? fs_getattr(fs, node, st) : rc;
}

/* --- the rest ------------------------------------------------------------ */

int fs_readlink(struct clawfs *fs, uint32_t node, char *buf, size_t size)
{
	int dir;
	const char *name;
	ssize_t n = -1;

	pthread_rwlock_rdlock(&fs->tree);
	const struct node *node_p = fs_node(fs, node);
	int rc = 0;
	if (node_p->flags & NODE_ORPHAN) {
		n = node_p->lower_fd < 0 ? -1 : fs->lower.sys->readlinkat(node_p->lower_fd, "", buf, size - 1);
		rc = n < 0 ? -ESTALE : 0;
	} else {
		rc = node_p->flags & NODE_LOWER ? node_place_lower(fs, node, &dir, &name)
						: node_place_upper(fs, node, &dir, &name);
		if (rc == 0) {
			n = fs->lower.sys->readlinkat(dir, name, buf, size - 1);
			rc = n < 0 ? -errno : 0;
		}
	}
	pthread_rwlock_unlock(&fs->tree);
	if (rc == 0)
		buf[n] = '\0';
	return rc;
}

int fs_statfs(struct clawfs *fs, struct statvfs *st)
{
	return fs->lower.sys->fstatvfs(fs->lower.root, st) < 0 ? -errno : 0;
}
