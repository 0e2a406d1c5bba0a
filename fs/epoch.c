#include "fs/epoch.h"
#include "fs/crashpoint.h"
#include "fs/fs.h"
#include "fs/job.h"
#include "fs/rotate.h"
#include "fs/serve.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As many syncs as are worth a thread each; beyond it threads take turns. */
#define SYNC_THREADS 16
/* As many jobs as are in flight at once: each holds up to five descriptors. */
#define EPOCH_JOBS 128

/* --- syncs, issued together ---------------------------------------------- */

struct sync_item {
	int fd;
	bool dir;
	bool all;   /* attributes too: nothing but them may have changed */
	int *error; /* the job's; set on the first failure */
};

struct sync_batch {
	const struct lower *lower;
	struct sync_item *items;
	uint32_t count;
	uint32_t next; /* atomic */
};

static void *sync_worker(void *arg)
{
	struct sync_batch *b = arg;

	for (;;) {
		uint32_t i = __atomic_fetch_add(&b->next, 1, __ATOMIC_RELAXED);
		if (i >= b->count)
			return NULL;
		struct sync_item *item = &b->items[i];
		int rc;
		if (item->dir)
			rc = lower_sync_dir(b->lower, item->fd);
		else
			rc = (item->all ? b->lower->sys->fsync : b->lower->sys->fdatasync)(item->fd) < 0 ? -errno : 0;
		if (rc < 0 && *item->error == 0)
			*item->error = rc;
	}
}

/* ext4 gives syncs that wait at the same time one journal commit and one
 * cache flush; one after the other each would cost its own. */
static void sync_together(const struct lower *lower, struct sync_item *items, uint32_t count)
{
	struct sync_batch batch = {.lower = lower, .items = items, .count = count};
	pthread_t threads[SYNC_THREADS];
	uint32_t started = 0;

	while (started + 1 < count && started < SYNC_THREADS &&
	       pthread_create(&threads[started], NULL, sync_worker, &batch) == 0)
		started++;
	sync_worker(&batch);
	while (started > 0)
		pthread_join(threads[--started], NULL);
}

static void sync_files(struct clawfs *fs, struct job *jobs, uint32_t count)
{
	struct sync_item items[EPOCH_JOBS];
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct job *job = &jobs[i];
		if (!job->active || job->error || job->cancelled || job->fd < 0)
			continue;
		/* Starts the write-out of all before the first is waited for. */
		fs->lower.sys->sync_file_range(job->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
		items[n++] = (struct sync_item){.fd = job->fd, .all = job->identical, .error = &job->error};
		job->sync_failed = true;
	}
	sync_together(&fs->lower, items, n);
	for (uint32_t i = 0; i < count; i++)
		jobs[i].sync_failed = jobs[i].sync_failed && jobs[i].error;
}

/* Syncs each directory in which a name appeared or was replaced, once. */
static void sync_dirs(struct clawfs *fs, struct job *jobs, uint32_t count)
{
	struct sync_item items[EPOCH_JOBS];
	uint32_t dirs[EPOCH_JOBS];
	int errors[EPOCH_JOBS] = {0};
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct job *job = &jobs[i];
		if (!job->active || job->error || job->cancelled || !job->created)
			continue;
		uint32_t k = 0;
		while (k < n && dirs[k] != job->parent)
			k++;
		if (k < n)
			continue;
		dir_restore_times(fs, job->parent, job->dir);
		dirs[n] = job->parent;
		items[n] = (struct sync_item){.fd = job->dir, .dir = true, .error = &errors[n]};
		n++;
	}
	sync_together(&fs->lower, items, n);
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < n; k++)
			if (jobs[i].active && jobs[i].created && jobs[i].parent == dirs[k] && !jobs[i].error)
				jobs[i].error = errors[k];
}

/* --- times that an identical save left ----------------------------------- */

/* The next node from `from` on that has one, with what it is on the lower, held open. 0: no more. */
static uint32_t take_times(struct clawfs *fs, uint32_t from, int *fd, struct timespec *mtime)
{
	uint32_t end = shm_table_end(fs->nodes.table), found = 0;

	pthread_rwlock_rdlock(&fs->tree);
	for (uint32_t i = from; i < end && !found; i++) {
		const struct node *n = fs_node(fs, i);
		int dirfd;
		const char *name;
		if (!n->name || !(n->flags & NODE_TIMES))
			continue;
		found = i;
		*mtime = n->mtime;
		/* This file, whatever has its name when the time is set. */
		*fd = node_place_lower(fs, i, &dirfd, &name) == 0 ? lower_open(&fs->lower, dirfd, name, O_PATH, 0) : -1;
	}
	pthread_rwlock_unlock(&fs->tree);
	return found;
}

void epoch_set_times(struct clawfs *fs)
{
	struct timespec mtime;
	int fd = -1;

	if (__atomic_load_n(&fs->sched.times_pending, __ATOMIC_ACQUIRE) == 0)
		return;
	for (uint32_t i = NODE_FIRST; (i = take_times(fs, i, &fd, &mtime)) != 0; i++) {
		const struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT}, mtime};
		if (fd >= 0)
			fs->lower.sys->utimensat(AT_FDCWD, lower_fdpath(fd).text, ts, 0);
		if (fd >= 0)
			close(fd);
		pthread_rwlock_wrlock(&fs->tree);
		struct node *n = fs_node(fs, i);
		/* Unless another one came meanwhile. */
		if (n->name && n->flags & NODE_TIMES && memcmp(&n->mtime, &mtime, sizeof(mtime)) == 0) {
			n->flags &= ~(uint32_t)NODE_TIMES;
			__atomic_sub_fetch(&fs->sched.times_pending, 1, __ATOMIC_RELEASE);
			node_reap(&fs->nodes, i);
		}
		pthread_rwlock_unlock(&fs->tree);
	}
}

/* --- the epoch ----------------------------------------------------------- */

static int run_batch(struct clawfs *fs, struct job *jobs, const uint32_t *slots, uint32_t count,
		     enum policy_cause cause)
{
	uint32_t begun = 0;
	int done = 0, error = 0;
	bool wrote = false;

	for (uint32_t i = 0; i < count; i++)
		if (job_begin(fs, &jobs[begun], slots[i], cause))
			begun++;
	if (!begun)
		return 0;
	for (uint32_t i = 0; i < begun; i++)
		job_write(fs, &jobs[i]);
	for (uint32_t i = 0; i < begun; i++)
		wrote |= !jobs[i].identical && !jobs[i].cancelled;
	CRASH_POINT("epoch: times");
	/* The card is written anyway: what waited for that goes along. */
	if (wrote)
		epoch_set_times(fs);
	serve_waits(fs);
	CRASH_POINT("epoch: sync files");
	sync_files(fs, jobs, begun);
	CRASH_POINT("epoch: commit");
	for (uint32_t i = 0; i < begun; i++)
		job_commit(fs, &jobs[i]);
	CRASH_POINT("epoch: sync directories");
	sync_dirs(fs, jobs, begun);
	CRASH_POINT("epoch: book");
	msec_t now = clock_now();
	for (uint32_t i = 0; i < begun; i++) {
		if (jobs[i].error && !error)
			error = jobs[i].error;
		/* A cancelled one may be dirty under another name. */
		done += !jobs[i].error && !jobs[i].cancelled;
		job_end(fs, &jobs[i], now);
		if (jobs[i].append && jobs[i].cls == CLASS_LOG && !jobs[i].error && !jobs[i].cancelled &&
		    cause != CAUSE_END)
			rotate_consider(fs, jobs[i].slot, jobs[i].to);
	}
	return error ? error : done;
}

int epoch_run(struct clawfs *fs, const uint32_t *slots, uint32_t count, enum policy_cause cause)
{
	int done = 0, error = 0;
	struct job *jobs = malloc(sizeof(*jobs) * (count < EPOCH_JOBS ? count : EPOCH_JOBS));

	if (!jobs)
		return -ENOMEM;
	__atomic_add_fetch(&fs->sched.epochs, 1, __ATOMIC_RELEASE);
	for (uint32_t at = 0; at < count; at += EPOCH_JOBS) {
		uint32_t n = count - at < EPOCH_JOBS ? count - at : EPOCH_JOBS;
		int rc = run_batch(fs, jobs, slots + at, n, cause);
		if (rc < 0 && !error)
			error = rc;
		if (rc > 0)
			done += rc;
	}
	__atomic_sub_fetch(&fs->sched.epochs, 1, __ATOMIC_RELEASE);
	free(jobs);
	return error ? error : done;
}
