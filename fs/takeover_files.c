#include "fs/fileimpl.h"
#include "fs/listing.h"
#include "fs/names.h"
#include "fs/observe.h"
#include "fs/recover.h"
#include "fs/takeoverimpl.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct look {
	struct clawfs *fs;
	msec_t now;
	uint8_t *seen; /* by node: it has an entry in the upper */
	uint32_t nodes;
};

static bool lower_entry(struct clawfs *fs, uint32_t parent, const char *name, struct stat *st)
{
	int dir = dir_on_lower(fs, parent) ? dir_lower(fs, parent) : -1;

	return dir >= 0 && fs->lower.sys->fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void see(struct look *l, uint32_t node)
{
	if (node < l->nodes)
		l->seen[node] = 1;
}

static uint64_t fd_ino(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* --- files --------------------------------------------------------------- */

/* The file is on the lower alone, whatever was in the upper. */
static void leave_upper(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	if (!place_is_upper(f->place))
		return;
	f->place = PLACE_LOWER;
	f->flushed = 0;
	f->distrust = f->filled = false;
	f->refs--;
	file_close_upper(fs, f);
}

/* Which lower file it is, if any. */
static void look_identity(struct clawfs *fs, uint32_t node, struct file *f, const struct stat *low)
{
	struct node *n = fs_node(fs, node);

	if (!low) {
		node_unset_own(&fs->nodes, node);
		n->flags &= ~(uint32_t)NODE_LOWER;
	} else if (n->flags & NODE_OWN && n->lower_ino == low->st_ino && n->dev == low->st_dev) {
		n->flags |= NODE_LOWER;
	} else if (f->place == PLACE_TAIL || (f->committing && f->committing == low->st_ino)) {
		/* Made, or put into its place, by the flush that died. */
		node_set_lower(&fs->nodes, node, low->st_dev, low->st_ino);
	} else {
		node_unset_own(&fs->nodes, node);
		n->flags |= NODE_LOWER;
	}
	f->committing = 0;
}

/* Where the bytes are, of a file that came to the upper without that being booked. */
static void look_place(struct file *f, const struct stat *up, const struct stat *low)
{
	bool tail = low && up->st_size > 0 && lseek(f->fd_up, 0, SEEK_DATA) != 0;

	f->place = tail ? PLACE_TAIL : PLACE_WHOLE;
	f->flushed = tail ? low->st_size : 0;
	f->version++;
	f->refs++;
}

/* The same of one that is written past us, so that it cannot leave the upper. */
static void cut_tail(struct clawfs *fs, struct file *f, off_t size)
{
	off_t start = PAGE_FLOOR(size);
	char page[4096];

	if (file_open_lower(fs, f, true, false, true) < 0 || ftruncate(f->fd_up, size) < 0)
		return;
	ssize_t n = lower_pread(&fs->lower, f->fd_rd, page, (size_t)(size - start), start);
	if (n > 0 && lower_pwrite(&fs->lower, f->fd_up, page, (size_t)n, start) < 0)
		log_error(fs->log, "cannot cut a log in the upper");
	f->flushed = size;
	f->filled = false;
}

static void look_file(struct look *l, uint32_t parent, int updir, const char *name, const struct stat *up)
{
	struct clawfs *fs = l->fs;
	uint32_t node = node_find(&fs->nodes, parent, name);
	struct stat entry;
	const struct stat *low = lower_entry(fs, parent, name, &entry) && S_ISREG(entry.st_mode) ? &entry : NULL;

	if (!node || !S_ISREG(fs_node(fs, node)->type)) {
		log_error(fs->log, "the upper has %s, which is no file that is known", name);
		fs->left_out++;
		return;
	}
	struct node *n = fs_node(fs, node);
	bool known = n->file;
	uint32_t slot = known ? n->file : file_get(fs, node);
	if (!slot)
		return;
	see(l, node);
	struct file *f = file_at(fs, slot);
	if (fd_ino(f->fd_up) != up->st_ino) {
		file_close_fd(&f->fd_up);
		f->fd_up = recover_open(updir, name);
	}
	if (f->fd_up < 0) {
		log_error(fs->log, "cannot open %s in the upper: %s", name, strerror(errno));
		return;
	}
	n->flags |= NODE_UPPER;
	if (!place_is_upper(f->place))
		look_place(f, up, low);
	/* It was being cut: the lower has all that is left. */
	if (f->place == PLACE_TAIL && f->flushed > 0 && low && low->st_size < f->flushed && f->backing > 0) {
		cut_tail(fs, f, low->st_size);
	} else if (f->place == PLACE_TAIL && f->flushed > 0 && low && low->st_size < f->flushed) {
		unlinkat(updir, name, 0);
		n->flags &= ~(uint32_t)NODE_UPPER;
		leave_upper(fs, slot);
		l->seen[node] = 0;
		return;
	}
	if (f->place == PLACE_WHOLE)
		file_close_lower(f);
	look_identity(fs, node, f, low || !lower_entry(fs, parent, name, &entry) ? low : &entry);
}

/* A rewrite that had not begun when the process died is taken back (P3); one that had goes on. */
static void look_mark(struct look *l, uint32_t slot)
{
	struct clawfs *fs = l->fs;
	struct file *f = file_at(fs, slot);
	int updir;
	const char *name;

	if (!f->marked)
		return;
	if (!f->orphan && f->place == PLACE_TAIL && f->marked == fd_ino(f->fd_up) &&
	    upper_tail_mark(&fs->upper, f->marked) >= 0) {
		f->distrust = true;
		return;
	}
	if (f->orphan || f->place != PLACE_WHOLE || f->marked != fd_ino(f->fd_up) ||
	    node_place_upper(fs, f->node, &updir, &name) < 0) {
		file_unmark(fs, slot);
		return;
	}
	if (f->policy.rewriting > 0)
		return;
	int rc = upper_restore(&fs->upper, f->marked, updir, name);
	if (rc == 1) {
		file_close_fd(&f->fd_up);
		f->fd_up = recover_open(updir, name);
	} else if (rc == 2) {
		unlinkat(updir, name, 0);
		fs_node(fs, f->node)->flags &= ~(uint32_t)NODE_UPPER;
		leave_upper(fs, slot);
	}
	file_unmark(fs, slot);
}

/* Marks of nobody: a later file may get the inode number. */
static void clean_marks(struct clawfs *fs)
{
	uint32_t end = shm_table_end(fs->files);
	struct listing *list = recover_list(fs->upper.before);

	for (uint32_t i = 0; list && i < list->count; i++) {
		uint64_t ino = strtoull(listing_at(list, i)->name, NULL, 10);
		bool known = false;
		for (uint32_t k = 1; k < end && !known; k++)
			known = shm_table_is_live(fs->files, k) && file_at(fs, k)->marked == ino;
		if (!known)
			upper_unmark(&fs->upper, ino);
	}
	listing_destroy(list);
}

/* The descriptors that its open handles need, and no others. */
static void look_descriptors(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	const struct node *n = fs_node(fs, f->node);
	bool open = f->readers + f->writers > 0;
	int rc = 0;

	if (f->backing > 0 && !open && f->backing == f->seen.backing)
		f->backing = 0;
	else if (f->backing > 0 && !open)
		passthrough_detach(fs, f);
	f->io = f->backing > 0			  ? f->place == PLACE_LOWER ? FILE_IO_PASSED : FILE_IO_UPPER
		: f->io == FILE_IO_DAEMON && open ? FILE_IO_DAEMON
						  : FILE_IO_NONE;
	observe_revive(fs, slot);
	f->filled &= f->place == PLACE_TAIL;
	f->anywhere &= f->io == FILE_IO_UPPER && f->place == PLACE_WHOLE;
	f->direct &= open;
	if (f->place == PLACE_PACKED && open)
		rc = view_open(fs, slot, false);
	if (rc < 0)
		log_warn(fs->log, "a compressed log that is open cannot be opened again: %s", strerror(-rc));
	if (f->orphan || f->place == PLACE_PACKED)
		return;
	/* Of a log that a flush has just begun, say: another file than the name's. */
	if (f->io != FILE_IO_PASSED && n->flags & NODE_OWN && f->fd_rd >= 0 && fd_ino(f->fd_rd) != n->lower_ino)
		file_close_lower(f);
	if (!open)
		file_close_lower(f);
	else if (f->place == PLACE_LOWER)
		rc = file_open_needed(fs, f, true);
	else if (f->place == PLACE_TAIL && f->flushed > 0)
		rc = file_open_lower(fs, f, true, false, true);
	/* A rotation that was taken back has punched it. */
	if (rc == 0 && f->io == FILE_IO_UPPER && f->readers > 0)
		rc = file_fill(fs, slot);
	if (rc < 0)
		log_error(fs->log, "an open file cannot be opened again: %s", strerror(-rc));
}

/* --- directories --------------------------------------------------------- */

static void look_dir(struct look *l, uint32_t dir);

static void look_subdir(struct look *l, uint32_t parent, const char *name)
{
	struct clawfs *fs = l->fs;
	uint32_t node = node_find(&fs->nodes, parent, name);
	struct stat low;

	/* Of a mirror that holds nothing, the directory may be forgotten. */
	if (!node || !S_ISDIR(fs_node(fs, node)->type))
		return;
	struct node *n = fs_node(fs, node);
	if (lower_entry(fs, parent, name, &low)) {
		if (!(n->flags & NODE_OWN) || n->lower_ino != low.st_ino)
			node_set_lower(&fs->nodes, node, low.st_dev, low.st_ino);
		n->flags &= ~(uint32_t)NODE_UPPER;
		n->mirror = 1;
	} else {
		node_unset_own(&fs->nodes, node);
		n->flags = (n->flags & ~(uint32_t)NODE_LOWER) | NODE_UPPER;
		n->mirror = 0;
		see(l, node);
	}
	look_dir(l, node);
}

/* A symlink or its like, below a directory in RAM. */
static void look_special(struct look *l, uint32_t parent, int updir, const char *name)
{
	struct clawfs *fs = l->fs;
	uint32_t node = node_find(&fs->nodes, parent, name);
	struct stat low;

	if (!node)
		return;
	if (lower_entry(fs, parent, name, &low)) {
		unlinkat(updir, name, 0);
		node_set_lower(&fs->nodes, node, low.st_dev, low.st_ino);
		fs_node(fs, node)->flags &= ~(uint32_t)NODE_UPPER;
		return;
	}
	see(l, node);
}

static void look_dir(struct look *l, uint32_t dir)
{
	int updir = dir_upper(l->fs, dir);
	struct listing *list = updir < 0 ? NULL : recover_list(updir);

	for (uint32_t i = 0; list && i < list->count; i++) {
		const char *name = listing_at(list, i)->name;
		struct stat st;
		if (fstatat(updir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			look_subdir(l, dir, name);
		else if (S_ISREG(st.st_mode))
			look_file(l, dir, updir, name, &st);
		else
			look_special(l, dir, updir, name);
	}
	listing_destroy(list);
}

/* --- nodes that the upper has not ---------------------------------------- */

static void look_missing(struct look *l, uint32_t node)
{
	struct clawfs *fs = l->fs;
	struct node *n = fs_node(fs, node);
	const struct name *name = name_at(&fs->nodes, n->name);
	struct stat low;

	n->flags &= ~(uint32_t)NODE_UPPER;
	if (n->file)
		leave_upper(fs, n->file);
	if (lower_entry(fs, name->parent, name->text, &low) && (low.st_mode & S_IFMT) == n->type) {
		if (!(n->flags & NODE_OWN) || n->lower_ino != low.st_ino)
			node_set_lower(&fs->nodes, node, low.st_dev, low.st_ino);
		return;
	}
	char text[NAME_MAX + 1];
	snprintf(text, sizeof(text), "%s", name->text);
	node_name_remove(&fs->nodes, node, name->parent, text);
	node_nameless(fs, node, false);
}

static bool is_missing(struct look *l, uint32_t node)
{
	const struct node *n = fs_node(l->fs, node);
	bool upper = n->flags & NODE_UPPER || (n->file && place_is_upper(file_at(l->fs, n->file)->place));

	/* view_takeover has looked at those. */
	if (n->flags & NODE_PACKED)
		return false;

	return n->name && !l->seen[node] && (upper || !(n->flags & NODE_LOWER) || !(n->flags & NODE_OWN));
}

/* A directory that came to the lower had not handed on all that is in it. */
static void look_children(struct look *l, uint32_t dir)
{
	struct clawfs *fs = l->fs;
	char path[PATH_MAX];

	for (uint32_t child = fs_node(fs, dir)->ram_head; child; child = fs_node(fs, child)->ram_next) {
		const struct node *n = fs_node(fs, child);
		const struct name *name = name_at(&fs->nodes, n->name);
		bool late = true;
		if (S_ISREG(n->type))
			late = n->file && file_at(fs, n->file)->policy.cls == CLASS_VOLATILE &&
			       file_classify(fs, dir, name->text) != CLASS_VOLATILE;
		else if (S_ISDIR(n->type))
			late = node_path(&fs->nodes, child, path, sizeof(path)) == 0 &&
			       !policy_classify_dir_volatile(&fs->config.rules, path);
		if (late) {
			dir_children_materialise(fs, dir, l->now);
			return;
		}
	}
}

void takeover_look(struct clawfs *fs, msec_t now)
{
	struct look l = {.fs = fs, .now = now, .nodes = shm_table_end(fs->nodes.table)};

	l.seen = calloc(l.nodes, 1);
	if (!l.seen) {
		log_error(fs->log, "no memory to look at the upper");
		return;
	}
	look_dir(&l, NODE_ROOT);
	uint32_t files = shm_table_end(fs->files);
	for (uint32_t i = NODE_FIRST; i < l.nodes; i++)
		if (takeover_is_node(fs, i) && is_missing(&l, i))
			look_missing(&l, i);
	for (uint32_t i = 1; i < files; i++) {
		if (!shm_table_is_live(fs->files, i))
			continue;
		look_mark(&l, i);
		look_descriptors(fs, i);
	}
	clean_marks(fs);
	nodes_list_ram(&fs->nodes);
	for (uint32_t i = NODE_ROOT; i < l.nodes; i++)
		if (takeover_is_node(fs, i) && S_ISDIR(fs_node(fs, i)->type) && fs_node(fs, i)->flags & NODE_LOWER)
			look_children(&l, i);
	free(l.seen);
}
