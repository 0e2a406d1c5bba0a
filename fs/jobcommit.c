/* A job's replacement takes the file's name on the lower; the tables say so. */
#include "fs/crashpoint.h"
#include "fs/fileimpl.h"
#include "fs/job.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int job_hold_dir(struct clawfs *fs, struct job *job)
{
	int dir = job->dir < 0 ? dir_lower(fs, job->parent) : 0;

	if (job->dir >= 0 || dir < 0)
		return dir;
	job->dir = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	return job->dir < 0 ? -errno : 0;
}

uint32_t job_current(struct clawfs *fs, const struct job *job)
{
	uint32_t cur = node_find(&fs->nodes, job->parent, job->name);

	return cur && fs_node(fs, cur)->lineage == job->lineage && fs_node(fs, cur)->flags & NODE_UPPER ? cur : 0;
}

/* The readers of the file go on, on the lower's new file. */
static void take_descriptor(struct clawfs *fs, struct job *job)
{
	struct file *f = file_at(fs, job->slot);

	pthread_rwlock_wrlock(&f->lock);
	if (job->append && f->place == PLACE_TAIL) {
		CRASH_POINT("job: book tail");
		f->flushed = job->to;
		CRASH_POINT("job: punch");
		file_punch(fs, job->slot);
		if (f->fd_rd < 0)
			f->fd_rd = fcntl(job->fd, F_DUPFD_CLOEXEC, 0);
	} else if (!job->append) {
		/* They were on the file that has just been replaced. */
		file_close_lower(f);
		/* What was flushed while it was rewritten is newer than the version before. A rewrite that began
		 * later still needs that. */
		if (job->rewriting)
			file_unmark(fs, job->slot);
	}
	pthread_rwlock_unlock(&f->lock);
}

/* Whose name the replacement is to have; 0 when it is not wanted any more. */
static uint32_t choose(struct clawfs *fs, struct job *job)
{
	uint32_t cur = job_current(fs, job);

	if (!cur || cur == job->node)
		return cur;
	/* A log in the upper is a tail of the lower's file of its name: it
	 * cannot be given another's. */
	if (class_is_tail(file_classify(fs, job->parent, job->name)))
		return 0;
	/* Its own flush came first, and is newer. */
	return fs_node(fs, cur)->flags & NODE_OWN ? 0 : cur;
}

/* What the tables say of it from now on. Tree lock for writing. */
static void book(struct clawfs *fs, struct job *job, uint32_t cur, const struct stat *st)
{
	if (cur == job->node) {
		CRASH_POINT("job: set lower");
		node_set_lower(&fs->nodes, cur, st->st_dev, st->st_ino);
		CRASH_POINT("job: take descriptor");
		take_descriptor(fs, job);
		CRASH_POINT("job: set times");
		struct node *n = fs_node(fs, cur);
		/* Before the flag says that it counts. */
		n->mtime = job->st.st_mtim;
		if (job->identical && !(n->flags & NODE_TIMES)) {
			n->flags |= NODE_TIMES;
			__atomic_add_fetch(&fs->sched.times_pending, 1, __ATOMIC_RELEASE);
		}
		if (!job->identical && n->flags & NODE_TIMES) {
			n->flags &= ~(uint32_t)NODE_TIMES;
			__atomic_sub_fetch(&fs->sched.times_pending, 1, __ATOMIC_RELEASE);
		}
	} else if (!(fs_node(fs, cur)->flags & NODE_LOWER)) {
		/* A successor that was in RAM only now hides an older version. */
		node_ram_remove(&fs->nodes, cur);
		fs_node(fs, cur)->flags |= NODE_LOWER;
	}
}

/* The replacement takes the name, with no lock held. */
static int replace(struct clawfs *fs, struct job *job)
{
	/* The file that it replaces does not go before the tables know: its number must not be another's before that,
	 * and to free it may take as long as the renaming. */
	job->old = lower_open(&fs->lower, job->dir, job->name, O_PATH, 0);
	CRASH_POINT("job: replace");
	if (fs->lower.sys->renameat2(job->temp_dir, job->temp, job->dir, job->name, 0) < 0)
		return -errno;
	close(job->temp_dir);
	job->temp_dir = -1;
	job->created = true;
	lowernames_add(fs->nodes.lower, job->parent, job->name);
	return 0;
}

/* Whether the lower's file that has the bytes already is still the name's: another flush may have come first. */
static bool is_still_there(struct clawfs *fs, const struct job *job, const struct stat *st)
{
	struct stat now;

	return fs->lower.sys->fstatat(job->dir, job->name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	       now.st_ino == st->st_ino && now.st_dev == st->st_dev;
}

static void commit_whole(struct clawfs *fs, struct job *job)
{
	struct underway_name under = {.parent = job->parent, .name = job->name};
	struct stat st;

	underway_lock(fs, job->parent, job->name);
	uint32_t cur = choose(fs, job);
	int rc = !cur ? 0 : fs->lower.sys->fstat(job->fd, &st) < 0 ? -errno : job_hold_dir(fs, job);
	if (cur && rc == 0 && job->identical && !is_still_there(fs, job, &st)) {
		job->aborted = true;
		cur = 0;
	}
	if (cur && rc == 0 && !job->identical) {
		/* So that a successor knows whose the lower's new file is. */
		file_at(fs, job->slot)->committing = cur == job->node ? st.st_ino : 0;
		dir_hold_times(fs, job->parent);
		underway_begin(fs, &under);
		pthread_rwlock_unlock(&fs->tree);
		rc = replace(fs, job);
		pthread_rwlock_wrlock(&fs->tree);
		underway_end(fs, &under);
		/* A save may have taken the name meanwhile. */
		cur = job_current(fs, job);
	}
	job->error = rc;
	job->cancelled = !cur;
	if (cur && rc == 0)
		book(fs, job, cur, &st);
	pthread_rwlock_unlock(&fs->tree);
}

void job_commit(struct clawfs *fs, struct job *job)
{
	if (job->error || job->cancelled)
		return;
	if (!job->append) {
		commit_whole(fs, job);
		return;
	}
	pthread_rwlock_wrlock(&fs->tree);
	if (node_find(&fs->nodes, job->parent, job->name) == job->node)
		take_descriptor(fs, job);
	else
		job->cancelled = true;
	pthread_rwlock_unlock(&fs->tree);
}
