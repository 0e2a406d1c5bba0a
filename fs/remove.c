/* Removing names, and what becomes of nodes without one. */
#include "fs/crashpoint.h"
#include "fs/names.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void node_anchor(struct clawfs *fs, uint32_t node)
{
	struct node *n = fs_node(fs, node);
	int dir;
	const char *name;

	/* With newer content in the upper, the lower's file is not what it was. */
	if (n->lower_fd >= 0 || !(n->flags & NODE_OWN) || n->flags & NODE_UPPER ||
	    !__atomic_load_n(&n->nlookup, __ATOMIC_RELAXED))
		return;
	if (node_place_lower(fs, node, &dir, &name) < 0)
		return;
	int fd = lower_open(&fs->lower, dir, name, O_PATH, 0);
	if (fd >= 0) {
		n->lower_fd = fd;
		fs->nodes.dirfds++;
	}
}

/* Whether the lower's file has further names, which we may never have seen. */
static bool has_other_names(struct clawfs *fs, const struct node *n, bool hidden)
{
	struct stat st;

	return !S_ISDIR(n->type) && n->flags & NODE_OWN && n->lower_fd >= 0 &&
	       fs->lower.sys->fstat(n->lower_fd, &st) == 0 && st.st_nlink > (nlink_t)hidden;
}

void name_gone(struct clawfs *fs, uint32_t node, uint32_t parent, const char *name, bool hidden)
{
	struct nodes *ns = &fs->nodes;

	if (node_in_ram(ns, node))
		node_ram_remove(ns, node);
	CRASH_POINT("remove: name");
	node_name_remove(ns, node, parent, name);
	CRASH_POINT("remove: nameless");
	node_nameless(fs, node, hidden);
}

void node_nameless(struct clawfs *fs, uint32_t node, bool hidden)
{
	struct nodes *ns = &fs->nodes;
	struct node *n = fs_node(fs, node);

	if (n->name)
		return;
	if (n->flags & NODE_TIMES) {
		n->flags &= ~(uint32_t)NODE_TIMES;
		__atomic_sub_fetch(&fs->sched.times_pending, 1, __ATOMIC_RELEASE);
	}
	uint32_t slot = file_peek(fs, node);
	if (has_other_names(fs, n, hidden)) {
		/* Found again by its identity when another name is looked up. */
		n->flags = (n->flags & ~(uint32_t)NODE_LOWER) | NODE_ORPHAN;
	} else {
		node_unset_own(ns, node);
		n->flags &= ~(uint32_t)(NODE_LOWER | NODE_UPPER);
		n->flags |= NODE_ORPHAN;
	}
	if (slot) {
		file_orphan(fs, slot);
		file_put(fs, slot);
	}
	db_gone(fs, node);
	clawfs_check(fs, node);
	node_reap(ns, node);
}

/* The name of an X.log.gz is gone: so is X.log, if it was a view of that. */
static void drop_view(struct clawfs *fs, uint32_t view, uint32_t parent)
{
	char name[NAME_MAX + 1];

	snprintf(name, sizeof(name), "%s", name_at(&fs->nodes, fs_node(fs, view)->name)->text);
	name_gone(fs, view, parent, name, false);
	inval_entry(fs, parent, name);
}

/* The change itself, of a node that is no view, between intent_begin and intent_end. */
static int unlink_both(struct clawfs *fs, uint32_t parent, const char *name, uint32_t node, struct upper_work *hidden)
{
	const struct node *n = fs_node(fs, node);
	bool upper = n->flags & NODE_UPPER, lower = n->flags & NODE_LOWER;
	int updir = -1, rc = 0;

	/* The lower first: a crash in between leaves the newer bytes under the name, as they were. The other way
	 * round the lower's older ones would come back. A tail without its log means nothing to recovery. */
	if (upper) {
		updir = dir_upper(fs, parent);
		if (updir < 0)
			return updir;
	}
	CRASH_POINT("remove: lower");
	if (lower) {
		int dir = dir_lower(fs, parent);
		rc = dir < 0 ? dir : fs->lower.sys->unlinkat(dir, name, 0) < 0 ? -errno : 0;
		if (rc < 0)
			return rc;
	}
	CRASH_POINT("remove: upper");
	if (upper && !lower) {
		if (unlinkat(updir, name, 0) < 0)
			return -errno;
	} else if (upper && unlinkat(updir, name, 0) < 0 && upper_hide(&fs->upper, updir, name, hidden) < 0) {
		log_error(fs->log, "%s is removed, but its copy in the upper could not be: %s", name, strerror(errno));
	}
	return 0;
}

int name_unlink(struct clawfs *fs, uint32_t parent, const char *name, int32_t pid)
{
	uint32_t node;
	struct upper_work hidden = {""};

	int rc = db_fenced(fs, pid) ? -EIO : name_resolve(fs, parent, name, &node);
	if (rc < 0)
		return rc;
	struct node *n = fs_node(fs, node);
	if (S_ISDIR(n->type))
		return -EISDIR;
	if (n->flags & NODE_PACKED)
		return view_unlink(fs, node);
	uint32_t view = view_of(fs, parent, name), slot = file_peek(fs, node);
	bool lower = n->flags & NODE_LOWER;
	if (slot) {
		rc = file_orphan_prepare(fs, slot);
		file_put(fs, slot);
		if (rc < 0)
			return rc;
	}
	if (lower)
		node_anchor(fs, node);
	if (view)
		view_anchor(fs, view);
	if (n->flags & NODE_UPPER)
		hidden = upper_work_name(&fs->upper);
	struct intent intent = {.op = INTENT_UNLINK, .parent = parent, .src = node, .lower = lower};
	snprintf(intent.name, sizeof(intent.name), "%s", name);
	snprintf(intent.hidden, sizeof(intent.hidden), "%s", hidden.text);
	intent_begin(fs, &intent);
	rc = unlink_both(fs, parent, name, node, &hidden);
	if (rc == 0) {
		dir_touch(fs, parent, lower);
		db_name_changes(fs, parent, name, pid);
		name_gone(fs, node, parent, name, false);
		if (view)
			drop_view(fs, view, parent);
	}
	intent_end(fs, rc, 0);
	return rc;
}

int fs_unlink(struct clawfs *fs, struct caller who, uint32_t parent, const char *name)
{
	struct log_name log;
	char path[PATH_MAX];
	int rc = db_name_begin(fs, parent, name, BARRIER_WAL_UNLINK);

	if (rc < 0)
		return rc;
	underway_lock(fs, parent, name);
	uint32_t known = node_find(&fs->nodes, parent, name);
	bool was_view = known && view_is(fs, known);
	rc = name_unlink(fs, parent, name, who.pid);
	if (rc == 0 && (was_view || policy_log_unpacked(name, &log)) &&
	    node_child_path(&fs->nodes, parent, was_view ? name : log.text, path, sizeof(path)) == 0)
		life_packed_gone(fs, path);
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}

int fs_rmdir(struct clawfs *fs, uint32_t parent, const char *name)
{
	uint32_t node;

	pthread_rwlock_wrlock(&fs->tree);
	int rc = name_resolve(fs, parent, name, &node);
	if (rc < 0)
		goto out;
	struct node *n = fs_node(fs, node);
	if (!S_ISDIR(n->type)) {
		rc = -ENOTDIR;
		goto out;
	}
	if (n->ram_head) {
		rc = -ENOTEMPTY;
		goto out;
	}
	/* Somebody may still be in it. */
	if (n->flags & NODE_LOWER)
		dir_lower(fs, node);
	else
		dir_upper(fs, node);
	struct intent intent = {.op = INTENT_RMDIR, .parent = parent, .src = node, .lower = n->flags & NODE_LOWER};
	snprintf(intent.name, sizeof(intent.name), "%s", name);
	intent_begin(fs, &intent);
	if (n->flags & NODE_LOWER) {
		int dir = dir_lower(fs, parent);
		rc = dir < 0 ? dir : fs->lower.sys->unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
		if (rc < 0)
			goto out;
		if (__atomic_load_n(&n->mirror, __ATOMIC_RELAXED)) {
			int updir = dir_upper(fs, parent);
			if (updir >= 0)
				unlinkat(updir, name, AT_REMOVEDIR);
			n->mirror = 0;
		}
	} else {
		int updir = dir_upper(fs, parent);
		rc = updir < 0 ? updir : unlinkat(updir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
		if (rc < 0)
			goto out;
	}
	dir_touch(fs, parent, n->flags & NODE_LOWER);
	name_gone(fs, node, parent, name, false);
out:
	intent_end(fs, rc, 0);
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}
