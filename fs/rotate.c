#include "fs/rotate.h"
#include "fs/crashpoint.h"
#include "fs/fileimpl.h"
#include "fs/hold.h"
#include "fs/life.h"
#include "fs/listing.h"
#include "fs/names.h"
#include "fs/rotateimpl.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With the writers out, a flush is waited for, and one more that began at once. */
#define HELD_TRIES 3

struct rotation {
	uint32_t slot, node, parent;
	bool held; /* the kernel's writers are out */
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
		/* What is closed keeps its record. */
		if (__atomic_load_n(&h->file, __ATOMIC_RELAXED) != slot || !at ||
		    __atomic_load_n(&h->state, __ATOMIC_ACQUIRE) != HANDLE_OPEN)
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

/* 0, -EAGAIN, or -EALREADY while it is being flushed. Locks as the caller's: tree, and the file's for writing. */
static int may_be_cut(struct clawfs *fs, const struct rotation *r)
{
	struct file *f = file_at(fs, r->slot);
	const struct node *n = fs_node(fs, f->node);

	if (!f->rotates || f->through || f->orphan || f->io == FILE_IO_PASSED || f->foreign || !class_is_tail(f->cls) ||
	    !n->name || !(n->flags & NODE_OWN) || name_at(&fs->nodes, n->name)->sibling || f->place == PLACE_WHOLE ||
	    f->written.copying)
		return -EAGAIN;
	pthread_mutex_lock(&fs->attach);
	bool cached = f->cached > 0;
	pthread_mutex_unlock(&fs->attach);
	pthread_mutex_lock(&fs->sched.lock);
	bool flushing = f->policy.state == POLICY_FLUSHING || f->policy.state == POLICY_REDIRTIED;
	pthread_mutex_unlock(&fs->sched.lock);
	return cached ? -EAGAIN : flushing ? -EALREADY : 0;
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

static int lower_move(struct clawfs *fs, int dir, const char *from, const char *to)
{
	return fs->lower.sys->renameat2(dir, from, dir, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

static void lower_move_back(struct clawfs *fs, const struct rotation *r, int dir, const char *name)
{
	int rc = lower_move(fs, dir, r->part.text, name);

	if (rc < 0)
		log_error(fs->log, "cannot take back the rotation of %s: %s", r->path, strerror(-rc));
}

/* Both sides, by a fresh upper file. Its descriptor. Locks and errors as move_bytes. */
static int move_to_fresh(struct clawfs *fs, struct rotation *r, int dir, int updir, const char *name)
{
	struct file *f = file_at(fs, r->slot);
	struct upper_work work = upper_work_name(&fs->upper);
	int fd = rotate_rest(fs, f->fd_up, f->flushed, &work);

	if (fd < 0)
		return fd;
	int rc = upper_intent_set(&fs->upper, &r->intent);
	if (rc == 0)
		rc = lower_move(fs, dir, name, r->part.text);
	if (rc == 0 && renameat(fs->upper.work, work.text, updir, name) < 0) {
		rc = -errno;
		lower_move_back(fs, r, dir, name);
	}
	if (rc < 0) {
		upper_intent_clear(&fs->upper);
		close(fd);
		unlinkat(fs->upper.work, work.text, 0);
		return rc;
	}
	return fd;
}

/* Both sides, in the upper file that the kernel's writers hold. */
static int move_in_place(struct clawfs *fs, struct rotation *r, int dir, const char *name, const struct stat *up)
{
	struct file *f = file_at(fs, r->slot);

	r->intent.in_place = true;
	int rc = upper_intent_set(&fs->upper, &r->intent);
	CRASH_POINT("rotate: begin in place");
	if (rc == 0)
		rc = rotate_place_begin(f->fd_up, f->flushed, up);
	bool moved = rc == 0 && (rc = lower_move(fs, dir, name, r->part.text)) == 0;
	CRASH_POINT("rotate: end in place");
	if (moved)
		rc = rotate_place_end(&fs->lower, f->fd_up, f->flushed, up);
	CRASH_POINT("rotate: book");
	if (rc == 0)
		return f->fd_up;
	if (moved)
		lower_move_back(fs, r, dir, name);
	rotate_place_undo(f->fd_up, f->flushed);
	upper_intent_clear(&fs->upper);
	bool filled = f->filled;
	f->filled = false;
	/* Somebody has it mapped, perhaps. */
	if (filled && file_fill(fs, r->slot) < 0)
		log_warn(fs->log, "a log that is read as it is written, %s, shows a hole", r->path);
	return rc;
}

/* Tree lock and file lock for writing. The upper file's descriptor, a new one or that which it has; or a negative errno
 * with everything as it was. */
static int move_bytes(struct clawfs *fs, struct rotation *r, const char *name)
{
	struct file *f = file_at(fs, r->slot);
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
	return f->io == FILE_IO_UPPER ? move_in_place(fs, r, dir, name, &up) : move_to_fresh(fs, r, dir, updir, name);
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
	if (fd != f->fd_up) {
		file_close_upper(fs, f);
		f->fd_up = fd;
	}
	f->cut += (uint64_t)f->flushed;
	forget_followers(fs, r->slot);
	f->flushed = 0;
	f->version++;
	off_t left = file_fd_size(fd);
	f->seen.size = left;
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

	rc = may_be_cut(fs, r);
	if (rc < 0)
		return rc;
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
	if (rc == 0 && f->io == FILE_IO_UPPER && !r->held)
		return -EINPROGRESS;
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

/* No lock held. 0; -EAGAIN when it is not due, -EALREADY while it is being flushed, -EINPROGRESS when the kernel's
 * writers are to be kept out for it; or why it cannot be done. */
static int rotate(struct clawfs *fs, struct rotation *r, msec_t now)
{
	struct file *f = file_at(fs, r->slot);
	char path[PATH_MAX];
	int rc = -EAGAIN;

	if (!find_highest(fs, r))
		return rc;
	pthread_rwlock_wrlock(&fs->tree);
	/* The path may be another's by now. */
	bool same = node_path(&fs->nodes, r->node, path, sizeof(path)) == 0 && strcmp(path, r->path) == 0;
	pthread_rwlock_wrlock(&f->lock);
	observe_look(fs, r->slot, now);
	if (same)
		rc = cut(fs, r, now);
	pthread_rwlock_unlock(&f->lock);
	if (rc == 0)
		clawfs_check(fs, r->node);
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}

static void tell(struct clawfs *fs, const struct rotation *r, int rc, msec_t now)
{
	if (rc == 0) {
		inval_entry(fs, r->parent, r->part.text);
		inval_inode(fs, r->node, true);
		life_rotated(fs, r->path, r->part.text, (uint64_t)r->size, now);
	} else if (rc != -EAGAIN && rc != -EALREADY && life_rotation_failed(fs, r->path, now)) {
		log_warn(fs->log, "cannot rotate %s: %s; it goes on growing and is tried again", r->path,
			 strerror(-rc));
	}
}

void rotate_consider(struct clawfs *fs, uint32_t slot, off_t size)
{
	msec_t now = clock_now();

	if (CONFIG(fs, log_rotate_bytes) == 0 || size < CONFIG(fs, log_rotate_bytes))
		return;
	struct rotation *r = calloc(1, sizeof(*r));
	if (!r)
		return;
	r->slot = slot;
	r->parts = fs->config.log_parts;
	int rc = rotate(fs, r, now);
	/* rotate_held goes on with it. */
	bool asked = rc == -EINPROGRESS && (rc = hold_ask(fs, r->path)) == 0;
	if (!asked)
		tell(fs, r, rc, now);
	free(r);
}

int rotate_held(struct clawfs *fs, uint32_t node)
{
	struct rotation *r = calloc(1, sizeof(*r));
	int rc = -EAGAIN;

	if (!r)
		return -ENOMEM;
	pthread_rwlock_rdlock(&fs->tree);
	r->slot = S_ISREG(fs_node(fs, node)->type) ? file_peek(fs, node) : 0;
	pthread_rwlock_unlock(&fs->tree);
	r->held = true;
	r->parts = fs->config.log_parts;
	if (r->slot && CONFIG(fs, log_rotate_bytes) > 0) {
		rc = -EALREADY;
		for (int i = 0; i < HELD_TRIES && rc == -EALREADY; i++) {
			/* Nothing new comes to it, so that it ends. */
			file_wait_flush(fs, r->slot);
			rc = rotate(fs, r, clock_now());
		}
		tell(fs, r, rc, clock_now());
	}
	if (r->slot) {
		pthread_rwlock_wrlock(&fs->tree);
		file_put(fs, r->slot);
		node_reap(&fs->nodes, node);
		pthread_rwlock_unlock(&fs->tree);
	}
	free(r);
	return rc;
}
