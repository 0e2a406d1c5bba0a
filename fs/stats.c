#include "fs/stats.h"
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define MINUTE_MS 60000

struct stats {
	pthread_mutex_t lock;
	msec_t start;
	msec_t minute_start; /* of the running minute */
	struct stats_class total[CLASS_COUNT];
	struct stats_class at_start[CLASS_COUNT]; /* total when the running minute began */
	struct stats_class minute[CLASS_COUNT];	  /* the last full one */
};

struct stats *stats_create(msec_t now)
{
	struct stats *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	s->start = s->minute_start = now;
	return s;
}

void stats_revive(struct stats *s)
{
	pthread_mutex_init(&s->lock, NULL);
}

void stats_destroy(struct stats *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	munmap(s, sizeof(*s));
}

/* The counters are plain words one after the other. */
_Static_assert(sizeof(struct stats_class) % sizeof(uint64_t) == 0, "counters only");
#define WORDS (sizeof(struct stats_class) / sizeof(uint64_t))

static void class_diff(struct stats_class *out, const struct stats_class *a, const struct stats_class *b)
{
	uint64_t *o = (uint64_t *)out;
	const uint64_t *x = (const uint64_t *)a, *y = (const uint64_t *)b;

	/* What was moved to another class in a later minute is missing from this one. */
	for (size_t i = 0; i < WORDS; i++)
		o[i] = x[i] > y[i] ? x[i] - y[i] : 0;
}

void stats_add(struct stats_class *to, const struct stats_class *from)
{
	uint64_t *t = (uint64_t *)to;
	const uint64_t *f = (const uint64_t *)from;

	for (size_t i = 0; i < WORDS; i++)
		t[i] += f[i];
}

/* Closes the running minute if `now` is past it. No timer does this: an idle
 * mount must not wake. */
static void rotate(struct stats *s, msec_t now)
{
	msec_t past = (now - s->minute_start) / MINUTE_MS;

	if (past <= 0)
		return;
	for (int c = 0; c < CLASS_COUNT; c++) {
		/* With more than one minute gone, nothing happened in the last. */
		if (past == 1)
			class_diff(&s->minute[c], &s->total[c], &s->at_start[c]);
		else
			memset(&s->minute[c], 0, sizeof(s->minute[c]));
		s->at_start[c] = s->total[c];
	}
	s->minute_start += past * MINUTE_MS;
}

void stats_app_write(struct stats *s, msec_t now, enum policy_class cls, uint64_t bytes)
{
	pthread_mutex_lock(&s->lock);
	rotate(s, now);
	s->total[cls].app_writes++;
	s->total[cls].app_bytes += bytes;
	pthread_mutex_unlock(&s->lock);
}

void stats_app_move(struct stats *s, msec_t now, enum policy_class from, enum policy_class to, uint64_t writes,
		    uint64_t bytes)
{
	pthread_mutex_lock(&s->lock);
	rotate(s, now);
	s->total[from].app_writes -= writes;
	s->total[from].app_bytes -= bytes;
	s->total[to].app_writes += writes;
	s->total[to].app_bytes += bytes;
	pthread_mutex_unlock(&s->lock);
}

static unsigned bucket_of(int64_t us)
{
	uint64_t v = us < 1 ? 1 : (uint64_t)us;
	unsigned log = 63 - (unsigned)__builtin_clzll(v);
	/* The two bits below the highest one choose the quarter. */
	unsigned quarter = (unsigned)((log >= 2 ? v >> (log - 2) : v << (2 - log)) & 3);
	unsigned b = log * 4 + quarter;

	return b < STATS_BUCKETS ? b : STATS_BUCKETS - 1;
}

uint64_t stats_percentile(const struct stats_class *c, unsigned percent)
{
	uint64_t count = 0, seen = 0;

	for (unsigned b = 0; b < STATS_BUCKETS; b++)
		count += c->flush_us[b];
	if (!count)
		return 0;
	uint64_t rank = (count * percent + 99) / 100;
	for (unsigned b = 0; b < STATS_BUCKETS; b++) {
		seen += c->flush_us[b];
		if (seen >= rank)
			return ((uint64_t)(4 + b % 4 + 1) << (b / 4)) / 4;
	}
	return 0;
}

void stats_flush(struct stats *s, msec_t now, const struct stats_flush *f)
{
	pthread_mutex_lock(&s->lock);
	rotate(s, now);
	struct stats_class *c = &s->total[f->cls];
	c->flushes[f->cause]++;
	if (f->error) {
		c->errors++;
	} else {
		c->coalesced += f->coalesced;
		if (f->identical) {
			c->identical++;
		} else {
			c->lower_writes++;
			c->lower_bytes += f->bytes;
		}
		c->flush_us[bucket_of(f->us)]++;
	}
	pthread_mutex_unlock(&s->lock);
}

void stats_read(struct stats *s, msec_t now, struct stats_class total[CLASS_COUNT],
		struct stats_class minute[CLASS_COUNT], int64_t *uptime_ms)
{
	pthread_mutex_lock(&s->lock);
	rotate(s, now);
	memcpy(total, s->total, sizeof(s->total));
	memcpy(minute, s->minute, sizeof(s->minute));
	*uptime_ms = now - s->start;
	pthread_mutex_unlock(&s->lock);
}
