#include "fs/life.h"
#include "fs/epoch.h"
#include "fs/fs.h"
#include "fs/names.h"
#include "fs/pack.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* While something is due but must wait for a flush to end, or for RAM. */
#define PRESSED_MS 250
/* Names changed: look at them all after so long. */
#define WALK_MS 60000

static wall_t wall_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (wall_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- the table; life.lock held -------------------------------------------- */

static uint32_t *bucket(struct life *l, const char *path)
{
	uint32_t h = 2166136261u;

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 16777619u;
	return &l->hash[(h ^ h >> 16) % LIFE_HASH];
}

static uint32_t find(struct life *l, const char *path)
{
	uint32_t i = *bucket(l, path);

	while (i && strcmp(l->logs[i].path, path) != 0)
		i = l->logs[i].next;
	return i;
}

static bool grow(struct life *l)
{
	uint32_t capacity = l->capacity ? l->capacity * 2 : 64;
	struct life_log *logs = realloc(l->logs, capacity * sizeof(*logs));
	if (logs)
		l->logs = logs;
	struct policy_entry *heap = realloc(l->due.heap, capacity * sizeof(*heap));
	if (heap)
		l->due.heap = heap;
	uint32_t *position = realloc(l->due.position, capacity * sizeof(*position));
	if (position)
		l->due.position = position;
	if (!logs || !heap || !position)
		return false;
	memset(logs + l->capacity, 0, (capacity - l->capacity) * sizeof(*logs));
	memset(position + l->capacity, 0, (capacity - l->capacity) * sizeof(*position));
	policy_set_storage(&l->due, heap, position, capacity);
	l->capacity = capacity;
	return true;
}

/* The entry of that path, made if there is none; 0 without memory. */
static uint32_t enter(struct clawfs *fs, const char *path)
{
	struct life *l = &fs->life;
	uint32_t i = find(l, path);
	char *copy;

	if (i)
		return i;
	if (!l->free && l->end == l->capacity && !grow(l))
		return 0;
	if (!(copy = strdup(path)))
		return 0;
	i = l->free ? l->free : l->end++;
	struct life_log *e = &l->logs[i];
	if (l->free)
		l->free = e->next;
	uint32_t *head = bucket(l, path);
	*e = (struct life_log){.path = copy, .next = *head, .of = i};
	e->packable = policy_log_may_pack(&fs->config.rules, path);
	*head = i;
	return i;
}

static bool is_part_of(const struct life *l, uint32_t log)
{
	for (uint32_t i = 1; i < l->end; i++)
		if (l->logs[i].path && l->logs[i].of == log && i != log)
			return true;
	return false;
}

static void leave(struct life *l, uint32_t i)
{
	struct life_log *e = &l->logs[i];
	uint32_t *p = bucket(l, e->path);

	/* Its parts are told by it. */
	if (e->plain || e->packed || e->log.packing || is_part_of(l, i))
		return;
	while (*p != i)
		p = &l->logs[*p].next;
	*p = e->next;
	policy_set_update(&l->due, i, MSEC_NEVER);
	free(e->path);
	*e = (struct life_log){.next = l->free};
	l->free = i;
}

static void wake(struct life *l, msec_t at)
{
	uint64_t one = 1;

	if (at >= l->sleeps_until)
		return;
	l->sleeps_until = at;
	if (write(l->event_fd, &one, sizeof(one)) < 0)
		return; /* it counts to 2^64 */
}

static void update(struct clawfs *fs, uint32_t i)
{
	struct life *l = &fs->life;
	const struct life_log *e = &l->logs[i];

	policy_set_update(&l->due, i,
			  e->plain && e->packable ? policy_pack_due(&e->log, &fs->config, &l->wall) : MSEC_NEVER);
	wake(l, policy_set_wake(&l->due));
}

/* Many archives are not judged for each one that is added. */
static void judge_soon(struct life *l, msec_t now)
{
	l->retain_at = msec_min(l->retain_at, msec_add(now, l->end));
	wake(l, l->retain_at);
}

/* --- what happened -------------------------------------------------------- */

void life_closed(struct clawfs *fs, const char *path, bool written, msec_t now)
{
	struct life *l = &fs->life;

	pthread_mutex_lock(&l->lock);
	uint32_t i = written ? enter(fs, path) : find(l, path);
	if (i) {
		struct life_log *e = &l->logs[i];
		if (written && !e->plain) {
			e->plain = true;
			e->part = 0;
			policy_log_init(&e->log, now, wall_now(), 1, false);
		}
		if (written)
			policy_log_write(&e->log, now, 1);
		/* If it is open, that is seen when it is due. */
		policy_log_flushed(&e->log);
		e->log.open = 0;
		update(fs, i);
		if (e->busy)
			judge_soon(l, now);
	}
	pthread_mutex_unlock(&l->lock);
}

void life_closed_node(struct clawfs *fs, uint32_t node, bool written, msec_t now)
{
	char path[PATH_MAX];
	const struct node *n = fs_node(fs, node);

	if (n->name && policy_log_is(name_at(&fs->nodes, n->name)->text) &&
	    node_path(&fs->nodes, node, path, sizeof(path)) == 0 &&
	    policy_log_kind(&fs->config.rules, path) == LOG_PLAIN)
		life_closed(fs, path, written, now);
}

void life_walk_soon(struct clawfs *fs, msec_t now)
{
	struct life *l = &fs->life;

	pthread_mutex_lock(&l->lock);
	l->walk_at = msec_min(l->walk_at, msec_add(now, WALK_MS));
	wake(l, l->walk_at);
	pthread_mutex_unlock(&l->lock);
}

bool life_rotation_due(struct clawfs *fs, const char *path, uint64_t size, bool line_end, msec_t now)
{
	struct life *l = &fs->life;
	struct policy_log fresh;

	pthread_mutex_lock(&l->lock);
	uint32_t i = find(l, path);
	policy_log_init(&fresh, now, wall_now(), size, false);
	bool due = policy_rotate_due(i && l->logs[i].plain ? &l->logs[i].log : &fresh, &fs->config, now, size, line_end);
	pthread_mutex_unlock(&l->lock);
	return due;
}

void life_rotated(struct clawfs *fs, const char *path, const char *part, uint64_t bytes, msec_t now)
{
	struct life *l = &fs->life;
	char part_path[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t dir = slash ? (size_t)(slash - path) + 1 : 0;

	if (dir + strlen(part) >= sizeof(part_path))
		return;
	memcpy(part_path, path, dir);
	memcpy(part_path + dir, part, strlen(part) + 1);
	pthread_mutex_lock(&l->lock);
	l->stats.rotations++;
	l->stats.rotated_bytes += bytes;
	uint32_t i = enter(fs, path), k = i ? enter(fs, part_path) : 0;
	if (k) {
		struct life_log *e = &l->logs[k];
		if (!l->logs[i].plain) {
			l->logs[i].plain = true;
			policy_log_init(&l->logs[i].log, now, wall_now(), 0, false);
		}
		policy_rotate_done(&l->logs[i].log, 0);
		e->plain = true;
		e->part = policy_log_part(fs->config.log_parts, part, NULL);
		e->of = i;
		policy_log_init(&e->log, now, wall_now(), bytes, true);
		update(fs, k);
		judge_soon(l, now);
	}
	pthread_mutex_unlock(&l->lock);
}

bool life_rotation_failed(struct clawfs *fs, const char *path, msec_t now)
{
	struct life *l = &fs->life;
	bool first = true;

	pthread_mutex_lock(&l->lock);
	l->stats.rotate_errors++;
	uint32_t i = enter(fs, path);
	if (i) {
		struct life_log *e = &l->logs[i];
		if (!e->plain) {
			e->plain = true;
			policy_log_init(&e->log, now, wall_now(), 1, false);
		}
		policy_rotate_failed(&e->log, now);
		first = e->log.rotate.failures == 1;
	}
	pthread_mutex_unlock(&l->lock);
	return first;
}

void life_revived(struct clawfs *fs, const char *path, msec_t now)
{
	life_packed_gone(fs, path);
	life_closed(fs, path, true, now);
	pthread_mutex_lock(&fs->life.lock);
	fs->life.stats.revived++;
	pthread_mutex_unlock(&fs->life.lock);
}

void life_packed_gone(struct clawfs *fs, const char *path)
{
	struct life *l = &fs->life;

	pthread_mutex_lock(&l->lock);
	uint32_t i = find(l, path);
	if (i) {
		l->logs[i].packed = false;
		l->logs[i].busy = false;
		leave(l, i);
	}
	pthread_mutex_unlock(&l->lock);
}

void life_view_opened(struct clawfs *fs)
{
	pthread_mutex_lock(&fs->life.lock);
	fs->life.stats.view_opens++;
	pthread_mutex_unlock(&fs->life.lock);
}

void life_view_read(struct clawfs *fs, int64_t bytes)
{
	pthread_mutex_lock(&fs->life.lock);
	fs->life.stats.view_reads++;
	if (bytes < 0)
		fs->life.stats.view_errors++;
	else
		fs->life.stats.view_bytes += (uint64_t)bytes;
	pthread_mutex_unlock(&fs->life.lock);
}

void life_found(struct clawfs *fs, const char *path, bool packed, uint32_t part, const struct stat *st, msec_t now)
{
	struct life *l = &fs->life;
	struct log_name base;
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	pthread_mutex_lock(&l->lock);
	uint32_t i = enter(fs, path);
	if (i && packed && !l->logs[i].packed) {
		l->logs[i].packed = true;
		l->logs[i].packed_size = (uint64_t)st->st_size;
		l->logs[i].packed_mtime = life_wall(&st->st_mtim);
		l->logs[i].packed_seen = now;
		l->logs[i].packed_written = MSEC_NEVER;
		if (part && policy_log_part(fs->config.log_parts, name, &base) == part) {
			char of[PATH_MAX];
			size_t dir = (size_t)(name - path);
			memcpy(of, path, dir);
			memcpy(of + dir, base.text, strlen(base.text) + 1);
			uint32_t k = enter(fs, of);
			l->logs[i].part = k ? part : 0;
			l->logs[i].of = k ? k : i;
		}
	} else if (i && !packed && !l->logs[i].plain) {
		l->logs[i].plain = true;
		policy_log_init(&l->logs[i].log, now, life_wall(&st->st_mtim), (uint64_t)st->st_size, false);
		update(fs, i);
	}
	pthread_mutex_unlock(&l->lock);
}

void life_stats(struct clawfs *fs, struct policy_life_stats *stats, uint32_t *plain, uint32_t *packed)
{
	struct life *l = &fs->life;

	pthread_mutex_lock(&l->lock);
	*stats = l->stats;
	stats->clock_steps = l->wall.steps;
	*plain = *packed = 0;
	for (uint32_t i = 1; i < l->end; i++) {
		*plain += l->logs[i].path && l->logs[i].plain;
		*packed += l->logs[i].path && l->logs[i].packed;
	}
	pthread_mutex_unlock(&l->lock);
}

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
	judge_soon(&fs->life, now);
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
	update(fs, r.log);
	leave(l, r.log);
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
	leave(l, a->slot);
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
		kept = policy_retain(&fs->config, &l->wall, now, j.list, j.count);
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
	if (policy_wall_see(&l->wall, now, wall_now())) {
		l->retain_at = now;
		for (uint32_t i = 1; i < l->end; i++)
			if (l->logs[i].path)
				update(fs, i);
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

int life_init(struct clawfs *fs, msec_t now)
{
	struct life *l = &fs->life;

	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->reviving, NULL);
	l->end = 1;
	l->retain_at = MSEC_NEVER;
	l->walk_at = now;
	policy_wall_init(&l->wall, now, wall_now());
	l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->event_fd < 0 || l->timer_fd < 0)
		return -EMFILE;
	return grow(l) ? 0 : -ENOMEM;
}

void life_fini(struct clawfs *fs)
{
	struct life *l = &fs->life;

	for (uint32_t i = 1; i < l->end; i++)
		free(l->logs[i].path);
	free(l->logs);
	free(l->due.heap);
	free(l->due.position);
	if (l->event_fd >= 0)
		close(l->event_fd);
	if (l->timer_fd >= 0)
		close(l->timer_fd);
	pthread_mutex_destroy(&l->reviving);
	pthread_mutex_destroy(&l->lock);
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
	wake(l, INT64_MIN);
	pthread_mutex_unlock(&l->lock);
	if (l->running)
		pthread_join(l->thread, NULL);
	l->running = false;
}
