/* How far the wall clock is believed: boots, steps, and a walk. */
#include "policy/wall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NOW    ((wall_t)1780000000000) /* 2026 */
#define DAY    ((int64_t)86400000)
#define HOUR   ((int64_t)3600000)
#define SETTLE WALL_SETTLE_MS

static struct policy_wall w;

static void a_right_clock_is_believed_once_it_has_settled(void **state)
{
	policy_wall_init(&w, 5000, NOW);
	assert_int_equal(policy_wall_due(&w, NOW - 10 * DAY, 7 * DAY), 5000 + SETTLE);
	assert_int_equal(policy_wall_due(&w, NOW - 7 * DAY + HOUR, 7 * DAY), 5000 + HOUR);
	assert_int_equal(policy_wall_due(&w, NOW + HOUR, 7 * DAY), 5000 + HOUR + 7 * DAY);
	assert_false(policy_wall_see(&w, 6000, NOW + 1000));
	assert_false(policy_wall_see(&w, 7000, NOW + 2000 + WALL_STEP_MS - 1));
	assert_int_equal(policy_wall_due(&w, NOW - 10 * DAY, 7 * DAY), 5000 + SETTLE);
	assert_int_equal(w.steps, 0);
}

static void a_boot_in_1970_waits_for_the_time(void **state)
{
	policy_wall_init(&w, 1000, 20000);
	assert_false(w.known);
	assert_int_equal(policy_wall_due(&w, NOW - 10 * DAY, DAY), MSEC_NEVER);
	assert_false(policy_wall_see(&w, 11000, 30000));
	assert_true(policy_wall_see(&w, 60000, NOW));
	assert_int_equal(policy_wall_due(&w, NOW - 10 * DAY, DAY), 60000 + SETTLE);
	assert_int_equal(policy_wall_due(&w, NOW - HOUR, DAY), 60000 + DAY - HOUR);
	/* What was stamped in 1970 says nothing. */
	assert_int_equal(policy_wall_due(&w, 20000, DAY), MSEC_NEVER);
	assert_int_equal(policy_wall_due(&w, WALL_MIN - 1, DAY), MSEC_NEVER);
	assert_int_equal(policy_wall_due(&w, WALL_MAX, DAY), MSEC_NEVER);
}

static void a_step_forwards_moves_nothing_but_the_settling(void **state)
{
	policy_wall_init(&w, 0, NOW);
	assert_true(policy_wall_see(&w, HOUR, NOW + HOUR + 400 * DAY));
	assert_int_equal(policy_wall_due(&w, NOW - HOUR, DAY), DAY - HOUR);
	assert_int_equal(policy_wall_due(&w, NOW - 2 * DAY, DAY), HOUR + SETTLE);
	assert_false(policy_wall_see(&w, HOUR + 1, NOW + HOUR + 400 * DAY + 1));
	assert_int_equal(w.steps, 1);
}

static void a_step_backwards_is_taken(void **state)
{
	policy_wall_init(&w, 0, NOW + 10 * 365 * DAY);
	assert_int_equal(policy_wall_due(&w, NOW - HOUR, DAY), SETTLE);
	assert_true(policy_wall_see(&w, SETTLE - 1, NOW + SETTLE - 1));
	assert_int_equal(policy_wall_due(&w, NOW - HOUR, DAY), DAY - HOUR);
	/* One into nonsense is a step, and no time. */
	assert_true(policy_wall_see(&w, HOUR, 5));
	assert_false(policy_wall_see(&w, HOUR + 1, INT64_MIN));
	assert_false(policy_wall_see(&w, HOUR + 2, INT64_MAX));
	assert_int_equal(policy_wall_due(&w, NOW - HOUR, DAY), DAY - HOUR);
	assert_int_equal(policy_wall_due(&w, NOW - 2 * DAY, DAY), HOUR + SETTLE);
	assert_true(policy_wall_see(&w, HOUR + 3, NOW + HOUR + 3));
	assert_int_equal(w.settled, HOUR + 3);
}

static void far_away_times_saturate(void **state)
{
	policy_wall_init(&w, MSEC_NEVER, WALL_MIN);
	assert_int_equal(policy_wall_due(&w, WALL_MAX - 1, MSEC_NEVER), MSEC_NEVER);
	assert_int_equal(policy_wall_due(&w, WALL_MIN, DAY), MSEC_NEVER);
	policy_wall_init(&w, 0, INT64_MIN);
	assert_false(policy_wall_see(&w, MSEC_NEVER, INT64_MIN));
	assert_true(policy_wall_see(&w, MSEC_NEVER, WALL_MAX - 1));
	assert_int_equal(wall_sub(INT64_MIN, 1), INT64_MIN);
	assert_int_equal(wall_sub(INT64_MAX, -1), INT64_MAX);
}

/* W1 to W3 over steps at random. */
static void a_walk(void **state)
{
	uint64_t seed = 88172645463325252u;
	msec_t now = 0, last_step = 0;
	int64_t least = 0, offset = NOW;

	policy_wall_init(&w, 0, NOW);
	for (int i = 0; i < 200000; i++) {
		bool step = false;

		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		now += (msec_t)(seed >> 50) + 1;
		if (seed % 64 == 0) {
			/* Up to a fortnight, but within the years that make sense. */
			int64_t by = (int64_t)(seed >> 8) % (30 * DAY) - 15 * DAY;
			if (offset + by < NOW - 2000 * DAY || offset + by > NOW + 2000 * DAY)
				by = 0;
			step = by >= WALL_STEP_MS || by <= -WALL_STEP_MS;
			offset += step ? by : 0;
		}
		last_step = step ? now : last_step;
		if (offset - NOW < least)
			least = offset - NOW;
		assert_int_equal(policy_wall_see(&w, now, now + offset), step);
		assert_int_equal(w.settled, last_step);
		assert_int_equal(w.offset, NOW + least);
		msec_t due = policy_wall_due(&w, NOW, HOUR);
		assert_true(due >= last_step + SETTLE && due >= HOUR - least);
		assert_true(due == last_step + SETTLE || due == HOUR - least);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_right_clock_is_believed_once_it_has_settled),
		cmocka_unit_test(a_boot_in_1970_waits_for_the_time),
		cmocka_unit_test(a_step_forwards_moves_nothing_but_the_settling),
		cmocka_unit_test(a_step_backwards_is_taken),
		cmocka_unit_test(far_away_times_saturate),
		cmocka_unit_test(a_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
