#include "fs/names.h"
#include "fs/recover.h"
#include "fs/takeoverimpl.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <unistd.h>

static struct request *request_of(struct clawfs *fs)
{
	uint32_t index = fs->shared->intent.request;

	return index ? &fs->shared->requests.record[index - 1] : NULL;
}

unsigned intent_names(struct clawfs *fs, struct name_drop drop[2])
{
	struct intent *intent = &fs->shared->intent;
	const struct request *r = request_of(fs);

	memset(drop, 0, 2 * sizeof(*drop));
	/* Done in full: only that it is was not said. */
	if (intent->op && r && (r->state == REQUEST_DONE || r->state == REQUEST_MADE))
		intent_clear(fs);
	if (!intent->op)
		return 0;
	drop[0] = (struct name_drop){.parent = intent->parent, .name = intent->name};
	if (intent->op != INTENT_RENAME)
		return 1;
	drop[1] = (struct name_drop){.parent = intent->new_parent, .name = intent->new_name};
	return 2;
}

uint32_t intent_victim(struct clawfs *fs)
{
	const struct intent *intent = &fs->shared->intent;
	uint32_t node = 0;

	if (intent->op == INTENT_UNLINK || intent->op == INTENT_RMDIR)
		node = intent->src;
	else if (intent->op == INTENT_RENAME && !(intent->flags & RENAME_EXCHANGE))
		node = intent->dst;
	/* It may be freed already. */
	return node && takeover_is_node(fs, node) && !fs_node(fs, node)->name ? node : 0;
}

/* --- one side ------------------------------------------------------------ */

static int side_dir(struct clawfs *fs, bool lower, uint32_t dir)
{
	return lower ? dir_lower(fs, dir) : dir_upper(fs, dir);
}

/* 0 with `st`, or a negative errno. */
static int side_stat(struct clawfs *fs, bool lower, uint32_t dir, const char *name, struct stat *st)
{
	int fd = side_dir(fs, lower, dir);

	if (fd < 0)
		return fd;
	return fs->lower.sys->fstatat(fd, name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static void side_remove(struct clawfs *fs, bool lower, uint32_t dir, const char *name)
{
	struct stat st;

	if (side_stat(fs, lower, dir, name, &st) < 0)
		return;
	int flags = S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0;
	int fd = side_dir(fs, lower, dir);
	if ((lower ? fs->lower.sys->unlinkat(fd, name, flags) : unlinkat(fd, name, flags)) < 0)
		log_error(fs->log, "cannot take back %s, which was being made: %s", name, strerror(errno));
}

static void put_back(struct clawfs *fs, uint32_t node, uint32_t parent, const char *name)
{
	if (node && takeover_is_node(fs, node) && node_name_add(&fs->nodes, node, parent, name) < 0)
		log_error(fs->log, "no memory for the name %s", name);
}

/* --- each change --------------------------------------------------------- */

static void settle_make(struct clawfs *fs, const struct intent *intent, uint32_t node)
{
	side_remove(fs, intent->lower, intent->parent, intent->name);
	if (!node)
		return;
	/* The kernel has never heard of it. */
	struct node *n = fs_node(fs, node);
	if (n->name)
		return;
	n->nlookup = 0;
	struct request *r = request_of(fs);
	if (r)
		r->gave = 0;
	n->flags |= NODE_ORPHAN;
	node_unset_own(&fs->nodes, node);
	n->flags &= ~(uint32_t)(NODE_LOWER | NODE_UPPER);
	if (n->file) {
		struct file *f = file_at(fs, n->file);
		f->refs -= f->place != PLACE_LOWER && !f->orphan;
		f->orphan = true;
		f->place = PLACE_LOWER;
		f->flushed = 0;
	}
}

static void settle_link(struct clawfs *fs, const struct intent *intent, uint32_t node)
{
	side_remove(fs, true, intent->parent, intent->name);
	struct node *n = node ? fs_node(fs, node) : NULL;
	if (n && !n->name) {
		/* It had none before. */
		n->flags &= ~(uint32_t)(NODE_LOWER | NODE_UPPER);
		n->flags |= NODE_ORPHAN;
		if (n->file)
			file_at(fs, n->file)->orphan = true;
	}
}

/* True when it is done. */
static bool settle_unlink(struct clawfs *fs, const struct intent *intent, uint32_t victim)
{
	struct stat st;
	struct upper_work hidden;

	memcpy(hidden.text, intent->hidden, sizeof(hidden.text));
	if (side_stat(fs, intent->lower, intent->parent, intent->name, &st) != -ENOENT) {
		put_back(fs, intent->src, intent->parent, intent->name);
		return false;
	}
	if (intent->hidden[0]) {
		/* The lower went first (remove.c). */
		int updir = intent->lower ? dir_upper(fs, intent->parent) : -1;
		if (updir >= 0)
			upper_hide(&fs->upper, updir, intent->name, &hidden);
		upper_discard(&fs->upper, &hidden);
	}
	dir_touch(fs, intent->parent, intent->lower);
	if (victim)
		node_nameless(fs, victim, false);
	return true;
}

static bool settle_rmdir(struct clawfs *fs, const struct intent *intent, uint32_t victim)
{
	struct stat st;

	if (side_stat(fs, intent->lower, intent->parent, intent->name, &st) != -ENOENT) {
		put_back(fs, intent->src, intent->parent, intent->name);
		return false;
	}
	if (intent->lower) {
		int updir = dir_upper(fs, intent->parent);
		if (updir >= 0)
			unlinkat(updir, intent->name, AT_REMOVEDIR);
	}
	dir_touch(fs, intent->parent, intent->lower);
	if (victim) {
		fs_node(fs, victim)->mirror = 0;
		node_nameless(fs, victim, false);
	}
	return true;
}

static void rename_file_in_ram(struct clawfs *fs, const struct intent *intent, const struct policy_file *old,
			       msec_t now)
{
	uint32_t slot = file_peek(fs, intent->src);

	if (!slot)
		return;
	struct file *f = file_at(fs, slot);
	file_reclass(fs, slot, (enum policy_class)intent->cls);
	policy_file_replace(&f->policy, (enum policy_class)intent->cls, old, now);
	file_put(fs, slot);
}

static bool settle_rename(struct clawfs *fs, const struct intent *intent, uint32_t victim, msec_t now)
{
	bool exchange = intent->flags & RENAME_EXCHANGE;
	struct node *src = fs_node(fs, intent->src);
	struct stat st;

	recover_rename(fs);
	if (side_stat(fs, intent->lower, intent->new_parent, intent->new_name, &st) < 0 || st.st_ino != intent->ino) {
		put_back(fs, intent->src, intent->parent, intent->name);
		put_back(fs, intent->dst, intent->new_parent, intent->new_name);
		return false;
	}
	if (intent->cls >= 0) {
		uint32_t old = victim ? file_peek(fs, victim) : 0;
		if (victim && fs_node(fs, victim)->lineage)
			src->lineage = fs_node(fs, victim)->lineage;
		if (victim && fs_node(fs, victim)->flags & NODE_LOWER)
			src->flags |= NODE_LOWER;
		put_back(fs, intent->src, intent->new_parent, intent->new_name);
		rename_file_in_ram(fs, intent, old ? &file_at(fs, old)->policy : NULL, now);
		if (old)
			file_put(fs, old);
	} else {
		put_back(fs, intent->src, intent->new_parent, intent->new_name);
		if (exchange)
			put_back(fs, intent->dst, intent->parent, intent->name);
		if (intent->lower) {
			src->lineage = node_new_lineage(&fs->nodes);
			rename_reclass(fs, intent->src);
		}
		if (intent->lower && exchange) {
			fs_node(fs, intent->dst)->lineage = node_new_lineage(&fs->nodes);
			rename_reclass(fs, intent->dst);
		}
	}
	if (victim)
		node_nameless(fs, victim, !intent->lower && fs_node(fs, victim)->flags & NODE_LOWER);
	dir_touch(fs, intent->parent, intent->lower);
	if (intent->new_parent != intent->parent)
		dir_touch(fs, intent->new_parent, intent->lower);
	return true;
}

void intent_settle(struct clawfs *fs, const struct name_drop drop[2], msec_t now)
{
	const struct intent *intent = &fs->shared->intent;
	struct request *r = request_of(fs);
	uint32_t victim = intent_victim(fs);
	bool done = false;

	switch ((enum intent_op)intent->op) {
	case INTENT_NONE:
		/* A directory's mirror may be missing all the same. */
		recover_rename(fs);
		return;
	case INTENT_MAKE:
		settle_make(fs, intent, drop[0].node);
		break;
	case INTENT_LINK:
		settle_link(fs, intent, drop[0].node);
		break;
	case INTENT_UNLINK:
		done = settle_unlink(fs, intent, victim);
		break;
	case INTENT_RMDIR:
		done = settle_rmdir(fs, intent, victim);
		break;
	case INTENT_RENAME:
		done = settle_rename(fs, intent, victim, now);
		break;
	}
	if (done && r) {
		r->rc = 0;
		r->node = 0;
		__atomic_store_n(&r->state, REQUEST_DONE, __ATOMIC_RELEASE);
	}
	intent_clear(fs);
}
