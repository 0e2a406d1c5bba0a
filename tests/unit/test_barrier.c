/* The WAL's barrier, rule by rule, as traces under a clock that the test turns.
 * test_barrier_model.c tries all orders. */
#include "policy/barrier.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WAL BARRIER_SYNC_WAL
#define DB  BARRIER_SYNC_DB
enum { SYNC_MS = 5000, RETRY_MS = 1000, RETRY_MAX_MS = 60000 };

static struct policy_barrier b;

static void check(void)
{
	const char *broken = policy_barrier_check(&b);

	if (broken)
		fail_msg("invariant %s does not hold", broken);
}

static void start(enum policy_sync mode)
{
	/* Shared memory may hold anything before. */
	memset(&b, 0xa5, sizeof(b));
	policy_barrier_init(&b, mode);
	check();
}

static void assert_needs(enum barrier_event event, unsigned expected)
{
	unsigned need = policy_barrier_before(&b, event);

	if (need != expected)
		fail_msg("event %d needs %u, expected %u", (int)event, need, expected);
}

static void assert_due(msec_t expected)
{
	msec_t due = policy_barrier_due(&b, SYNC_MS);

	if (due != expected)
		fail_msg("due at %lld, expected %lld", (long long)due, (long long)expected);
}

static void event(enum barrier_event what, msec_t now)
{
	policy_barrier_after(&b, what, now);
	check();
}

static uint64_t begin(enum barrier_action what)
{
	uint64_t token = policy_barrier_sync_begin(&b, what);

	check();
	return token;
}

static void end(enum barrier_action what, uint64_t token, int error, msec_t now)
{
	policy_barrier_sync_end(&b, what, token, error, now, RETRY_MS, RETRY_MAX_MS);
	check();
}

static void sync_at(enum barrier_action what, msec_t now)
{
	end(what, begin(what), 0, now);
}

/* As a file system that obeys handles a call: what is needed, then the call. */
static void obey(enum barrier_event what, msec_t now)
{
	unsigned need;

	while ((need = policy_barrier_before(&b, what)) != 0) {
		if (need & WAL)
			sync_at(WAL, now);
		if (need & DB)
			sync_at(DB, now);
	}
	event(what, now);
}

/* A WAL with a durable header and nothing outstanding. */
static void start_generation(enum policy_sync mode)
{
	start(mode);
	obey(BARRIER_WAL_HEAD, 0);
	obey(BARRIER_WAL_FSYNC, 0);
	assert_true(b.wal_durable == b.wal_seq);
	b.fsyncs_asked = b.fsyncs_done = b.fsyncs_elided = 0;
	b.longest = 0;
}

/* --- the rules -------------------------------------------------------------- */

static void test_nothing_outstanding_needs_nothing(void **state)
{
	static const enum policy_sync modes[] = {SYNC_NORMAL, SYNC_FULL, SYNC_OFF};

	for (unsigned m = 0; m < 3; m++) {
		start(modes[m]);
		for (int e = 0; e < BARRIER_EVENTS; e++)
			assert_needs((enum barrier_event)e, 0);
		assert_due(MSEC_NEVER);
		/* and an fsync of nothing starts no clock */
		event(BARRIER_WAL_FSYNC, 10);
		assert_due(MSEC_NEVER);
		assert_int_equal(b.fsyncs_asked, 1);
		assert_int_equal(b.fsyncs_elided, 0);
	}
}

static void test_b1_frames_wait_for_the_header(void **state)
{
	static const enum policy_sync modes[] = {SYNC_NORMAL, SYNC_FULL, SYNC_OFF};

	for (unsigned m = 0; m < 3; m++) {
		start(modes[m]);
		event(BARRIER_WAL_HEAD, 0);
		assert_needs(BARRIER_WAL_WRITE, WAL);
		assert_needs(BARRIER_WAL_FSYNC, WAL); /* in every mode */
		sync_at(WAL, 1);
		assert_needs(BARRIER_WAL_WRITE, 0);
		/* Frames do not wait for frames. */
		event(BARRIER_WAL_WRITE, 2);
		event(BARRIER_WAL_WRITE, 3);
		assert_needs(BARRIER_WAL_WRITE, 0);
	}
}

static void test_b1_a_sync_before_the_header_does_not_cover_it(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 1);
	uint64_t token = begin(WAL);
	event(BARRIER_WAL_HEAD, 2);
	end(WAL, token, 0, 3);
	assert_needs(BARRIER_WAL_WRITE, WAL);
	sync_at(WAL, 4);
	assert_needs(BARRIER_WAL_WRITE, 0);
}

static void test_b2_the_log_goes_only_when_the_database_is_durable(void **state)
{
	static const enum barrier_event ends[] = {BARRIER_WAL_HEAD, BARRIER_WAL_TRUNCATE, BARRIER_WAL_UNLINK};

	for (unsigned i = 0; i < 3; i++) {
		start_generation(SYNC_NORMAL);
		event(BARRIER_WAL_WRITE, 1);
		assert_needs(ends[i], 0); /* nothing was written to the database */
		obey(BARRIER_DB_WRITE, 2);
		assert_needs(ends[i], DB);
		uint64_t token = begin(DB);
		event(BARRIER_DB_WRITE, 3);
		end(DB, token, 0, 4);
		assert_needs(ends[i], DB); /* the second write came after the sync began */
		sync_at(DB, 5);
		assert_needs(ends[i], 0);
	}
}

static void test_b3_the_database_waits_for_the_whole_log(void **state)
{
	static const enum policy_sync modes[] = {SYNC_NORMAL, SYNC_FULL, SYNC_OFF};

	for (unsigned m = 0; m < 3; m++) {
		start_generation(modes[m]);
		event(BARRIER_WAL_WRITE, 1);
		assert_needs(BARRIER_DB_WRITE, WAL);
		uint64_t token = begin(WAL);
		event(BARRIER_WAL_WRITE, 2);
		end(WAL, token, 0, 3);
		assert_needs(BARRIER_DB_WRITE, WAL);
		sync_at(WAL, 4);
		assert_needs(BARRIER_DB_WRITE, 0);
		event(BARRIER_DB_WRITE, 5);
		assert_needs(BARRIER_DB_WRITE, 0); /* pages do not wait for pages */
		event(BARRIER_WAL_TRUNCATE, 6);
		assert_needs(BARRIER_DB_WRITE, WAL); /* a truncation is a change of the log, too */
	}
}

static void test_b4_a_rename_waits_for_both(void **state)
{
	start_generation(SYNC_OFF);
	event(BARRIER_WAL_WRITE, 1);
	assert_needs(BARRIER_RENAME, WAL);
	obey(BARRIER_DB_WRITE, 2);
	assert_needs(BARRIER_RENAME, DB);
	event(BARRIER_WAL_WRITE, 3);
	assert_needs(BARRIER_RENAME, WAL | DB);
	obey(BARRIER_RENAME, 4);
	assert_needs(BARRIER_RENAME, 0);
}

static void test_b5_normal_is_due_a_fifth_before_the_bound(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 100);
	assert_due(MSEC_NEVER); /* nobody asked */
	assert_needs(BARRIER_WAL_FSYNC, 0);
	event(BARRIER_WAL_FSYNC, 100);
	assert_due(4100);
	/* The first ask decides, later ones do not put it off. */
	event(BARRIER_WAL_WRITE, 3000);
	event(BARRIER_WAL_FSYNC, 3000);
	assert_due(4100);
	sync_at(WAL, 4150);
	assert_due(MSEC_NEVER);
	assert_int_equal(b.fsyncs_asked, 2);
	assert_int_equal(b.fsyncs_elided, 2);
	assert_int_equal(b.fsyncs_done, 1);
	assert_int_equal(b.longest, 4050);
	/* The next one starts a clock of its own. */
	event(BARRIER_WAL_WRITE, 5000);
	event(BARRIER_WAL_FSYNC, 5001);
	assert_due(9001);
}

static void test_b5_the_bound_is_scaled_with_sync_ms(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 0);
	event(BARRIER_WAL_FSYNC, 10);
	assert_true(policy_barrier_due(&b, 1000) == 810);
	assert_true(policy_barrier_due(&b, 5) == 14);
	assert_true(policy_barrier_due(&b, 1) == 11);
	assert_true(policy_barrier_due(&b, 0) == 10);
}

static void test_b5_a_barrier_keeps_the_promise_early(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 0);
	event(BARRIER_WAL_FSYNC, 0);
	obey(BARRIER_DB_WRITE, 1000);
	assert_due(MSEC_NEVER);
	assert_int_equal(b.longest, 1000);
}

/* --- modes ------------------------------------------------------------------ */

static void test_full_elides_nothing(void **state)
{
	start_generation(SYNC_FULL);
	for (msec_t now = 0; now < 5; now++) {
		event(BARRIER_WAL_WRITE, now);
		assert_needs(BARRIER_WAL_FSYNC, WAL);
		obey(BARRIER_WAL_FSYNC, now);
		assert_due(MSEC_NEVER);
	}
	assert_int_equal(b.fsyncs_asked, 5);
	assert_int_equal(b.fsyncs_done, 5);
	assert_int_equal(b.fsyncs_elided, 0);
}

static void test_off_has_no_clock(void **state)
{
	start_generation(SYNC_OFF);
	event(BARRIER_WAL_WRITE, 0);
	obey(BARRIER_WAL_FSYNC, 0);
	assert_due(MSEC_NEVER);
	assert_int_equal(b.fsyncs_elided, 1);
	assert_int_equal(b.fsyncs_done, 0);
	assert_needs(BARRIER_DB_WRITE, WAL);
}

static void test_fsync_of_the_database_is_always_done(void **state)
{
	static const enum policy_sync modes[] = {SYNC_NORMAL, SYNC_FULL, SYNC_OFF};

	for (unsigned m = 0; m < 3; m++) {
		start(modes[m]);
		event(BARRIER_DB_WRITE, 0);
		assert_needs(BARRIER_DB_FSYNC, DB);
		obey(BARRIER_DB_FSYNC, 0);
		assert_needs(BARRIER_DB_FSYNC, 0);
		assert_int_equal(b.fsyncs_done, 1);
		assert_int_equal(b.fsyncs_elided, 0);
		/* It never touches the log's account. */
		event(BARRIER_WAL_WRITE, 1);
		obey(BARRIER_DB_FSYNC, 1);
		assert_needs(BARRIER_DB_WRITE, WAL);
	}
}

static void test_names_of_modes(void **state)
{
	for (int m = 0; m < SYNC_COUNT; m++)
		assert_int_equal(policy_sync_parse(policy_sync_name((enum policy_sync)m)), m);
	assert_int_equal(policy_sync_parse("normal"), SYNC_NORMAL);
	assert_int_equal(policy_sync_parse(""), SYNC_COUNT);
	assert_int_equal(policy_sync_parse("FULL"), SYNC_COUNT);
	assert_int_equal(policy_sync_parse("offer"), SYNC_COUNT);
}

/* --- while a sync is in flight ------------------------------------------------ */

static void test_what_is_written_meanwhile_is_not_covered(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 0);
	event(BARRIER_WAL_FSYNC, 0);
	uint64_t token = begin(WAL);
	event(BARRIER_WAL_WRITE, 10);
	event(BARRIER_WAL_FSYNC, 10);
	assert_due(4010);
	end(WAL, token, 0, 20);
	assert_due(4010);
	assert_int_equal(b.longest, 20);
	assert_needs(BARRIER_DB_WRITE, WAL);
	sync_at(WAL, 4010);
	assert_int_equal(b.longest, 4000);
}

static void test_an_ask_meanwhile_without_a_write_is_kept_by_it(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 0);
	uint64_t token = begin(WAL);
	event(BARRIER_WAL_FSYNC, 10);
	end(WAL, token, 0, 50);
	assert_due(MSEC_NEVER);
	assert_int_equal(b.longest, 40);
}

static void test_a_failure_in_flight_gives_the_older_ask_back(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 0);
	event(BARRIER_WAL_FSYNC, 0);
	uint64_t token = begin(WAL);
	event(BARRIER_WAL_WRITE, 10);
	event(BARRIER_WAL_FSYNC, 10);
	end(WAL, token, -EIO, 20);
	assert_true(b.asked == 0);
	assert_due(1020);
	sync_at(WAL, 1020);
	assert_int_equal(b.longest, 1020);
}

static void test_a_log_that_went_away_in_flight_leaves_nothing(void **state)
{
	static const int errors[] = {0, -EIO};

	for (unsigned i = 0; i < 2; i++) {
		start_generation(SYNC_NORMAL);
		event(BARRIER_WAL_WRITE, 0);
		event(BARRIER_WAL_FSYNC, 0);
		uint64_t token = begin(WAL);
		obey(BARRIER_WAL_UNLINK, 10);
		end(WAL, token, errors[i], 20);
		assert_due(MSEC_NEVER);
		assert_int_equal(b.failures, 0);
		assert_needs(BARRIER_DB_WRITE, 0);
	}
}

static void test_an_old_log_s_sync_does_not_cover_the_new_one(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 0);
	uint64_t token = begin(WAL);
	obey(BARRIER_WAL_UNLINK, 1);
	policy_barrier_wal_new(&b);
	event(BARRIER_WAL_HEAD, 2);
	end(WAL, token, 0, 3);
	assert_needs(BARRIER_WAL_WRITE, WAL);
	assert_needs(BARRIER_DB_WRITE, WAL);
}

/* --- failures ------------------------------------------------------------------ */

static void test_a_failed_sync_leaves_all_as_it_was(void **state)
{
	start_generation(SYNC_NORMAL);
	obey(BARRIER_DB_WRITE, 0);
	event(BARRIER_WAL_WRITE, 0);
	end(WAL, begin(WAL), -EIO, 1);
	assert_needs(BARRIER_DB_WRITE, WAL);
	end(DB, begin(DB), -ENOSPC, 1);
	assert_needs(BARRIER_WAL_UNLINK, DB);
	assert_int_equal(b.fsyncs_done, 0);
	assert_int_equal(b.failures, 1);
	assert_int_equal(b.error, -EIO);
}

static void test_after_a_failure_whoever_asks_is_told(void **state)
{
	static const enum policy_sync modes[] = {SYNC_NORMAL, SYNC_OFF};

	for (unsigned m = 0; m < 2; m++) {
		start_generation(modes[m]);
		event(BARRIER_WAL_WRITE, 0);
		obey(BARRIER_WAL_FSYNC, 0);
		end(WAL, begin(WAL), -EIO, 4000);
		assert_needs(BARRIER_WAL_FSYNC, WAL);
		sync_at(WAL, 4500);
		event(BARRIER_WAL_FSYNC, 4500);
		assert_int_equal(b.failures, 0);
		assert_int_equal(b.error, 0);
		event(BARRIER_WAL_WRITE, 4600);
		assert_needs(BARRIER_WAL_FSYNC, 0);
	}
}

static void test_retries_back_off(void **state)
{
	static const msec_t waits[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
	msec_t now = 4000;

	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 0);
	event(BARRIER_WAL_FSYNC, 0);
	for (unsigned i = 0; i < 9; i++) {
		assert_due(now);
		end(WAL, begin(WAL), i % 2 ? -EIO : -ENOSPC, now);
		assert_int_equal(b.failures, i + 1);
		assert_int_equal(b.error, i % 2 ? -EIO : -ENOSPC);
		now += waits[i];
	}
	sync_at(WAL, now);
	assert_due(MSEC_NEVER);
	assert_true(b.longest == now);
	/* and the next trouble begins from the beginning */
	event(BARRIER_WAL_WRITE, now);
	event(BARRIER_WAL_FSYNC, now);
	end(WAL, begin(WAL), -EIO, now);
	assert_due(now + 1000);
}

static void test_a_thousand_failures_do_not_overflow(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 0);
	event(BARRIER_WAL_FSYNC, 0);
	for (unsigned i = 0; i < 1000; i++)
		end(WAL, begin(WAL), -EIO, 10);
	assert_due(60010);
}

static void test_a_failure_nobody_asked_for_is_not_retried(void **state)
{
	start_generation(SYNC_OFF);
	event(BARRIER_WAL_WRITE, 0);
	end(WAL, begin(WAL), -EIO, 1);
	assert_due(MSEC_NEVER);
	assert_int_equal(b.failures, 1);
	sync_at(WAL, 2);
	assert_int_equal(b.failures, 0);
}

static void test_a_new_log_has_no_old_failures(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 0);
	event(BARRIER_WAL_FSYNC, 0);
	end(WAL, begin(WAL), -EIO, 1);
	policy_barrier_wal_new(&b);
	check();
	assert_due(MSEC_NEVER);
	assert_needs(BARRIER_WAL_FSYNC, 0);
	assert_needs(BARRIER_DB_WRITE, 0);
}

/* --- times ------------------------------------------------------------------ */

static void test_times_saturate(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, MSEC_NEVER - 10);
	event(BARRIER_WAL_FSYNC, MSEC_NEVER - 10);
	assert_due(MSEC_NEVER);
	end(WAL, begin(WAL), -EIO, MSEC_NEVER - 5);
	assert_due(MSEC_NEVER);
	assert_true(b.asked == MSEC_NEVER - 10);
	sync_at(WAL, MSEC_NEVER - 1);
	assert_int_equal(b.longest, 9);
}

static void test_asks_at_one_time_share_a_deadline(void **state)
{
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 70);
	event(BARRIER_WAL_FSYNC, 70);
	event(BARRIER_WAL_WRITE, 70);
	event(BARRIER_WAL_FSYNC, 70);
	assert_due(4070);
	/* A write exactly when it is due: not covered once it has begun. */
	uint64_t token = begin(WAL);
	event(BARRIER_WAL_WRITE, 4070);
	event(BARRIER_WAL_FSYNC, 4070);
	end(WAL, token, 0, 4070);
	assert_due(8070);
}

static void test_a_late_event_does_not_put_the_clock_back(void **state)
{
	/* Two threads may bring their times in the wrong order. */
	start_generation(SYNC_NORMAL);
	event(BARRIER_WAL_WRITE, 20);
	event(BARRIER_WAL_FSYNC, 20);
	event(BARRIER_WAL_FSYNC, 15);
	assert_due(4015);
	sync_at(WAL, 10); /* no negative wait either */
	assert_int_equal(b.longest, 0);
}

/* --- a log that the kernel writes --------------------------------------------- */

static void test_what_was_observed_counts_as_written(void **state)
{
	start_generation(SYNC_NORMAL);
	policy_barrier_observed(&b, false);
	check();
	assert_needs(BARRIER_DB_WRITE, WAL);
	assert_needs(BARRIER_WAL_FSYNC, 0);
	event(BARRIER_WAL_FSYNC, 5);
	assert_due(4005);
	sync_at(WAL, 10);
	policy_barrier_observed(&b, true);
	check();
	assert_needs(BARRIER_WAL_FSYNC, WAL);
	assert_needs(BARRIER_WAL_WRITE, WAL);
	uint64_t token = begin(WAL);
	policy_barrier_observed(&b, false);
	end(WAL, token, 0, 20);
	assert_needs(BARRIER_WAL_FSYNC, 0);
	assert_needs(BARRIER_RENAME, WAL);
}

/* --- as SQLite does it --------------------------------------------------------- */

static void test_a_life_of_a_database(void **state)
{
	start(SYNC_NORMAL);
	policy_barrier_wal_new(&b);
	/* 100 commits of 3 frames in 10 s, synchronous=FULL. */
	obey(BARRIER_WAL_HEAD, 0);
	obey(BARRIER_WAL_FSYNC, 0);
	for (msec_t now = 0; now < 10000; now += 100) {
		if (policy_barrier_due(&b, SYNC_MS) <= now)
			sync_at(WAL, now);
		for (int frame = 0; frame < 3; frame++)
			obey(BARRIER_WAL_WRITE, now);
		obey(BARRIER_WAL_FSYNC, now);
	}
	/* the header at 0, then at 4000 and 8000 */
	assert_int_equal(b.fsyncs_done, 3);
	assert_int_equal(b.fsyncs_asked, 101);
	assert_int_equal(b.fsyncs_elided, 100);
	assert_int_equal(b.longest, 4000);
	/* A checkpoint, a reset, a commit, the end: one sync of each. */
	obey(BARRIER_WAL_FSYNC, 10000);
	for (int page = 0; page < 50; page++)
		obey(BARRIER_DB_WRITE, 10000);
	assert_int_equal(b.fsyncs_done, 4);
	obey(BARRIER_DB_FSYNC, 10000);
	assert_int_equal(b.fsyncs_done, 5);
	obey(BARRIER_WAL_HEAD, 10001);
	obey(BARRIER_WAL_FSYNC, 10001);
	assert_int_equal(b.fsyncs_done, 6);
	obey(BARRIER_WAL_WRITE, 10001);
	obey(BARRIER_WAL_FSYNC, 10001);
	obey(BARRIER_DB_WRITE, 10002);
	obey(BARRIER_DB_FSYNC, 10002);
	obey(BARRIER_WAL_UNLINK, 10002);
	assert_int_equal(b.fsyncs_done, 8);
	assert_due(MSEC_NEVER);
	obey(BARRIER_RENAME, 10003);
	assert_int_equal(b.fsyncs_done, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_outstanding_needs_nothing),
		cmocka_unit_test(test_b1_frames_wait_for_the_header),
		cmocka_unit_test(test_b1_a_sync_before_the_header_does_not_cover_it),
		cmocka_unit_test(test_b2_the_log_goes_only_when_the_database_is_durable),
		cmocka_unit_test(test_b3_the_database_waits_for_the_whole_log),
		cmocka_unit_test(test_b4_a_rename_waits_for_both),
		cmocka_unit_test(test_b5_normal_is_due_a_fifth_before_the_bound),
		cmocka_unit_test(test_b5_the_bound_is_scaled_with_sync_ms),
		cmocka_unit_test(test_b5_a_barrier_keeps_the_promise_early),
		cmocka_unit_test(test_full_elides_nothing),
		cmocka_unit_test(test_off_has_no_clock),
		cmocka_unit_test(test_fsync_of_the_database_is_always_done),
		cmocka_unit_test(test_names_of_modes),
		cmocka_unit_test(test_what_is_written_meanwhile_is_not_covered),
		cmocka_unit_test(test_an_ask_meanwhile_without_a_write_is_kept_by_it),
		cmocka_unit_test(test_a_failure_in_flight_gives_the_older_ask_back),
		cmocka_unit_test(test_a_log_that_went_away_in_flight_leaves_nothing),
		cmocka_unit_test(test_an_old_log_s_sync_does_not_cover_the_new_one),
		cmocka_unit_test(test_a_failed_sync_leaves_all_as_it_was),
		cmocka_unit_test(test_after_a_failure_whoever_asks_is_told),
		cmocka_unit_test(test_retries_back_off),
		cmocka_unit_test(test_a_thousand_failures_do_not_overflow),
		cmocka_unit_test(test_a_failure_nobody_asked_for_is_not_retried),
		cmocka_unit_test(test_a_new_log_has_no_old_failures),
		cmocka_unit_test(test_times_saturate),
		cmocka_unit_test(test_asks_at_one_time_share_a_deadline),
		cmocka_unit_test(test_a_late_event_does_not_put_the_clock_back),
		cmocka_unit_test(test_what_was_observed_counts_as_written),
		cmocka_unit_test(test_a_life_of_a_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
