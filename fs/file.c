#include "fs/fileimpl.h"
#include "fs/fs.h"
#include "fs/observe.h"
#include "fs/rotate.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

struct file *file_at(struct clawfs *fs, uint32_t slot)
{
	return shm_table_at(fs->files, slot);
}

off_t file_fd_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -errno : st.st_size;
}

void file_close_fd(int *fd)
{
	int old = *fd;

	/* The record says so first: to a successor the number may be another file's by then. */
	__atomic_store_n(fd, -1, __ATOMIC_RELEASE);
	if (old >= 0)
		close(old);
}

enum policy_class file_classify(struct clawfs *fs, uint32_t parent, const char *name)
{
	char path[PATH_MAX];

	/* Below a directory that is in RAM only nothing can be anywhere else. */
	if (!dir_on_lower(fs, parent))
		return CLASS_VOLATILE;
	if (node_child_path(&fs->nodes, parent, name, path, sizeof(path)) < 0)
		return CLASS_THROUGH;
	return policy_classify(&fs->config.rules, path);
}

/* --- references ---------------------------------------------------------- */

/* `cls` CLASS_COUNT: to be found out. */
static uint32_t get(struct clawfs *fs, uint32_t node, enum policy_class cls)
{
	struct node *n = fs_node(fs, node);
	uint32_t slot;

	pthread_mutex_lock(&fs->attach);
	slot = __atomic_load_n(&n->file, __ATOMIC_RELAXED);
	if (!slot) {
		slot = shm_table_alloc(fs->files);
		if (slot) {
			struct file *f = file_at(fs, slot);
			const struct name *name = n->name ? name_at(&fs->nodes, n->name) : NULL;
			rwlock_init(&f->lock);
			f->fd_rd = f->fd_wr = f->fd_up = -1;
			f->node = node;
			f->cls = cls != CLASS_COUNT ? cls
				 : name		    ? file_classify(fs, name->parent, name->text)
						    : CLASS_THROUGH;
			f->orphan = n->flags & NODE_ORPHAN;
			/* A file of several names is never cached: its names may have several classes. */
			f->through = !name || !class_is_cached(f->cls) || f->orphan || name->sibling || n->db;
			f->rotates = !f->through && rotate_applies(fs, name->parent, name->text);
			f->lockfile = !f->through && f->cls == CLASS_VOLATILE && policy_is_lock(name->text);
			if (n->flags & NODE_PACKED)
				f->place = PLACE_PACKED;
			policy_file_init(&f->policy, f->cls);
			__atomic_store_n(&n->file, slot, __ATOMIC_RELEASE);
		}
	}
	if (slot)
		file_at(fs, slot)->refs++;
	pthread_mutex_unlock(&fs->attach);
	return slot;
}

uint32_t file_get(struct clawfs *fs, uint32_t node)
{
	return get(fs, node, CLASS_COUNT);
}

uint32_t file_get_new(struct clawfs *fs, uint32_t node, enum policy_class cls)
{
	return get(fs, node, cls);
}

void file_ref(struct clawfs *fs, uint32_t slot)
{
	pthread_mutex_lock(&fs->attach);
	file_at(fs, slot)->refs++;
	pthread_mutex_unlock(&fs->attach);
}

uint32_t file_peek(struct clawfs *fs, uint32_t node)
{
	pthread_mutex_lock(&fs->attach);
	uint32_t slot = __atomic_load_n(&fs_node(fs, node)->file, __ATOMIC_RELAXED);
	if (slot)
		file_at(fs, slot)->refs++;
	pthread_mutex_unlock(&fs->attach);
	return slot;
}

void file_linked(struct clawfs *fs, uint32_t node)
{
	uint32_t slot = file_peek(fs, node);

	if (!slot)
		return;
	struct file *f = file_at(fs, slot);
	pthread_rwlock_wrlock(&f->lock);
	f->orphan = false;
	f->through = true;
	pthread_rwlock_unlock(&f->lock);
	file_put(fs, slot);
}

void file_put(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	pthread_mutex_lock(&fs->attach);
	if (--f->refs == 0) {
		pthread_mutex_lock(&fs->sched.lock);
		sched_account(fs, f, 0);
		policy_set_update(&fs->sched.set, slot, MSEC_NEVER);
		pthread_mutex_unlock(&fs->sched.lock);
		__atomic_store_n(&fs_node(fs, f->node)->file, 0, __ATOMIC_RELEASE);
		file_close_lower(f);
		file_close_upper(fs, f);
		view_close(fs, slot);
		pthread_rwlock_destroy(&f->lock);
		shm_table_free(fs->files, slot);
	}
	pthread_mutex_unlock(&fs->attach);
}

void file_close_lower(struct file *f)
{
	if (f->fd_wr == f->fd_rd)
		f->fd_wr = -1;
	file_close_fd(&f->fd_wr);
	file_close_fd(&f->fd_rd);
}

/* --- open ---------------------------------------------------------------- */

int file_open_lower(struct clawfs *fs, struct file *f, bool rd, bool wr, bool own)
{
	struct node *n = fs_node(fs, f->node);
	int dirfd = -1;
	const char *name = NULL;
	struct stat st;

	rd = rd && f->fd_rd < 0;
	wr = wr && f->fd_wr < 0;
	if (!rd && !wr)
		return 0;
	if (!(n->flags & NODE_ORPHAN)) {
		int rc = node_place_lower(fs, f->node, &dirfd, &name);
		if (rc < 0)
			return rc;
	} else if (n->lower_fd < 0) {
		return -ESTALE;
	}
	int flags = rd && wr ? O_RDWR : wr ? O_WRONLY : O_RDONLY;
	int fd = !name ? lower_reopen(&fs->lower, n->lower_fd, flags)
		 : own ? lower_open_own(&fs->lower, dirfd, name, flags)
		       : lower_open(&fs->lower, dirfd, name, flags, 0);
	if (fd < 0)
		return fd;
	if (fs->lower.sys->fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EIO;
	}
	if (rd)
		f->fd_rd = fd;
	if (wr)
		f->fd_wr = fd;
	if (st.st_nlink > 1)
		f->through = true;
	return 0;
}

int file_open_needed(struct clawfs *fs, struct file *f, bool own)
{
	pthread_mutex_lock(&fs->attach);
	bool rd = f->readers > 0, wr = f->writers > 0;
	pthread_mutex_unlock(&fs->attach);
	int rc = file_open_lower(fs, f, rd || (wr && !f->through), wr && f->through, own);
	/* Several names may have come to light. */
	return rc == 0 && f->through ? file_open_lower(fs, f, rd, wr, own) : rc;
}

int file_open(struct clawfs *fs, uint32_t node, int flags, uint32_t *slot)
{
	int acc = flags & O_ACCMODE;
	bool rd = acc != O_WRONLY, wr = acc != O_RDONLY;
	int rc = 0;

	*slot = file_get(fs, node);
	if (!*slot)
		return -ENOMEM;
	struct file *f = file_at(fs, *slot);
	pthread_rwlock_wrlock(&f->lock);
	if (f->place == PLACE_PACKED)
		rc = view_open(fs, *slot, wr || flags & O_TRUNC);
	/* The kernel has checked the mode; of what the daemon needs for itself it need not allow. */
	else if (f->place == PLACE_LOWER && !f->through)
		rc = file_open_lower(fs, f, true, false, true);
	if (rc == 0 && f->place == PLACE_LOWER && f->through) {
		rc = file_open_lower(fs, f, rd, wr, false);
		if (rc == 0 && f->fd_rd >= 0)
			db_probe(fs, node, f->fd_rd, clock_now());
	} else if (f->place == PLACE_TAIL && f->flushed > 0)
		rc = file_open_lower(fs, f, rd, false, true);
	if (rc == 0) {
		pthread_mutex_lock(&fs->attach);
		f->readers += rd;
		f->writers += wr;
		pthread_mutex_unlock(&fs->attach);
	}
	pthread_rwlock_unlock(&f->lock);
	if (rc < 0)
		file_put(fs, *slot);
	return rc;
}

int file_open_created(struct clawfs *fs, uint32_t node, int flags, int fd, uint32_t *slot)
{
	int acc = flags & O_ACCMODE;

	*slot = file_get(fs, node);
	if (!*slot) {
		close(fd);
		return -ENOMEM;
	}
	struct file *f = file_at(fs, *slot);
	pthread_rwlock_wrlock(&f->lock);
	if (acc != O_WRONLY)
		f->fd_rd = fd;
	if (acc != O_RDONLY)
		f->fd_wr = fd;
	pthread_mutex_lock(&fs->attach);
	f->readers += acc != O_WRONLY;
	f->writers += acc != O_RDONLY;
	pthread_mutex_unlock(&fs->attach);
	pthread_rwlock_unlock(&f->lock);
	return 0;
}

bool file_is_direct(struct clawfs *fs, struct handle *h)
{
	struct file *f = file_at(fs, h->file);

	pthread_rwlock_rdlock(&f->lock);
	bool reads = (h->flags & O_ACCMODE) != O_WRONLY;
	h->cut = f->cut;
	h->opened = clock_now();
	pthread_mutex_lock(&fs->attach);
	/* The first handle decides; others may not have pages of what it writes past them. */
	if (f->lockfile && !reads && f->readers + f->writers == 1)
		f->direct = true;
	bool direct = f->direct || (f->rotates && reads);
	h->cached = !direct && reads;
	f->cached += h->cached;
	pthread_mutex_unlock(&fs->attach);
	pthread_rwlock_unlock(&f->lock);
	return direct;
}

void file_unmark(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	if (f->marked)
		upper_unmark(&fs->upper, f->marked);
	f->marked = 0;
}

bool file_wants_flush(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	pthread_rwlock_rdlock(&f->lock);
	bool wants = f->cls == CLASS_SNAPSHOT || f->cls == CLASS_STATE;
	pthread_rwlock_unlock(&f->lock);
	return wants;
}

bool file_is_passed(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	pthread_rwlock_rdlock(&f->lock);
	bool passed = f->io == FILE_IO_PASSED;
	pthread_rwlock_unlock(&f->lock);
	return passed;
}

void file_flush(struct clawfs *fs, struct handle *h)
{
	struct file *f = file_at(fs, h->file);

	pthread_rwlock_wrlock(&f->lock);
	pthread_mutex_lock(&fs->sched.lock);
	/* A shell closes a copy of the descriptor before it writes anything. */
	bool written = h->rewriting && !f->policy.truncated;
	pthread_mutex_unlock(&fs->sched.lock);
	if (written)
		file_unmark(fs, h->file);
	pthread_rwlock_unlock(&f->lock);
}

void file_rewrite_end(struct clawfs *fs, struct handle *h, msec_t now)
{
	struct file *f = file_at(fs, h->file);

	pthread_rwlock_wrlock(&f->lock);
	bool ended = h->rewriting;
	/* In this order: to a successor, a marked file that nobody is rewriting has not begun to be (takeover.c). */
	if (ended)
		file_unmark(fs, h->file);
	__atomic_store_n(&h->rewriting, false, __ATOMIC_RELEASE);
	pthread_rwlock_unlock(&f->lock);
	if (!ended)
		return;
	pthread_mutex_lock(&fs->sched.lock);
	policy_file_rewrite_end(&f->policy, now);
	f->saves++;
	sched_update(fs, h->file, f);
	pthread_cond_broadcast(&fs->sched.changed);
	pthread_mutex_unlock(&fs->sched.lock);
}

/* A write that ends within a page leaves that page out of the kernel's cache, and who reads the file next, as the
 * application does before each save, would wait for us to read it. The last handle is being closed; file lock held for
 * writing. */
static void give_last_page(struct clawfs *fs, struct file *f)
{
	char page[16384];
	off_t size = file_fd_size(f->fd_up), start = size & ~((off_t)getpagesize() - 1);

	f->ragged = false;
	if (size <= start || size - start > (off_t)sizeof(page))
		return;
	ssize_t n = lower_pread(&fs->lower, f->fd_up, page, (size_t)(size - start), start);
	if (n == size - start)
		inval_store(fs, f->node, page, (size_t)n, start);
}

void file_close(struct clawfs *fs, struct handle *h, msec_t now)
{
	struct file *f = file_at(fs, h->file);
	int acc = (int)h->flags & O_ACCMODE;
	bool settle;

	file_rewrite_end(fs, h, now);
	pthread_rwlock_wrlock(&f->lock);
	pthread_mutex_lock(&fs->attach);
	f->readers -= acc != O_WRONLY;
	f->writers -= acc != O_RDONLY;
	f->cached -= h->cached;
	bool last = f->readers + f->writers == 0;
	bool quiet = f->writers == 0;
	pthread_mutex_unlock(&fs->attach);
	bool passed = f->io == FILE_IO_PASSED;
	if (f->io == FILE_IO_UPPER && acc != O_RDONLY)
		observe_look(fs, h->file, now);
	if (last) {
		if (f->ragged && f->place == PLACE_WHOLE && f->io == FILE_IO_DAEMON && !f->direct && !f->orphan)
			give_last_page(fs, f);
		f->direct = false;
		passthrough_detach(fs, f);
		file_close_lower(f);
		view_close(fs, h->file);
	}
	enum policy_class cls = f->cls;
	pthread_mutex_lock(&fs->sched.lock);
	settle = quiet && place_is_upper(f->place) && !f->orphan && f->policy.state == POLICY_CLEAN;
	pthread_mutex_unlock(&fs->sched.lock);
	pthread_rwlock_unlock(&f->lock);
	if (settle) {
		pthread_rwlock_wrlock(&fs->tree);
		file_settle(fs, h->file);
		pthread_rwlock_unlock(&fs->tree);
	}
	if (passed && acc != O_RDONLY)
		db_look(fs, f->node, now);
	if (last && cls == CLASS_LOG) {
		pthread_rwlock_rdlock(&fs->tree);
		life_closed_node(fs, f->node, acc != O_RDONLY, now);
		pthread_rwlock_unlock(&fs->tree);
	}
	file_put(fs, h->file);
}

const char *file_check(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	const struct node *n = fs_node(fs, f->node);
	const char *broken = NULL;

	pthread_mutex_lock(&fs->attach);
	bool readers = f->readers > 0, writers = f->writers > 0;
	pthread_mutex_unlock(&fs->attach);
	pthread_mutex_lock(&fs->sched.lock);
	bool clean = f->policy.state == POLICY_CLEAN;
	uint64_t ram = f->ram;
	broken = policy_file_check(&f->policy);
	pthread_mutex_unlock(&fs->sched.lock);
	if (broken)
		return broken;
	/* A nameless one may have lost its place while a flush of it runs. */
	if (f->place == PLACE_LOWER && (f->fd_up >= 0 || ram != 0 || (!clean && !f->orphan)))
		return "F1";
	if (f->place == PLACE_TAIL && f->flushed > file_fd_size(f->fd_up))
		return "F2";
	if (!f->orphan && place_is_upper(f->place) != !!(n->flags & NODE_UPPER))
		return "F3";
	if (f->place == PLACE_PACKED && (!clean || writers || (readers && !fs->views[slot])))
		return "F7";
	if (f->place == PLACE_LOWER && ((readers && f->fd_rd < 0) || (writers && f->through && f->fd_wr < 0)))
		return "F4";
	if (f->place == PLACE_TAIL && f->flushed > 0 && readers && f->fd_rd < 0)
		return "F4";
	if (f->io == FILE_IO_PASSED  ? !f->through || f->place != PLACE_LOWER || f->backing <= 0
	    : f->io == FILE_IO_UPPER ? f->place == PLACE_LOWER || f->backing <= 0 || f->backing != f->seen.backing
				     : f->backing != 0)
		return "F6";
	if ((f->filled && f->place != PLACE_TAIL) ||
	    (f->anywhere && (f->io != FILE_IO_UPPER || f->place != PLACE_WHOLE)))
		return "F8";
	return NULL;
}
