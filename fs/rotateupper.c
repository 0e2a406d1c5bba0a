#include "fs/crashpoint.h"
#include "fs/fileimpl.h"
#include "fs/pack.h"
#include "fs/recover.h"
#include "fs/rotate.h"
#include "fs/rotateimpl.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE ((off_t)4096)

/* --- a fresh file -------------------------------------------------------- */

/* The bytes [from, to) to the place `at`. */
static int copy_bytes(const struct lower *lower, int in, off_t from, off_t to, int out, off_t at)
{
	char buf[16384];
	int rc = 0;

	while (from < to && rc == 0) {
		size_t len = to - from < (off_t)sizeof(buf) ? (size_t)(to - from) : sizeof(buf);
		ssize_t n = lower_pread(lower, in, buf, len, from);
		rc = n <= 0 ? -EIO : lower_pwrite(lower, out, buf, (size_t)n, at);
		from += n;
		at += n;
	}
	return rc;
}

int rotate_rest(struct clawfs *fs, int old, off_t cut, const struct upper_work *work)
{
	struct stat st;

	if (fstat(old, &st) < 0)
		return -errno;
	int fd = openat(fs->upper.work, work->text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int rc = copy_bytes(&fs->lower, old, cut, st.st_size, fd, 0);
	if (rc == 0)
		rc = file_copy_attributes(fd, &st);
	if (rc < 0) {
		close(fd);
		unlinkat(fs->upper.work, work->text, 0);
		return rc;
	}
	return fd;
}

/* --- in place ------------------------------------------------------------ */

/* The page that is a hole meanwhile. */
static off_t guard_of(off_t cut)
{
	return PAGE_FLOOR(cut) - PAGE;
}

static int punch(int fd, off_t from, off_t to)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to - from) < 0 ? -errno : 0;
}

int rotate_place_begin(int fd, off_t cut, const struct stat *before)
{
	off_t rest = before->st_size - cut;

	if (PAGE_FLOOR(rest + PAGE - 1) > guard_of(cut))
		return -EAGAIN;
	return punch(fd, guard_of(cut), PAGE_FLOOR(cut));
}

int rotate_place_end(const struct lower *lower, int fd, off_t cut, const struct stat *before)
{
	const struct timespec times[2] = {before->st_atim, before->st_mtim};
	int rc = copy_bytes(lower, fd, cut, before->st_size, fd, 0);

	CRASH_POINT("rotate: truncate");
	/* Were writers not out after all, they are not cut off. */
	if (rc == 0 && file_fd_size(fd) != before->st_size)
		rc = -EAGAIN;
	if (rc == 0 && ftruncate(fd, before->st_size - cut) < 0)
		rc = -errno;
	/* That was ours, not the application's. */
	if (rc == 0)
		futimens(fd, times);
	return rc;
}

void rotate_place_undo(int fd, off_t cut)
{
	punch(fd, 0, PAGE_FLOOR(cut));
}

/* Whether the truncation was done, of a file whose guard was set. What was appended since may reach as far again. */
static bool is_truncated(int fd, off_t cut)
{
	return file_fd_size(fd) < cut || lseek(fd, guard_of(cut), SEEK_DATA) == guard_of(cut);
}

/* --- after a crash ------------------------------------------------------- */

static const char *last_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The part, which is beside it, becomes the log again. */
static int lower_back(struct clawfs *fs, const struct upper_intent *intent)
{
	const char *log = last_of(intent->from), *part = last_of(intent->to);
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.*s.", (int)(log - intent->from), intent->from);
	int dir = lower_open(&fs->lower, fs->lower.root, path, O_PATH | O_DIRECTORY, 0);
	if (dir < 0)
		return dir;
	int rc = fs->lower.sys->renameat2(dir, part, dir, log, RENAME_NOREPLACE) < 0 ? -errno : 0;
	close(dir);
	return rc;
}

bool rotate_settle(struct clawfs *fs, const struct upper_intent *intent, bool moved)
{
	int fd = recover_open(fs->upper.tree, intent->from);
	off_t cut = (off_t)intent->cut;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != intent->upper_ino || (moved && is_truncated(fd, cut))) {
		if (fd >= 0)
			close(fd);
		return moved;
	}
	/* Whether the writers are still out is not known. */
	int rc = moved ? lower_back(fs, intent) : 0;
	if (rc == 0) {
		rotate_place_undo(fd, cut);
		moved = false;
	} else {
		log_error(fs->log, "cannot take back the rotation of %s: %s", intent->from, strerror(-rc));
		rc = rotate_place_end(&fs->lower, fd, cut, &st);
		if (rc < 0)
			log_error(fs->log, "nor complete it: %s", strerror(-rc));
	}
	close(fd);
	return moved;
}

void rotate_complete(struct clawfs *fs, const struct upper_intent *intent)
{
	struct upper_work work = upper_work_name(&fs->upper);
	int old = openat(fs->upper.tree, intent->from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int rc = old < 0 ? -errno : rotate_rest(fs, old, (off_t)intent->cut, &work);

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
	uint32_t dir = pack_known_dir(fs, intent->from, &name);
	uint32_t node = dir ? node_find(&fs->nodes, dir, name) : 0;
	struct node *n = node ? fs_node(fs, node) : NULL;
	struct file *f = n && n->file ? file_at(fs, n->file) : NULL;
	if (moved && n) {
		if (n->flags & NODE_OWN)
			node_leave_lower(&fs->nodes, node);
		n->flags &= ~(uint32_t)NODE_LOWER;
	}
	if (moved && f) {
		file_close_lower(f);
		/* The upper's new file is found by takeover_look. */
		f->refs += !place_is_upper(f->place);
		f->place = PLACE_TAIL;
		f->flushed = 0;
		f->cut = intent->cut_after;
		/* What was looked at is elsewhere: all that is left is new. */
		f->seen.size = 0;
	}
	/* takeover_look brings back what somebody reads. */
	if (!moved && f && intent->in_place)
		f->filled = false;
	upper_intent_clear(&fs->upper);
	free(intent);
}
