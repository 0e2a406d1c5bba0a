/* What is due is done; see life.h. */
#include "fs/lifeimpl.h"
#include "fs/pack.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* While something is due but must wait for a flush to end, or for RAM. */
#define PRESSED_MS 250

/* --- compression ---------------------------------------------------------- */

struct running {
	struct clawfs *fs;
	uint32_t log;
};

static void see_pressure(struct clawfs *fs, msec_t now)
{
	pthread_mutex_lock(&fs->sched.lock);
	enum policy_pressure ram = policy_pressure(&fs->config, fs->sched.used);
	pthread_mutex_unlock(&fs->sched.lock);
	bool flushing = __atomic_load_n(&fs->sched.epochs, __ATOMIC_ACQUIRE) > 0;
	pthread_mutex_lock(&fs->life.lock);
	policy_packer_pressure(&fs->life.packer, now, ram, flushing);
	pthread_mutex_unlock(&fs->life.lock);
}

/* Asked by the compressing thread between pieces. */
static bool must_stop(void *arg)
{
	const struct running *r = arg;
	struct life *l = &r->fs->life;

	for (;;) {
		see_pressure(r->fs, clock_now());
		pthread_mutex_lock(&l->lock);
		bool stop = l->stop || policy_pack_spoiled(&l->logs[r->log].log);
		bool pause = policy_pack_pause(&l->packer);
		pthread_mutex_unlock(&l->lock);
		if (stop || !pause)
			return stop;
		usleep(PRESSED_MS * 1000 / 10);
	}
}

static bool may_swap(void *arg)
{
	const struct running *r = arg;
	struct life *l = &r->fs->life;

	pthread_mutex_lock(&l->lock);
	bool may = policy_pack_may_swap(&l->logs[r->log].log);
	pthread_mutex_unlock(&l->lock);
	return may;
}

static void book_packed(struct clawfs *fs, uint32_t i, const struct pack *p, msec_t now)
{
	struct life_log *e = &fs->life.logs[i];
	struct policy_life_stats *s = &fs->life.stats;

	s->packed++;
	s->packed_before += p->before;
	s->packed_after += p->after;
	e->plain = false;
	e->packed = true;
	e->packed_size = p->after;
	e->packed_mtime = life_wall(&p->mtime);
	e->packed_seen = e->log.seen;
	e->packed_written = e->log.written;
	life_judge_soon(&fs->life, now);
}

/* Compresses the log that is due first. */
static void pack_next(struct clawfs *fs, msec_t now)
{
	struct life *l = &fs->life;
	struct running r = {.fs = fs};
	struct pack p = {.stop = {must_stop, &r}, .may_swap = may_swap};
	char path[PATH_MAX];

	pthread_rwlock_rdlock(&fs->tree);
	pthread_mutex_lock(&l->lock);
	bool due = policy_set_take(&l->due, now, 0, &r.log, 1) > 0;
	struct life_log *e = &l->logs[r.log];
	/* Whoever has it says when that ends. */
	if (due && pack_is_open(fs, e->path))
		e->log.open = 1;
	due = due && e->log.open == 0;
	pthread_rwlock_unlock(&fs->tree);
	if (!due) {
		pthread_mutex_unlock(&l->lock);
		return;
	}
	snprintf(path, sizeof(path), "%s", e->path);
	p.part = e->part;
	p.pair = e->packed;
	policy_pack_begin(&l->packer, &e->log);
	pthread_mutex_unlock(&l->lock);

	enum pack_found found = pack_log(fs, path, &p);

	msec_t end = clock_now();
	pthread_mutex_lock(&l->lock);
	e = &l->logs[r.log];
	l->stats.pack_ms += (uint64_t)(end - now);
	l->stats.pack_cpu_ms += p.cpu_ms;
	if (p.pair_gone)
		e->packed = false;
	switch (found) {
	case PACKED:
		policy_pack_end(&l->packer, &e->log, PACK_DONE, end);
		book_packed(fs, r.log, &p, end);
		break;
	case PACK_BUSY:
		policy_pack_end(&l->packer, &e->log, PACK_CHANGED, end);
		l->stats.pack_changed++;
		break;
	case PACK_EMPTY:
		policy_pack_end(&l->packer, &e->log, PACK_DONE, end);
		e->log.size = 0;
		break;
	case PACK_GONE:
		policy_pack_end(&l->packer, &e->log, PACK_CHANGED, end);
		e->plain = false;
		break;
	case PACK_ERROR:
		policy_pack_end(&l->packer, &e->log, PACK_FAILED, end);
		l->stats.pack_errors++;
		break;
	}
	life_update(fs, r.log);
	life_leave(l, r.log);
	pthread_mutex_unlock(&l->lock);
	if (found == PACK_ERROR)
		log_warn(fs->log, "cannot compress %s: %s; it stays as it is and is tried again", path, p.why);
}

/* --- retention ------------------------------------------------------------ */

struct judged {
	struct policy_archive *list;
	uint32_t count;
};

static void add_archive(struct judged *j, uint32_t slot, const struct life_log *e)
{
	struct policy_archive *a = &j->list[j->count];

	if (e->packed) {
		*a = (struct policy_archive){.slot = slot,
					     .log = e->of,
					     .part = e->part,
					     .busy = e->plain || e->busy,
					     .size = e->packed_size,
					     .mtime = e->packed_mtime,
					     .seen = e->packed_seen,
					     .written = e->packed_written};
	} else if (e->plain) {
		*a = (struct policy_archive){.slot = slot,
					     .log = e->of,
					     .part = e->part,
					     .live = e->part == 0,
					     .busy = e->busy || e->log.packing,
					     .size = e->log.size,
					     .mtime = e->log.mtime,
					     .seen = e->log.seen,
					     .written = e->log.written};
	} else {
		return;
	}
	j->count++;
}

/* Which archives somebody has open. */
static void see_busy(struct clawfs *fs)
{
	struct life *l = &fs->life;

	pthread_rwlock_rdlock(&fs->tree);
	pthread_mutex_lock(&l->lock);
	for (uint32_t i = 1; i < l->end; i++)
		if (l->logs[i].path && (l->logs[i].packed || l->logs[i].part))
			l->logs[i].busy = pack_is_open(fs, l->logs[i].path);
	pthread_mutex_unlock(&l->lock);
	pthread_rwlock_unlock(&fs->tree);
}

/* `by_us`: it was not gone already. */
static void book_deleted(struct life *l, const struct policy_archive *a, bool by_us)
{
	struct policy_life_stats *s = &l->stats;
	struct life_log *e = &l->logs[a->slot];

	s->deleted += by_us;
	s->deleted_bytes += by_us ? a->size : 0;
	s->deleted_age += by_us && a->verdict == RETAIN_AGE;
	s->deleted_parts += by_us && a->verdict == RETAIN_PARTS;
	s->deleted_total += by_us && a->verdict == RETAIN_BYTES;
	if (e->packed)
		e->packed = false;
	else
		e->plain = false;
	life_leave(l, a->slot);
}

/* Deletes what is condemned, in the list's order; false when one could not be. */
static bool delete_condemned(struct clawfs *fs, const struct judged *j)
{
	struct life *l = &fs->life;
	char path[PATH_MAX];
	bool ok = true;

	for (uint32_t i = 0; i < j->count; i++) {
		const struct policy_archive *a = &j->list[i];
		if (a->verdict == RETAIN_KEEP)
			continue;
		pthread_mutex_lock(&l->lock);
		const struct life_log *e = &l->logs[a->slot];
		/* It may have changed since it was judged. */
		bool same = e->path && e->part == a->part &&
			    (e->packed ? !e->plain && e->packed_mtime == a->mtime
				       : e->plain && e->part > 0 && e->log.mtime == a->mtime);
		bool packed = same && e->packed;
		uint32_t part = same ? e->part : 0;
		snprintf(path, sizeof(path), "%s", same ? e->path : "");
		pthread_mutex_unlock(&l->lock);
		if (!same)
			continue;
		struct stat st;
		int rc = pack_delete(fs, path, packed, part, a->mtime, &st);
		pthread_mutex_lock(&l->lock);
		if (rc == -ESTALE) {
			l->logs[a->slot].packed_mtime = life_wall(&st.st_mtim);
			ok = false;
		} else if (rc == 0 || rc == -ENOENT) {
			book_deleted(l, a, rc == 0);
		} else {
			l->stats.delete_errors++;
			ok = false;
		}
		pthread_mutex_unlock(&l->lock);
		if (rc < 0 && rc != -EBUSY && rc != -ENOENT && rc != -ESTALE)
			log_warn(fs->log, "cannot delete %s%s: %s; it is tried again", path, packed ? ".gz" : "",
				 strerror(-rc));
	}
	return ok;
}

static void judge(struct clawfs *fs, msec_t now)
{
	struct life *l = &fs->life;
	struct judged j = {0};

	see_busy(fs);
	pthread_mutex_lock(&l->lock);
	j.list = calloc(l->end + 1, sizeof(*j.list));
	for (uint32_t i = 1; j.list && i < l->end; i++)
		if (l->logs[i].path)
			add_archive(&j, i, &l->logs[i]);
	struct policy_retained kept = {.next = MSEC_NEVER};
	if (j.list)
		kept = policy_retain(&fs->life.config, &l->wall, now, j.list, j.count);
	l->retain_at = kept.next;
	pthread_mutex_unlock(&l->lock);
	bool ok = kept.count == 0 || delete_condemned(fs, &j);
	free(j.list);
	pthread_mutex_lock(&l->lock);
	if (ok) {
		l->retry = (struct policy_retry){0};
	} else {
		policy_retry_failed(&l->retry, now, RETAIN_RETRY_MS, RETAIN_RETRY_MAX);
		l->retain_at = msec_min(l->retain_at, l->retry.at);
	}
	pthread_mutex_unlock(&l->lock);
}

/* --- the thread ----------------------------------------------------------- */

/* Until `until`, an event, or a step of the wall clock. */
static void doze(struct clawfs *fs, msec_t until)
{
	struct life *l = &fs->life;
	struct pollfd fds[2] = {{.fd = l->event_fd, .events = POLLIN}, {.fd = l->timer_fd, .events = POLLIN}};
	struct itimerspec far = {.it_value = {.tv_sec = INT32_MAX}};
	msec_t now = clock_now();
	uint64_t count;
	int timeout = -1;

	if (until != MSEC_NEVER)
		timeout = until <= now ? 0 : until - now > INT_MAX ? INT_MAX : (int)(until - now);
	timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
	poll(fds, 2, timeout);
	while (read(l->event_fd, &count, sizeof(count)) > 0)
		;
}

/* What is due now. When the next will be. */
static msec_t turn(struct clawfs *fs)
{
	struct life *l = &fs->life;
	msec_t now = clock_now();

	see_pressure(fs, now);
	pthread_mutex_lock(&l->lock);
	if (policy_wall_see(&l->wall, now, life_wall_now())) {
		l->retain_at = now;
		for (uint32_t i = 1; i < l->end; i++)
			if (l->logs[i].path)
				life_update(fs, i);
	}
	bool walk = l->walk_at <= now;
	if (walk)
		l->walk_at = MSEC_NEVER;
	bool retain = l->retain_at <= now;
	bool pack = !walk && policy_packer_wake(&l->packer, policy_set_wake(&l->due)) <= now;
	pthread_mutex_unlock(&l->lock);
	if (walk) {
		life_walk(fs);
		retain = true;
	}
	if (retain)
		judge(fs, now);
	if (pack)
		pack_next(fs, now);
	pthread_mutex_lock(&l->lock);
	msec_t due = policy_set_wake(&l->due), next = policy_packer_wake(&l->packer, due);
	/* Nobody tells us when the pressure ends. */
	if (due != MSEC_NEVER && next == MSEC_NEVER) {
		next = msec_add(clock_now(), PRESSED_MS);
		next = due > next ? due : next;
	}
	next = msec_min(next, msec_min(l->walk_at, l->retain_at));
	l->sleeps_until = next;
	pthread_mutex_unlock(&l->lock);
	return next;
}

static void *life_thread(void *arg)
{
	struct clawfs *fs = arg;
	bool stop = false;

	while (!stop) {
		doze(fs, turn(fs));
		pthread_mutex_lock(&fs->life.lock);
		stop = fs->life.stop;
		pthread_mutex_unlock(&fs->life.lock);
	}
	return NULL;
}

int life_start(struct clawfs *fs)
{
	if (pthread_create(&fs->life.thread, NULL, life_thread, fs) != 0)
		return -EAGAIN;
	fs->life.running = true;
	return 0;
}

void life_stop(struct clawfs *fs)
{
	struct life *l = &fs->life;

	pthread_mutex_lock(&l->lock);
	l->stop = true;
	life_wake(l, INT64_MIN);
	pthread_mutex_unlock(&l->lock);
	if (l->running)
		pthread_join(l->thread, NULL);
	l->running = false;
}
