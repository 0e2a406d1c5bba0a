#include "fs/stats.h"
#include "fs/blockdev.h"
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

struct stats {
	pthread_mutex_t lock;
	msec_t start;
	msec_t minute_start; /* of the running minute */
	struct stats_class total[CLASS_COUNT];
	struct stats_class at_start[CLASS_COUNT]; /* total when the running minute began */
	struct stats_class minute[CLASS_COUNT];	  /* the last full one */
	msec_t minute_end;			  /* minute_start + MINUTE_MS; atomic, written with the lock */
	uint64_t counts[STATS_COUNTS];		  /* atomic */
	dev_t device;
	bool device_known; /* value_start has the device's */
	uint64_t value_start[MINUTE_VALUES];
	struct stats_minute ring[STATS_MINUTES];
	unsigned next, full; /* place of the next one; how many there are */
};

/* What the sums of minutes are made of, as of now. Whether the device's are known. */
static bool take_values(const struct stats *s, uint64_t value[MINUTE_VALUES])
{
	const struct stats_class *snapshot = &s->total[CLASS_SNAPSHOT];
	struct blockdev device;

	memset(value, 0, MINUTE_VALUES * sizeof(*value));
	for (int c = 0; c < CLASS_COUNT; c++) {
		const struct stats_class *t = &s->total[c];
		value[MINUTE_APP_WRITES] += t->app_writes;
		value[MINUTE_APP_BYTES] += t->app_bytes;
		value[MINUTE_LOWER_WRITES] += t->lower_writes;
		value[MINUTE_LOWER_BYTES] += t->lower_bytes;
		value[MINUTE_ERRORS] += t->errors;
		for (int k = 0; k < CAUSE_COUNT; k++)
			value[MINUTE_FLUSHES] += t->flushes[k];
	}
	value[MINUTE_LOG_BYTES] = s->total[CLASS_LOG].app_bytes;
	value[MINUTE_SAVES] = snapshot->coalesced + snapshot->lower_writes + snapshot->identical;
	value[MINUTE_REPLACES] = snapshot->lower_writes;
	for (int i = 0; i < STATS_COUNTS; i++)
		value[MINUTE_COUNTS + i] = stats_counted(s, (enum stats_count)i);
	bool known = blockdev_read(s->device, &device);
	value[MINUTE_DEV_WRITES] = device.writes;
	value[MINUTE_DEV_BYTES] = device.written_bytes;
	value[MINUTE_DEV_FLUSHES] = device.flushes;
	return known;
}

struct stats *stats_create(msec_t now, dev_t device)
{
	struct stats *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	s->start = s->minute_start = now;
	s->minute_end = now + MINUTE_MS;
	s->device = device;
	s->device_known = take_values(s, s->value_start);
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

static void ring_add(struct stats *s, const struct stats_minute *minute)
{
	s->ring[s->next] = *minute;
	s->next = (s->next + 1) % STATS_MINUTES;
	if (s->full < STATS_MINUTES)
		s->full++;
}

/* The sums of the minute that has ended, and of those after it in which nothing happened. */
static void close_minutes(struct stats *s, msec_t past)
{
	struct stats_minute minute = {.end = s->minute_start + MINUTE_MS};
	uint64_t value[MINUTE_VALUES];
	bool known = take_values(s, value);

	for (int i = 0; i < MINUTE_VALUES; i++)
		minute.value[i] = value[i] > s->value_start[i] ? value[i] - s->value_start[i] : 0;
	/* Others write to the device while we are idle, and nobody has looked when. */
	minute.device = known && s->device_known && past == 1;
	ring_add(s, &minute);
	msec_t idle = past - 1 < STATS_MINUTES ? past - 1 : STATS_MINUTES;
	for (msec_t i = past - idle; i < past; i++)
		ring_add(s, &(struct stats_minute){.end = s->minute_start + (i + 1) * MINUTE_MS});
	memcpy(s->value_start, value, sizeof(value));
	s->device_known = known;
}

/* Closes the running minute if `now` is past it. No timer does this: an idle
 * mount must not wake. */
static void rotate(struct stats *s, msec_t now)
{
	msec_t past = (now - s->minute_start) / MINUTE_MS;

	if (past <= 0)
		return;
	close_minutes(s, past);
	for (int c = 0; c < CLASS_COUNT; c++) {
		/* With more than one minute gone, nothing happened in the last. */
		if (past == 1)
			class_diff(&s->minute[c], &s->total[c], &s->at_start[c]);
		else
			memset(&s->minute[c], 0, sizeof(s->minute[c]));
		s->at_start[c] = s->total[c];
	}
	s->minute_start += past * MINUTE_MS;
	__atomic_store_n(&s->minute_end, s->minute_start + MINUTE_MS, __ATOMIC_RELAXED);
}

void stats_begin(struct stats *s, msec_t now)
{
	pthread_mutex_lock(&s->lock);
	s->minute_start = now;
	__atomic_store_n(&s->minute_end, now + MINUTE_MS, __ATOMIC_RELAXED);
	s->next = s->full = 0;
	s->device_known = take_values(s, s->value_start);
	memcpy(s->at_start, s->total, sizeof(s->at_start));
	memset(s->minute, 0, sizeof(s->minute));
	pthread_mutex_unlock(&s->lock);
}

void stats_tick(struct stats *s, msec_t now)
{
	if (now < __atomic_load_n(&s->minute_end, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&s->lock);
	rotate(s, now);
	pthread_mutex_unlock(&s->lock);
}

void stats_count(struct stats *s, enum stats_count which, uint64_t n)
{
	__atomic_add_fetch(&s->counts[which], n, __ATOMIC_RELAXED);
}

uint64_t stats_counted(const struct stats *s, enum stats_count which)
{
	return __atomic_load_n(&s->counts[which], __ATOMIC_RELAXED);
}

unsigned stats_history(struct stats *s, msec_t now, struct stats_minute minutes[STATS_MINUTES])
{
	pthread_mutex_lock(&s->lock);
	rotate(s, now);
	unsigned full = s->full;
	for (unsigned i = 0; i < full; i++)
		minutes[i] = s->ring[(s->next + STATS_MINUTES - full + i) % STATS_MINUTES];
	pthread_mutex_unlock(&s->lock);
	return full;
}

unsigned stats_window(struct stats *s, msec_t now, unsigned minutes, struct stats_minute *sum)
{
	*sum = (struct stats_minute){.end = now, .device = true};
	pthread_mutex_lock(&s->lock);
	rotate(s, now);
	if (minutes > s->full)
		minutes = s->full;
	for (unsigned i = 1; i <= minutes; i++) {
		const struct stats_minute *m = &s->ring[(s->next + STATS_MINUTES - i) % STATS_MINUTES];
		sum->device &= m->device;
		for (int k = 0; k < MINUTE_VALUES; k++)
			sum->value[k] += m->value[k];
	}
	pthread_mutex_unlock(&s->lock);
	return minutes;
}

void stats_app_write(struct stats *s, msec_t now, enum policy_class cls, uint64_t bytes, bool through)
{
	pthread_mutex_lock(&s->lock);
	rotate(s, now);
	s->total[cls].app_writes++;
	s->total[cls].app_bytes += bytes;
	if (through) {
		s->total[cls].lower_writes++;
		s->total[cls].lower_bytes += bytes;
	}
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
		c->flush_us_sum += (uint64_t)(f->us > 0 ? f->us : 0);
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
