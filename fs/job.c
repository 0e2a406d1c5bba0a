/* What an interrupted job leaves, at every point, is one of: nothing (the
 * replacement lies in the temporary directory, which the next mount empties,
 * P12); a longer prefix of a log (P2); the complete new version (P3).
 *
 * This file begins and ends a job; jobwrite.c brings its bytes to the lower, jobcommit.c puts them into place. */
#include "fs/job.h"
#include "fs/fileimpl.h"
#include "fs/names.h"
#include "fs/observe.h"
#include "fs/rotate.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* --- begin --------------------------------------------------------------- */

/* Where the last complete line ends, so that a power cut costs whole lines;
 * `to` when there is no line end at all: then it has waited long enough. */
static off_t line_end(const struct lower *lower, int fd, off_t from, off_t to)
{
	char buf[16384];

	for (off_t end = to; end > from;) {
		off_t start = end - from > (off_t)sizeof(buf) ? end - (off_t)sizeof(buf) : from;
		ssize_t n = lower_pread(lower, fd, buf, (size_t)(end - start), start);
		if (n <= 0)
			return to;
		const char *nl = memrchr(buf, '\n', (size_t)n);
		if (nl)
			return start + (nl - buf) + 1;
		end = start;
	}
	return to;
}

bool job_begin(struct clawfs *fs, struct job *job, uint32_t slot, enum policy_cause cause)
{
	struct file *f = file_at(fs, slot);
	msec_t now = clock_now();
	bool urgent_or_interval;

	memset(job, 0, sizeof(*job));
	job->slot = slot;
	job->src = job->fd = job->temp_dir = job->dir = job->old = -1;
	job->begin = now;

	/* A file in RAM whose directory is in RAM too needs the directory first. */
	pthread_rwlock_rdlock(&fs->tree);
	uint32_t parent = node_parent(&fs->nodes, f->node);
	bool dir_in_ram = parent && !dir_on_lower(fs, parent);
	pthread_rwlock_unlock(&fs->tree);
	if (dir_in_ram) {
		pthread_rwlock_wrlock(&fs->tree);
		parent = node_parent(&fs->nodes, f->node);
		if (parent)
			job->error = dir_materialise(fs, parent, now);
		pthread_rwlock_unlock(&fs->tree);
	}

	pthread_rwlock_rdlock(&fs->tree);
	pthread_rwlock_wrlock(&f->lock);
	observe_look(fs, slot, now);
	pthread_mutex_lock(&fs->sched.lock);
	const struct node *n = fs_node(fs, f->node);
	bool dirty = f->policy.state == POLICY_DIRTY && f->place != PLACE_LOWER && !f->orphan && n->name;
	/* It may have begun to be rewritten since it was collected. A wish for durability says so by `demanded`. */
	if (dirty && f->policy.rewriting > 0 && (cause == CAUSE_NONE || cause == CAUSE_PRESSURE) &&
	    policy_file_due(&f->policy, &fs->config) > now) {
		dirty = false;
		sched_update(fs, slot, f);
	}
	if (dirty) {
		job->cause = cause != CAUSE_NONE ? cause : policy_file_cause(&f->policy, &fs->config, now);
		job->retry = f->policy.failures > 0;
		job->rewriting = f->policy.rewriting > 0;
		policy_file_flush_begin(&f->policy, now);
		f->in_flight_saves = f->saves;
		f->saves = 0;
		sched_update(fs, slot, f);
	}
	pthread_mutex_unlock(&fs->sched.lock);
	if (dirty) {
		const struct name *name = name_at(&fs->nodes, n->name);
		job->active = true;
		job->node = f->node;
		job->parent = name->parent;
		memcpy(job->name, name->text, (size_t)name->len + 1);
		job->lineage = n->lineage;
		job->version = f->version;
		job->cls = f->cls;
		job->append = f->place == PLACE_TAIL;
		job->distrust = f->distrust;
		job->own = n->flags & NODE_OWN;
		job->src = fcntl(f->fd_up, F_DUPFD_CLOEXEC, 0);
		if (job->src < 0 || fstat(job->src, &job->st) < 0)
			job->error = -errno;
		job->from = job->append ? f->flushed : 0;
		job->to = job->st.st_size;
		urgent_or_interval = job->cause != CAUSE_SYNC && job->cause != CAUSE_END && job->cause != CAUSE_CLASS;
		if (!job->error && job->append && urgent_or_interval) {
			job->to = line_end(&fs->lower, job->src, job->from, job->to);
			off_t to = rotate_flush_to(fs, slot, job->src, job->from, job->to);
			job->followed = to < job->to;
			job->to = to;
			job->left = job->to < job->st.st_size;
		}
	}
	pthread_rwlock_unlock(&f->lock);
	pthread_rwlock_unlock(&fs->tree);
	if (dirty)
		file_ref(fs, slot);
	return dirty;
}

/* --- end ----------------------------------------------------------------- */

static void report(struct clawfs *fs, const struct job *job, msec_t now)
{
	struct file *f = file_at(fs, job->slot);
	uint64_t merged = f->in_flight_saves;

	if (job->error && !job->retry)
		log_error(fs->log, "cannot flush %s: %s; it stays in RAM and is tried again", job->name,
			  strerror(-job->error));
	if (!job->error && job->retry)
		log_info(fs->log, "flushed %s after an earlier failure", job->name);
	if (job->cancelled)
		return;
	stats_flush(fs->stats, now,
		    &(struct stats_flush){
			    .cls = job->cls,
			    .cause = job->cause,
			    .bytes = (uint64_t)(job->to - job->from),
			    .coalesced = merged > 1 ? merged - 1 : 0,
			    .identical = job->identical,
			    .error = job->error,
			    .us = (now - job->begin) * 1000,
		    });
}

/* Whether the lower still can be believed in what it shows of the file; said in the upper too, for a mount to come
 * (recover.c). Tree lock and file lock held for writing. */
static void note_trust(struct clawfs *fs, const struct job *job)
{
	struct file *f = file_at(fs, job->slot);

	if (job->aborted || job->cancelled || f->place == PLACE_LOWER || f->orphan)
		return;
	if (!job->error && f->distrust) {
		f->distrust = false;
		if (f->place == PLACE_TAIL)
			file_unmark(fs, job->slot);
	} else if (job->sync_failed || job->error == -EIO) {
		f->distrust = true;
		if (f->place == PLACE_TAIL && job->append && !f->marked) {
			int rc = upper_mark_tail(&fs->upper, job->st.st_ino, f->flushed);
			if (rc < 0)
				log_warn(fs->log, "cannot mark %s in the upper: %s", job->name, strerror(-rc));
			else
				f->marked = job->st.st_ino;
		}
	}
}

void job_end(struct clawfs *fs, struct job *job, msec_t now)
{
	struct file *f = file_at(fs, job->slot);

	if (job->temp_dir >= 0) {
		fs->lower.sys->unlinkat(job->temp_dir, job->temp, 0);
		close(job->temp_dir);
	}
	const int held[] = {job->fd, job->src, job->dir, job->old};
	for (unsigned i = 0; i < sizeof(held) / sizeof(*held); i++)
		if (held[i] >= 0)
			close(held[i]);
	report(fs, job, now);

	pthread_rwlock_wrlock(&fs->tree);
	pthread_rwlock_wrlock(&f->lock);
	bool orphan = f->orphan;
	note_trust(fs, job);
	pthread_rwlock_unlock(&f->lock);
	pthread_mutex_lock(&fs->sched.lock);
	if (job->aborted)
		policy_file_flush_abort(&f->policy);
	else
		policy_file_flush_end(&f->policy, &fs->config, now, job->error, job->left && !job->cancelled);
	/* They have waited as long as the others (P4). */
	if (job->followed && !job->error)
		policy_file_demand(&f->policy);
	if (job->error || job->aborted)
		f->saves += f->in_flight_saves;
	if (orphan && f->policy.state == POLICY_DIRTY)
		policy_file_drop(&f->policy);
	/* Cancelled while it has a name: it was renamed, which made it dirty again. */
	sched_update(fs, job->slot, f);
	pthread_cond_broadcast(&fs->sched.changed);
	bool clean = f->policy.state == POLICY_CLEAN;
	pthread_mutex_unlock(&fs->sched.lock);
	uint32_t node = job->node;
	if (clean && !orphan)
		file_settle(fs, job->slot);
	if (job->append && job->cls == CLASS_LOG && !job->error && !job->cancelled && !orphan)
		life_closed_node(fs, node, true, now);
	file_put(fs, job->slot);
	node_reap(&fs->nodes, node);
	pthread_rwlock_unlock(&fs->tree);
}
