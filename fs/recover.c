/* The upper tree describes itself:
 *
 *   upper file                     lower file     means
 *   a hole first, longer           any            a log's tail is [lower size, upper size); the pages before it are
 *                                                 holes, and every page that is no hole is real
 *   a hole first and at the tail   any            the log was being cut when the daemon died: the lower has it all
 *   a hole first, not longer       any            flushed, or being cut: the lower has it all
 *   whole, marked in before/       any or none    it was being rewritten: the version before, there or on the lower
 *   whole                          any or none    the newer version, also when it is empty
 *   a directory                    a directory    a mirror
 *   a directory                    none           in RAM only */
#include "fs/recover.h"
#include "fs/listing.h"
#include "fs/names.h"
#include "fs/rotate.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct recovery {
	struct clawfs *fs;
	msec_t now;
	unsigned files, left_out;
};

/* --- an interrupted rename of a directory, or rotation ------------------- */

/* The inode at a path below `root`, 0 when there is none. */
static uint64_t ino_at(struct clawfs *fs, int root, const char *path)
{
	struct stat st;
	int fd = lower_open(&fs->lower, root, path, O_PATH, 0);
	uint64_t ino = 0;

	if (fd >= 0) {
		if (fstat(fd, &st) == 0)
			ino = st.st_ino;
		close(fd);
	}
	return ino;
}

bool recover_rotation(struct clawfs *fs, const struct upper_intent *intent)
{
	bool moved = ino_at(fs, fs->lower.root, intent->to) == intent->lower_ino;

	if (intent->in_place)
		return rotate_settle(fs, intent, moved);
	if (moved && ino_at(fs, fs->upper.tree, intent->from) == intent->upper_ino)
		rotate_complete(fs, intent);
	return moved;
}

void recover_rename(struct clawfs *fs)
{
	struct upper_intent *intent = malloc(sizeof(*intent));

	if (intent && upper_intent_get(&fs->upper, intent)) {
		bool lower_moved = ino_at(fs, fs->lower.root, intent->to) == intent->lower_ino;
		bool upper_stayed = intent->upper_ino && ino_at(fs, fs->upper.tree, intent->from) == intent->upper_ino;
		if (intent->cut)
			recover_rotation(fs, intent);
		else if (lower_moved && upper_stayed &&
			 renameat2(fs->upper.tree, intent->from, fs->upper.tree, intent->to,
				   intent->exchange ? RENAME_EXCHANGE : 0) < 0)
			log_error(fs->log, "cannot complete the rename of %s to %s in the upper: %s", intent->from,
				  intent->to, strerror(errno));
		upper_intent_clear(&fs->upper);
	}
	free(intent);
}

/* --- files --------------------------------------------------------------- */

int recover_open(int dir, const char *name)
{
	struct stat st;
	int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	/* An ordinary user's daemon and a file of mode 0400. */
	if (fd < 0 && errno == EACCES && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    fchmodat(dir, name, 0600, 0) == 0) {
		fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && fchmod(fd, st.st_mode & 07777) < 0) {
			close(fd);
			fd = -1;
		}
	}
	return fd;
}

/* Whether the bytes from `flushed` on are there, not a hole. */
static bool tail_is_real(int fd, off_t flushed)
{
	off_t page = flushed & ~(off_t)4095;

	return lseek(fd, page, SEEK_DATA) == page;
}

/* Where what is on the card ends: at the lower's size, if that can be made durable now; the daemon may have died before
 * it did that, or after the card had refused it. Not knowing better, at the beginning of the page in which the tail
 * begins: what comes before that has been synced (file_punch). */
static off_t tail_start(struct clawfs *fs, uint32_t parent, const char *name, int fd, off_t size, const struct stat *up)
{
	off_t marked = upper_tail_mark(&fs->upper, up->st_ino);
	off_t data = lseek(fd, 0, SEEK_DATA);
	int dir = dir_lower(fs, parent);

	if (marked >= 0)
		return marked < size ? marked : size;
	int log = dir < 0 ? dir : lower_open_own(&fs->lower, dir, name, O_RDONLY);
	bool durable = log >= 0 && fs->lower.sys->fdatasync(log) == 0;
	if (log >= 0)
		close(log);
	if (durable || data < 0 || data > size)
		return size;
	/* The kernel tells of it once. */
	upper_mark_tail(&fs->upper, up->st_ino, data);
	return data;
}

/* SQLite's index of a write-ahead log: it is made anew by who opens the database first, and that of a dead mount
 * means nothing to the next. */
static bool is_wal_index(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && strcmp(name + len - 4, "-shm") == 0;
}

static void adopt_file(struct recovery *r, uint32_t parent, int updir, const char *name, const struct stat *up)
{
	struct clawfs *fs = r->fs;
	struct stat low;
	uint32_t node = 0;
	bool has_lower = dir_on_lower(fs, parent) &&
			 fs->lower.sys->fstatat(dir_lower(fs, parent), name, &low, AT_SYMLINK_NOFOLLOW) == 0;
	enum policy_class cls = file_classify(fs, parent, name);
	off_t flushed = 0;
	struct stat now = *up;
	const char *useless = NULL;
	int restored = upper_restore(&fs->upper, up->st_ino, updir, name);
	if (restored == 1 && fstatat(updir, name, &now, AT_SYMLINK_NOFOLLOW) < 0)
		restored = -errno;
	/* A program that outlived its mount. */
	bool written = restored >= 0 && observe_has_writer(updir, name);
	int fd = restored < 0 ? -1 : recover_open(updir, name);

	if (fd < 0) {
		log_error(fs->log, "cannot recover %s from the upper: %s", name, strerror(errno));
		r->left_out++;
		return;
	}
	bool plain = has_lower && S_ISREG(low.st_mode);
	/* The bytes say what it is, whatever class its name has now: a tail that
	 * begins after its first page has a hole there, and what has none is
	 * complete. */
	bool tail = now.st_size > 0 && lseek(fd, 0, SEEK_DATA) != 0;
	if (tail && !plain) {
		useless = "it is the tail of a log that the lower has no more";
	} else if (tail) {
		flushed = tail_start(fs, parent, name, fd, low.st_size, &now);
		if (written && now.st_size == flushed)
			useless = NULL;
		else if (now.st_size <= flushed)
			useless = "";
		else if (!tail_is_real(fd, flushed))
			useless = "it was being cut, the lower has all of it";
	} else if (plain && restored == 2) {
		useless = "it was being rewritten, the lower has the version before";
	}
	if (useless) {
		if (*useless)
			log_warn(fs->log, "left out %s of the upper: %s", name, useless);
		close(fd);
		unlinkat(updir, name, 0);
		upper_unmark(&fs->upper, up->st_ino);
		return;
	}
	int rc = plain ? name_resolve(fs, parent, name, &node) : name_enter_upper(fs, parent, name, S_IFREG, &node);
	if (rc == 0 && has_lower && !plain) {
		/* It replaced something else of this name, a symlink say. */
		node_ram_remove(&fs->nodes, node);
		fs_node(fs, node)->flags |= NODE_LOWER;
	}
	uint32_t slot = rc == 0 ? file_get(fs, node) : 0;
	if (!slot) {
		log_error(fs->log, "cannot recover %s from the upper: %s", name, strerror(rc ? -rc : ENOMEM));
		close(fd);
		r->left_out++;
		return;
	}
	fs_node(fs, node)->flags |= NODE_UPPER;
	/* New logs are tails of nothing. */
	bool fresh_log = class_is_tail(cls) && !has_lower;
	file_adopt(fs, slot, tail || fresh_log ? PLACE_TAIL : PLACE_WHOLE, flushed, fd, now.st_size);
	struct file *f = file_at(fs, slot);
	if (written)
		observe_adopt(fs, slot);
	f->distrust = true;
	f->marked = upper_tail_mark(&fs->upper, up->st_ino) >= 0 ? up->st_ino : 0;
	pthread_mutex_lock(&fs->sched.lock);
	/* Of a volatile file the lower has one only if it was asked to be durable. */
	policy_file_replace(&f->policy, has_lower && cls == CLASS_VOLATILE ? CLASS_STATE : cls, NULL, r->now);
	sched_update(fs, slot, f);
	pthread_mutex_unlock(&fs->sched.lock);
	file_put(fs, slot);
	r->files++;
}

/* --- directories --------------------------------------------------------- */

struct listing *recover_list(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct listing *list = d ? listing_create() : NULL;

	if (!d && fd >= 0)
		close(fd);
	for (struct dirent *e; list && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			listing_add(list, e->d_name, e->d_ino, e->d_type);
	if (d)
		closedir(d);
	return list;
}

static int adopt_dir(struct recovery *r, uint32_t dir);

static void adopt_subdir(struct recovery *r, uint32_t parent, int updir, const char *name)
{
	struct clawfs *fs = r->fs;
	char path[PATH_MAX];
	struct stat low;
	uint32_t node = 0;
	bool has_lower = dir_on_lower(fs, parent) &&
			 fs->lower.sys->fstatat(dir_lower(fs, parent), name, &low, AT_SYMLINK_NOFOLLOW) == 0;

	if (has_lower && !S_ISDIR(low.st_mode)) {
		log_warn(fs->log, "left out the directory %s of the upper: the lower has something else of this name",
			 name);
		r->left_out++;
		return;
	}
	/* A mirror that lost its original, and is empty, means nothing. */
	bool is_volatile = node_child_path(&fs->nodes, parent, name, path, sizeof(path)) == 0 &&
			   policy_classify_dir_volatile(&fs->config.rules, path);
	if (!has_lower && !is_volatile && dir_on_lower(fs, parent) && unlinkat(updir, name, AT_REMOVEDIR) == 0)
		return;
	int rc = has_lower ? name_resolve(fs, parent, name, &node) : name_enter_upper(fs, parent, name, S_IFDIR, &node);
	if (rc == 0)
		rc = adopt_dir(r, node);
	if (rc == 0 && !has_lower && !is_volatile && dir_on_lower(fs, parent))
		rc = dir_materialise(fs, node, r->now);
	if (rc < 0) {
		log_error(fs->log, "cannot recover the directory %s from the upper: %s", name, strerror(-rc));
		r->left_out++;
	}
}

static int adopt_dir(struct recovery *r, uint32_t dir)
{
	struct clawfs *fs = r->fs;
	int updir = dir_upper(fs, dir);
	struct listing *list = updir < 0 ? NULL : recover_list(updir);
	struct stat st;

	if (!list)
		return updir < 0 ? updir : -EIO;
	for (uint32_t i = 0; i < list->count; i++) {
		const char *name = listing_at(list, i)->name;
		uint32_t node;
		if (fstatat(updir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			adopt_subdir(r, dir, updir, name);
		else if (S_ISREG(st.st_mode) && is_wal_index(name))
			unlinkat(updir, name, 0);
		else if (S_ISREG(st.st_mode))
			adopt_file(r, dir, updir, name, &st);
		else if (!dir_on_lower(fs, dir))
			name_enter_upper(fs, dir, name, st.st_mode, &node);
	}
	listing_destroy(list);
	return 0;
}

int recover_upper(struct clawfs *fs, msec_t now)
{
	struct recovery r = {.fs = fs, .now = now};

	recover_rename(fs);
	if (!upper_is_dirty(&fs->upper))
		return 0;
	pthread_rwlock_wrlock(&fs->tree);
	int rc = adopt_dir(&r, NODE_ROOT);
	pthread_rwlock_unlock(&fs->tree);
	upper_unmark_rewrites(&fs->upper);
	fs->left_out = r.left_out;
	if (r.files || r.left_out)
		log_warn(fs->log, "the last mount did not end: recovered %u files from %s, left out %u", r.files,
			 fs->upper.path, r.left_out);
	return rc;
}
