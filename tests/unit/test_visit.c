/* When the steward comes: traces. */
#include "policy/visit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct visit_rules rules = {.enforce = true, .checkpoint_ms = 300000, .wal_limit = 64 << 20};

static struct policy_visit seen_at(msec_t now)
{
	struct policy_visit v;

	policy_visit_init(&v, now);
	return v;
}

static void at_rest_nobody_comes(void **state)
{
	struct policy_visit v = seen_at(1000);

	policy_visit_mode(&v, false, 1000);
	assert_int_equal(policy_visit_due(&v, &rules), MSEC_NEVER);
	assert_int_equal(policy_visit_work(&v, &rules, MSEC_NEVER - 1), 0);
}

static void a_rollback_database_is_visited_when_it_is_quiet(void **state)
{
	struct policy_visit v = seen_at(0);

	policy_visit_mode(&v, true, 0);
	policy_visit_active(&v, false, 0, 100);
	assert_int_equal(policy_visit_due(&v, &rules), 100 + VISIT_QUIET_MS);
	assert_int_equal(policy_visit_work(&v, &rules, 100 + VISIT_QUIET_MS - 1), 0);
	assert_int_equal(policy_visit_work(&v, &rules, 100 + VISIT_QUIET_MS), VISIT_ENFORCE);
}

static void one_that_is_never_quiet_is_visited_all_the_same(void **state)
{
	struct policy_visit v = seen_at(0);

	policy_visit_mode(&v, true, 0);
	for (msec_t now = 0; now < VISIT_PATIENCE_MS; now += 50) {
		policy_visit_active(&v, false, 0, now);
		assert_int_equal(policy_visit_work(&v, &rules, now), 0);
	}
	assert_int_equal(policy_visit_work(&v, &rules, VISIT_PATIENCE_MS), VISIT_ENFORCE);
}

static void a_locked_one_is_tried_at_growing_distances(void **state)
{
	struct policy_visit v = seen_at(0);
	msec_t now = VISIT_QUIET_MS, wait = VISIT_RETRY_MS;

	policy_visit_mode(&v, true, 0);
	for (int i = 0; i < 12; i++) {
		/* The application goes on using it, or it would be left alone. */
		policy_visit_active(&v, false, 0, now);
		now += VISIT_PATIENCE_MS;
		assert_int_equal(policy_visit_work(&v, &rules, now), VISIT_ENFORCE);
		policy_visit_begin(&v);
		assert_int_equal(policy_visit_due(&v, &rules), MSEC_NEVER);
		policy_visit_active(&v, false, 0, now);
		policy_visit_end(&v, VISIT_BUSY, now);
		assert_int_equal(v.retry_at, now + wait);
		assert_int_equal(policy_visit_work(&v, &rules, now + wait - 1), 0);
		now += wait;
		wait = msec_min(wait * 2, VISIT_RETRY_MAX);
	}
	policy_visit_begin(&v);
	policy_visit_mode(&v, false, now);
	policy_visit_end(&v, VISIT_DONE, now);
	assert_int_equal(v.busy, 0);
}

static void one_that_stays_locked_and_unused_is_left_alone(void **state)
{
	struct policy_visit v = seen_at(0);
	msec_t now = VISIT_PATIENCE_MS;

	policy_visit_mode(&v, true, 0);
	for (int i = 0; i < VISIT_BUSY_MANY; i++) {
		policy_visit_begin(&v);
		policy_visit_end(&v, VISIT_BUSY, now);
		now += VISIT_RETRY_MAX;
	}
	assert_int_equal(policy_visit_due(&v, &rules), MSEC_NEVER);
	policy_visit_active(&v, false, 0, now);
	assert_int_equal(policy_visit_work(&v, &rules, now), VISIT_ENFORCE);
}

static void a_wal_that_grew_is_checkpointed_once_in_five_minutes(void **state)
{
	struct policy_visit v = seen_at(0);

	policy_visit_active(&v, true, 4152, 1000);
	assert_int_equal(policy_visit_due(&v, &rules), 300000);
	assert_int_equal(policy_visit_work(&v, &rules, 300000), VISIT_CHECKPOINT);
	policy_visit_begin(&v);
	policy_visit_end(&v, VISIT_DONE, 300010);
	/* Untouched since: not visited again. */
	assert_int_equal(policy_visit_due(&v, &rules), MSEC_NEVER);
	policy_visit_active(&v, true, 4152, 400000);
	assert_int_equal(policy_visit_due(&v, &rules), 600010);
}

static void what_is_written_during_a_visit_counts_for_the_next(void **state)
{
	struct policy_visit v = seen_at(0);

	policy_visit_active(&v, true, 4152, 1000);
	policy_visit_begin(&v);
	policy_visit_active(&v, true, 8272, 300001);
	policy_visit_end(&v, VISIT_DONE, 300010);
	assert_int_equal(policy_visit_due(&v, &rules), 600010);
}

static void a_large_wal_is_truncated_now(void **state)
{
	struct policy_visit v = seen_at(0);

	policy_visit_active(&v, true, 64 << 20, 500);
	assert_int_equal(policy_visit_work(&v, &rules, 500), 0);
	policy_visit_active(&v, true, (64 << 20) + 1, 600);
	assert_int_equal(policy_visit_work(&v, &rules, 600), VISIT_TRUNCATE);
	policy_visit_begin(&v);
	policy_visit_end(&v, VISIT_DONE, 700);
	assert_int_equal(policy_visit_due(&v, &rules), MSEC_NEVER);
}

static void one_that_failed_is_left_alone_for_a_minute(void **state)
{
	struct policy_visit v = seen_at(0);

	policy_visit_mode(&v, true, 0);
	policy_visit_begin(&v);
	policy_visit_end(&v, VISIT_FAILED, 1000);
	assert_int_equal(policy_visit_due(&v, &rules), 1000 + VISIT_FAILED_MS);
}

static void switched_off_nobody_comes(void **state)
{
	const struct visit_rules off = {0};
	struct policy_visit v = seen_at(0);

	policy_visit_mode(&v, true, 0);
	policy_visit_active(&v, true, UINT64_MAX, 1);
	assert_int_equal(policy_visit_due(&v, &off), MSEC_NEVER);
}

static void far_away_times_saturate(void **state)
{
	const struct visit_rules far = {.checkpoint_ms = MSEC_NEVER};
	struct policy_visit v = seen_at(MSEC_NEVER - 10);

	policy_visit_active(&v, true, 1, MSEC_NEVER - 5);
	assert_int_equal(policy_visit_due(&v, &far), MSEC_NEVER);
	policy_visit_end(&v, VISIT_BUSY, MSEC_NEVER - 1);
	assert_int_equal(v.retry_at, MSEC_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_rest_nobody_comes),
		cmocka_unit_test(a_rollback_database_is_visited_when_it_is_quiet),
		cmocka_unit_test(one_that_is_never_quiet_is_visited_all_the_same),
		cmocka_unit_test(a_locked_one_is_tried_at_growing_distances),
		cmocka_unit_test(one_that_stays_locked_and_unused_is_left_alone),
		cmocka_unit_test(a_wal_that_grew_is_checkpointed_once_in_five_minutes),
		cmocka_unit_test(what_is_written_during_a_visit_counts_for_the_next),
		cmocka_unit_test(a_large_wal_is_truncated_now),
		cmocka_unit_test(one_that_failed_is_left_alone_for_a_minute),
		cmocka_unit_test(switched_off_nobody_comes),
		cmocka_unit_test(far_away_times_saturate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
