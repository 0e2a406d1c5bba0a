#include "fs/offline.h"
#include "fs/recover.h"
#include "fs/worker.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Lower and upper are open. */
static int apply(struct clawfs *fs, struct offline_done *done, char *why, size_t why_size)
{
	struct stats_class total[CLASS_COUNT], minute[CLASS_COUNT];
	int64_t uptime;
	int rc = clawfs_init(fs, clock_now());

	if (rc == 0) {
		lower_temp_remove(&fs->lower);
		rc = recover_upper(fs, clock_now());
	}
	if (rc < 0) {
		snprintf(why, why_size, "%s cannot be read: %s", fs->upper.path, strerror(-rc));
		return rc;
	}
	rc = sched_flush_all(fs, CAUSE_END);
	stats_read(fs->stats, clock_now(), total, minute, &uptime);
	for (int c = 0; c < CLASS_COUNT; c++) {
		done->files += total[c].lower_writes;
		done->bytes += total[c].lower_bytes;
	}
	done->left_out = fs->left_out;
	if (rc < 0)
		snprintf(why, why_size, "%s: %s; what is missing there stays in %s", fs->source, strerror(-rc),
			 fs->upper.path);
	return rc;
}

static int recover(struct clawfs *fs, const char *upper, struct offline_done *done, char *why, size_t why_size)
{
	int rc = lower_init(&fs->lower, fs->source, lower_calls_default());

	if (rc < 0) {
		snprintf(why, why_size, "%s: %s; name a directory that you may write", fs->source, strerror(-rc));
		return rc;
	}
	if (flock(fs->lower.root, LOCK_EX | LOCK_NB) < 0) {
		rc = -errno;
		snprintf(why, why_size, "%s: %s", fs->source,
			 rc == -EWOULDBLOCK ? "is mounted by clawfs, which has taken over what there was"
					    : strerror(-rc));
		lower_fini(&fs->lower);
		return rc == -EWOULDBLOCK ? -EBUSY : rc;
	}
	rc = upper_open(&fs->upper, upper, &fs->lower, why, why_size);
	if (rc < 0) {
		lower_fini(&fs->lower);
		return rc;
	}
	snprintf(done->upper, sizeof(done->upper), "%s", fs->upper.path);
	rc = apply(fs, done, why, why_size);
	worker_close(fs, rc < 0);
	return rc;
}

int offline_recover(const char *dir, const char *upper, struct offline_done *done, char *why, size_t why_size)
{
	struct clawfs *fs = calloc(1, sizeof(*fs));
	int rc = -ENOMEM;

	*done = (struct offline_done){0};
	if (fs)
		fs->log = log_create(false);
	if (!fs || !fs->log) {
		snprintf(why, why_size, "out of memory");
		free(fs);
		return rc;
	}
	policy_config_init(&fs->config);
	fs->lower.root = fs->lower.temp = -1;
	fs->upper.dir = -1;
	fs->live_fd = -1;
	if (!realpath(dir, fs->source)) {
		rc = -errno;
		snprintf(why, why_size, "%s: %s; name an existing directory", dir, strerror(-rc));
	} else if (policy_config_check(&fs->config, why, why_size) == 0) {
		rc = recover(fs, upper, done, why, why_size);
	}
	log_destroy(fs->log);
	free(fs);
	return rc;
}
