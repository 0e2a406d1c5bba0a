/* 200,000 events at random on one file, against a model that knows only P3, P4
 * and P9: nothing waits longer than its window without an excuse. */
#include "policy/policy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct policy_config config;
static struct policy_file f;

static const struct policy_scan no_scan = {.lines = 0, .urgent = false};

static uint64_t seed = 0x2545f4914f6cdd1d;

static unsigned rnd(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 33) % below);
}

/* What the model knows: since when the lower misses something, and the last
 * time at which there was a reason to let it wait. */
struct model {
	msec_t waiting, taken;
	msec_t excused; /* held, backing off or flushing until then */
	unsigned failed;
	unsigned writers; /* that truncated and have not closed */
	bool empty;
	bool hurried; /* lines, bytes, urgency or demand: may go early */
	unsigned flushes, full_waits;
};

static msec_t window(enum policy_class cls)
{
	switch (cls) {
	case CLASS_LOG:
	case CLASS_SNAPSHOT:
		return 5000;
	case CLASS_APPEND:
		return 2000;
	default:
		return 1000;
	}
}

static bool holds(const struct model *m)
{
	return m->writers > 0 && (f.cls == CLASS_SNAPSHOT || f.cls == CLASS_STATE);
}

/* What held the file may end now, and excuses the wait up to here. */
static void model_excuse(struct model *m, msec_t now)
{
	if (holds(m) && m->excused < now)
		m->excused = now;
}

static void model_change(struct model *m, msec_t now)
{
	if (m->waiting == MSEC_NEVER)
		m->waiting = now;
}

static void walk_flush_begins(struct model *m, msec_t now)
{
	msec_t limit = m->waiting + window(f.cls);

	if (holds(m) && m->waiting + 30000 > limit)
		limit = m->waiting + 30000;
	if (m->excused > limit)
		limit = m->excused;
	/* P4: nothing waits longer than its window without an excuse. */
	if (now > limit && !(holds(m) && m->empty))
		fail_msg("t=%lld: waited since %lld, limit %lld", (long long)now, (long long)m->waiting,
			 (long long)limit);
	/* P3: a file that is cut to nothing and still open is not flushed. */
	if (!m->hurried)
		assert_false(holds(m) && m->empty);
	/* and coalescing: nothing goes before its time without a reason. */
	if (!m->hurried && f.cls != CLASS_SNAPSHOT)
		assert_true(now >= m->waiting + window(f.cls));
	m->flushes++;
	m->full_waits += now == m->waiting + window(f.cls);
	policy_file_flush_begin(&f, now);
	m->taken = m->waiting;
	m->waiting = MSEC_NEVER;
	m->hurried = false;
}

static void walk_flush_ends(struct model *m, msec_t now)
{
	static const msec_t waits[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000};
	bool failed = rnd(4) == 0, left = !failed && rnd(8) == 0;

	policy_file_flush_end(&f, &config, now, failed ? -EIO : 0, left);
	m->excused = now;
	if (failed) {
		m->waiting = m->taken;
		m->excused = now + waits[m->failed < 6 ? m->failed : 6];
		m->failed++;
		m->hurried = true;
	} else {
		m->failed = 0;
		if (left)
			model_change(m, now);
		m->hurried = m->waiting != MSEC_NEVER; /* what hurries may have come meanwhile */
	}
	m->taken = MSEC_NEVER;
}

/* Given up before it wrote: as if it had not begun, but for the time it took. */
static void walk_flush_aborts(struct model *m, msec_t now)
{
	policy_file_flush_abort(&f);
	if (m->excused < now)
		m->excused = now;
	m->waiting = m->taken;
	m->taken = MSEC_NEVER;
	m->hurried = true;
}

static void walk_write(struct model *m, msec_t now)
{
	struct policy_scan scan = {.lines = rnd(30), .urgent = rnd(30) == 0};
	uint64_t bytes = 1 + rnd(rnd(20) ? 500 : 300000);

	if (m->empty)
		model_excuse(m, now);
	policy_file_write(&f, now, bytes, scan);
	model_change(m, now);
	m->empty = false;
	m->hurried |= scan.urgent || f.lines >= 100 || f.bytes >= 262144;
}

static void walk_replace(struct model *m, msec_t now)
{
	struct policy_file old = f;

	model_excuse(m, now);
	if (m->taken != MSEC_NEVER && m->excused < now)
		m->excused = now;
	/* The old version's flush goes on elsewhere; the model follows the new. */
	policy_file_init(&f, CLASS_VOLATILE);
	policy_file_write(&f, now, 1 + rnd(1000), no_scan);
	policy_file_replace(&f, old.cls, &old, now);
	model_change(m, now);
	m->taken = MSEC_NEVER;
	m->writers = 0;
	m->empty = false;
}

static void walk_event(struct model *m, msec_t now)
{
	switch (rnd(12)) {
	case 0:
		policy_file_touch(&f, now);
		model_change(m, now);
		break;
	case 1:
		policy_file_rewrite_begin(&f, now);
		model_change(m, now);
		m->writers++;
		m->empty = true;
		break;
	case 2:
	case 3:
		model_excuse(m, now);
		policy_file_rewrite_end(&f, now);
		m->writers -= m->writers > 0;
		m->empty &= m->writers > 0;
		break;
	case 4:
		walk_replace(m, now);
		break;
	case 5:
		if (rnd(8) == 0 && f.state != POLICY_CLEAN) {
			policy_file_demand(&f);
			m->hurried = true;
		}
		break;
	case 6:
		if (rnd(8) == 0 && (f.state == POLICY_DIRTY || f.state == POLICY_CLEAN)) {
			policy_file_drop(&f);
			m->waiting = MSEC_NEVER;
			m->failed = 0;
			m->excused = now;
			m->hurried = false;
		}
		break;
	default:
		walk_write(m, now);
	}
}

static void test_random_walk(void **state)
{
	static const enum policy_class classes[] = {CLASS_LOG, CLASS_APPEND, CLASS_SNAPSHOT, CLASS_STATE};
	struct model m = {.waiting = MSEC_NEVER};
	unsigned step, flushes = 0, full_waits = 0;
	msec_t now = 0, next, due;

	policy_config_init(&config); /* the figures above are the defaults */
	for (step = 0; step < 200000; step++) {
		uint64_t at = seed;
		const char *broken;

		if (step % 2000 == 0) {
			flushes += m.flushes;
			full_waits += m.full_waits;
			m = (struct model){.waiting = MSEC_NEVER, .taken = MSEC_NEVER};
			policy_file_init(&f, classes[step / 2000 % 4]);
		}
		/* The clock runs to the next event or to the due time, whichever
		 * comes first, as it does for a flusher that wakes in time. */
		next = now + rnd(rnd(4) ? 200 : 4000);
		due = policy_file_due(&f, &config);
		if (due <= next) {
			now = due > now ? due : now;
			walk_flush_begins(&m, now);
		} else {
			now = next;
			if ((f.state == POLICY_FLUSHING || f.state == POLICY_REDIRTIED) && rnd(2)) {
				if (rnd(8) == 0)
					walk_flush_aborts(&m, now);
				else
					walk_flush_ends(&m, now);
			} else {
				walk_event(&m, now);
			}
		}
		broken = policy_file_check(&f);
		if (broken)
			fail_msg("step %u, seed %#llx: %s", step, (unsigned long long)at, broken);
		assert_int_equal(f.state != POLICY_CLEAN, m.waiting != MSEC_NEVER || m.taken != MSEC_NEVER);
		if (f.state != POLICY_CLEAN && f.state != POLICY_FLUSHING)
			assert_true(f.first == m.waiting);
	}
	/* The walk says something only if much was flushed, and in time. */
	assert_true(flushes > 5000);
	assert_true(full_waits > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_walk)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
