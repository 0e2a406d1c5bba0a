#include "fs/fs.h"
#include "fs/listing.h"
#include "fs/steward.h"
#include "fs/zview.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void rwlock_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;

	/* glibc's default lets readers that never stop starve the flusher. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

/* As many descriptors as the system lets us have; a share of them for
 * directories, the rest for open files. */
static unsigned raise_fd_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return 256;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	getrlimit(RLIMIT_NOFILE, &lim);
	rlim_t share = lim.rlim_cur / 4;
	return share > 65536 ? 65536 : (unsigned)share;
}

int clawfs_init(struct clawfs *fs, msec_t now)
{
	int rc;

	rwlock_init(&fs->tree);
	pthread_mutex_init(&fs->attach, NULL);
	pthread_mutex_init(&fs->dirfd, NULL);
	pthread_mutex_init(&fs->temp, NULL);
	underway_init(&fs->underway);
	inval_init(fs);
	spawner_init(&fs->spawner);
	holds_init(&fs->holds);
	fs->dirfds_max = raise_fd_limit();
	fs->blockdev_known = blockdev_read(fs->lower.dev, &fs->blockdev);
	fs->stats = stats_create(now, fs->lower.dev);
	fs->shared = shared_create();
	if (!fs->stats || !fs->shared)
		return -ENOMEM;
	rc = nodes_init(&fs->nodes, fs->lower.dev, fs->lower.ino);
	if (rc < 0)
		return rc;
	rc = shm_table_create(&fs->files, "clawfs-files", sizeof(struct file), 1, FILES_MAX);
	if (rc < 0)
		return rc;
	rc = shm_table_create(&fs->handles, "clawfs-handles", sizeof(struct handle), 1, HANDLES_MAX);
	if (rc < 0)
		return rc;
	fs->listings = calloc(HANDLES_MAX, sizeof(struct listing *));
	fs->views = calloc(FILES_MAX, sizeof(struct zview *));
	rc = fs->listings && fs->views ? sched_init(&fs->sched) : -ENOMEM;
	if (rc == 0)
		rc = life_init(fs, now);
	if (rc == 0)
		rc = dbs_init(fs);
	return rc == 0 ? steward_create(fs) : rc;
}

/* What belongs to handles whose release did not come any more. */
static void free_open(struct clawfs *fs)
{
	uint32_t handles = fs->handles && fs->listings ? shm_table_end(fs->handles) : 0;
	uint32_t files = fs->files && fs->views ? shm_table_end(fs->files) : 0;

	for (uint32_t i = 0; i < handles; i++)
		listing_destroy(fs->listings[i]);
	for (uint32_t i = 0; i < files; i++)
		zview_destroy(fs->views[i]);
	free(fs->listings);
	free(fs->views);
}

void clawfs_fini(struct clawfs *fs)
{
	holds_fini(&fs->holds);
	steward_destroy(fs);
	dbs_fini(fs);
	life_fini(fs);
	sched_fini(&fs->sched);
	free_open(fs);
	shm_table_destroy(fs->handles);
	shm_table_destroy(fs->files);
	nodes_fini(&fs->nodes);
	stats_destroy(fs->stats);
	shared_destroy(fs->shared);
	fs->shared = NULL;
	fs->handles = fs->files = NULL;
	fs->stats = NULL;
	inval_fini(fs);
	spawner_fini(&fs->spawner);
	underway_fini(&fs->underway);
	pthread_mutex_destroy(&fs->temp);
	pthread_mutex_destroy(&fs->dirfd);
	pthread_mutex_destroy(&fs->attach);
	pthread_rwlock_destroy(&fs->tree);
}

void clawfs_check(struct clawfs *fs, uint32_t node)
{
#ifdef CLAWFS_DEBUG
	const char *broken = node_check(&fs->nodes, node);

	if (!broken) {
		uint32_t slot = file_peek(fs, node);
		if (slot) {
			struct file *f = file_at(fs, slot);
			pthread_rwlock_rdlock(&f->lock);
			broken = file_check(fs, slot);
			pthread_rwlock_unlock(&f->lock);
			file_put(fs, slot);
		}
	}
	if (broken) {
		log_error(fs->log, "BUG: node %u: invariant broken: %s", node, broken);
		abort();
	}
#else
	(void)fs;
	(void)node;
#endif
}
