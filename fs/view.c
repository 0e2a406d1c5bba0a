#include "fs/view.h"
#include "fs/fileimpl.h"
#include "fs/gzip.h"
#include "fs/life.h"
#include "fs/names.h"
#include "fs/pack.h"
#include "fs/zview.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of a node that is a view, struct node has: lower_ino and ctime of the .gz that `view_size` is the length of. */

/* Instead of the length of what is too long. */
#define TOO_LONG UINT64_MAX

bool view_is(struct clawfs *fs, uint32_t node)
{
	return fs_node(fs, node)->flags & NODE_PACKED;
}

/* Where its .gz is. */
static int place_of(struct clawfs *fs, uint32_t node, int *dir, struct log_name *packed)
{
	const char *name;
	int rc = node_place_lower(fs, node, dir, &name);

	return rc < 0 ? rc : policy_log_packed(name, packed) ? 0 : -ENOENT;
}

static bool has_packed(struct clawfs *fs, uint32_t node)
{
	struct log_name packed;
	struct stat st;
	int dir;

	return place_of(fs, node, &dir, &packed) == 0 &&
	       fs->lower.sys->fstatat(dir, packed.text, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

bool view_is_stale(struct clawfs *fs, uint32_t node)
{
	return view_is(fs, node) && !has_packed(fs, node);
}

static bool is_measured(const struct node *n, const struct stat *gz)
{
	return n->flags & NODE_MEASURED && n->lower_ino == gz->st_ino && n->ctime.tv_sec == gz->st_ctim.tv_sec &&
	       n->ctime.tv_nsec == gz->st_ctim.tv_nsec;
}

int view_stat(struct clawfs *fs, uint32_t node, struct stat *st)
{
	const struct node *n = fs_node(fs, node);
	struct log_name packed;
	int dir;

	if (n->flags & NODE_ORPHAN) {
		if (n->lower_fd < 0 || fs->lower.sys->fstat(n->lower_fd, st) < 0)
			return -ESTALE;
	} else {
		int rc = place_of(fs, node, &dir, &packed);
		if (rc < 0)
			return rc;
		if (fs->lower.sys->fstatat(dir, packed.text, st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (!S_ISREG(st->st_mode))
			return -ENOENT;
		if (!is_measured(n, st))
			return -VIEW_AGAIN;
	}
	st->st_size = n->view_size == TOO_LONG ? 0 : (off_t)n->view_size;
	st->st_nlink = 1;
	return 0;
}

int view_resolve(struct clawfs *fs, uint32_t parent, const char *name, uint32_t *node)
{
	struct nodes *ns = &fs->nodes;
	struct log_name packed;
	char path[PATH_MAX];
	struct stat st;

	if (!policy_log_packed(name, &packed) || node_child_path(ns, parent, name, path, sizeof(path)) < 0 ||
	    policy_log_kind(&fs->config.rules, path) != LOG_PLAIN)
		return -ENOENT;
	memcpy(path + strlen(path) - strlen(name), packed.text, strlen(name));
	if (strlen(path) + sizeof(".gz") > sizeof(path))
		return -ENOENT;
	memcpy(path + strlen(path), ".gz", sizeof(".gz"));
	uint32_t gz = node_find(ns, parent, packed.text);
	int dir = dir_lower(fs, parent);
	/* One that is being written is none yet. */
	if (policy_log_kind(&fs->config.rules, path) != LOG_PACKED || dir < 0 ||
	    (gz && fs_node(fs, gz)->flags & NODE_UPPER) ||
	    fs->lower.sys->fstatat(dir, packed.text, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return -ENOENT;
	*node = node_new(ns, S_IFREG);
	if (!*node)
		return -ENOMEM;
	int rc = node_name_add(ns, *node, parent, name);
	fs_node(fs, *node)->flags |= NODE_PACKED;
	if (rc < 0) {
		node_reap(ns, *node);
		return rc;
	}
	node_set_ino(ns, *node);
	fs_node(fs, *node)->lineage = node_new_lineage(ns);
	return 0;
}

void view_become(struct clawfs *fs, uint32_t node)
{
	struct node *n = fs_node(fs, node);

	if (n->flags & NODE_TIMES)
		__atomic_sub_fetch(&fs->sched.times_pending, 1, __ATOMIC_RELEASE);
	node_leave_lower(&fs->nodes, node);
	n->flags &= ~(uint32_t)(NODE_LOWER | NODE_TIMES | NODE_MEASURED);
	n->flags |= NODE_PACKED;
	clawfs_check(fs, node);
	node_reap(&fs->nodes, node);
}

uint32_t view_of(struct clawfs *fs, uint32_t parent, const char *name)
{
	struct log_name log;
	uint32_t node = policy_log_unpacked(name, &log) ? node_find(&fs->nodes, parent, log.text) : 0;

	return node && view_is(fs, node) ? node : 0;
}

void view_anchor(struct clawfs *fs, uint32_t node)
{
	struct node *n = fs_node(fs, node);
	struct log_name packed;
	int dir;

	if (n->lower_fd >= 0 || place_of(fs, node, &dir, &packed) < 0)
		return;
	int fd = lower_open(&fs->lower, dir, packed.text, O_PATH, 0);
	if (fd >= 0) {
		n->lower_fd = fd;
		fs->nodes.dirfds++;
	}
}

int view_unlink(struct clawfs *fs, uint32_t node)
{
	struct log_name packed;
	int dir;
	uint32_t parent = node_parent(&fs->nodes, node);

	int rc = place_of(fs, node, &dir, &packed);
	/* The view goes with its .gz. */
	return rc < 0 ? rc : name_unlink(fs, parent, packed.text, 0);
}

static bool is_too_long(struct clawfs *fs, uint32_t node)
{
	return fs_node(fs, node)->flags & NODE_MEASURED && fs_node(fs, node)->view_size == TOO_LONG;
}

void view_takeover(struct clawfs *fs)
{
	uint32_t end = shm_table_end(fs->nodes.table);

	for (uint32_t i = NODE_FIRST; i < end; i++) {
		struct node *n = fs_node(fs, i);
		const struct name *name = shm_table_is_live(fs->nodes.table, i) && S_ISREG(n->type) && n->name
						  ? name_at(&fs->nodes, n->name)
						  : NULL;
		struct stat st;
		if (!name || n->flags & NODE_UPPER || !policy_log_is(name->text) ||
		    !(n->flags & (NODE_PACKED | NODE_OWN)))
			continue;
		int dir = dir_lower(fs, name->parent);
		bool plain = dir >= 0 && fs->lower.sys->fstatat(dir, name->text, &st, AT_SYMLINK_NOFOLLOW) == 0;
		if (plain && n->flags & NODE_PACKED) {
			n->flags &= ~(uint32_t)(NODE_PACKED | NODE_MEASURED | NODE_DAMAGED);
			node_set_lower(&fs->nodes, i, st.st_dev, st.st_ino);
			if (n->file && file_at(fs, n->file)->place == PLACE_PACKED)
				file_at(fs, n->file)->place = PLACE_LOWER;
		} else if (!plain && !(n->flags & NODE_PACKED) && !n->file && has_packed(fs, i)) {
			node_leave_lower(&fs->nodes, i);
			n->flags = (n->flags & ~(uint32_t)(NODE_LOWER | NODE_TIMES)) | NODE_PACKED;
		}
	}
}

/* --- open ----------------------------------------------------------------- */

static void say_damaged(struct clawfs *fs, uint32_t node, const char *reason)
{
	char path[PATH_MAX] = "a log that was deleted";

	node_path(&fs->nodes, node, path, sizeof(path));
	if (!(__atomic_fetch_or(&fs_node(fs, node)->flags, NODE_DAMAGED, __ATOMIC_RELAXED) & NODE_DAMAGED))
		log_warn(fs->log, "%s.gz: %s; what it holds: zcat; to be rid of it, unlink it", path, reason);
}

int view_open(struct clawfs *fs, uint32_t slot, bool written)
{
	struct file *f = file_at(fs, slot);
	struct log_name packed;
	const char *reason = NULL;
	int dir;

	if (written)
		return -VIEW_AGAIN;
	if (fs->views[slot])
		return 0;
	if (is_too_long(fs, f->node))
		return -EIO;
	int rc = 0, fd;
	if (fs_node(fs, f->node)->flags & NODE_ORPHAN) {
		fd = lower_reopen(&fs->lower, fs_node(fs, f->node)->lower_fd, O_RDONLY);
	} else {
		rc = place_of(fs, f->node, &dir, &packed);
		fd = rc < 0 ? rc : lower_open_own(&fs->lower, dir, packed.text, O_RDONLY);
	}
	if (fd < 0)
		return fd;
	rc = zview_create(&fs->lower, fd, NULL, &fs->views[slot], &reason);
	if (rc < 0)
		close(fd);
	else
		life_view_opened(fs);
	if (reason)
		say_damaged(fs, f->node, reason);
	return rc;
}

ssize_t view_read(struct clawfs *fs, uint32_t slot, void *buf, size_t len, off_t off)
{
	struct zview *view = fs->views[slot];
	ssize_t n = view ? zview_read(view, buf, len, (uint64_t)off) : -ESTALE;

	life_view_read(fs, n);
	return n;
}

int view_fstat(struct clawfs *fs, uint32_t slot, struct stat *st)
{
	struct zview *view = fs->views[slot];

	if (!view)
		return -1;
	st->st_size = (off_t)zview_size(view);
	return 0;
}

void view_close(struct clawfs *fs, uint32_t slot)
{
	zview_destroy(fs->views[slot]);
	fs->views[slot] = NULL;
}

void view_complain(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	const char *reason = NULL;

	pthread_rwlock_rdlock(&fs->tree);
	pthread_rwlock_rdlock(&f->lock);
	if (fs->views[slot])
		reason = zview_reason(fs->views[slot]);
	if (reason)
		say_damaged(fs, f->node, reason);
	pthread_rwlock_unlock(&f->lock);
	pthread_rwlock_unlock(&fs->tree);
}

/* --- its length ----------------------------------------------------------- */

struct limit {
	uint64_t asked;
};

/* Asked for each MiB of content, and of file. */
static bool too_long(void *arg)
{
	struct limit *l = arg;

	return ++l->asked > VIEW_FOREIGN_MAX / GUNZIP_POLL;
}

/* The length of what `fd` holds, as far as it can be told; takes `fd` over. */
static uint64_t length_of(struct clawfs *fs, int fd, const char **reason)
{
	struct limit limit = {0};
	const struct gzip_stop stop = {too_long, &limit};
	struct zview *view = NULL;
	int rc = zview_create(&fs->lower, fd, &stop, &view, reason);

	if (rc < 0) {
		close(fd);
		return 0;
	}
	if (!zview_exact(view))
		rc = zview_measure(view);
	if (rc == -ECANCELED)
		*reason = "it holds more than 512 MiB and is not of clawfs's making";
	else if (rc < 0)
		*reason = zview_reason(view);
	uint64_t size = rc == -ECANCELED ? TOO_LONG : zview_size(view);
	zview_destroy(view);
	return size;
}

int view_measure(struct clawfs *fs, uint32_t node)
{
	struct log_name packed;
	struct stat st;
	int dir, fd = -1;
	const char *reason = NULL;

	pthread_rwlock_rdlock(&fs->tree);
	struct node *n = fs_node(fs, node);
	int rc = n->flags & NODE_PACKED && !(n->flags & NODE_ORPHAN) ? place_of(fs, node, &dir, &packed) : -ENOENT;
	if (rc == 0)
		rc = fd = lower_open_own(&fs->lower, dir, packed.text, O_RDONLY);
	pthread_rwlock_unlock(&fs->tree);
	if (fd < 0)
		return rc == -ENOENT ? 0 : rc;
	if (fs->lower.sys->fstat(fd, &st) < 0) {
		close(fd);
		return -EIO;
	}
	uint64_t size = length_of(fs, fd, &reason);

	pthread_rwlock_wrlock(&fs->tree);
	n = fs_node(fs, node);
	if (n->flags & NODE_PACKED && !(n->flags & NODE_ORPHAN)) {
		n->view_size = size;
		n->lower_ino = st.st_ino;
		n->ctime = st.st_ctim;
		n->flags |= NODE_MEASURED;
		if (reason)
			say_damaged(fs, node, reason);
	}
	pthread_rwlock_unlock(&fs->tree);
	return 0;
}

/* --- back to life --------------------------------------------------------- */

struct revival {
	struct clawfs *fs;
	uint32_t node, parent;
	struct log_name packed;
	struct stat st; /* of the .gz */
	int gz, dir;	/* -1 */
	struct pack_temp temp;
	bool placed;
	char path[PATH_MAX];
};

/* 1: it is a view. */
static int begin(struct revival *r)
{
	struct clawfs *fs = r->fs;
	int dir = -1, rc = 0;

	pthread_rwlock_wrlock(&fs->tree);
	const struct node *n = fs_node(fs, r->node);
	bool is = n->flags & NODE_PACKED && !(n->flags & NODE_ORPHAN);
	if (is)
		rc = is_too_long(fs, r->node) ? -EIO : place_of(fs, r->node, &dir, &r->packed);
	if (is && rc == 0)
		rc = node_path(&fs->nodes, r->node, r->path, sizeof(r->path));
	if (is && rc == 0)
		rc = r->gz = lower_open_own(&fs->lower, dir, r->packed.text, O_RDONLY);
	if (is && rc >= 0)
		rc = fs->lower.sys->fstat(r->gz, &r->st) < 0 || (r->dir = fcntl(dir, F_DUPFD_CLOEXEC, 0)) < 0 ? -errno
													      : 0;
	if (is && rc == 0) {
		r->parent = node_parent(&fs->nodes, r->node);
		rc = pack_temp_open(fs, r->parent, &r->temp);
	}
	pthread_rwlock_unlock(&fs->tree);
	return rc < 0 ? rc : is;
}

/* No more than half of what is free. */
static uint64_t room(struct clawfs *fs)
{
	struct statvfs st;

	return fs->lower.sys->fstatvfs(fs->lower.root, &st) < 0 ? 0 : (uint64_t)st.f_bavail * st.f_frsize / 2;
}

static int unpack(struct revival *r)
{
	struct clawfs *fs = r->fs;
	const struct lower_calls *sys = fs->lower.sys;
	const struct timespec times[2] = {r->st.st_atim, r->st.st_mtim};
	const char *reason = NULL;
	int rc = gzip_inflate(&fs->lower, r->gz, r->temp.fd, room(fs), NULL, &reason);

	if (reason) {
		pthread_rwlock_rdlock(&fs->tree);
		say_damaged(fs, r->node, reason);
		pthread_rwlock_unlock(&fs->tree);
	}
	if (rc == -EFBIG)
		rc = -ENOSPC;
	if (rc == 0 && (r->st.st_uid != geteuid() || r->st.st_gid != getegid()) &&
	    sys->fchown(r->temp.fd, r->st.st_uid, r->st.st_gid) < 0)
		rc = -errno;
	if (rc == 0 && (sys->fchmod(r->temp.fd, r->st.st_mode & 07777) < 0 || sys->futimens(r->temp.fd, times) < 0))
		rc = -errno;
	return rc == 0 && sys->fsync(r->temp.fd) < 0 ? -errno : rc;
}

/* The node has its file again; tree lock for writing. */
static void become_plain(struct revival *r, const struct stat *st)
{
	struct clawfs *fs = r->fs;
	struct node *n = fs_node(fs, r->node);
	uint32_t slot = file_peek(fs, r->node);

	n->flags &= ~(uint32_t)(NODE_PACKED | NODE_MEASURED | NODE_DAMAGED);
	node_set_lower(&fs->nodes, r->node, st->st_dev, st->st_ino);
	dir_touch(fs, r->parent, true);
	if (!slot)
		return;
	struct file *f = file_at(fs, slot);
	pthread_rwlock_wrlock(&f->lock);
	f->place = PLACE_LOWER;
	view_close(fs, slot);
	if (file_open_needed(fs, f, true) < 0)
		log_warn(fs->log, "a log that was brought back to life can no longer be read by who had it open");
	pthread_rwlock_unlock(&f->lock);
	file_put(fs, slot);
}

static int place(struct revival *r)
{
	struct clawfs *fs = r->fs;
	struct stat st;
	const char *name;
	int dir, rc = 0;

	pthread_rwlock_wrlock(&fs->tree);
	const struct node *n = fs_node(fs, r->node);
	struct stat now;
	if (!(n->flags & NODE_PACKED) || n->flags & NODE_ORPHAN || node_parent(&fs->nodes, r->node) != r->parent)
		rc = -VIEW_AGAIN;
	if (rc == 0)
		rc = node_place_lower(fs, r->node, &dir, &name);
	if (rc == 0 &&
	    (fs->lower.sys->fstatat(dir, r->packed.text, &now, AT_SYMLINK_NOFOLLOW) < 0 || now.st_ino != r->st.st_ino))
		rc = -VIEW_AGAIN;
	if (rc == 0 && (fs->lower.sys->fstat(r->temp.fd, &st) < 0 ||
			fs->lower.sys->renameat2(r->temp.dir, r->temp.name, dir, name, RENAME_NOREPLACE) < 0))
		rc = -errno;
	if (rc == 0) {
		r->placed = true;
		become_plain(r, &st);
		inval_entry(fs, r->parent, name);
	}
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}

/* Its .gz goes when X.log is safe on the card. */
static int finish(struct revival *r)
{
	struct clawfs *fs = r->fs;
	int rc = lower_sync_dir(&fs->lower, r->dir);

	if (rc < 0)
		return rc;
	pthread_rwlock_wrlock(&fs->tree);
	rc = name_unlink(fs, r->parent, r->packed.text, 0);
	inval_entry(fs, r->parent, r->packed.text);
	pthread_rwlock_unlock(&fs->tree);
	return rc == -ENOENT ? 0 : rc;
}

int view_revive(struct clawfs *fs, uint32_t node)
{
	struct revival *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = (struct revival){.fs = fs, .node = node, .gz = -1, .dir = -1, .temp = {.fd = -1, .dir = -1}};
	pthread_mutex_lock(&fs->life.reviving);
	int rc = begin(r);
	if (rc == 1) {
		rc = unpack(r);
		if (rc == 0)
			rc = place(r);
		if (rc == 0)
			rc = finish(r);
		if (r->placed)
			life_revived(fs, r->path, clock_now());
		/* It changed meanwhile: the caller looks again. */
		if (rc == -VIEW_AGAIN)
			rc = 0;
	}
	pack_temp_close(fs, &r->temp, r->placed);
	pthread_mutex_unlock(&fs->life.reviving);
	if (r->gz >= 0)
		close(r->gz);
	if (r->dir >= 0)
		close(r->dir);
	free(r);
	return rc;
}
