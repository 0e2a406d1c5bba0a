/* A rename in the upper alone: no call on the lower, no wait for the card. */
#include "fs/names.h"
#include "fs/renameimpl.h"
#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

/* The same for what is in RAM only. */
static int intend_upper(struct clawfs *fs, const struct rename *r, int updir, int cls)
{
	struct stat st;

	if (fstatat(updir, r->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	rename_intend(fs, r, false, st.st_ino, cls);
	return 0;
}

enum policy_class rename_ram_class(struct clawfs *fs, const struct rename *r)
{
	const struct node *src = fs_node(fs, r->src);

	if (r->flags & RENAME_EXCHANGE || !S_ISREG(src->type) || !(src->flags & NODE_UPPER) || src->flags & NODE_LOWER)
		return CLASS_THROUGH;
	/* The old file of several names would be hidden under all of them. */
	if (r->dst && name_at(&fs->nodes, fs_node(fs, r->dst)->name)->sibling)
		return CLASS_THROUGH;
	enum policy_class cls = file_classify(fs, r->new_parent, r->new_name);
	/* A log in the upper is a tail of the lower's file of its name, to
	 * recovery too: it cannot hide another file. */
	if (class_is_tail(cls) && r->dst && fs_node(fs, r->dst)->flags & NODE_LOWER)
		return CLASS_THROUGH;
	return class_is_cached(cls) ? cls : CLASS_THROUGH;
}

int rename_in_ram(struct clawfs *fs, const struct rename *r, enum policy_class cls)
{
	struct nodes *ns = &fs->nodes;
	struct node *src = fs_node(fs, r->src);
	struct node *dst = r->dst ? fs_node(fs, r->dst) : NULL;
	uint32_t slot = file_peek(fs, r->src), old_slot = r->dst ? file_peek(fs, r->dst) : 0;
	int rc = 0;

	if (old_slot)
		rc = file_orphan_prepare(fs, old_slot);
	int updir = dir_upper(fs, r->parent), new_updir = dir_upper(fs, r->new_parent);
	if (rc == 0 && (updir < 0 || new_updir < 0))
		rc = updir < 0 ? updir : new_updir;
	if (rc < 0)
		goto out;
	if (dst)
		node_anchor(fs, r->dst);
	rc = intend_upper(fs, r, updir, (int)cls);
	if (rc < 0)
		goto out;
	/* Everything that can fail, before anything that cannot be undone. */
	node_ram_remove(ns, r->src);
	rc = node_name_move(ns, r->src, r->parent, r->name, r->new_parent, r->new_name);
	if (rc == 0 && renameat(updir, r->name, new_updir, r->new_name) < 0) {
		rc = -errno;
		node_name_move(ns, r->src, r->new_parent, r->new_name, r->parent, r->name);
	}
	if (rc < 0) {
		node_ram_add(ns, r->src);
		goto out;
	}
	bool hides = dst && dst->flags & NODE_LOWER;
	if (hides)
		src->flags |= NODE_LOWER;
	else
		node_ram_add(ns, r->src);
	if (dst)
		src->lineage = dst->lineage;
	file_reclass(fs, slot, cls);
	struct file *f = file_at(fs, slot);
	pthread_mutex_lock(&fs->sched.lock);
	if (f->policy.cls != cls)
		stats_app_move(fs->stats, r->now, f->policy.cls, cls, f->app_writes, f->app_bytes);
	policy_file_replace(&f->policy, cls, old_slot ? &file_at(fs, old_slot)->policy : NULL, r->now);
	f->saves = 1 + (old_slot ? file_at(fs, old_slot)->saves : 0);
	sched_update(fs, slot, f);
	pthread_mutex_unlock(&fs->sched.lock);
	rename_touch_parents(fs, r, false);
	/* It still has its name: of two with the same, ours is the newer. */
	if (dst)
		name_gone(fs, r->dst, r->new_parent, r->new_name, hides);
	clawfs_check(fs, r->src);
out:
	intent_end(fs, rc, 0);
	if (old_slot)
		file_put(fs, old_slot);
	file_put(fs, slot);
	return rc;
}

bool rename_ram_dir(struct clawfs *fs, const struct rename *r, int *rc)
{
	struct nodes *ns = &fs->nodes;
	char path[PATH_MAX];

	if (r->flags & RENAME_EXCHANGE || fs_node(fs, r->src)->flags & NODE_LOWER)
		return false;
	if (r->dst && fs_node(fs, r->dst)->flags & NODE_LOWER)
		return false;
	bool stays = !dir_on_lower(fs, r->new_parent);
	if (!stays && S_ISDIR(fs_node(fs, r->src)->type) &&
	    node_child_path(ns, r->new_parent, r->new_name, path, sizeof(path)) == 0)
		stays = policy_classify_dir_volatile(&fs->config.rules, path);
	if (!stays)
		return false;
	int updir = dir_upper(fs, r->parent), new_updir = dir_upper(fs, r->new_parent);
	*rc = updir < 0 ? updir : new_updir < 0 ? new_updir : 0;
	if (*rc == 0)
		*rc = intend_upper(fs, r, updir, -1);
	if (*rc < 0)
		return true;
	node_ram_remove(ns, r->src);
	*rc = node_name_move(ns, r->src, r->parent, r->name, r->new_parent, r->new_name);
	if (*rc == 0 && renameat(updir, r->name, new_updir, r->new_name) < 0) {
		*rc = -errno;
		node_name_move(ns, r->src, r->new_parent, r->new_name, r->parent, r->name);
	}
	node_ram_add(ns, r->src);
	if (*rc == 0) {
		if (r->dst)
			name_gone(fs, r->dst, r->new_parent, r->new_name, false);
		rename_touch_parents(fs, r, false);
	}
	intent_end(fs, *rc, 0);
	return true;
}
