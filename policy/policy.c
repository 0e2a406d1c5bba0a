/* One file's way from a change to the lower: the table in policy.h, event by
 * event, and the due time that follows from the state. */
#include "policy/policy.h"

#define URGENT_APART 1000 /* ms between two flushes that urgent lines ask for */

static msec_t msec_max(msec_t a, msec_t b)
{
	return a > b ? a : b;
}

/* MSEC_NEVER means "no change" in `first` and `last`, so no change can have it. */
static msec_t event_time(msec_t now)
{
	return msec_min(now, MSEC_NEVER - 1);
}

static uint64_t add_bytes(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint32_t add_lines(uint32_t a, uint32_t b)
{
	uint32_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT32_MAX : sum;
}

static bool is_in_flight(const struct policy_file *f)
{
	return f->state == POLICY_FLUSHING || f->state == POLICY_REDIRTIED;
}

static void clear_waiting(struct policy_file *f)
{
	f->first = MSEC_NEVER;
	f->last = MSEC_NEVER;
	f->bytes = 0;
	f->lines = 0;
	f->urgent = false;
}

static void clear_in_flight(struct policy_file *f)
{
	f->in_flight_first = MSEC_NEVER;
	f->in_flight_last = MSEC_NEVER;
	f->in_flight_bytes = 0;
	f->in_flight_lines = 0;
	f->in_flight_urgent = false;
}

static void clear_failure(struct policy_file *f)
{
	f->failures = 0;
	f->error = 0;
	f->retry_at = 0;
}

void policy_file_init(struct policy_file *f, enum policy_class cls)
{
	*f = (struct policy_file){.cls = cls, .state = POLICY_CLEAN, .urgent_at = MSEC_NEVER};
	clear_waiting(f);
	clear_in_flight(f);
}

/* --- events ------------------------------------------------------------- */

/* A change whose wait began at `since`, seen at `now`. */
static void change(struct policy_file *f, msec_t since, msec_t now)
{
	now = event_time(now);
	f->first = msec_min(f->first, msec_min(since, now));
	f->last = f->last == MSEC_NEVER ? now : msec_max(f->last, now);
	f->state = is_in_flight(f) ? POLICY_REDIRTIED : POLICY_DIRTY;
}

void policy_file_write(struct policy_file *f, msec_t now, uint64_t bytes, struct policy_scan scan)
{
	change(f, now, now);
	f->bytes = add_bytes(f->bytes, bytes);
	f->lines = add_lines(f->lines, scan.lines);
	f->urgent |= scan.urgent;
	if (bytes > 0)
		f->truncated = false;
}

void policy_file_touch(struct policy_file *f, msec_t now)
{
	change(f, now, now);
}

void policy_file_rewrite_begin(struct policy_file *f, msec_t now)
{
	change(f, now, now);
	f->truncated = true;
	f->rewriting = add_lines(f->rewriting, 1);
}

void policy_file_rewrite_end(struct policy_file *f, msec_t now)
{
	(void)now; /* no change: the wait counts from the writes alone */
	if (f->rewriting > 0)
		f->rewriting--;
	/* Closed empty is written empty (P3). */
	if (f->rewriting == 0)
		f->truncated = false;
}

/* Since when the lower misses what only waits. A volatile file's bytes were
 * never to get there, so they have not been waiting. */
static msec_t waiting_since(const struct policy_file *f)
{
	return f->cls == CLASS_VOLATILE ? MSEC_NEVER : f->first;
}

void policy_file_replace(struct policy_file *f, enum policy_class cls, const struct policy_file *old, msec_t now)
{
	msec_t since = waiting_since(f);

	if (old) {
		since = msec_min(since, waiting_since(old));
		/* Whoever asked for the old version to be durable is served by the
		 * new one, and by nothing less. */
		f->demanded |= old->demanded && old->cls != CLASS_VOLATILE;
		/* The card's trouble outlives the version: steady saves must not
		 * try it more often than retry_at says (P9). */
		if (old->failures > f->failures) {
			f->failures = old->failures;
			f->error = old->error;
			f->retry_at = old->retry_at;
		}
	}
	if (f->cls == CLASS_VOLATILE)
		f->first = MSEC_NEVER;
	f->cls = cls;
	change(f, since, now);
}

void policy_file_demand(struct policy_file *f)
{
	if (f->state != POLICY_CLEAN)
		f->demanded = true;
}

void policy_file_drop(struct policy_file *f)
{
	if (is_in_flight(f))
		return;
	f->state = POLICY_CLEAN;
	f->demanded = false;
	clear_waiting(f);
	clear_failure(f);
}

void policy_file_flush_begin(struct policy_file *f, msec_t now)
{
	if (f->state != POLICY_DIRTY)
		return;
	if (f->urgent)
		f->urgent_at = event_time(now);
	f->in_flight_first = f->first;
	f->in_flight_last = f->last;
	f->in_flight_bytes = f->bytes;
	f->in_flight_lines = f->lines;
	f->in_flight_urgent = f->urgent;
	clear_waiting(f);
	/* Served by this flush, be it with an error: were the demand kept, a
	 * failing card would be tried again without a pause. One that comes from
	 * now on asks for another flush. */
	f->demanded = false;
	f->state = POLICY_FLUSHING;
}

/* What the running flush took waits again, as long as it has waited already. */
static void take_back(struct policy_file *f)
{
	f->first = msec_min(f->first, f->in_flight_first);
	if (f->state == POLICY_FLUSHING)
		f->last = f->in_flight_last;
	f->bytes = add_bytes(f->bytes, f->in_flight_bytes);
	f->lines = add_lines(f->lines, f->in_flight_lines);
	f->urgent |= f->in_flight_urgent;
	f->state = POLICY_DIRTY;
}

static void flush_failed(struct policy_file *f, const struct policy_config *config, msec_t now, int error)
{
	msec_t wait = config->retry_ms;
	uint32_t i;

	take_back(f);
	f->failures = add_lines(f->failures, 1);
	f->error = error;
	for (i = 1; i < f->failures && wait > 0 && wait < config->retry_max_ms; i++)
		wait = msec_add(wait, wait);
	/* 0 would say that there was no failure (I5). */
	f->retry_at = msec_max(1, msec_add(now, msec_min(wait, config->retry_max_ms)));
}

void policy_file_flush_end(struct policy_file *f, const struct policy_config *config, msec_t now, int error, bool left)
{
	if (!is_in_flight(f))
		return;
	if (error) {
		flush_failed(f, config, now, error);
	} else {
		clear_failure(f);
		if (f->state == POLICY_REDIRTIED) {
			f->state = POLICY_DIRTY;
		} else {
			f->state = POLICY_CLEAN;
			if (left)
				change(f, now, now);
			else
				f->demanded = false;
		}
	}
	clear_in_flight(f);
}

void policy_file_flush_abort(struct policy_file *f)
{
	if (!is_in_flight(f))
		return;
	take_back(f);
	clear_in_flight(f);
}

void policy_file_revive(struct policy_file *f)
{
	f->rewriting = 0;
	f->truncated = false;
	policy_file_flush_abort(f);
	if (!policy_file_check(f))
		return;
	/* Half of an event. As if it had changed long ago: at worst something is flushed for nothing. */
	policy_file_init(f, f->cls);
	policy_file_touch(f, 0);
}

void policy_file_revive_rewriter(struct policy_file *f)
{
	if (f->state == POLICY_CLEAN)
		policy_file_touch(f, 0);
	f->rewriting = add_lines(f->rewriting, 1);
}

/* --- queries ------------------------------------------------------------ */

static bool has_lines(const struct policy_file *f, const struct policy_config *config)
{
	return f->cls == CLASS_LOG && config->log_lines > 0 && f->lines >= (uint64_t)config->log_lines;
}

static bool has_bytes(const struct policy_file *f, const struct policy_config *config)
{
	return (f->cls == CLASS_LOG || f->cls == CLASS_APPEND) && config->log_bytes > 0 &&
	       f->bytes >= (uint64_t)config->log_bytes;
}

/* When an urgent line makes the file due; MSEC_NEVER without one. */
static msec_t urgent_due(const struct policy_file *f, const struct policy_config *config)
{
	if (f->cls != CLASS_LOG || !f->urgent || !config->log_urgent)
		return MSEC_NEVER;
	if (f->urgent_at == MSEC_NEVER)
		return f->first;
	return msec_max(f->first, msec_add(f->urgent_at, URGENT_APART));
}

/* When the class's window closes, whatever else holds the file or hurries it. */
static msec_t window_due(const struct policy_file *f, const struct policy_config *config)
{
	switch (f->cls) {
	case CLASS_LOG:
		return msec_add(f->first, config->log_flush_ms);
	case CLASS_APPEND:
		return msec_add(f->first, config->append_flush_ms);
	case CLASS_SNAPSHOT:
		return msec_min(msec_add(f->last, config->session_debounce_ms),
				msec_add(f->first, config->session_max_ms));
	case CLASS_VOLATILE:
		return MSEC_NEVER;
	case CLASS_STATE:
	case CLASS_SQLITE:
	case CLASS_THROUGH:
	case CLASS_COUNT:
		break;
	}
	return msec_add(f->first, config->state_flush_ms);
}

/* Before when the file must not go; the least there is when nothing holds it. */
static msec_t held_until(const struct policy_file *f, const struct policy_config *config)
{
	msec_t held = f->failures ? f->retry_at : f->first;

	if (f->rewriting == 0 || (f->cls != CLASS_SNAPSHOT && f->cls != CLASS_STATE))
		return held;
	return f->truncated ? MSEC_NEVER : msec_max(held, msec_add(f->first, config->rewrite_max_ms));
}

msec_t policy_file_due(const struct policy_file *f, const struct policy_config *config)
{
	msec_t due;

	if (f->state != POLICY_DIRTY)
		return MSEC_NEVER;
	if (f->demanded)
		return f->first;
	if (has_lines(f, config) || has_bytes(f, config))
		due = f->first;
	else
		due = msec_min(window_due(f, config), urgent_due(f, config));
	return msec_max(due, held_until(f, config));
}

enum policy_cause policy_file_cause(const struct policy_file *f, const struct policy_config *config, msec_t now)
{
	msec_t due = policy_file_due(f, config);

	if (due == MSEC_NEVER || due > now)
		return CAUSE_REACH;
	if (f->demanded)
		return CAUSE_SYNC;
	if (has_lines(f, config))
		return CAUSE_LINES;
	if (has_bytes(f, config))
		return CAUSE_BYTES;
	return urgent_due(f, config) <= now ? CAUSE_URGENT : CAUSE_INTERVAL;
}

static bool nothing_waits(const struct policy_file *f)
{
	return f->first == MSEC_NEVER && f->last == MSEC_NEVER && f->lines == 0 && f->bytes == 0 && !f->urgent;
}

static bool nothing_in_flight(const struct policy_file *f)
{
	return f->in_flight_first == MSEC_NEVER && f->in_flight_last == MSEC_NEVER && f->in_flight_lines == 0 &&
	       f->in_flight_bytes == 0 && !f->in_flight_urgent;
}

const char *policy_file_check(const struct policy_file *f)
{
	bool changed = f->first <= f->last && f->last < MSEC_NEVER;

	if (f->state == POLICY_CLEAN && (!nothing_waits(f) || f->demanded || f->failures))
		return "I1";
	if ((f->state == POLICY_DIRTY || f->state == POLICY_REDIRTIED) && !changed)
		return "I2";
	if (f->state == POLICY_FLUSHING && (!nothing_waits(f) || f->in_flight_first == MSEC_NEVER))
		return "I3";
	if (is_in_flight(f) ? f->in_flight_first > f->in_flight_last || f->in_flight_last == MSEC_NEVER
			    : !nothing_in_flight(f))
		return "I4";
	if ((f->retry_at == 0) != (f->failures == 0) || (f->error == 0) != (f->failures == 0))
		return "I5";
	if (f->truncated && f->rewriting == 0)
		return "I6";
	return NULL;
}

/* --- RAM ---------------------------------------------------------------- */

enum policy_pressure policy_pressure(const struct policy_config *config, uint64_t used)
{
	uint64_t max = (uint64_t)config->ram_max;

	if (used >= max - max / 8)
		return PRESSURE_HARD;
	return used >= max - max / 2 ? PRESSURE_SOFT : PRESSURE_NONE;
}

bool policy_admit(const struct policy_config *config, uint64_t used, uint64_t bytes)
{
	uint64_t max = (uint64_t)config->ram_max;

	return used <= max && bytes <= max - used;
}
