#include "fs/rotate.h"
#include "fs/fileimpl.h"
#include "fs/life.h"
#include "fs/listing.h"
#include "fs/names.h"
#include "fs/pack.h"
#include "fs/recover.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rotation {
	uint32_t slot, node, parent;
	off_t size;
	enum policy_parts parts;
	uint32_t highest; /* number of a part that is there */
	struct log_name part;
	char path[PATH_MAX];
	struct upper_intent intent;
};

bool rotate_applies(struct clawfs *fs, uint32_t parent, const char *name)
{
	char path[PATH_MAX];

	return policy_log_is(name) && dir_on_lower(fs, parent) &&
	       node_child_path(&fs->nodes, parent, name, path, sizeof(path)) == 0 &&
	       policy_log_kind(&fs->config.rules, path) == LOG_PLAIN;
}

/* --- who follows ---------------------------------------------------------- */

void rotate_saw_read(struct clawfs *fs, struct handle *h, off_t off)
{
	struct file *f = file_at(fs, h->file);
	bool follows = __atomic_load_n(&h->followed, __ATOMIC_RELAXED) > 0;

	if (!follows) {
		pthread_rwlock_rdlock(&f->lock);
		int fd = place_is_upper(f->place) ? f->fd_up : f->fd_rd;
		follows = f->rotates && fd >= 0 && off >= file_fd_size(fd);
		pthread_rwlock_unlock(&f->lock);
	}
	if (follows)
		__atomic_store_n(&h->followed, off, __ATOMIC_RELAXED);
}

/* How far those have read who follow: the last and the first of them. False: nobody does. */
static bool find_followers(struct clawfs *fs, uint32_t slot, off_t *least, off_t *most)
{
	uint32_t end = shm_table_end(fs->handles);

	*least = INT64_MAX;
	*most = 0;
	for (uint32_t i = 1; i < end; i++) {
		const struct handle *h = shm_table_at(fs->handles, i);
		off_t at = __atomic_load_n(&h->followed, __ATOMIC_RELAXED);
		if (__atomic_load_n(&h->file, __ATOMIC_RELAXED) != slot || !at)
			continue;
		*least = at < *least ? at : *least;
		*most = at > *most ? at : *most;
	}
	return *most > 0;
}

/* To them it is a new file. */
static void forget_followers(struct clawfs *fs, uint32_t slot)
{
	uint32_t end = shm_table_end(fs->handles);

	for (uint32_t i = 1; i < end; i++) {
		struct handle *h = shm_table_at(fs->handles, i);
		if (__atomic_load_n(&h->file, __ATOMIC_RELAXED) == slot)
			__atomic_store_n(&h->followed, 0, __ATOMIC_RELAXED);
	}
}

off_t rotate_flush_to(struct clawfs *fs, uint32_t slot, int fd, off_t from, off_t to)
{
	off_t least, most;
	char last = 0;

	if (CONFIG(fs, log_rotate_bytes) == 0 || to < CONFIG(fs, log_rotate_bytes) || !file_at(fs, slot)->rotates ||
	    !find_followers(fs, slot, &least, &most) || least <= from || least >= to ||
	    lower_pread(&fs->lower, fd, &last, 1, least - 1) != 1 || last != '\n')
		return to;
	return least;
}

/* --- the upper's part ---------------------------------------------------- */

/* A fresh upper file in work/ with what `old` has from `cut` on. A descriptor, or a negative errno. */
static int upper_rest(struct clawfs *fs, int old, off_t cut, const struct upper_work *work)
{
	char buf[16384];
	struct stat st;
	int rc = 0;

	if (fstat(old, &st) < 0)
		return -errno;
	int fd = openat(fs->upper.work, work->text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	for (off_t off = cut; off < st.st_size && rc == 0;) {
		ssize_t n = lower_pread(&fs->lower, old, buf, sizeof(buf), off);
		rc = n <= 0 ? -EIO : lower_pwrite(&fs->lower, fd, buf, (size_t)n, off - cut);
		off += n;
	}
	if (rc == 0)
		rc = file_copy_attributes(fd, &st);
	if (rc < 0) {
		close(fd);
		unlinkat(fs->upper.work, work->text, 0);
		return rc;
	}
	return fd;
}

void rotate_complete(struct clawfs *fs, const struct upper_intent *intent)
{
	struct upper_work work = upper_work_name(&fs->upper);
	int old = openat(fs->upper.tree, intent->from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int rc = old < 0 ? -errno : upper_rest(fs, old, (off_t)intent->cut, &work);

	if (old >= 0)
		close(old);
	if (rc >= 0) {
		close(rc);
		rc = renameat(fs->upper.work, work.text, fs->upper.tree, intent->from) < 0 ? -errno : 0;
	}
	if (rc < 0)
		log_error(fs->log, "cannot complete the rotation of %s to %s in the upper: %s", intent->from,
			  intent->to, strerror(-rc));
}

void rotate_takeover(struct clawfs *fs)
{
	struct upper_intent *intent = malloc(sizeof(*intent));
	const char *name;

	if (!intent || !upper_intent_get(&fs->upper, intent) || intent->cut == 0) {
		free(intent);
		return;
	}
	bool moved = recover_rotation(fs, intent);
	uint32_t dir = moved ? pack_known_dir(fs, intent->from, &name) : 0;
	uint32_t node = dir ? node_find(&fs->nodes, dir, name) : 0;
	if (node) {
		struct node *n = fs_node(fs, node);
		if (n->flags & NODE_OWN)
			node_leave_lower(&fs->nodes, node);
		n->flags &= ~(uint32_t)NODE_LOWER;
		if (n->file) {
			struct file *f = file_at(fs, n->file);
			file_close_lower(f);
			/* The upper's new file is found by takeover_look. */
			f->refs += !place_is_upper(f->place);
			f->place = PLACE_TAIL;
			f->flushed = 0;
			f->cut = intent->cut_after;
		}
	}
	upper_intent_clear(&fs->upper);
	free(intent);
}

/* --- whether and where --------------------------------------------------- */

static int see_part(void *arg, const char *name, uint64_t ino, unsigned char type)
{
	struct rotation *r = arg;
	const char *slash = strrchr(r->path, '/');

	(void)ino;
	(void)type;
	policy_log_seen(r->parts, slash ? slash + 1 : r->path, name, &r->highest);
	return 0;
}

/* Locks as the caller's: tree, and the file's for writing. */
static bool may_be_cut(struct clawfs *fs, const struct rotation *r)
{
	struct file *f = file_at(fs, r->slot);
	const struct node *n = fs_node(fs, f->node);

	if (!f->rotates || f->through || f->orphan || f->io == FILE_IO_PASSED || f->io == FILE_IO_UPPER || f->foreign ||
	    !class_is_tail(f->cls) || !n->name || !(n->flags & NODE_OWN) || name_at(&fs->nodes, n->name)->sibling ||
	    f->place == PLACE_WHOLE || f->written.copying)
		return false;
	pthread_mutex_lock(&fs->attach);
	bool cached = f->cached > 0;
	pthread_mutex_unlock(&fs->attach);
	pthread_mutex_lock(&fs->sched.lock);
	bool flushing = f->policy.state == POLICY_FLUSHING || f->policy.state == POLICY_REDIRTIED;
	pthread_mutex_unlock(&fs->sched.lock);
	return !cached && !flushing;
}

/* The directory is read before anybody is kept waiting. False when the log is gone. */
static bool find_highest(struct clawfs *fs, struct rotation *r)
{
	struct file *f = file_at(fs, r->slot);

	pthread_rwlock_rdlock(&fs->tree);
	r->node = f->node;
	r->parent = node_parent(&fs->nodes, r->node);
	bool found = r->parent && dir_on_lower(fs, r->parent) &&
		     node_path(&fs->nodes, r->node, r->path, sizeof(r->path)) == 0;
	int dir = found ? dir_lower(fs, r->parent) : -1;
	found = dir >= 0 && lower_list(&fs->lower, dir, see_part, r) == 0;
	pthread_rwlock_unlock(&fs->tree);
	return found;
}

/* The part's name: free on both sides. */
static int choose_part(struct clawfs *fs, struct rotation *r, const char *name)
{
	struct stat st;
	int dir = dir_lower(fs, r->parent);

	if (dir < 0)
		return dir;
	for (; policy_log_next(fs->config.log_parts, name, r->highest, &r->part); r->highest++) {
		if (node_find(&fs->nodes, r->parent, r->part.text) ||
		    fs->lower.sys->fstatat(dir, r->part.text, &st, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		return policy_log_may_rotate(&fs->config.rules, r->path, &r->part) ? 0 : -EPERM;
	}
	return -ENAMETOOLONG;
}

/* --- the cut ------------------------------------------------------------- */

/* Both sides; tree lock and file lock for writing. The new upper file's descriptor, or a negative errno with
 * everything as it was. */
static int move_bytes(struct clawfs *fs, struct rotation *r, const char *name)
{
	struct file *f = file_at(fs, r->slot);
	struct upper_work work = upper_work_name(&fs->upper);
	struct stat low, up;
	int dir = dir_lower(fs, r->parent), updir = dir_upper(fs, r->parent);

	if (dir < 0 || updir < 0)
		return dir < 0 ? dir : updir;
	if (fs->lower.sys->fstatat(dir, name, &low, AT_SYMLINK_NOFOLLOW) < 0 || fstat(f->fd_up, &up) < 0)
		return -errno;
	int rc = node_child_path(&fs->nodes, r->parent, r->part.text, r->intent.to, sizeof(r->intent.to));
	if (rc < 0)
		return rc;
	memcpy(r->intent.from, r->path, sizeof(r->intent.from));
	r->intent.lower_ino = low.st_ino;
	r->intent.upper_ino = up.st_ino;
	r->intent.cut = (uint64_t)f->flushed;
	r->intent.cut_after = f->cut + (uint64_t)f->flushed;
	int fd = upper_rest(fs, f->fd_up, f->flushed, &work);
	if (fd < 0)
		return fd;
	rc = upper_intent_set(&fs->upper, &r->intent);
	if (rc == 0 && fs->lower.sys->renameat2(dir, name, dir, r->part.text, RENAME_NOREPLACE) < 0)
		rc = -errno;
	if (rc == 0 && renameat(fs->upper.work, work.text, updir, name) < 0) {
		rc = -errno;
		if (fs->lower.sys->renameat2(dir, r->part.text, dir, name, RENAME_NOREPLACE) < 0)
			log_error(fs->log, "cannot take back the rotation of %s: %s", r->path, strerror(errno));
	}
	if (rc < 0) {
		upper_intent_clear(&fs->upper);
		close(fd);
		unlinkat(fs->upper.work, work.text, 0);
		return rc;
	}
	return fd;
}

/* What the tables say about it afterwards; locks as move_bytes. */
static void book(struct clawfs *fs, struct rotation *r, int fd, msec_t now)
{
	struct file *f = file_at(fs, r->slot);
	struct node *n = fs_node(fs, r->node);

	node_leave_lower(&fs->nodes, r->node);
	n->flags &= ~(uint32_t)NODE_LOWER;
	node_ram_add(&fs->nodes, r->node);
	lowernames_add(fs->nodes.lower, r->parent, r->part.text);
	dir_touch(fs, r->parent, true);
	file_close_lower(f);
	file_close_fd(&f->fd_up);
	f->fd_up = fd;
	f->cut += (uint64_t)f->flushed;
	forget_followers(fs, r->slot);
	f->flushed = 0;
	f->version++;
	off_t left = file_fd_size(fd);
	pthread_mutex_lock(&fs->sched.lock);
	file_account(fs, f, left);
	/* An empty log is on the card soon; lines that wait have waited already (P4). */
	policy_file_touch(&f->policy, now);
	if (left > 0)
		policy_file_demand(&f->policy);
	sched_update(fs, r->slot, f);
	pthread_mutex_unlock(&fs->sched.lock);
}

static int cut(struct clawfs *fs, struct rotation *r, msec_t now)
{
	struct file *f = file_at(fs, r->slot);
	char name[NAME_MAX + 1];
	char last = 0;
	int rc;

	if (!may_be_cut(fs, r))
		return -EAGAIN;
	const struct name *called = name_at(&fs->nodes, fs_node(fs, r->node)->name);
	if (called->parent != r->parent)
		return -EAGAIN;
	memcpy(name, called->text, (size_t)called->len + 1);
	rc = file_open_lower(fs, f, true, false, true);
	if (rc < 0)
		return rc;
	off_t size = file_fd_size(f->fd_rd);
	/* Longer than what was booked: a flush that failed has written it. */
	if (size <= 0 || (f->place == PLACE_TAIL && f->flushed != size))
		return -EAGAIN;
	bool line_end = lower_pread(&fs->lower, f->fd_rd, &last, 1, size - 1) == 1 && last == '\n';
	off_t least, most;
	if (!life_rotation_due(fs, r->path, (uint64_t)size, line_end, now) ||
	    (find_followers(fs, r->slot, &least, &most) &&
	     !policy_rotate_followed(CONFIG(fs, log_rotate_bytes), (uint64_t)size, (uint64_t)least, (uint64_t)most)))
		return -EAGAIN;
	rc = choose_part(fs, r, name);
	if (rc == 0 && f->place == PLACE_LOWER)
		rc = file_raise(fs, r->slot, true, false, false);
	if (rc < 0)
		return rc;
	rc = move_bytes(fs, r, name);
	if (rc < 0)
		return rc;
	book(fs, r, rc, now);
	upper_intent_clear(&fs->upper);
	r->size = size;
	return 0;
}

void rotate_consider(struct clawfs *fs, uint32_t slot, off_t size)
{
	struct file *f = file_at(fs, slot);
	msec_t now = clock_now();
	int rc = -EAGAIN;

	if (CONFIG(fs, log_rotate_bytes) == 0 || size < CONFIG(fs, log_rotate_bytes))
		return;
	struct rotation *r = calloc(1, sizeof(*r));
	if (!r)
		return;
	r->slot = slot;
	r->parts = fs->config.log_parts;
	if (find_highest(fs, r)) {
		pthread_rwlock_wrlock(&fs->tree);
		/* The path may be another's by now. */
		char path[PATH_MAX];
		bool same = node_path(&fs->nodes, r->node, path, sizeof(path)) == 0 && strcmp(path, r->path) == 0;
		pthread_rwlock_wrlock(&f->lock);
		if (same)
			rc = cut(fs, r, now);
		pthread_rwlock_unlock(&f->lock);
		if (rc == 0)
			clawfs_check(fs, r->node);
		pthread_rwlock_unlock(&fs->tree);
	}
	if (rc == 0) {
		inval_entry(fs, r->parent, r->part.text);
		inval_inode(fs, r->node, true);
		life_rotated(fs, r->path, r->part.text, (uint64_t)r->size, now);
	} else if (rc != -EAGAIN && life_rotation_failed(fs, r->path, now)) {
		log_warn(fs->log, "cannot rotate %s: %s; it goes on growing and is tried again", r->path,
			 strerror(-rc));
	}
	free(r);
}
