/* rename(2). One case is the reason for all this: a file that is in RAM only
 * (`sessions.json.PID.UUID.tmp`) takes a name of a cached class, which is one
 * rename in the upper and nothing on the lower (renameram.c). Everything else first brings
 * what it touches onto the lower and then renames there. */
#include "fs/names.h"
#include "fs/observe.h"
#include "fs/renameimpl.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int rename_resolve(struct clawfs *fs, struct rename *r)
{
	int rc;

	if (name_is_reserved(r->parent, r->name) || name_is_reserved(r->new_parent, r->new_name))
		return -EPERM;
	if (fs_node(fs, r->new_parent)->flags & NODE_ORPHAN)
		return -ENOENT;
	rc = name_resolve(fs, r->parent, r->name, &r->src);
	if (rc < 0)
		return rc;
	rc = name_resolve(fs, r->new_parent, r->new_name, &r->dst);
	if (rc == -ENOENT)
		r->dst = 0;
	else if (rc < 0)
		return rc;
	if (r->dst && r->flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (r->flags & RENAME_EXCHANGE)
		return r->dst ? 0 : -ENOENT;
	bool src_dir = S_ISDIR(fs_node(fs, r->src)->type);
	if (src_dir && node_is_below(&fs->nodes, r->new_parent, r->src))
		return -EINVAL;
	if (r->dst && r->dst != r->src) {
		bool dst_dir = S_ISDIR(fs_node(fs, r->dst)->type);
		if (src_dir != dst_dir)
			return dst_dir ? -EISDIR : -ENOTDIR;
		if (dst_dir && fs_node(fs, r->dst)->ram_head)
			return -ENOTEMPTY;
	}
	return 0;
}

void rename_intend(struct clawfs *fs, const struct rename *r, bool lower, uint64_t ino, int cls)
{
	struct intent intent = {
		.op = INTENT_RENAME,
		.parent = r->parent,
		.new_parent = r->new_parent,
		.src = r->src,
		.dst = r->dst,
		.flags = r->flags,
		.cls = cls,
		.lower = lower,
		.ino = ino,
	};

	snprintf(intent.name, sizeof(intent.name), "%s", r->name);
	snprintf(intent.new_name, sizeof(intent.new_name), "%s", r->new_name);
	intent_begin(fs, &intent);
}

void rename_touch_parents(struct clawfs *fs, const struct rename *r, bool lower)
{
	dir_touch(fs, r->parent, lower);
	if (r->new_parent != r->parent)
		dir_touch(fs, r->new_parent, lower);
}

/* --- on the lower -------------------------------------------------------- */

static bool is_mirrored(struct clawfs *fs, uint32_t node)
{
	return node && S_ISDIR(fs_node(fs, node)->type) &&
	       __atomic_load_n(&fs_node(fs, node)->mirror, __ATOMIC_RELAXED);
}

/* A file in the upper below `dir`, which is to be called `new_path`, whose class would be another there;
 * its slot, referenced, or 0. What lies in the upper is recovered by the class of its path. */
static uint32_t find_reclassed(struct clawfs *fs, uint32_t dir, const char *new_path)
{
	char old[PATH_MAX], moved[2 * PATH_MAX];
	uint32_t end = shm_table_end(fs->files);

	if (node_path(&fs->nodes, dir, old, sizeof(old)) < 0)
		return 0;
	size_t prefix = strlen(old);
	for (uint32_t i = 1; i < end; i++) {
		struct file *f = file_at(fs, i);
		char path[PATH_MAX];
		pthread_mutex_lock(&fs->attach);
		uint32_t node = f->refs > 0 ? f->node : 0;
		pthread_mutex_unlock(&fs->attach);
		if (!node || !(fs_node(fs, node)->flags & NODE_UPPER) || !node_is_below(&fs->nodes, node, dir) ||
		    !dir_on_lower(fs, node_parent(&fs->nodes, node)) ||
		    node_path(&fs->nodes, node, path, sizeof(path)) < 0)
			continue;
		snprintf(moved, sizeof(moved), "%s%s", new_path, path + prefix);
		if (policy_classify(&fs->config.rules, moved) != policy_classify(&fs->config.rules, path))
			return file_peek(fs, node);
	}
	return 0;
}

/* What must be on the lower before the lower can rename: brings directories
 * there at once; for a file, returns its slot, referenced, to be materialised
 * without the lock. 0: all is there. */
static int rename_prepare(struct clawfs *fs, const struct rename *r, uint32_t *slot)
{
	const uint32_t nodes[] = {r->parent, r->new_parent, r->src, r->dst};

	*slot = 0;
	for (int i = 0; i < 4; i++) {
		if (!nodes[i])
			continue;
		struct node *n = fs_node(fs, nodes[i]);
		if (S_ISDIR(n->type) && !(n->flags & NODE_LOWER)) {
			int rc = dir_materialise(fs, nodes[i], r->now);
			if (rc < 0)
				return rc;
		}
	}
	for (int i = 2; i < 4; i++) {
		if (!nodes[i] || !(fs_node(fs, nodes[i])->flags & NODE_UPPER))
			continue;
		if (observe_is_pinned(fs, nodes[i])) {
			bool tail = class_is_tail(file_classify(fs, r->new_parent, r->new_name));
			int rc = r->flags & RENAME_EXCHANGE ? -EBUSY : observe_may_rename(fs, nodes[i], i == 3, tail);
			if (rc < 0)
				return rc;
			if (rc > 0)
				continue;
		}
		*slot = file_peek(fs, nodes[i]);
		return *slot ? 0 : -EXDEV;
	}
	char path[PATH_MAX];
	if (is_mirrored(fs, r->src) && node_child_path(&fs->nodes, r->new_parent, r->new_name, path, sizeof(path)) == 0)
		*slot = find_reclassed(fs, r->src, path);
	if (!*slot && r->flags & RENAME_EXCHANGE && is_mirrored(fs, r->dst) &&
	    node_child_path(&fs->nodes, r->parent, r->name, path, sizeof(path)) == 0)
		*slot = find_reclassed(fs, r->dst, path);
	return 0;
}

/* How the upper's mirrors of directories follow a rename on the lower. */
struct mirror_move {
	bool needed, exchange;
	uint32_t from_parent, to_parent;
	const char *from, *to;
};

static struct mirror_move plan_mirrors(struct clawfs *fs, const struct rename *r)
{
	bool src = is_mirrored(fs, r->src) || observe_is_pinned(fs, r->src),
	     dst = r->flags & RENAME_EXCHANGE && is_mirrored(fs, r->dst);
	struct mirror_move m = {
		.needed = src || dst,
		.from_parent = r->parent,
		.to_parent = r->new_parent,
		.from = r->name,
		.to = r->new_name,
	};

	if (!m.needed || !(r->flags & RENAME_EXCHANGE))
		return m;
	if (S_ISDIR(fs_node(fs, r->src)->type) && S_ISDIR(fs_node(fs, r->dst)->type)) {
		/* Both sides need something to exchange. */
		dir_upper(fs, r->src);
		dir_upper(fs, r->dst);
		m.exchange = true;
	} else if (dst) {
		/* A directory for a file: only the directory is in the upper. */
		m.from_parent = r->new_parent;
		m.to_parent = r->parent;
		m.from = r->new_name;
		m.to = r->name;
	}
	return m;
}

/* Says so before the first side moves; the caller clears it after the second. */
static int announce(struct clawfs *fs, const struct mirror_move *m)
{
	struct upper_intent *intent = calloc(1, sizeof(*intent));
	struct stat lower, upper = {0};
	int rc = intent ? 0 : -ENOMEM;

	if (rc == 0)
		rc = node_child_path(&fs->nodes, m->from_parent, m->from, intent->from, sizeof(intent->from));
	if (rc == 0)
		rc = node_child_path(&fs->nodes, m->to_parent, m->to, intent->to, sizeof(intent->to));
	if (rc == 0 && fs->lower.sys->fstatat(dir_lower(fs, m->from_parent), m->from, &lower, AT_SYMLINK_NOFOLLOW) < 0)
		rc = -errno;
	if (rc == 0 && fstatat(dir_upper(fs, m->from_parent), m->from, &upper, AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno != ENOENT)
		rc = -errno;
	if (rc == 0) {
		intent->lower_ino = lower.st_ino;
		intent->upper_ino = upper.st_ino;
		intent->exchange = m->exchange;
		rc = upper_intent_set(&fs->upper, intent);
	}
	free(intent);
	return rc;
}

static void move_mirrors(struct clawfs *fs, const struct mirror_move *m)
{
	int from = dir_upper(fs, m->from_parent), to = dir_upper(fs, m->to_parent);

	if (from < 0 || to < 0 || renameat2(from, m->from, to, m->to, m->exchange ? RENAME_EXCHANGE : 0) < 0)
		log_error(fs->log, "cannot move a directory in the upper: %s", strerror(errno));
}

/* Open files go on under the class of the new name. */
void rename_reclass(struct clawfs *fs, uint32_t node)
{
	uint32_t slot = S_ISREG(fs_node(fs, node)->type) ? file_peek(fs, node) : 0;

	if (!slot)
		return;
	const struct name *name = name_at(&fs->nodes, fs_node(fs, node)->name);
	enum policy_class cls = name->sibling ? CLASS_THROUGH : file_classify(fs, name->parent, name->text);
	file_reclass(fs, slot, cls);
	pthread_mutex_lock(&fs->sched.lock);
	struct file *f = file_at(fs, slot);
	if (f->policy.state == POLICY_CLEAN)
		policy_file_init(&f->policy, cls);
	pthread_mutex_unlock(&fs->sched.lock);
	file_put(fs, slot);
}

static int rename_on_lower(struct clawfs *fs, const struct rename *r)
{
	struct nodes *ns = &fs->nodes;
	bool exchange = r->flags & RENAME_EXCHANGE;
	int rc;

	if (is_mirrored(fs, r->dst) && !exchange) {
		/* Made again when needed, should the lower refuse below. */
		struct node *dst = fs_node(fs, r->dst);
		int new_updir = dir_upper(fs, r->new_parent);
		if (new_updir < 0)
			return new_updir;
		if (unlinkat(new_updir, r->new_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return -errno;
		node_close_fd(ns, &dst->upper_fd);
		dst->mirror = 0;
	}
	struct mirror_move mirrors = plan_mirrors(fs, r);
	if (r->dst && !exchange) {
		uint32_t slot = file_peek(fs, r->dst);
		rc = slot ? file_orphan_prepare(fs, slot) : 0;
		if (slot)
			file_put(fs, slot);
		if (rc < 0)
			return rc;
		node_anchor(fs, r->dst);
	}
	int dir = dir_lower(fs, r->parent), new_dir = dir_lower(fs, r->new_parent);
	if (dir < 0 || new_dir < 0)
		return dir < 0 ? dir : new_dir;
	/* Flushed, so that nothing is lost, and out of the way of recovery, which would take it for the new file's. */
	if (r->dst && !exchange && fs_node(fs, r->dst)->flags & NODE_UPPER &&
	    unlinkat(dir_upper(fs, r->new_parent), r->new_name, 0) < 0)
		return -errno;
	rc = mirrors.needed ? announce(fs, &mirrors) : 0;
	if (rc < 0)
		return rc;
	rename_intend(fs, r, true, fs_node(fs, r->src)->lower_ino, -1);
	rc = node_name_move(ns, r->src, r->parent, r->name, r->new_parent, r->new_name);
	if (rc == 0 && fs->lower.sys->renameat2(dir, r->name, new_dir, r->new_name, r->flags) < 0) {
		rc = -errno;
		node_name_move(ns, r->src, r->new_parent, r->new_name, r->parent, r->name);
	}
	if (rc == 0) {
		if (mirrors.needed)
			move_mirrors(fs, &mirrors);
		if (exchange)
			rc = node_name_move(ns, r->dst, r->new_parent, r->new_name, r->parent, r->name);
		else if (r->dst)
			name_gone(fs, r->dst, r->new_parent, r->new_name, false);
		fs_node(fs, r->src)->lineage = node_new_lineage(ns);
		rename_reclass(fs, r->src);
		if (exchange) {
			fs_node(fs, r->dst)->lineage = node_new_lineage(ns);
			rename_reclass(fs, r->dst);
		}
		rename_touch_parents(fs, r, true);
		clawfs_check(fs, r->src);
	}
	intent_end(fs, rc, 0);
	if (mirrors.needed)
		upper_intent_clear(&fs->upper);
	return rc;
}

/* A view goes where its .gz goes, which is nowhere: it is found anew. And what is a log now is told. */
static void drop_views(struct clawfs *fs, const struct rename *r)
{
	uint32_t view = view_of(fs, r->parent, r->name);
	struct log_name log;

	if (view && policy_log_unpacked(r->name, &log)) {
		name_gone(fs, view, r->parent, log.text, false);
		inval_entry(fs, r->parent, log.text);
	}
	if (S_ISREG(fs_node(fs, r->src)->type) && policy_log_is(r->new_name))
		life_closed_node(fs, r->src, true, r->now);
	else if (S_ISDIR(fs_node(fs, r->src)->type) || policy_log_unpacked(r->new_name, &log) ||
		 policy_log_unpacked(r->name, &log))
		life_walk_soon(fs, r->now);
}

/* What one attempt may also come to. */
enum {
	RENAME_MATERIALISE = 1, /* a file (`slot`, referenced) must be materialised first */
	RENAME_UNDERWAY,	/* a flush is bringing the new name to the lower */
};

static int rename_locked(struct clawfs *fs, struct rename *r, uint32_t *slot)
{
	int rc = rename_resolve(fs, r);

	if (rc < 0 || r->src == r->dst)
		return rc;
	r->view = view_is(fs, r->src) ? r->src : r->dst && view_is(fs, r->dst) ? r->dst : 0;
	if (r->view)
		return -VIEW_AGAIN;
	enum policy_class cls = rename_ram_class(fs, r);
	bool underway = underway_is(fs, r->new_parent, r->new_name);
	/* A flush that replaces the file finds ours in its place; one that makes a log there would not. */
	if (cls != CLASS_THROUGH && !(underway && class_is_tail(cls)))
		return rename_in_ram(fs, r, cls);
	if (underway)
		return RENAME_UNDERWAY;
	if (rename_ram_dir(fs, r, &rc))
		return rc;
	rc = rename_prepare(fs, r, slot);
	if (rc < 0)
		return rc;
	return *slot ? RENAME_MATERIALISE : rename_on_lower(fs, r);
}

int fs_rename(struct clawfs *fs, struct caller who, uint32_t parent, const char *name, uint32_t new_parent,
	      const char *new_name, unsigned flags, msec_t now)
{
	/* One for each file below a directory that must be materialised. */
	enum { TRIES = 65536 };
	struct rename r = {
		.parent = parent,
		.new_parent = new_parent,
		.name = name,
		.new_name = new_name,
		.flags = flags,
		.now = now,
	};

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	int rc = db_name_begin(fs, parent, name, BARRIER_RENAME);
	if (rc == 0)
		rc = db_name_begin(fs, new_parent, new_name, BARRIER_RENAME);
	if (rc < 0)
		return rc;
	for (int i = 0; i < TRIES; i++) {
		uint32_t slot = 0;
		underway_lock(fs, parent, name);
		rc = rename_locked(fs, &r, &slot);
		if (rc == RENAME_UNDERWAY)
			underway_wait(fs);
		if (rc == 0) {
			drop_views(fs, &r);
			db_name_changes(fs, parent, name, who.pid);
			db_name_changes(fs, new_parent, new_name, who.pid);
			db_name_made(fs, new_parent, new_name);
			if (flags & RENAME_EXCHANGE)
				db_name_made(fs, parent, name);
		}
		pthread_rwlock_unlock(&fs->tree);
		if (rc == -VIEW_AGAIN) {
			rc = view_revive(fs, r.view);
			if (rc < 0)
				return rc;
			continue;
		}
		if (rc == RENAME_UNDERWAY)
			continue;
		if (!slot)
			return rc;
		rc = file_materialise(fs, slot, now);
		/* Pinned to the upper, it need only be on the lower as well. */
		if (rc == -EBUSY)
			rc = file_sync(fs, slot, NULL, true, now);
		file_put(fs, slot);
		if (rc < 0)
			return rc;
	}
	return -EBUSY;
}
