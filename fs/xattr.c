/* Extended attributes: those of the file on the lower, where what is held in RAM goes first. */
#include "fs/attr.h"
#include "fs/names.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

/* A path for the calls that take one, through the directory's descriptor, so
 * that the last component may be a symlink without being followed. */
static int xattr_path(struct clawfs *fs, uint32_t node, char path[400], int *opened)
{
	const struct node *n = fs_node(fs, node);
	int dir, fd;
	const char *name;

	*opened = -1;
	if (S_ISDIR(n->type)) {
		fd = n->flags & NODE_LOWER ? dir_lower(fs, node) : n->lower_fd;
	} else if (n->flags & NODE_ORPHAN) {
		fd = n->lower_fd;
	} else {
		int rc = node_place_lower(fs, node, &dir, &name);
		if (rc < 0)
			return rc;
		fd = lower_open(&fs->lower, dir, name, O_PATH, 0);
		*opened = fd;
	}
	if (fd < 0)
		return fd == -1 ? -ESTALE : fd;
	/* The kernel has no attributes for what is not a file or directory but privileged ones. */
	if (S_ISLNK(n->type)) {
		close(*opened);
		*opened = -1;
		return -EOPNOTSUPP;
	}
	snprintf(path, 400, "%s", lower_fdpath(fd).text);
	return 0;
}

/* Whether the node has a place on the lower that is its own; what is in RAM
 * alone has no attributes. */
static bool has_lower(const struct node *n)
{
	return n->flags & NODE_OWN || (n->flags & NODE_ORPHAN && n->lower_fd >= 0);
}

/* What is held whole gets its attributes on the lower: it goes there first. */
static int bring_down(struct clawfs *fs, uint32_t node, msec_t now)
{
	int rc = view_revive(fs, node);

	if (rc < 0)
		return rc;
	uint32_t slot = file_peek(fs, node);

	if (slot) {
		pthread_rwlock_rdlock(&fs->tree);
		/* Nameless, it may be in RAM without the flag. */
		bool upper = fs_node(fs, node)->flags & (NODE_UPPER | NODE_ORPHAN);
		pthread_rwlock_unlock(&fs->tree);
		if (upper)
			rc = file_materialise(fs, slot, now);
		/* Written past us, it cannot leave the upper; to be there as well is enough. */
		if (rc == -EBUSY)
			rc = file_sync(fs, slot, NULL, true, now);
		file_put(fs, slot);
		return rc;
	}
	if (S_ISDIR(fs_node(fs, node)->type)) {
		pthread_rwlock_wrlock(&fs->tree);
		rc = dir_materialise(fs, node, now);
		pthread_rwlock_unlock(&fs->tree);
	}
	return rc;
}

ssize_t fs_getxattr(struct clawfs *fs, uint32_t node, const char *name, void *value, size_t size)
{
	char path[400];
	int opened;
	ssize_t n;

	pthread_rwlock_rdlock(&fs->tree);
	const struct node *p = fs_node(fs, node);
	if (!has_lower(p)) {
		n = -ENODATA;
	} else if (p->flags & NODE_UPPER && strcmp(name, "security.capability") == 0) {
		/* Asked before every write; what is being written has none. */
		n = -ENODATA;
	} else {
		n = xattr_path(fs, node, path, &opened);
		if (n == 0) {
			n = fs->lower.sys->getxattr(path, name, value, size);
			n = n < 0 ? -errno : n;
			if (opened >= 0)
				close(opened);
		}
	}
	pthread_rwlock_unlock(&fs->tree);
	return n;
}

ssize_t fs_listxattr(struct clawfs *fs, uint32_t node, char *list, size_t size)
{
	char path[400];
	int opened;
	ssize_t n = 0;

	pthread_rwlock_rdlock(&fs->tree);
	if (has_lower(fs_node(fs, node))) {
		n = xattr_path(fs, node, path, &opened);
		if (n == 0) {
			n = fs->lower.sys->listxattr(path, list, size);
			n = n < 0 ? -errno : n;
			if (opened >= 0)
				close(opened);
		} else if (n == -EOPNOTSUPP) {
			n = 0;
		}
	}
	pthread_rwlock_unlock(&fs->tree);
	return n;
}

/* Before an attribute is made or removed: whether it can be. What comes again after a worker died fails then only if it
 * would have failed there. */
static bool xattr_may(struct clawfs *fs, const char *path, const char *name, bool present)
{
	struct request *r = request_current();

	if (!r)
		return false;
	if (!r->able && (fs->lower.sys->getxattr(path, name, NULL, 0) >= 0) == present)
		__atomic_store_n(&r->able, true, __ATOMIC_RELEASE);
	return r->able && request_is_again();
}

int fs_setxattr(struct clawfs *fs, uint32_t node, const char *name, const void *value, size_t size, int flags,
		msec_t now)
{
	char path[400];
	int opened;

	/* The kernel would not check it on this mount (P10). */
	if (strncmp(name, "system.posix_acl_", 17) == 0)
		return -EOPNOTSUPP;
	int rc = bring_down(fs, node, now);
	if (rc < 0)
		return rc;
	pthread_rwlock_rdlock(&fs->tree);
	rc = has_lower(fs_node(fs, node)) ? xattr_path(fs, node, path, &opened) : -EOPNOTSUPP;
	if (rc == 0) {
		if (flags & XATTR_CREATE && xattr_may(fs, path, name, false))
			flags = 0;
		rc = fs->lower.sys->setxattr(path, name, value, size, flags) < 0 ? -errno : 0;
		if (opened >= 0)
			close(opened);
	}
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}

int fs_removexattr(struct clawfs *fs, uint32_t node, const char *name, msec_t now)
{
	char path[400];
	int opened;

	int rc = bring_down(fs, node, now);
	if (rc < 0)
		return rc;
	pthread_rwlock_rdlock(&fs->tree);
	rc = has_lower(fs_node(fs, node)) ? xattr_path(fs, node, path, &opened) : -ENODATA;
	if (rc == 0) {
		bool may = xattr_may(fs, path, name, true);
		rc = fs->lower.sys->removexattr(path, name) < 0 ? -errno : 0;
		if (rc == -ENODATA && may)
			rc = 0;
		if (opened >= 0)
			close(opened);
	}
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}
