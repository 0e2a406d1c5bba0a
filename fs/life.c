#include "fs/lifeimpl.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* Names changed: look at them all after so long. */
#define WALK_MS 60000

wall_t life_wall_now(void)
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

/* gcc's analyzer loses sight of what is kept in an array that has been reallocated. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

/* The entry of that path, made if there is none; 0 without memory. */
static uint32_t enter(struct clawfs *fs, const char *path)
{
	struct life *l = &fs->life;
	uint32_t i = find(l, path);

	if (i)
		return i;
	if (!l->free && l->end == l->capacity && !grow(l))
		return 0;
	i = l->free ? l->free : l->end;
	struct life_log *e = &l->logs[i];
	e->path = strdup(path);
	if (!e->path)
		return 0;
	if (l->free)
		l->free = e->next;
	else
		l->end++;
	uint32_t *head = bucket(l, path);
	e->next = *head;
	e->of = i;
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

void life_leave(struct life *l, uint32_t i)
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

void life_wake(struct life *l, msec_t at)
{
	uint64_t one = 1;

	if (at >= l->sleeps_until)
		return;
	l->sleeps_until = at;
	if (write(l->event_fd, &one, sizeof(one)) < 0)
		return; /* it counts to 2^64 */
}

void life_update(struct clawfs *fs, uint32_t i)
{
	struct life *l = &fs->life;
	const struct life_log *e = &l->logs[i];

	policy_set_update(&l->due, i,
			  e->plain && e->packable ? policy_pack_due(&e->log, &fs->life.config, &l->wall) : MSEC_NEVER);
	life_wake(l, policy_set_wake(&l->due));
}

/* Many archives are not judged for each one that is added. */
void life_judge_soon(struct life *l, msec_t now)
{
	l->retain_at = msec_min(l->retain_at, msec_add(now, l->end));
	life_wake(l, l->retain_at);
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
			policy_log_init(&e->log, now, life_wall_now(), 1, false);
		}
		if (written)
			policy_log_write(&e->log, now, 1);
		/* If it is open, that is seen when it is due. */
		policy_log_flushed(&e->log);
		e->log.open = 0;
		life_update(fs, i);
		if (e->busy)
			life_judge_soon(l, now);
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
	life_wake(l, l->walk_at);
	pthread_mutex_unlock(&l->lock);
}

bool life_rotation_due(struct clawfs *fs, const char *path, uint64_t size, bool line_end, msec_t now)
{
	struct life *l = &fs->life;
	struct policy_log fresh;

	pthread_mutex_lock(&l->lock);
	uint32_t i = find(l, path);
	policy_log_init(&fresh, now, life_wall_now(), size, false);
	bool due = policy_rotate_due(i && l->logs[i].plain ? &l->logs[i].log : &fresh, &l->config, now, size, line_end);
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
			policy_log_init(&l->logs[i].log, now, life_wall_now(), 0, false);
		}
		policy_rotate_done(&l->logs[i].log, 0);
		e->plain = true;
		e->part = policy_log_part(fs->config.log_parts, part, NULL);
		e->of = i;
		policy_log_init(&e->log, now, life_wall_now(), bytes, true);
		life_update(fs, k);
		life_judge_soon(l, now);
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
			policy_log_init(&e->log, now, life_wall_now(), 1, false);
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
		life_leave(l, i);
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
		life_update(fs, i);
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

void life_configure(struct clawfs *fs)
{
	struct life *l = &fs->life;

	pthread_mutex_lock(&fs->sched.lock);
	pthread_mutex_lock(&l->lock);
	l->config = fs->config;
	for (uint32_t i = 1; i < l->end; i++)
		if (l->logs[i].path)
			life_update(fs, i);
	life_judge_soon(l, clock_now());
	pthread_mutex_unlock(&l->lock);
	pthread_mutex_unlock(&fs->sched.lock);
}

int life_init(struct clawfs *fs, msec_t now)
{
	struct life *l = &fs->life;

	/* It may be the second time: a mount that is made anew. */
	*l = (struct life){.event_fd = -1, .timer_fd = -1};
	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->reviving, NULL);
	l->end = 1;
	l->config = fs->config;
	l->retain_at = MSEC_NEVER;
	l->walk_at = now;
	policy_wall_init(&l->wall, now, life_wall_now());
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
