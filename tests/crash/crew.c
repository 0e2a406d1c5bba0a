#include "crew.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ACTORS_MAX = 20 };

struct member {
	struct crew *crew;
	struct actor actor;
	pthread_t thread;
	struct ack *acks; /* shared with whoever judges */
	/* crew lock */
	uint32_t next; /* the operation to do */
	bool working;
	/* of the judge */
	usec_t lost; /* the largest loss seen */
	unsigned partials;
};

struct crew {
	struct crew_options options;
	struct member members[ACTORS_MAX];
	unsigned count;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* lock */
	bool open; /* operations may begin */
	bool ended;
	bool failing; /* errors mean nothing */
	unsigned errors;
	uint64_t done;
	usec_t longest;
};

/* --- at work ----------------------------------------------------------------- */

static void one_operation(struct member *m)
{
	struct crew *c = m->crew;
	struct ack *ack = &m->acks[m->next];

	pthread_mutex_unlock(&c->lock);
	errno = 0;
	usec_t begin = usec_now();
	__atomic_store_n(&ack->begin, begin, __ATOMIC_RELEASE);
	int rc = m->actor.kind->step(&m->actor, m->next);
	usec_t end = usec_now();
	pthread_mutex_lock(&c->lock);
	if (rc == 0) {
		__atomic_store_n(&ack->end, end, __ATOMIC_RELEASE);
		m->actor.doubt = m->actor.stale = false;
		m->next++;
		c->done++;
		if (end - begin > c->longest)
			c->longest = end - begin;
		return;
	}
	if (!c->failing && c->errors++ == 0)
		fprintf(stderr, "%s: operation %u failed: %s\n", m->actor.kind->name, m->next, m->actor.error);
	m->actor.doubt = true;
}

static void *work(void *arg)
{
	struct member *m = arg;
	struct crew *c = m->crew;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		/* Who has failed waits until it is judged. */
		while (!c->ended && (!c->open || m->actor.gone || m->next >= ACKS_MAX))
			pthread_cond_wait(&c->changed, &c->lock);
		if (c->ended)
			break;
		m->working = true;
		one_operation(m);
		if (m->actor.doubt)
			m->actor.gone = true;
		m->working = false;
		pthread_cond_broadcast(&c->changed);
		pthread_mutex_unlock(&c->lock);
		double pause = m->actor.kind->pause_us / c->options.pace;
		if (pause >= 1)
			usleep((useconds_t)(pause / 2 +
					    pause * (double)(mix(m->actor.seed, 99, m->next) % 1000) / 1000));
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

void crew_go(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	c->failing = false;
	c->open = true;
	for (unsigned i = 0; i < c->count; i++)
		c->members[i].actor.gone = false;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void crew_expect_failure(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	c->failing = true;
	pthread_mutex_unlock(&c->lock);
}

void crew_halt(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	c->open = false;
	for (unsigned i = 0; i < c->count; i++)
		while (c->members[i].working)
			pthread_cond_wait(&c->changed, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void crew_drop(struct crew *c)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->members[i].actor.kind->drop)
			c->members[i].actor.kind->drop(&c->members[i].actor);
}

unsigned crew_errors(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	unsigned errors = c->errors;
	pthread_mutex_unlock(&c->lock);
	return errors;
}

uint64_t crew_done(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	uint64_t done = c->done;
	pthread_mutex_unlock(&c->lock);
	return done;
}

usec_t crew_longest(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	usec_t longest = c->longest;
	c->longest = 0;
	pthread_mutex_unlock(&c->lock);
	return longest;
}

/* --- made and unmade --------------------------------------------------------- */

static bool is_wanted(const char *only, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = only; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0'))
			return true;
	return !only;
}

static struct ack *map_acks(const struct crew_options *o, const char *name)
{
	const char *path = below(o->acks, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (o->fresh ? O_TRUNC : 0), 0600);
	size_t size = ACKS_MAX * sizeof(struct ack);
	void *at = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
		at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		fprintf(stderr, "cannot map %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return at == MAP_FAILED ? NULL : at;
}

struct crew *crew_create(const struct crew_options *options)
{
	struct crew *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->options = *options;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	mkdir(options->acks, 0700);
	for (unsigned i = 0; i < actor_kind_count; i++) {
		const struct actor_kind *kind = actor_kinds[i];
		if (!is_wanted(options->only, kind->name))
			continue;
		struct member *m = &c->members[c->count++];
		m->crew = c;
		m->actor = (struct actor){.kind = kind,
					  .seed = mix(options->seed, 7, i),
					  .forgets_times = options->forgets_times,
					  .fd = -1};
		if (options->mnt)
			snprintf(m->actor.root, sizeof(m->actor.root), "%s", options->mnt);
		m->acks = map_acks(options, kind->name);
		if (!m->acks)
			exit(2);
		m->next = 1;
		while (m->next < ACKS_MAX && m->acks[m->next].end)
			m->next++;
		if (options->mnt && pthread_create(&m->thread, NULL, work, m) != 0)
			abort();
	}
	if (!c->count)
		fprintf(stderr, "no actor of the names %s\n", options->only);
	return c;
}

void crew_destroy(struct crew *c)
{
	crew_halt(c);
	pthread_mutex_lock(&c->lock);
	c->ended = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	for (unsigned i = 0; i < c->count; i++)
		if (c->options.mnt)
			pthread_join(c->members[i].thread, NULL);
	crew_drop(c);
	for (unsigned i = 0; i < c->count; i++) {
		munmap(c->members[i].acks, ACKS_MAX * sizeof(struct ack));
		free(c->members[i].actor.own);
	}
	free(c);
}

int crew_prepare(const char *root)
{
	static const char *const dirs[] = {
		"logs",	  "agents",	  "agents/main", "agents/main/sessions", "agents/main/agent",
		"memory", "agents/names", "workspace",	 "workspace/names",	 "credentials"};

	for (unsigned i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		if (mkdir(below(root, dirs[i]), 0700) < 0 && errno != EEXIST) {
			fprintf(stderr, "mkdir %s/%s: %s\n", root, dirs[i], strerror(errno));
			return -1;
		}
	}
	return 0;
}

/* --- judging ------------------------------------------------------------------- */

static unsigned window_ms(const struct member *m)
{
	return m->crew->options.short_windows ? m->actor.kind->short_ms : m->actor.kind->window_ms;
}

/* The last operation that must have lasted, and the last that had begun. */
static void bounds(const struct member *m, enum judge judge, usec_t cut, usec_t slack, uint32_t *min, uint32_t *max)
{
	usec_t window = window_ms(m) ? (usec_t)window_ms(m) * 1000 + slack : 0;

	*min = *max = 0;
	for (uint32_t n = 1; n < ACKS_MAX; n++) {
		usec_t begin = __atomic_load_n(&m->acks[n].begin, __ATOMIC_ACQUIRE);
		usec_t end = __atomic_load_n(&m->acks[n].end, __ATOMIC_ACQUIRE);
		if (!begin || (judge == JUDGE_CUT && begin > cut))
			break;
		*max = n;
		if (end && (judge != JUDGE_CUT || end + window <= cut))
			*min = n;
	}
}

static void note_loss(struct member *m, uint32_t found, uint32_t max, usec_t cut)
{
	const struct ack *first = &m->acks[found + 1];

	if (found < max && first->end && first->end < cut && cut - first->end > m->lost)
		m->lost = cut - first->end;
}

static void settle_member(struct member *m, const struct verdict *v, uint32_t max)
{
	if (!m->actor.doubt || v->found != max || v->partial)
		return;
	/* It was done after all. */
	m->acks[max].end = usec_now();
	m->next = max + 1;
	/* The descriptor is still one of before. */
	if (m->actor.kind->drop)
		m->actor.kind->drop(&m->actor);
	m->actor.doubt = false;
	m->actor.stale = true;
}

unsigned crew_check(struct crew *c, const char *root, enum judge judge, usec_t cut, usec_t slack, bool settle)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < c->count; i++) {
		struct member *m = &c->members[i];
		struct verdict v = {0};
		uint32_t min, max;
		if (judge == JUDGE_CUT && m->actor.kind->kill_only)
			continue;
		bounds(m, judge, cut, slack, &min, &max);
		if (m->actor.kind->check(&m->actor, root, judge, min, max, &v) < 0) {
			fprintf(stderr, "WRONG %s: %s\n", m->actor.kind->name, v.why);
			bad++;
			continue;
		}
		m->partials += v.partial;
		if (judge == JUDGE_CUT)
			note_loss(m, v.found, max, cut);
		if (settle)
			settle_member(m, &v, max);
	}
	return bad;
}

void crew_report(struct crew *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		struct member *m = &c->members[i];
		uint32_t min, max;
		bounds(m, JUDGE_MOUNT, 0, 0, &min, &max);
		printf("actor %s operations %u largest-loss-ms %.1f window-ms %u partial %u\n", m->actor.kind->name,
		       max, (double)m->lost / 1e3, window_ms(m), m->partials);
	}
}
