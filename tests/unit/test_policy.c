/* One file's states and due times, as traces under a clock that the test turns. */
#include "policy/policy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct policy_config config;
static struct policy_file f;

static const struct policy_scan line = {.lines = 1, .urgent = false};
static const struct policy_scan urgent_line = {.lines = 1, .urgent = true};
static const struct policy_scan no_scan = {.lines = 0, .urgent = false};

/* Defaults, as figures that the traces below count with. */
static int setup(void **state)
{
	policy_config_init(&config);
	config.log_flush_ms = 5000;
	config.log_lines = 100;
	config.log_bytes = 262144;
	config.append_flush_ms = 2000;
	config.session_debounce_ms = 2000;
	config.session_max_ms = 5000;
	config.state_flush_ms = 1000;
	config.rewrite_max_ms = 30000;
	config.retry_ms = 1000;
	config.retry_max_ms = 60000;
	config.ram_max = 64 << 20;
	return 0;
}

static void start(enum policy_class cls)
{
	/* Shared memory may hold anything before. */
	memset(&f, 0xa5, sizeof(f));
	policy_file_init(&f, cls);
}

static void assert_state(enum policy_state expected)
{
	const char *broken = policy_file_check(&f);

	if (broken)
		fail_msg("invariant %s does not hold in state %d", broken, f.state);
	assert_int_equal(f.state, expected);
}

static void assert_due(msec_t expected)
{
	msec_t due = policy_file_due(&f, &config);

	if (due != expected)
		fail_msg("due at %lld, expected %lld", (long long)due, (long long)expected);
}

static void assert_cause(msec_t now, enum policy_cause expected)
{
	assert_string_equal(policy_cause_name(policy_file_cause(&f, &config, now)), policy_cause_name(expected));
}

static void write_at(msec_t now)
{
	policy_file_write(&f, now, 100, line);
}

static void flush(msec_t begin, msec_t end, int error)
{
	policy_file_flush_begin(&f, begin);
	policy_file_flush_end(&f, &config, end, error, false);
}

/* --- states x events ------------------------------------------------------ */

static void enter(enum policy_state wanted)
{
	start(CLASS_LOG);
	if (wanted == POLICY_CLEAN)
		return;
	write_at(1000);
	if (wanted == POLICY_DIRTY)
		return;
	policy_file_flush_begin(&f, 2000);
	if (wanted == POLICY_REDIRTIED)
		write_at(3000);
}

enum event {
	WRITE,
	TOUCH,
	BEGIN_REWRITE,
	END_REWRITE,
	REPLACE,
	DEMAND,
	DROP,
	BEGIN,
	END_OK,
	END_LEFT,
	END_FAILED,
	ABORT,
	EVENTS
};

static void happen(enum event e, msec_t now)
{
	switch (e) {
	case WRITE:
		write_at(now);
		break;
	case TOUCH:
		policy_file_touch(&f, now);
		break;
	case BEGIN_REWRITE:
		policy_file_rewrite_begin(&f, now);
		break;
	case END_REWRITE:
		policy_file_rewrite_end(&f, now);
		break;
	case REPLACE:
		policy_file_replace(&f, CLASS_LOG, NULL, now);
		break;
	case DEMAND:
		policy_file_demand(&f);
		break;
	case DROP:
		policy_file_drop(&f);
		break;
	case BEGIN:
		policy_file_flush_begin(&f, now);
		break;
	case END_OK:
		policy_file_flush_end(&f, &config, now, 0, false);
		break;
	case END_LEFT:
		policy_file_flush_end(&f, &config, now, 0, true);
		break;
	case END_FAILED:
		policy_file_flush_end(&f, &config, now, -EIO, false);
		break;
	case ABORT:
		policy_file_flush_abort(&f);
		break;
	case EVENTS:
		break;
	}
}

/* The state after the event at t=4000, then `first` and `in_flight_first` in
 * seconds, '-' for MSEC_NEVER. */
static const char *const transitions[] = {
	/* before, then after each of enum event in its order */
	[POLICY_CLEAN] = "C-- D4- D4- D4- C-- D4- C-- C-- C-- C-- C-- C-- C--",
	[POLICY_DIRTY] = "D1- D1- D1- D1- D1- D1- D1- C-- F-1 D1- D1- D1- D1-",
	[POLICY_FLUSHING] = "F-1 R41 R41 R41 F-1 R41 F-1 F-1 F-1 C-- D4- D1- D1-",
	[POLICY_REDIRTIED] = "R31 R31 R31 R31 R31 R31 R31 R31 R31 D3- D3- D1- D1-",
};

static void assert_like(const char *cell)
{
	static const char states[] = "CDFR";

	assert_state((enum policy_state)(strchr(states, cell[0]) - states));
	assert_true(f.first == (cell[1] == '-' ? MSEC_NEVER : (cell[1] - '0') * 1000));
	assert_true(f.in_flight_first == (cell[2] == '-' ? MSEC_NEVER : (cell[2] - '0') * 1000));
	if (f.state != POLICY_DIRTY)
		assert_due(MSEC_NEVER);
}

static void test_every_state_and_event(void **state)
{
	unsigned s, e;

	for (s = 0; s < 4; s++) {
		for (e = 0; e < EVENTS; e++) {
			enter((enum policy_state)s);
			assert_like(transitions[s]);
			happen((enum event)e, 4000);
			assert_like(transitions[s] + 4 + 4 * e);
		}
	}
}

static void test_counts_move_with_the_data(void **state)
{
	start(CLASS_LOG);
	policy_file_write(&f, 0, 300, (struct policy_scan){.lines = 3, .urgent = true});
	policy_file_write(&f, 5, 50, no_scan);
	assert_int_equal(f.bytes, 350);
	assert_int_equal(f.lines, 3);
	policy_file_flush_begin(&f, 10);
	assert_int_equal(f.bytes, 0);
	assert_int_equal(f.in_flight_bytes, 350);
	assert_int_equal(f.in_flight_lines, 3);
	assert_true(f.in_flight_urgent && !f.urgent);
	policy_file_write(&f, 20, 100, line);
	/* t=30: it fails, and all of it waits, from the oldest change to the latest */
	policy_file_flush_end(&f, &config, 30, -ENOSPC, false);
	assert_state(POLICY_DIRTY);
	assert_int_equal(f.bytes, 450);
	assert_int_equal(f.lines, 4);
	assert_true(f.urgent);
	assert_true(f.first == 0 && f.last == 20);
	assert_int_equal(f.error, -ENOSPC);
	flush(1030, 1040, 0);
	assert_state(POLICY_CLEAN);
	assert_int_equal(f.error, 0);
}

/* --- due times ------------------------------------------------------------ */

static void test_log_window(void **state)
{
	start(CLASS_LOG);
	assert_due(MSEC_NEVER);
	write_at(1000);
	assert_due(6000);
	write_at(5999); /* later lines do not postpone (P4) */
	assert_due(6000);
	assert_cause(5999, CAUSE_REACH);
	assert_cause(6000, CAUSE_INTERVAL);
	policy_file_flush_begin(&f, 6000);
	assert_due(MSEC_NEVER);
	write_at(6001);
	assert_due(MSEC_NEVER);
	policy_file_flush_end(&f, &config, 6100, 0, false);
	assert_due(11001);
}

static void test_log_bounds(void **state)
{
	int i;

	start(CLASS_LOG);
	for (i = 0; i < 99; i++)
		write_at(10 + i);
	assert_due(5010);
	write_at(200);
	assert_due(10);
	assert_cause(200, CAUSE_LINES);

	start(CLASS_LOG);
	policy_file_write(&f, 10, 262143, line);
	assert_due(5010);
	policy_file_write(&f, 20, 1, no_scan);
	assert_due(10);
	assert_cause(20, CAUSE_BYTES);

	/* 0 is no bound */
	config.log_lines = 0;
	config.log_bytes = 0;
	policy_file_write(&f, 30, UINT64_MAX, (struct policy_scan){.lines = UINT32_MAX, .urgent = false});
	assert_int_equal(f.lines, UINT32_MAX);
	assert_true(f.bytes == UINT64_MAX);
	assert_due(5010);
}

static void test_append(void **state)
{
	start(CLASS_APPEND);
	policy_file_write(&f, 100, 50, (struct policy_scan){.lines = 5000, .urgent = true});
	assert_due(2100); /* neither lines nor urgency count here */
	policy_file_write(&f, 200, 262144, no_scan);
	assert_due(100);
	assert_cause(200, CAUSE_BYTES);
}

/* A debounce without a cap never fires under steady load. */
static void test_snapshot_debounce_and_cap(void **state)
{
	start(CLASS_SNAPSHOT);
	policy_file_touch(&f, 0);
	assert_due(2000);
	policy_file_touch(&f, 1500);
	assert_due(3500);
	policy_file_touch(&f, 3000); /* 3000 + 2000 and 0 + 5000 meet */
	assert_due(5000);
	policy_file_touch(&f, 4999);
	assert_due(5000);
	assert_cause(4999, CAUSE_REACH);
	assert_cause(5000, CAUSE_INTERVAL);
}

static void test_other_classes(void **state)
{
	static const enum policy_class like_state[] = {CLASS_STATE, CLASS_SQLITE, CLASS_THROUGH};
	size_t i;

	for (i = 0; i < 3; i++) {
		start(like_state[i]);
		write_at(0);
		write_at(900);
		assert_due(1000);
	}
	start(CLASS_VOLATILE);
	policy_file_write(&f, 0, 1 << 30, urgent_line);
	assert_due(MSEC_NEVER);
	assert_cause(MSEC_NEVER - 1, CAUSE_REACH);
	policy_file_demand(&f);
	assert_due(0);
}

static void test_urgent_at_most_once_a_second(void **state)
{
	start(CLASS_LOG);
	policy_file_write(&f, 0, 10, urgent_line);
	assert_due(0);
	assert_cause(0, CAUSE_URGENT);
	flush(0, 5, 0);
	/* t=10: urgent again, but the second is not over */
	policy_file_write(&f, 10, 10, urgent_line);
	assert_due(1000);
	assert_cause(999, CAUSE_REACH);
	assert_cause(1000, CAUSE_URGENT);
	flush(1000, 1001, 0);
	/* an ordinary flush between does not start a second of its own */
	write_at(1100);
	flush(1200, 1201, 0);
	policy_file_write(&f, 1300, 10, urgent_line);
	assert_due(2000);
	/* t=2500: long over, so at once */
	flush(2000, 2001, 0);
	policy_file_write(&f, 3500, 10, urgent_line);
	assert_due(3500);

	config.log_urgent = false;
	assert_due(8500);
	assert_cause(8500, CAUSE_INTERVAL);

	/* a window that is shorter than the second stays the bound */
	config.log_urgent = true;
	config.log_flush_ms = 100;
	flush(3500, 3501, 0);
	policy_file_write(&f, 3600, 10, urgent_line);
	assert_due(3700);
	assert_cause(3700, CAUSE_INTERVAL);
}

static void test_urgent_survives_a_failure(void **state)
{
	start(CLASS_LOG);
	policy_file_write(&f, 0, 10, urgent_line);
	flush(0, 50, -EIO);
	assert_true(f.urgent);
	assert_due(1050); /* retry_at, later than the second */
	assert_cause(1050, CAUSE_URGENT);
}

static void test_demand(void **state)
{
	start(CLASS_LOG);
	policy_file_demand(&f);
	assert_state(POLICY_CLEAN); /* I1: nothing to be durable */
	write_at(100);
	policy_file_demand(&f);
	assert_due(100);
	assert_cause(150, CAUSE_SYNC);
	/* t=150: the flush takes the demand with it; its failure is the answer,
	 * and the next try waits */
	flush(150, 200, -EIO);
	assert_due(5100);
	assert_cause(5100, CAUSE_INTERVAL);
	/* t=300: the next fsync tries at once, whatever retry_at says */
	policy_file_demand(&f);
	assert_due(100);
	/* t=300..320: one that comes during the flush asks for another if that
	 * one does not leave the file clean */
	policy_file_flush_begin(&f, 300);
	policy_file_demand(&f);
	policy_file_flush_end(&f, &config, 320, -EIO, false);
	assert_due(100);
	policy_file_flush_begin(&f, 320);
	policy_file_demand(&f);
	write_at(330);
	policy_file_flush_end(&f, &config, 340, 0, false);
	assert_due(330);
	policy_file_flush_begin(&f, 340);
	policy_file_demand(&f);
	policy_file_flush_end(&f, &config, 350, 0, true);
	assert_due(350);
	policy_file_flush_begin(&f, 350);
	policy_file_demand(&f);
	policy_file_flush_end(&f, &config, 360, 0, false);
	assert_state(POLICY_CLEAN);
	write_at(400);
	assert_due(5400);
}

/* --- failures (P9) -------------------------------------------------------- */

static void test_back_off(void **state)
{
	static const msec_t waits[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
	msec_t now = 10000;
	size_t i;

	start(CLASS_LOG);
	write_at(5000);
	for (i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		flush(now, now + 10, -EIO);
		assert_state(POLICY_DIRTY);
		assert_true(f.first == 5000);
		assert_due(now + 10 + waits[i]);
		assert_cause(now + 10 + waits[i] - 1, CAUSE_REACH);
		now += 10 + waits[i];
	}
	assert_int_equal(f.failures, i);
	flush(now, now + 10, 0);
	assert_state(POLICY_CLEAN);
	/* the next failure begins with the first wait again */
	write_at(now + 20);
	flush(now + 5020, now + 5030, -EIO);
	assert_due(now + 6030);
}

static void test_back_off_does_not_hurry(void **state)
{
	start(CLASS_LOG);
	write_at(0);
	/* t=100: taken along by an epoch, fails; retry_at 1110 lies before its window's end */
	flush(100, 110, -EIO);
	assert_due(5000);
	/* a debounce goes on where it was */
	start(CLASS_SNAPSHOT);
	policy_file_touch(&f, 0);
	policy_file_touch(&f, 1000);
	flush(1100, 1110, -EIO);
	assert_true(f.last == 1000);
	assert_due(3000);
}

static void test_failures_saturate(void **state)
{
	start(CLASS_STATE);
	write_at(0);
	f.failures = UINT32_MAX;
	f.retry_at = 1;
	f.error = -EIO;
	flush(10, 20, -EIO);
	assert_int_equal(f.failures, UINT32_MAX);
	assert_due(60020);
	config.retry_ms = INT64_MAX / 2;
	config.retry_max_ms = INT64_MAX;
	flush(60020, 60030, -EIO);
	assert_due(MSEC_NEVER); /* never is absurd, the past would be wrong */
	assert_state(POLICY_DIRTY);
	/* no wait at all is still a failure (I5) */
	config.retry_ms = 0;
	start(CLASS_STATE);
	write_at(0);
	flush(0, 0, -EIO);
	assert_state(POLICY_DIRTY);
	assert_due(1000);
}

/* --- rewriting in place (P3) ---------------------------------------------- */

static void test_rewrite_hold(void **state)
{
	start(CLASS_STATE);
	/* t=0: open with O_TRUNC; nothing but the write that follows may let it go */
	policy_file_rewrite_begin(&f, 0);
	assert_due(MSEC_NEVER);
	assert_cause(MSEC_NEVER - 1, CAUSE_REACH);
	/* t=20: first half; t=40: second half; t=50: close */
	write_at(20);
	assert_due(30000);
	write_at(40);
	assert_due(30000);
	policy_file_rewrite_end(&f, 50);
	assert_due(1000);
	assert_state(POLICY_DIRTY);
}

static void test_rewrite_hold_has_a_cap(void **state)
{
	start(CLASS_STATE);
	write_at(500);
	policy_file_rewrite_begin(&f, 1000);
	write_at(1001);
	assert_due(30500); /* from the first change, not from the truncation */
	assert_cause(30499, CAUSE_REACH);
	assert_cause(30500, CAUSE_INTERVAL);
	flush(30500, 30510, 0);
	/* it is still open: the next change is held as long again */
	write_at(31000);
	assert_due(61000);
	/* t=40000: closed; its window is long over */
	policy_file_rewrite_end(&f, 40000);
	assert_due(32000);

	/* t=41000: a retry that lies behind the cap is waited for all the same */
	config.retry_ms = 40000;
	policy_file_rewrite_begin(&f, 40500);
	write_at(40501);
	flush(41000, 41010, -EIO);
	assert_due(81010);

	/* the window stays the lower bound when the cap is shorter */
	config.rewrite_max_ms = 10;
	start(CLASS_SNAPSHOT);
	policy_file_rewrite_begin(&f, 0);
	write_at(1);
	assert_due(2001);
}

static void test_closed_empty_is_written_empty(void **state)
{
	start(CLASS_SNAPSHOT);
	policy_file_rewrite_begin(&f, 0);
	assert_due(MSEC_NEVER);
	policy_file_rewrite_end(&f, 10);
	assert_due(2000);
	assert_state(POLICY_DIRTY);
}

static void test_two_rewriters(void **state)
{
	start(CLASS_STATE);
	policy_file_rewrite_begin(&f, 0);
	write_at(10);
	policy_file_rewrite_begin(&f, 20); /* the second cuts what the first wrote */
	assert_due(MSEC_NEVER);
	policy_file_rewrite_end(&f, 30); /* the first is gone, the cut is not */
	assert_due(MSEC_NEVER);
	write_at(40);
	assert_due(30000);
	policy_file_rewrite_end(&f, 50);
	assert_due(1000);
	policy_file_rewrite_end(&f, 60); /* one too many does no harm */
	assert_int_equal(f.rewriting, 0);
	assert_due(1000);
}

static void test_nothing_but_a_write_fills(void **state)
{
	start(CLASS_STATE);
	policy_file_rewrite_begin(&f, 0);
	policy_file_touch(&f, 10);
	policy_file_write(&f, 20, 0, no_scan);
	assert_due(MSEC_NEVER);
	write_at(30);
	assert_due(30000);
}

static void test_demand_breaks_the_hold(void **state)
{
	start(CLASS_STATE);
	policy_file_rewrite_begin(&f, 100);
	policy_file_demand(&f);
	assert_due(100);
	assert_cause(100, CAUSE_SYNC);
	flush(110, 120, 0);
	assert_state(POLICY_CLEAN);
	write_at(200);
	assert_due(30200);
}

static void test_hold_is_for_whole_files(void **state)
{
	start(CLASS_LOG);
	policy_file_rewrite_begin(&f, 0);
	assert_due(5000);
	start(CLASS_APPEND);
	policy_file_rewrite_begin(&f, 0);
	assert_due(2000);
}

/* --- replace -------------------------------------------------------------- */

/* A session save: a temporary file, renamed over the last version. */
static struct policy_file saved(const struct policy_file *old, msec_t now)
{
	struct policy_file tmp;

	policy_file_init(&tmp, CLASS_VOLATILE);
	policy_file_write(&tmp, now - 10, 100000, no_scan);
	policy_file_replace(&tmp, CLASS_SNAPSHOT, old, now);
	assert_null(policy_file_check(&tmp));
	assert_int_equal(tmp.cls, CLASS_SNAPSHOT);
	assert_int_equal(tmp.state, POLICY_DIRTY);
	return tmp;
}

static void test_steady_saves_cannot_postpone(void **state)
{
	msec_t now;

	f = saved(NULL, 1000);
	assert_due(3000); /* the temporary file's own time does not count */
	for (now = 1500; now < 6000; now += 500) {
		f = saved(&f, now);
		assert_due(now + 2000 < 6000 ? now + 2000 : 6000);
	}
	flush(6000, 6010, 0);
	f = saved(&f, 6500); /* over a clean one */
	assert_due(8500);
	assert_true(f.first == 6500);
}

static void test_replace_while_flushing(void **state)
{
	struct policy_file old = saved(NULL, 1000);

	/* t=3000: the flush takes the old version; t=3010: a new one comes */
	policy_file_flush_begin(&old, 3000);
	f = saved(&old, 3010);
	assert_true(f.first == 3010);
	/* or the old one was touched first, which the flush has not taken */
	policy_file_touch(&old, 3005);
	assert_int_equal(old.state, POLICY_REDIRTIED);
	f = saved(&old, 3010);
	assert_true(f.first == 3005);
	assert_due(5010);
}

static void test_replace_keeps_its_own_wait(void **state)
{
	/* t=0 a.json changes, t=600 it is renamed to b.json, whose last change is of t=300 */
	struct policy_file old;

	policy_file_init(&old, CLASS_STATE);
	policy_file_touch(&old, 300);
	start(CLASS_STATE);
	write_at(0);
	policy_file_replace(&f, CLASS_STATE, &old, 600);
	assert_due(1000);
	/* a clean file's rename is a change of now */
	start(CLASS_LOG);
	policy_file_replace(&f, CLASS_STATE, NULL, 600);
	assert_due(1600);
	/* what waits of a volatile file never was to get to the lower */
	policy_file_init(&old, CLASS_VOLATILE);
	policy_file_touch(&old, 0);
	start(CLASS_STATE);
	policy_file_replace(&f, CLASS_STATE, &old, 600);
	assert_due(1600);
	/* renamed away into RAM, nothing waits */
	policy_file_replace(&f, CLASS_VOLATILE, NULL, 700);
	assert_due(MSEC_NEVER);
	assert_state(POLICY_DIRTY);
}

static void test_replace_hands_on(void **state)
{
	struct policy_file old = saved(NULL, 0);

	/* a `flush` waits for the old version: the new one serves it */
	policy_file_demand(&old);
	f = saved(&old, 100);
	assert_due(0);
	assert_cause(100, CAUSE_SYNC);
	/* a card that fails is not tried more often because there is a new version */
	policy_file_flush_begin(&old, 200);
	policy_file_flush_end(&old, &config, 210, -ENOSPC, false);
	policy_file_flush_begin(&old, 1210);
	policy_file_flush_end(&old, &config, 1220, -ENOSPC, false);
	f = saved(&old, 1300);
	assert_true(f.first == 0);
	assert_int_equal(f.failures, 2);
	assert_int_equal(f.error, -ENOSPC);
	assert_due(3300); /* the debounce, later than retry_at = 3220 */
	f = saved(&f, 1200);
	assert_due(3220);
}

static void test_replace_by_a_file_in_flight(void **state)
{
	struct policy_file old = saved(NULL, 500);

	start(CLASS_SNAPSHOT);
	write_at(1000);
	policy_file_flush_begin(&f, 2000);
	policy_file_replace(&f, CLASS_SNAPSHOT, &old, 2010);
	assert_state(POLICY_REDIRTIED);
	assert_true(f.first == 500);
	policy_file_flush_end(&f, &config, 2020, -EIO, false);
	assert_state(POLICY_DIRTY);
	assert_true(f.first == 500); /* older than what the flush took */
}

/* --- leftovers, drop, time ------------------------------------------------ */

static void test_left_behind(void **state)
{
	start(CLASS_LOG);
	policy_file_write(&f, 0, 10, no_scan); /* half a line */
	policy_file_flush_begin(&f, 5000);
	policy_file_flush_end(&f, &config, 5010, 0, true);
	assert_state(POLICY_DIRTY);
	assert_due(10010);
	/* changed meanwhile: as it was changed */
	policy_file_flush_begin(&f, 10010);
	write_at(10015);
	policy_file_flush_end(&f, &config, 10020, 0, true);
	assert_due(15015);
	/* a failure leaves everything behind, with its old first */
	policy_file_flush_begin(&f, 15015);
	policy_file_flush_end(&f, &config, 15020, -EIO, true);
	assert_true(f.first == 10015);
}

/* A flush that wrote nothing was no try: all waits again as it did before, with
 * no failure to back off from. */
static void test_abort(void **state)
{
	start(CLASS_STATE);
	policy_file_write(&f, 0, 10, urgent_line);
	policy_file_touch(&f, 400);
	/* t=1000: the flush begins; t=1005: a writer cuts the file under it */
	policy_file_flush_begin(&f, 1000);
	policy_file_rewrite_begin(&f, 1005);
	policy_file_flush_abort(&f);
	assert_state(POLICY_DIRTY);
	assert_true(f.first == 0 && f.last == 1005);
	assert_true(f.bytes == 10 && f.lines == 1 && f.urgent);
	assert_int_equal(f.failures, 0);
	assert_due(MSEC_NEVER);
	write_at(1010);
	policy_file_rewrite_end(&f, 1020);
	assert_due(1000);
	/* nothing changed meanwhile: a debounce goes on where it was */
	start(CLASS_SNAPSHOT);
	policy_file_touch(&f, 0);
	policy_file_touch(&f, 1000);
	policy_file_flush_begin(&f, 1100);
	policy_file_flush_abort(&f);
	assert_due(3000);
	/* and a back-off that was running runs on */
	flush(3000, 3010, -EIO);
	policy_file_demand(&f);
	policy_file_flush_begin(&f, 3100);
	policy_file_flush_abort(&f);
	assert_int_equal(f.failures, 1);
	assert_int_equal(f.error, -EIO);
	assert_due(4010);
}

static void test_drop(void **state)
{
	start(CLASS_STATE);
	policy_file_rewrite_begin(&f, 0);
	flush(0, 10, -EIO);
	policy_file_demand(&f);
	policy_file_drop(&f);
	assert_state(POLICY_CLEAN);
	assert_int_equal(f.rewriting, 1); /* its writer will still close it */
	policy_file_rewrite_end(&f, 20);
	assert_state(POLICY_CLEAN);
	assert_due(MSEC_NEVER);
}

static void test_time_saturates(void **state)
{
	start(CLASS_SNAPSHOT);
	policy_file_touch(&f, MSEC_NEVER - 1000);
	assert_due(MSEC_NEVER);
	policy_file_touch(&f, MSEC_NEVER); /* no change is at "never" (I2) */
	assert_state(POLICY_DIRTY);
	policy_file_flush_begin(&f, MSEC_NEVER);
	policy_file_flush_end(&f, &config, MSEC_NEVER, -EIO, false);
	assert_state(POLICY_DIRTY);
	assert_due(MSEC_NEVER);

	start(CLASS_LOG);
	policy_file_write(&f, MSEC_NEVER - 1, 1, urgent_line);
	flush(MSEC_NEVER, MSEC_NEVER, 0);
	policy_file_write(&f, MSEC_NEVER, 1, urgent_line);
	assert_due(MSEC_NEVER);
	policy_file_demand(&f);
	assert_due(MSEC_NEVER - 1);

	config.log_flush_ms = INT64_MAX;
	config.log_urgent = false;
	start(CLASS_LOG);
	write_at(5);
	assert_due(MSEC_NEVER);
	config.log_flush_ms = 0;
	assert_due(5);
}

/* Each invariant is found broken by the check, and named. */
static void test_check_finds(void **state)
{
	enter(POLICY_CLEAN);
	f.lines = 1;
	assert_string_equal(policy_file_check(&f), "I1");
	enter(POLICY_CLEAN);
	f.demanded = true;
	assert_string_equal(policy_file_check(&f), "I1");
	enter(POLICY_DIRTY);
	f.first = f.last + 1;
	assert_string_equal(policy_file_check(&f), "I2");
	enter(POLICY_REDIRTIED);
	f.last = MSEC_NEVER;
	assert_string_equal(policy_file_check(&f), "I2");
	enter(POLICY_FLUSHING);
	f.first = 0;
	assert_string_equal(policy_file_check(&f), "I3");
	enter(POLICY_FLUSHING);
	f.in_flight_first = MSEC_NEVER;
	assert_string_equal(policy_file_check(&f), "I3");
	enter(POLICY_REDIRTIED);
	f.in_flight_first = MSEC_NEVER;
	assert_string_equal(policy_file_check(&f), "I4");
	enter(POLICY_DIRTY);
	f.in_flight_bytes = 1;
	assert_string_equal(policy_file_check(&f), "I4");
	enter(POLICY_DIRTY);
	f.retry_at = 1;
	assert_string_equal(policy_file_check(&f), "I5");
	enter(POLICY_DIRTY);
	f.failures = 1;
	assert_string_equal(policy_file_check(&f), "I5");
	enter(POLICY_DIRTY);
	f.truncated = true;
	assert_string_equal(policy_file_check(&f), "I6");
}

/* --- RAM (P11) ------------------------------------------------------------ */

static void test_pressure(void **state)
{
	config.ram_max = 8000;
	assert_int_equal(policy_pressure(&config, 0), PRESSURE_NONE);
	assert_int_equal(policy_pressure(&config, 3999), PRESSURE_NONE);
	assert_int_equal(policy_pressure(&config, 4000), PRESSURE_SOFT);
	assert_int_equal(policy_pressure(&config, 6999), PRESSURE_SOFT);
	assert_int_equal(policy_pressure(&config, 7000), PRESSURE_HARD);
	assert_int_equal(policy_pressure(&config, UINT64_MAX), PRESSURE_HARD);
	/* fractions: half of 8003 is 4001.5, 7/8 of it 7002.6 */
	config.ram_max = 8003;
	assert_int_equal(policy_pressure(&config, 4001), PRESSURE_NONE);
	assert_int_equal(policy_pressure(&config, 4002), PRESSURE_SOFT);
	assert_int_equal(policy_pressure(&config, 7002), PRESSURE_SOFT);
	assert_int_equal(policy_pressure(&config, 7003), PRESSURE_HARD);
	config.ram_max = INT64_MAX;
	assert_int_equal(policy_pressure(&config, (uint64_t)INT64_MAX / 2), PRESSURE_NONE);
	assert_int_equal(policy_pressure(&config, INT64_MAX), PRESSURE_HARD);
}

static void test_admit(void **state)
{
	config.ram_max = 8000;
	assert_true(policy_admit(&config, 0, 8000));
	assert_false(policy_admit(&config, 0, 8001));
	assert_true(policy_admit(&config, 7999, 1));
	assert_false(policy_admit(&config, 7999, 2));
	assert_true(policy_admit(&config, 8000, 0));
	assert_false(policy_admit(&config, 8001, 0));
	assert_false(policy_admit(&config, 1, UINT64_MAX));
	assert_false(policy_admit(&config, UINT64_MAX, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_every_state_and_event, setup),
		cmocka_unit_test_setup(test_counts_move_with_the_data, setup),
		cmocka_unit_test_setup(test_log_window, setup),
		cmocka_unit_test_setup(test_log_bounds, setup),
		cmocka_unit_test_setup(test_append, setup),
		cmocka_unit_test_setup(test_snapshot_debounce_and_cap, setup),
		cmocka_unit_test_setup(test_other_classes, setup),
		cmocka_unit_test_setup(test_urgent_at_most_once_a_second, setup),
		cmocka_unit_test_setup(test_urgent_survives_a_failure, setup),
		cmocka_unit_test_setup(test_demand, setup),
		cmocka_unit_test_setup(test_back_off, setup),
		cmocka_unit_test_setup(test_back_off_does_not_hurry, setup),
		cmocka_unit_test_setup(test_failures_saturate, setup),
		cmocka_unit_test_setup(test_rewrite_hold, setup),
		cmocka_unit_test_setup(test_rewrite_hold_has_a_cap, setup),
		cmocka_unit_test_setup(test_closed_empty_is_written_empty, setup),
		cmocka_unit_test_setup(test_two_rewriters, setup),
		cmocka_unit_test_setup(test_nothing_but_a_write_fills, setup),
		cmocka_unit_test_setup(test_demand_breaks_the_hold, setup),
		cmocka_unit_test_setup(test_hold_is_for_whole_files, setup),
		cmocka_unit_test_setup(test_steady_saves_cannot_postpone, setup),
		cmocka_unit_test_setup(test_replace_while_flushing, setup),
		cmocka_unit_test_setup(test_replace_keeps_its_own_wait, setup),
		cmocka_unit_test_setup(test_replace_hands_on, setup),
		cmocka_unit_test_setup(test_replace_by_a_file_in_flight, setup),
		cmocka_unit_test_setup(test_left_behind, setup),
		cmocka_unit_test_setup(test_abort, setup),
		cmocka_unit_test_setup(test_drop, setup),
		cmocka_unit_test_setup(test_time_saturates, setup),
		cmocka_unit_test_setup(test_check_finds, setup),
		cmocka_unit_test_setup(test_pressure, setup),
		cmocka_unit_test_setup(test_admit, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
