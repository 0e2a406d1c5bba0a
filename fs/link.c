/* A second name for a file, and a file without any. */
#include "fs/names.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int fs_link(struct clawfs *fs, uint32_t node, uint32_t parent, const char *name, msec_t now, struct stat *st)
{
	struct nodes *ns = &fs->nodes;
	struct node *n = fs_node(fs, node);
	struct stat lower = {0};
	int rc;

	rc = db_link_begin(fs, node);
	if (rc < 0)
		return rc;
	/* Several names, maybe of several classes, make it a plain file. */
	rc = view_revive(fs, node);
	if (rc < 0)
		return rc;
	uint32_t slot = file_peek(fs, node);
	if (slot) {
		rc = file_materialise(fs, slot, now);
		file_put(fs, slot);
		if (rc < 0)
			return rc;
	}
	pthread_rwlock_wrlock(&fs->tree);
	rc = name_check_absent(fs, parent, name);
	if (rc == 0 && n->flags & NODE_PACKED)
		rc = -EAGAIN;
	if (rc == 0 && n->flags & NODE_UPPER)
		rc = S_ISREG(n->type) ? -EAGAIN : -EXDEV;
	if (rc == 0 && !dir_on_lower(fs, parent))
		rc = dir_materialise(fs, parent, now);
	if (rc < 0)
		goto out;
	int newdir = dir_lower(fs, parent), dir = -1;
	const char *old = "";
	if (newdir < 0) {
		rc = newdir;
		goto out;
	}
	struct intent intent = {.op = INTENT_LINK, .parent = parent, .lower = true};
	snprintf(intent.name, sizeof(intent.name), "%s", name);
	intent_begin(fs, &intent);
	if (n->flags & NODE_ORPHAN) {
		struct lower_fdpath path = lower_fdpath(n->lower_fd);
		rc = n->lower_fd < 0								       ? -ESTALE
		     : fs->lower.sys->linkat(AT_FDCWD, path.text, newdir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno
												       : 0;
	} else {
		rc = node_place_lower(fs, node, &dir, &old);
		if (rc == 0 && fs->lower.sys->linkat(dir, old, newdir, name, 0) < 0)
			rc = -errno;
	}
	if (rc == 0)
		lowernames_add(ns->lower, parent, name);
	if (rc == 0 && fs->lower.sys->fstatat(newdir, name, &lower, AT_SYMLINK_NOFOLLOW) < 0)
		rc = -errno;
	if (rc == 0)
		rc = node_name_add(ns, node, parent, name);
	if (rc < 0)
		goto out;
	node_set_lower(ns, node, lower.st_dev, lower.st_ino);
	if (!n->lineage)
		n->lineage = node_new_lineage(ns);
	dir_touch(fs, parent, true);
	file_linked(fs, node);
	rc = name_give(fs, node, st);
out:
	intent_end(fs, rc, node);
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}

int fs_tmpfile(struct clawfs *fs, struct caller who, uint32_t parent, mode_t mode, int flags, uint32_t *node,
	       struct stat *st, uint32_t *slot)
{
	struct nodes *ns = &fs->nodes;
	int rc;

	pthread_rwlock_wrlock(&fs->tree);
	int dir = dir_on_lower(fs, parent) ? dir_lower(fs, parent) : -EOPNOTSUPP;
	if (dir < 0) {
		rc = dir;
		goto out;
	}
	lower_become(&fs->lower, who.uid, who.gid);
	int fd = lower_open(&fs->lower, dir, ".", (flags & O_ACCMODE) | O_TMPFILE | (flags & O_EXCL), mode);
	lower_return(&fs->lower);
	if (fd < 0) {
		rc = fd;
		goto out;
	}
	*node = node_new(ns, S_IFREG);
	if (!*node) {
		close(fd);
		rc = -ENOMEM;
		goto out;
	}
	struct node *n = fs_node(fs, *node);
	n->flags |= NODE_ORPHAN;
	n->lower_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	ns->dirfds += n->lower_fd >= 0;
	node_set_ino(ns, *node);
	rc = file_open_created(fs, *node, flags, fd, slot);
	if (rc == 0)
		rc = name_give(fs, *node, st);
	node_reap(ns, *node);
out:
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}
