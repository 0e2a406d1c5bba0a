#include "fs/sched.h"
#include "fs/epoch.h"
#include "fs/fs.h"
#include "fs/observe.h"
#include "fs/serve.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long a writer waits for RAM before it is told that there is none. */
#define ADMIT_WAIT_MS  30000
#define ADMIT_RETRY_MS 100
/* What `flush` gives a half-rewritten file to be completed. */
#define REWRITE_GRACE_MS 1000
/* After which it no longer looks for what changed meanwhile. */
#define FLUSH_ALL_MS 60000

int sched_init(struct sched *s)
{
	pthread_condattr_t attr;

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	struct policy_entry *heap = calloc(FILES_MAX, sizeof(*heap));
	uint32_t *position = calloc(FILES_MAX, sizeof(*position));
	/* Address space; pages are touched as files are. */
	policy_set_storage(&s->set, heap, position, FILES_MAX);
	return heap && position ? 0 : -ENOMEM;
}

void sched_fini(struct sched *s)
{
	free(s->set.heap);
	free(s->set.position);
	s->set.heap = NULL;
	s->set.position = NULL;
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

/* More files than descriptors allow count as memory pressure: each file in
 * the upper holds one open. */
static enum policy_pressure pressure_of(struct clawfs *fs)
{
	enum policy_pressure p = policy_pressure(&fs->config, fs->sched.used);

	return p == PRESSURE_NONE && fs->sched.files > fs->dirfds_max ? PRESSURE_SOFT : p;
}

void sched_update(struct clawfs *fs, uint32_t slot, struct file *f)
{
	struct sched *s = &fs->sched;
	msec_t before = policy_set_wake(&s->set);

	policy_set_update(&s->set, slot, policy_file_due(&f->policy, &fs->config));
	if (policy_set_wake(&s->set) < before || pressure_of(fs) != PRESSURE_NONE)
		pthread_cond_signal(&s->wake);
}

void sched_account(struct clawfs *fs, struct file *f, uint64_t bytes)
{
	struct sched *s = &fs->sched;

	if (bytes < f->ram) {
		s->stuck = 0;
		pthread_cond_broadcast(&s->changed);
	}
	s->used += bytes - f->ram;
	f->ram = bytes;
}

int sched_admit(struct clawfs *fs, uint64_t bytes)
{
	struct sched *s = &fs->sched;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	if (!policy_admit(&fs->config, s->used, bytes)) {
		msec_t give_up = msec_add(clock_now(), ADMIT_WAIT_MS);
		serve_waits(fs);
		while (!policy_admit(&fs->config, s->used, bytes) && rc == 0) {
			/* Nothing can be hoped for: the lower's own error, promptly (P9). */
			if (s->stuck) {
				rc = s->stuck;
				break;
			}
			msec_t now = clock_now();
			if (now >= give_up || s->stop)
				rc = -ENOSPC;
			struct timespec until = clock_timespec(now + ADMIT_RETRY_MS);
			pthread_cond_signal(&s->wake);
			pthread_cond_timedwait(&s->changed, &s->lock, &until);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* --- collecting files ---------------------------------------------------- */

/* A growing list of slots, each with a reference. */
struct slots {
	uint32_t *slot;
	uint32_t count, room;
};

static bool slots_add(struct slots *list, uint32_t slot)
{
	if (list->count == list->room) {
		uint32_t room = list->room ? list->room * 2 : 64;
		uint32_t *grown = realloc(list->slot, room * sizeof(*grown));
		if (!grown)
			return false;
		list->slot = grown;
		list->room = room;
	}
	list->slot[list->count++] = slot;
	return true;
}

/* Which files a collection wants; sched.lock held. */
typedef bool slots_want_fn(struct clawfs *fs, const struct file *f, void *arg);

/* Walks all files and references those wanted. The attach lock keeps them
 * from going away; the sched lock, a leaf beside it, is taken per file. */
static void slots_collect(struct clawfs *fs, struct slots *list, slots_want_fn *want, void *arg)
{
	uint32_t end = shm_table_end(fs->files);

	for (uint32_t i = 1; i < end; i++) {
		struct file *f = file_at(fs, i);
		pthread_mutex_lock(&fs->attach);
		bool take = false;
		if (f->refs > 0) {
			pthread_mutex_lock(&fs->sched.lock);
			take = want(fs, f, arg);
			pthread_mutex_unlock(&fs->sched.lock);
			if (take && slots_add(list, i))
				f->refs++;
		}
		pthread_mutex_unlock(&fs->attach);
	}
}

static void slots_release(struct clawfs *fs, struct slots *list)
{
	if (!list->count)
		return;
	/* While we held a file it may have lost its name, and the kernel may have forgotten it. */
	pthread_rwlock_wrlock(&fs->tree);
	for (uint32_t i = 0; i < list->count; i++) {
		uint32_t node = file_at(fs, list->slot[i])->node;
		file_put(fs, list->slot[i]);
		node_reap(&fs->nodes, node);
	}
	pthread_rwlock_unlock(&fs->tree);
	free(list->slot);
	*list = (struct slots){0};
}

/* --- flush all ----------------------------------------------------------- */

struct want_all {
	uint32_t below; /* only this node and what is below it */
	bool rewriting; /* those too */
	bool end;	/* nobody will complete anything any more */
	bool busy;	/* out: some are being rewritten, or are in a running flush */
};

static bool want_all(struct clawfs *fs, const struct file *f, void *arg)
{
	struct want_all *w = arg;

	if (f->policy.cls == CLASS_VOLATILE || f->policy.state == POLICY_CLEAN)
		return false;
	if (w->below != NODE_ROOT && !node_is_below(&fs->nodes, f->node, w->below))
		return false;
	if (f->policy.state != POLICY_DIRTY) {
		w->busy = true;
		return false;
	}
	/* At the end, an empty file that is new is what the application has made. */
	if (w->end && !(fs_node(fs, f->node)->flags & NODE_LOWER))
		return true;
	/* An empty file that its writer has not written yet is not a version (P3). */
	if (f->policy.rewriting > 0 && (!w->rewriting || f->policy.truncated)) {
		w->busy |= !f->policy.truncated;
		return false;
	}
	return true;
}

int sched_flush_all(struct clawfs *fs, enum policy_cause cause)
{
	return sched_flush_below(fs, NODE_ROOT, cause);
}

int sched_flush_below(struct clawfs *fs, uint32_t node, enum policy_cause cause)
{
	msec_t grace = msec_add(clock_now(), REWRITE_GRACE_MS);
	msec_t give_up = msec_add(grace, FLUSH_ALL_MS);
	int error = 0;

	serve_waits(fs);
	observe_look_all(fs, clock_now());
	for (;;) {
		struct want_all want = {.below = node, .rewriting = clock_now() >= grace, .end = cause == CAUSE_END};
		struct slots list = {0};
		/* Names decide what is below. */
		pthread_rwlock_rdlock(&fs->tree);
		slots_collect(fs, &list, want_all, &want);
		pthread_rwlock_unlock(&fs->tree);
		int rc = list.count ? epoch_run(fs, list.slot, list.count, cause) : 0;
		/* Begun and given up, because its writer began to rewrite it. */
		want.busy |= rc >= 0 && (uint32_t)rc < list.count;
		slots_release(fs, &list);
		if (rc < 0)
			error = rc;
		if (error || clock_now() >= give_up)
			break;
		if (want.busy) {
			pthread_mutex_lock(&fs->sched.lock);
			struct timespec until = clock_timespec(clock_now() + 20);
			pthread_cond_timedwait(&fs->sched.changed, &fs->sched.lock, &until);
			pthread_mutex_unlock(&fs->sched.lock);
		}
		/* Under steady writing there is always something new; what was
		 * there when we were called is durable after the first round
		 * that found nothing busy. */
		if (!want.busy)
			break;
	}
	epoch_set_times(fs);
	int rc = db_flush_below(fs, node);
	if (rc < 0 && !error)
		error = rc;
	return error;
}

static int sync_lower_dir(struct clawfs *fs, uint32_t dir)
{
	pthread_rwlock_rdlock(&fs->tree);
	int fd = dir_on_lower(fs, dir) ? dir_lower(fs, dir) : -1;
	/* Our own: the card may take long, and the lock must not be held. */
	fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	pthread_rwlock_unlock(&fs->tree);
	/* In RAM only, as its class wants it, or removed. */
	if (fd < 0)
		return 0;
	serve_waits(fs);
	int rc = lower_sync_dir(&fs->lower, fd);
	close(fd);
	return rc;
}

int sched_flush_dir(struct clawfs *fs, uint32_t dir)
{
	struct slots list = {0};
	int error = 0;

	/* Only what the lower has no entry of, or another file's, can be
	 * missing; of a rewritten file the entry is there. */
	pthread_rwlock_rdlock(&fs->tree);
	uint32_t end = shm_table_end(fs->files);
	for (uint32_t i = 1; i < end; i++) {
		struct file *f = file_at(fs, i);
		pthread_mutex_lock(&fs->attach);
		if (f->refs > 0) {
			const struct node *n = fs_node(fs, f->node);
			pthread_mutex_lock(&fs->sched.lock);
			/* What is being rewritten is no version yet (P3). */
			bool dirty = f->policy.state != POLICY_CLEAN && f->policy.cls != CLASS_VOLATILE &&
				     f->policy.rewriting == 0;
			pthread_mutex_unlock(&fs->sched.lock);
			if (dirty && !(n->flags & (NODE_OWN | NODE_ORPHAN)) &&
			    node_parent(&fs->nodes, f->node) == dir && slots_add(&list, i))
				f->refs++;
		}
		pthread_mutex_unlock(&fs->attach);
	}
	pthread_rwlock_unlock(&fs->tree);
	for (uint32_t i = 0; i < list.count; i++) {
		int rc = file_sync(fs, list.slot[i], NULL, false, clock_now());
		if (rc < 0 && !error)
			error = rc;
	}
	slots_release(fs, &list);
	return error ? error : sync_lower_dir(fs, dir);
}

/* --- the flusher --------------------------------------------------------- */

struct want_pressed {
	enum policy_pressure pressure;
	msec_t now;
	msec_t retry; /* out: earliest retry of one that failed */
	int error;    /* out: and why it did; 0 when none has */
};

static bool want_pressed(struct clawfs *fs, const struct file *f, void *arg)
{
	struct want_pressed *w = arg;

	if (f->policy.state != POLICY_DIRTY || (f->policy.cls == CLASS_VOLATILE && w->pressure != PRESSURE_HARD))
		return false;
	/* No version yet (P3), unless it has been held for too long. */
	if (f->policy.rewriting > 0 && policy_file_due(&f->policy, &fs->config) > w->now) {
		w->retry = msec_min(w->retry, policy_file_due(&f->policy, &fs->config));
		return false;
	}
	if (f->policy.failures > 0 && f->policy.retry_at > w->now) {
		w->retry = msec_min(w->retry, f->policy.retry_at);
		w->error = f->policy.error;
		return false;
	}
	return true;
}

/* What is to be flushed now, with references. */
static void collect_due(struct clawfs *fs, struct slots *list, msec_t now, struct want_pressed *pressed)
{
	uint32_t due[256];

	if (pressed->pressure != PRESSURE_NONE) {
		slots_collect(fs, list, want_pressed, pressed);
		return;
	}
	pthread_mutex_lock(&fs->attach);
	pthread_mutex_lock(&fs->sched.lock);
	uint32_t n = policy_set_take(&fs->sched.set, now, fs->config.epoch_reach_ms, due, 256);
	pthread_mutex_unlock(&fs->sched.lock);
	for (uint32_t i = 0; i < n; i++) {
		struct file *f = file_at(fs, due[i]);
		if (f->refs > 0 && slots_add(list, due[i]))
			f->refs++;
	}
	pthread_mutex_unlock(&fs->attach);
}

static void *flusher(void *arg)
{
	struct clawfs *fs = arg;
	struct sched *s = &fs->sched;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		msec_t now = clock_now();
		enum policy_pressure pressure = pressure_of(fs);
		msec_t wake = policy_set_wake(&s->set);
		struct slots list = {0};
		struct want_pressed pressed = {.pressure = pressure, .now = now, .retry = MSEC_NEVER};
		if (wake <= now || pressure != PRESSURE_NONE) {
			pthread_mutex_unlock(&s->lock);
			collect_due(fs, &list, now, &pressed);
			bool found = list.count > 0;
			if (found)
				epoch_run(fs, list.slot, list.count,
					  pressure != PRESSURE_NONE ? CAUSE_PRESSURE : CAUSE_NONE);
			slots_release(fs, &list);
			pthread_mutex_lock(&s->lock);
			if (found || s->stop)
				continue;
			/* All has been tried that could be. */
			if (pressed.error && !s->stuck) {
				s->stuck = pressed.error;
				pthread_cond_broadcast(&s->changed);
			}
			wake = msec_min(policy_set_wake(&s->set), pressed.retry);
		}
		/* Nothing dirty: no timer, no wake-up. */
		if (wake == MSEC_NEVER) {
			pthread_cond_wait(&s->wake, &s->lock);
		} else {
			struct timespec until = clock_timespec(wake);
			pthread_cond_timedwait(&s->wake, &s->lock, &until);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int sched_start(struct clawfs *fs)
{
	fs->sched.stop = false;
	if (pthread_create(&fs->sched.thread, NULL, flusher, fs) != 0)
		return -EAGAIN;
	fs->sched.running = true;
	return 0;
}

void sched_stop(struct clawfs *fs)
{
	struct sched *s = &fs->sched;

	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->wake);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (s->running)
		pthread_join(s->thread, NULL);
	s->running = false;
}
