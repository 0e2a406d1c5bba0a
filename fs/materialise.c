/* A directory that was in RAM only goes to the lower. */
#include "fs/names.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Symlinks, FIFOs, sockets: made anew on the lower. */
static int special_materialise(struct clawfs *fs, uint32_t node, uint32_t dir, const char *name)
{
	int updir = dir_upper(fs, dir), lower = dir_lower(fs, dir);
	struct stat st;
	char target[PATH_MAX];
	int rc = 0;

	if (updir < 0 || lower < 0)
		return updir < 0 ? updir : lower;
	if (fstatat(updir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(updir, name, target, sizeof(target) - 1);
		if (n < 0)
			return -errno;
		target[n] = '\0';
		rc = fs->lower.sys->symlinkat(target, lower, name);
	} else {
		rc = fs->lower.sys->mknodat(lower, name, st.st_mode, st.st_rdev);
	}
	if (rc < 0)
		return -errno;
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	fs->lower.sys->fchownat(lower, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW);
	fs->lower.sys->utimensat(lower, name, times, AT_SYMLINK_NOFOLLOW);
	if (fs->lower.sys->fstatat(lower, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	unlinkat(updir, name, 0);
	node_set_lower(&fs->nodes, node, st.st_dev, st.st_ino);
	fs_node(fs, node)->flags &= ~(uint32_t)NODE_UPPER;
	return 0;
}

/* A file that was in RAM because its directory was: it now has the class of
 * its name, and is dirty. */
static void file_release(struct clawfs *fs, uint32_t node, uint32_t dir, const char *name, msec_t now)
{
	uint32_t slot = file_peek(fs, node);
	enum policy_class cls = file_classify(fs, dir, name);

	if (!slot)
		return;
	file_reclass(fs, slot, cls);
	struct file *f = file_at(fs, slot);
	pthread_mutex_lock(&fs->sched.lock);
	policy_file_replace(&f->policy, cls, NULL, now);
	sched_update(fs, slot, f);
	pthread_mutex_unlock(&fs->sched.lock);
	file_put(fs, slot);
}

int dir_children_materialise(struct clawfs *fs, uint32_t dir, msec_t now)
{
	char path[PATH_MAX];
	int rc = 0;

	for (uint32_t child = fs_node(fs, dir)->ram_head, next; child && rc == 0; child = next) {
		const struct node *n = fs_node(fs, child);
		const struct name *name = name_at(&fs->nodes, n->name);
		next = n->ram_next;
		if (S_ISREG(n->type))
			file_release(fs, child, dir, name->text, now);
		else if (!S_ISDIR(n->type))
			rc = special_materialise(fs, child, dir, name->text);
		else if (node_path(&fs->nodes, child, path, sizeof(path)) < 0 ||
			 !policy_classify_dir_volatile(&fs->config.rules, path))
			rc = dir_materialise(fs, child, now);
	}
	return rc;
}

int dir_materialise(struct clawfs *fs, uint32_t dir, msec_t now)
{
	struct node *n = fs_node(fs, dir);
	const struct lower_calls *sys = fs->lower.sys;
	struct stat st;
	int rc;

	if (n->flags & NODE_LOWER)
		return 0;
	if (n->flags & NODE_ORPHAN)
		return -ENOENT;
	rc = dir_materialise(fs, node_parent(&fs->nodes, dir), now);
	/* Its parent's turn may have brought it along. */
	if (rc < 0 || n->flags & NODE_LOWER)
		return rc;
	int up = dir_upper(fs, dir), parent, fd;
	const char *name;
	rc = node_place_lower(fs, dir, &parent, &name);
	if (rc < 0 || up < 0)
		return rc < 0 ? rc : up;
	if (fstat(up, &st) < 0)
		return -errno;
	/* Complete, then in its place: a crash in between must not leave one
	 * that its owner cannot enter. */
	struct upper_work unique = upper_work_name(&fs->upper);
	int temp = dir_temp(fs);
	if (temp < 0)
		return temp;
	if (sys->mkdirat(temp, unique.text, 0700) < 0)
		return -errno;
	fd = lower_open(&fs->lower, temp, unique.text, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) {
		sys->unlinkat(temp, unique.text, AT_REMOVEDIR);
		return fd;
	}
	if ((st.st_uid != geteuid() || st.st_gid != getegid()) && sys->fchown(fd, st.st_uid, st.st_gid) < 0 &&
	    fs->lower.privileged)
		rc = -errno;
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	mode_t mode = st.st_mode & 07777;
	if (rc == 0 && (sys->fchmod(fd, mode) < 0 || sys->futimens(fd, times) < 0 || sys->fstat(fd, &st) < 0))
		rc = -errno;
	close(fd);
	if (rc == 0 && sys->renameat2(temp, unique.text, parent, name, RENAME_NOREPLACE) < 0)
		rc = -errno;
	if (rc < 0) {
		sys->unlinkat(temp, unique.text, AT_REMOVEDIR);
		return rc;
	}
	n->mirror = 1;
	node_set_lower(&fs->nodes, dir, st.st_dev, st.st_ino);
	n->flags &= ~(uint32_t)NODE_UPPER;
	return dir_children_materialise(fs, dir, now);
}
