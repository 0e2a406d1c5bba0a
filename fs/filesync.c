#include "fs/epoch.h"
#include "fs/fileimpl.h"
#include "fs/fs.h"
#include "fs/observe.h"
#include "fs/serve.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void file_wait_flush(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	serve_waits(fs);
	pthread_mutex_lock(&fs->sched.lock);
	while (f->policy.state == POLICY_FLUSHING || f->policy.state == POLICY_REDIRTIED)
		pthread_cond_wait(&fs->sched.changed, &fs->sched.lock);
	pthread_mutex_unlock(&fs->sched.lock);
}

/* Flushes what is dirty as of now. */
static int sync_upper(struct clawfs *fs, uint32_t slot, enum policy_cause cause)
{
	struct file *f = file_at(fs, slot);

	serve_waits(fs);
	for (;;) {
		pthread_mutex_lock(&fs->sched.lock);
		while (f->policy.state == POLICY_FLUSHING || f->policy.state == POLICY_REDIRTIED)
			pthread_cond_wait(&fs->sched.changed, &fs->sched.lock);
		bool clean = f->policy.state == POLICY_CLEAN;
		if (!clean)
			policy_file_demand(&f->policy);
		pthread_mutex_unlock(&fs->sched.lock);
		if (clean)
			return 0;
		/* 0: somebody else's flush came first; look again. */
		int rc = epoch_run(fs, &slot, 1, cause);
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
}

int file_sync(struct clawfs *fs, uint32_t slot, struct handle *h, bool data_only, msec_t now)
{
	struct file *f = file_at(fs, slot);

	/* Who calls fsync says that this is a version. */
	if (h)
		file_rewrite_end(fs, h, now);
	/* What it holds by now was not seen when it was written. */
	if (file_is_passed(fs, slot))
		db_look(fs, f->node, now);
	int known = db_fsync(fs, f->node, data_only, now);
	if (known)
		return known < 0 ? known : 0;
	pthread_rwlock_wrlock(&f->lock);
	observe_look(fs, slot, now);
	pthread_rwlock_unlock(&f->lock);
	pthread_rwlock_rdlock(&f->lock);
	if (f->place != PLACE_LOWER) {
		bool orphan = f->orphan;
		pthread_rwlock_unlock(&f->lock);
		/* Nobody can reach a nameless file in RAM after a power cut. */
		return orphan ? 0 : sync_upper(fs, slot, CAUSE_SYNC);
	}
	/* The card may take long: not with the lock. */
	int open = f->fd_wr >= 0 ? f->fd_wr : f->fd_rd;
	int fd = open < 0 ? -1 : fcntl(open, F_DUPFD_CLOEXEC, 0);
	pthread_rwlock_unlock(&f->lock);
	/* Nobody has it open: a flush has just made it durable. */
	if (open < 0)
		return 0;
	if (fd < 0)
		return -errno;
	serve_waits(fs);
	int rc = (data_only ? fs->lower.sys->fdatasync(fd) : fs->lower.sys->fsync(fd)) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

/* A nameless file that outgrew RAM goes to a nameless file on the lower. */
static int spill_orphan(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	int rc = 0;

	pthread_rwlock_wrlock(&fs->tree);
	pthread_rwlock_wrlock(&f->lock);
	if (f->place != PLACE_LOWER) {
		int dir = dir_temp(fs);
		struct upper_work name = upper_work_name(&fs->upper);
		int fd = dir < 0 ? dir : lower_open(&fs->lower, dir, name.text, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0) {
			rc = fd;
		} else {
			fs->lower.sys->unlinkat(dir, name.text, 0);
			struct stat st;
			rc = fstat(f->fd_up, &st) < 0 ? -errno : file_copy_bytes(&fs->lower, f->fd_up, fd, st.st_size);
			if (rc == 0)
				rc = file_copy_attributes(fd, &st);
			if (rc < 0) {
				close(fd);
			} else {
				file_close_lower(f);
				f->fd_rd = f->fd_wr = fd;
				struct node *n = fs_node(fs, f->node);
				if (n->lower_fd < 0) {
					n->lower_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
					fs->nodes.dirfds += n->lower_fd >= 0;
				}
				f->through = true;
				/* In this order: at each moment a record says where all of it is. */
				__atomic_store_n(&f->place, PLACE_LOWER, __ATOMIC_RELEASE);
				file_close_upper(fs, f);
				pthread_mutex_lock(&fs->sched.lock);
				sched_account(fs, f, 0);
				pthread_mutex_unlock(&fs->sched.lock);
			}
		}
	}
	pthread_rwlock_unlock(&f->lock);
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}

int file_materialise(struct clawfs *fs, uint32_t slot, msec_t now)
{
	enum { TRIES = 16 };
	struct file *f = file_at(fs, slot);

	for (int i = 0; i < TRIES; i++) {
		pthread_rwlock_rdlock(&fs->tree);
		pthread_rwlock_wrlock(&f->lock);
		if (f->io == FILE_IO_UPPER || f->foreign) {
			pthread_rwlock_unlock(&f->lock);
			pthread_rwlock_unlock(&fs->tree);
			return -EBUSY;
		}
		f->through = true;
		bool orphan = f->orphan;
		bool done = f->place == PLACE_LOWER;
		int rc = done ? file_open_needed(fs, f, true) : 0;
		pthread_rwlock_unlock(&f->lock);
		pthread_rwlock_unlock(&fs->tree);
		if (done)
			return rc;
		rc = orphan ? spill_orphan(fs, slot) : sync_upper(fs, slot, CAUSE_CLASS);
		if (rc < 0)
			return rc;
		pthread_rwlock_wrlock(&fs->tree);
		file_settle(fs, slot);
		pthread_rwlock_unlock(&fs->tree);
	}
	/* The kernel serialises writers of an inode, so this is one that
	 * lost the race sixteen times. */
	log_warn(fs->log, "a file was written faster than it could be materialised; its writer is asked to try again");
	(void)now;
	return -EAGAIN;
}
