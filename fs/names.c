/* Making names. Finding one: lookup.c; a second name: link.c; removing: remove.c; moving: rename.c. */
#include "fs/names.h"
#include "fs/crashpoint.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

int name_check_absent(struct clawfs *fs, uint32_t parent, const char *name)
{
	uint32_t node;

	if (name_is_reserved(parent, name))
		return -EEXIST;
	/* A directory that was removed while somebody is in it. */
	if (fs_node(fs, parent)->flags & NODE_ORPHAN)
		return -ENOENT;
	int rc = name_resolve(fs, parent, name, &node);
	return rc == 0 ? -EEXIST : rc == -ENOENT ? 0 : rc;
}

/* A set-group-id directory hands its group on. */
static int inherit(struct clawfs *fs, uint32_t parent, struct caller *who, mode_t *mode)
{
	struct stat st;

	int rc = node_stat(fs, parent, &st);
	if (rc == 0 && st.st_mode & S_ISGID) {
		who->gid = st.st_gid;
		if (S_ISDIR(*mode))
			*mode |= S_ISGID;
	}
	return rc;
}

/* Owner and mode of what is made in the upper, as the lower's file system
 * would give them. */
static int own_upper(struct clawfs *fs, uint32_t parent, int dir, const char *name, struct caller who, mode_t mode)
{
	int rc = inherit(fs, parent, &who, &mode);

	if (rc < 0)
		return rc;
	if ((who.uid != geteuid() || who.gid != getegid()) &&
	    fchownat(dir, name, who.uid, who.gid, AT_SYMLINK_NOFOLLOW) < 0 && fs->lower.privileged)
		return -errno;
	if (!S_ISLNK(mode) && fchmodat(dir, name, mode & 07777, 0) < 0)
		return -errno;
	return 0;
}

int name_enter_upper(struct clawfs *fs, uint32_t parent, const char *name, mode_t type, uint32_t *node)
{
	struct nodes *ns = &fs->nodes;

	*node = node_new(ns, type);
	if (!*node)
		return -ENOMEM;
	int rc = node_name_add(ns, *node, parent, name);
	if (rc < 0) {
		node_reap(ns, *node);
		return rc;
	}
	struct node *n = fs_node(fs, *node);
	CRASH_POINT("name: enter upper");
	n->flags |= NODE_UPPER;
	n->lineage = node_new_lineage(ns);
	node_set_ino(ns, *node);
	CRASH_POINT("name: to the directory");
	node_ram_add(ns, *node);
	dir_touch(fs, parent, false);
	return 0;
}

/* The same of a file that was made with all of `mode` but set-id bits. */
static int own_upper_file(struct clawfs *fs, uint32_t parent, int fd, struct caller who, mode_t mode)
{
	int rc = inherit(fs, parent, &who, &mode);

	if (rc < 0)
		return rc;
	if ((who.uid != geteuid() || who.gid != getegid()) && fchown(fd, who.uid, who.gid) < 0 && fs->lower.privileged)
		return -errno;
	return mode & 07000 && fchmod(fd, mode & 07777) < 0 ? -errno : 0;
}

/* A regular file in RAM. */
static int make_upper_file(struct clawfs *fs, struct caller who, uint32_t parent, const char *name, mode_t mode,
			   enum policy_class cls, uint32_t *node)
{
	int dir = dir_upper(fs, parent);
	if (dir < 0)
		return dir;
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0777);
	if (fd < 0)
		return -errno;
	int rc = own_upper_file(fs, parent, fd, who, mode & 07777);
	if (rc == 0)
		rc = name_enter_upper(fs, parent, name, S_IFREG, node);
	if (rc == 0) {
		uint32_t slot = file_get_new(fs, *node, cls);
		if (slot) {
			file_adopt(fs, slot, class_is_tail(cls) ? PLACE_TAIL : PLACE_WHOLE, 0, fd, 0);
			file_put(fs, slot);
			return 0;
		}
		rc = -ENOMEM;
		node_ram_remove(&fs->nodes, *node);
		node_name_remove(&fs->nodes, *node, parent, name);
		fs_node(fs, *node)->flags = NODE_ORPHAN | NODE_FOREIGN;
		node_reap(&fs->nodes, *node);
	}
	close(fd);
	unlinkat(dir, name, 0);
	return rc;
}

/* Enters what was just made on the lower. */
static int enter_lower(struct clawfs *fs, uint32_t parent, int dir, const char *name, uint32_t *node)
{
	struct stat st;

	lowernames_add(fs->nodes.lower, parent, name);
	dir_touch(fs, parent, true);
	if (fs->lower.sys->fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return name_enter(fs, parent, name, &st, node);
}

static int create_locked(struct clawfs *fs, struct caller who, uint32_t parent, const char *name, mode_t mode,
			 int flags, msec_t now, uint32_t *node, uint32_t *slot)
{
	enum policy_class cls = file_classify(fs, parent, name);
	int rc;

	intent_make(fs, parent, name, !class_is_cached(cls));
	if (class_is_cached(cls)) {
		rc = make_upper_file(fs, who, parent, name, mode, cls, node);
		if (rc < 0)
			return rc;
		rc = file_open(fs, *node, flags, slot);
		if (rc == 0)
			file_touch(fs, *slot, now);
		return rc;
	}
	int dir = dir_lower(fs, parent);
	if (dir < 0)
		return dir;
	lower_become(&fs->lower, who.uid, who.gid);
	int fd = lower_open(&fs->lower, dir, name, (flags & O_ACCMODE) | O_CREAT | O_EXCL, mode);
	lower_return(&fs->lower);
	if (fd < 0)
		return fd;
	rc = enter_lower(fs, parent, dir, name, node);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return file_open_created(fs, *node, flags, fd, slot);
}

int fs_create(struct clawfs *fs, struct caller who, uint32_t parent, const char *name, mode_t mode, int flags,
	      msec_t now, uint32_t *node, struct stat *st, uint32_t *slot, bool *created)
{
	bool given_up = false;
	int rc = db_name_begin(fs, parent, name, BARRIER_WAL_HEAD);

	if (rc < 0)
		return rc;
again:
	pthread_rwlock_wrlock(&fs->tree);
	rc = db_fenced(fs, who.pid) ? -EIO : name_check_absent(fs, parent, name);
	*created = rc == 0;
	if (rc == -EEXIST && !(flags & O_EXCL) && !name_is_reserved(parent, name)) {
		rc = name_resolve(fs, parent, name, node);
		if (rc == 0 && !S_ISREG(fs_node(fs, *node)->type))
			rc = -EEXIST;
		if (rc == 0)
			rc = file_open(fs, *node, flags, slot);
	} else if (rc == 0) {
		rc = create_locked(fs, who, parent, name, mode, flags, now, node, slot);
		if (rc == 0)
			db_name_made(fs, parent, name);
	}
	if (rc == 0) {
		rc = name_give(fs, *node, st);
		given_up = rc < 0;
	}
	CRASH_POINT("name: request made");
	if (rc == 0 && *created)
		request_made(*node);
	intent_clear(fs);
	pthread_rwlock_unlock(&fs->tree);
	if (given_up) {
		struct handle h = {.node = *node, .file = *slot, .flags = (uint32_t)flags};
		file_close(fs, &h, now);
	}
	if (rc == -VIEW_AGAIN) {
		given_up = false;
		rc = flags & (O_ACCMODE | O_TRUNC) ? view_revive(fs, *node) : view_measure(fs, *node);
		if (rc == 0)
			goto again;
	}
	/* What was made is taken back, or the kernel, which was told that it is not there, and we would not agree. It
	 * holds the directory until we answer: nobody else's file has the name. */
	if (rc < 0 && rc != -EEXIST && *created)
		fs_unlink(fs, who, parent, name);
	return rc;
}

int fs_mknod(struct clawfs *fs, struct caller who, uint32_t parent, const char *name, mode_t mode, dev_t dev,
	     msec_t now, uint32_t *node, struct stat *st)
{
	pthread_rwlock_wrlock(&fs->tree);
	int rc = name_check_absent(fs, parent, name);
	bool absent = rc == 0;
	if (rc < 0)
		goto out;
	enum policy_class cls = S_ISREG(mode) ? file_classify(fs, parent, name) : CLASS_THROUGH;
	intent_make(fs, parent, name, !class_is_cached(cls) && dir_on_lower(fs, parent));
	if (class_is_cached(cls)) {
		rc = make_upper_file(fs, who, parent, name, mode, cls, node);
		if (rc == 0) {
			uint32_t slot = file_peek(fs, *node);
			file_touch(fs, slot, now);
			file_put(fs, slot);
		}
	} else if (!dir_on_lower(fs, parent)) {
		int dir = dir_upper(fs, parent);
		rc = dir < 0 ? dir : mknodat(dir, name, mode, dev) < 0 ? -errno : 0;
		if (rc == 0)
			rc = own_upper(fs, parent, dir, name, who, mode);
		if (rc == 0)
			rc = name_enter_upper(fs, parent, name, mode, node);
	} else {
		int dir = dir_lower(fs, parent);
		lower_become(&fs->lower, who.uid, who.gid);
		rc = dir < 0 ? dir : fs->lower.sys->mknodat(dir, name, mode, dev) < 0 ? -errno : 0;
		lower_return(&fs->lower);
		if (rc == 0)
			rc = enter_lower(fs, parent, dir, name, node);
	}
	if (rc == 0)
		rc = name_give(fs, *node, st);
	intent_end(fs, rc, *node);
out:
	pthread_rwlock_unlock(&fs->tree);
	if (rc < 0 && rc != -EEXIST && absent)
		fs_unlink(fs, who, parent, name);
	return rc;
}

int fs_symlink(struct clawfs *fs, struct caller who, const char *target, uint32_t parent, const char *name,
	       uint32_t *node, struct stat *st)
{
	pthread_rwlock_wrlock(&fs->tree);
	int rc = name_check_absent(fs, parent, name);
	bool absent = rc == 0;
	if (rc < 0)
		goto out;
	intent_make(fs, parent, name, dir_on_lower(fs, parent));
	if (!dir_on_lower(fs, parent)) {
		int dir = dir_upper(fs, parent);
		rc = dir < 0 ? dir : symlinkat(target, dir, name) < 0 ? -errno : 0;
		if (rc == 0)
			rc = own_upper(fs, parent, dir, name, who, S_IFLNK);
		if (rc == 0)
			rc = name_enter_upper(fs, parent, name, S_IFLNK, node);
	} else {
		int dir = dir_lower(fs, parent);
		lower_become(&fs->lower, who.uid, who.gid);
		rc = dir < 0 ? dir : fs->lower.sys->symlinkat(target, dir, name) < 0 ? -errno : 0;
		lower_return(&fs->lower);
		if (rc == 0)
			rc = enter_lower(fs, parent, dir, name, node);
	}
	if (rc == 0)
		rc = name_give(fs, *node, st);
	intent_end(fs, rc, *node);
out:
	pthread_rwlock_unlock(&fs->tree);
	if (rc < 0 && rc != -EEXIST && absent)
		fs_unlink(fs, who, parent, name);
	return rc;
}

int fs_mkdir(struct clawfs *fs, struct caller who, uint32_t parent, const char *name, mode_t mode, uint32_t *node,
	     struct stat *st)
{
	char path[PATH_MAX];

	pthread_rwlock_wrlock(&fs->tree);
	int rc = name_check_absent(fs, parent, name);
	bool absent = rc == 0;
	if (rc < 0)
		goto out;
	bool ram = !dir_on_lower(fs, parent);
	if (!ram && node_child_path(&fs->nodes, parent, name, path, sizeof(path)) == 0)
		ram = policy_classify_dir_volatile(&fs->config.rules, path);
	intent_make(fs, parent, name, !ram);
	if (ram) {
		int dir = dir_upper(fs, parent);
		rc = dir < 0 ? dir : mkdirat(dir, name, 0700) < 0 ? -errno : 0;
		if (rc == 0)
			rc = own_upper(fs, parent, dir, name, who, S_IFDIR | (mode & 07777));
		if (rc == 0)
			rc = name_enter_upper(fs, parent, name, S_IFDIR, node);
	} else {
		int dir = dir_lower(fs, parent);
		lower_become(&fs->lower, who.uid, who.gid);
		rc = dir < 0 ? dir : fs->lower.sys->mkdirat(dir, name, mode) < 0 ? -errno : 0;
		lower_return(&fs->lower);
		if (rc == 0)
			rc = enter_lower(fs, parent, dir, name, node);
	}
	if (rc == 0)
		rc = name_give(fs, *node, st);
	intent_end(fs, rc, *node);
out:
	pthread_rwlock_unlock(&fs->tree);
	if (rc < 0 && rc != -EEXIST && absent)
		fs_rmdir(fs, parent, name);
	return rc;
}
