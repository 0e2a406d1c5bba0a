/* Which archives are deleted: the bounds, boots and steps of the clock, and
 * walks that know the true time. The rules R1 to R6 are those of the header. */
#include "policy/retain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW    ((wall_t)1780000000000) /* 2026 */
#define MINUTE ((int64_t)60000)
#define HOUR   ((int64_t)3600000)
#define DAY    ((int64_t)86400000)
#define KEEP   (7 * DAY)
#define SETTLE WALL_SETTLE_MS
#define MAX    512

static struct policy_config config;
static struct policy_wall wall;
static struct policy_archive list[MAX];
static uint32_t count;
static struct policy_retained sum;

static int setup(void **state)
{
	policy_config_init(&config);
	policy_wall_init(&wall, 0, NOW);
	count = 0;
	return 0;
}

/* Found at the mount. */
static struct policy_archive *found(wall_t mtime)
{
	list[count] =
		(struct policy_archive){.slot = count, .log = count, .size = 10, .mtime = mtime, .written = MSEC_NEVER};
	return &list[count++];
}

static const struct policy_archive *slot(uint32_t number)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i].slot == number)
			return &list[i];
	}
	fail_msg("no slot %u", number);
	return NULL;
}

static void look(msec_t now)
{
	sum = policy_retain(&config, &wall, now, list, count);
}

/* The slots that go at `now`, in their order, as "2 0 1". */
static const char *gone(msec_t now)
{
	static char text[4096];
	size_t used = 0;

	text[0] = '\0';
	look(now);
	for (uint32_t i = 0; i < count; i++) {
		if (list[i].verdict != RETAIN_KEEP)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u", used ? " " : "",
						 list[i].slot);
	}
	return text;
}

/* --- log_keep_days ------------------------------------------------------ */

static void a_week_old_one_goes_and_the_next_look_is_known(void **state)
{
	for (int i = 0; i < 10; i++)
		found(NOW - i * DAY - HOUR); /* slot i is i days and an hour old */
	assert_string_equal(gone(0), "");
	assert_int_equal(sum.next, SETTLE);
	assert_string_equal(gone(SETTLE - 1), "");
	assert_string_equal(gone(SETTLE), "9 8 7");
	assert_int_equal(sum.count, 3);
	assert_int_equal(sum.bytes, 30);
	assert_int_equal(slot(9)->verdict, RETAIN_AGE);
	assert_int_equal(sum.next, DAY - HOUR);
	assert_string_equal(gone(DAY - HOUR - 1), "9 8 7");
	assert_string_equal(gone(DAY - HOUR), "9 8 7 6");
	assert_string_equal(gone(KEEP - HOUR), "9 8 7 6 5 4 3 2 1 0");
	assert_int_equal(sum.next, MSEC_NEVER);
	config.log_keep_days = 0;
	assert_string_equal(gone(MSEC_NEVER), "");
	assert_int_equal(sum.next, MSEC_NEVER);
}

static void what_was_written_in_this_run_is_a_week_old_after_a_week(void **state)
{
	struct policy_archive *a = found(NOW - 3000 * DAY);

	a->written = 5000;
	assert_string_equal(gone(KEEP + 4999), "");
	assert_int_equal(sum.next, KEEP + 5000);
	policy_wall_see(&wall, KEEP - 1, NOW + KEEP + 900 * DAY);
	assert_string_equal(gone(KEEP + 4999), "");
	assert_string_equal(gone(KEEP + 5000), "0");
}

static void the_live_and_the_busy_stay(void **state)
{
	for (uint32_t i = 0; i < 6; i++) {
		list[i] = *found(NOW - 20 * DAY + i);
		list[i].log = 0;
		list[i].part = i < 3 ? 0 : i;
	}
	list[0].live = true;
	list[3].live = true;
	list[1].busy = true;
	list[4].busy = true;
	config.log_rotate_keep = 1;
	config.log_keep_bytes = 1;
	assert_string_equal(gone(KEEP), "2 5");
	assert_int_equal(sum.next, MSEC_NEVER); /* whoever closes it asks again */
	config.log_keep_days = 0;
	assert_string_equal(gone(KEEP), "2 5");
	assert_int_equal(slot(2)->verdict, RETAIN_BYTES);
	/* The one that is open counts as the one that is kept. */
	assert_int_equal(slot(5)->verdict, RETAIN_PARTS);
}

/* --- bounds without a clock --------------------------------------------- */

static void of_each_log_the_lowest_numbers_go(void **state)
{
	/* The mtimes say the reverse, as after a boot in 1970. */
	for (uint32_t i = 0; i < 12; i++) {
		struct policy_archive *a = found(NOW - HOUR - (12 + i) * MINUTE);
		a->log = i % 2;
		a->part = 1 + i / 2;
	}
	found(NOW - DAY)->log = 0; /* no part */
	config.log_rotate_keep = 4;
	assert_string_equal(gone(0), "3 2 1 0");
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(slot(i)->verdict, RETAIN_PARTS);
	config.log_rotate_keep = 6;
	assert_string_equal(gone(0), "");
	config.log_rotate_keep = 0;
	assert_string_equal(gone(0), "");
	config.log_rotate_keep = 1;
	assert_string_equal(gone(0), "9 8 7 6 5 4 3 2 1 0");
}

static void the_oldest_go_until_the_rest_fits(void **state)
{
	for (int i = 0; i < 5; i++)
		found(NOW - (i + 1) * HOUR)->size = 1u << i;
	config.log_keep_bytes = 31;
	assert_string_equal(gone(0), "");
	config.log_keep_bytes = 30;
	assert_string_equal(gone(0), "4");
	config.log_keep_bytes = 14;
	assert_string_equal(gone(0), "4 3");
	assert_int_equal(sum.bytes, 24);
	list[0].busy = true;
	config.log_keep_bytes = 1;
	assert_int_equal(list[0].slot, 4);
	assert_string_equal(gone(0), "3 2 1 0");
	for (uint32_t i = 0; i < count; i++)
		list[i].size = UINT64_MAX - i;
	assert_string_equal(gone(0), "3 2 1 0");
}

static void what_one_bound_took_is_gone_for_the_next(void **state)
{
	for (uint32_t i = 0; i < 4; i++) {
		struct policy_archive *a = found(NOW - (i < 2 ? 8 * DAY : DAY) + i);
		a->log = 0;
		a->part = i + 1;
	}
	config.log_rotate_keep = 2;
	config.log_keep_bytes = 20;
	assert_string_equal(gone(DAY), "0 1");
	assert_int_equal(slot(0)->verdict, RETAIN_AGE);
	assert_int_equal(slot(1)->verdict, RETAIN_AGE);
}

static void ties_are_broken_the_same_way_every_time(void **state)
{
	for (uint32_t i = 0; i < 8; i++) {
		struct policy_archive *a = found(NOW - HOUR);
		a->slot = 7 - i;
		a->log = i & 1;
		a->part = i & 2;
	}
	config.log_keep_bytes = 1;
	/* By log, part, slot. */
	assert_string_equal(gone(0), "3 7 1 5 2 6 0 4");
	assert_string_equal(gone(0), "3 7 1 5 2 6 0 4");
	/* Without any time at all, by mtime as far as it goes. */
	policy_wall_init(&wall, 0, 0);
	list[5].mtime = 77;
	assert_int_equal(list[5].slot, 6);
	assert_string_equal(gone(0), "6 3 7 1 5 2 0 4");
}

/* --- boots and steps ---------------------------------------------------- */

static void a_week(void)
{
	count = 0;
	for (int i = 0; i < 14; i++)
		found(NOW - i * DAY / 2 - HOUR); /* the oldest is 6.5 days and an hour old */
}

static void a_step_forwards_deletes_nothing_early(void **state)
{
	static const int64_t steps[] = {HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 8 * DAY, 400 * DAY, 20000 * DAY};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		setup(NULL);
		a_week();
		policy_wall_see(&wall, 5 * MINUTE, NOW + 5 * MINUTE + steps[i]);
		assert_string_equal(gone(DAY / 2 - HOUR - 1), "");
		assert_string_equal(gone(DAY / 2 - HOUR), "13");
		assert_string_equal(gone(DAY - HOUR), "13 12");
	}
}

static void a_step_backwards_keeps_for_a_week_of_running_at_most(void **state)
{
	static const int64_t steps[] = {HOUR, DAY, 8 * DAY, 400 * DAY, NOW - DAY};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		setup(NULL);
		a_week();
		policy_wall_see(&wall, 5 * MINUTE, NOW + 5 * MINUTE - steps[i]);
		assert_string_equal(gone(DAY / 2 - HOUR - 1), "");
		look(KEEP - 1);
		assert_true(sum.count < 14 || steps[i] == HOUR || steps[i] == NOW - DAY);
		look(KEEP);
		assert_int_equal(sum.count, 14);
	}
}

static void a_boot_in_1970(void **state)
{
	policy_wall_init(&wall, 0, 15000);
	a_week();
	found(20000); /* written at another such boot */
	found(NOW - 30 * DAY);
	assert_string_equal(gone(DAY), "");
	assert_int_equal(sum.next, KEEP);
	/* Then NTP. */
	assert_true(policy_wall_see(&wall, HOUR, NOW + HOUR));
	assert_string_equal(gone(HOUR + SETTLE - 1), "");
	/* The one of a month ago is doubted for the 23 days before which nothing was written. */
	assert_string_equal(gone(HOUR + SETTLE), "");
	assert_int_equal(slot(15)->doubt, 30 * DAY - 6 * DAY - DAY / 2 - HOUR);
	assert_string_equal(gone(2 * HOUR), "15");
	assert_string_equal(gone(DAY / 2 - HOUR), "15 13");
	/* The one of 1970 when it was seen for a week. */
	look(KEEP - 1);
	assert_int_equal(slot(14)->verdict, RETAIN_KEEP);
	look(KEEP);
	assert_int_equal(slot(14)->verdict, RETAIN_AGE);
}

/* No saved time: the machine begins in its own past, and NTP comes later. The
 * newest log says at once that so much time has passed at least. */
static void a_boot_in_the_past(void **state)
{
	policy_wall_init(&wall, 0, NOW - 400 * DAY);
	a_week();
	assert_string_equal(gone(DAY), "");
	assert_true(policy_wall_see(&wall, MINUTE, NOW + MINUTE));
	assert_string_equal(gone(DAY / 2 - 1), "");
	assert_string_equal(gone(DAY / 2), "13");
	assert_int_equal(sum.next, DAY);
}

/* Off for a month: nothing goes at once, one after the other does. */
static void off_for_a_month(void **state)
{
	uint32_t before = 0;

	policy_wall_init(&wall, 0, NOW + 30 * DAY);
	a_week();
	assert_string_equal(gone(SETTLE), "");
	for (msec_t now = SETTLE; now < 8 * HOUR; now += MINUTE) {
		look(now);
		assert_true(sum.count <= before + 1);
		before = sum.count;
	}
	assert_int_equal(before, 14);
}

/* Started with a clock that is years ahead, or 20 hours. */
static void a_start_with_a_clock_ahead(void **state)
{
	policy_wall_init(&wall, 0, NOW + 4000 * DAY);
	a_week();
	/* It lacks half a day, which 25 times as much running is believed to be. */
	assert_string_equal(gone(12 * HOUR / (RETAIN_CREDIT + 1) - 1), "");
	assert_string_equal(gone(12 * HOUR / (RETAIN_CREDIT + 1)), "13");
	look(3 * HOUR);
	assert_true(sum.count > 4 && sum.count < 8);
	/* Set right in time: as if it had never been. */
	assert_true(policy_wall_see(&wall, 5 * MINUTE, NOW + 5 * MINUTE));
	assert_string_equal(gone(DAY / 2 - HOUR - 1), "");
	assert_string_equal(gone(DAY / 2 - HOUR), "13");
	policy_wall_init(&wall, 0, NOW + 20 * HOUR);
	assert_string_equal(gone(SETTLE), "13");
}

/* Started again after the live log was stamped by a clock that was years ahead. */
static void a_restart_with_a_clock_ahead(void **state)
{
	policy_wall_init(&wall, 0, NOW + 4000 * DAY);
	a_week();
	found(NOW + 4000 * DAY - MINUTE)->live = true;
	found(NOW + 4000 * DAY - 2 * MINUTE);
	assert_string_equal(gone(10 * MINUTE), "");
	look(3 * HOUR);
	assert_true(sum.count > 4 && sum.count < 8);
}

/* What a clock that was ahead has stamped is kept for a week of running, and
 * casts no doubt on the rest. */
static void stamps_from_the_future(void **state)
{
	a_week();
	found(NOW + 400 * DAY);
	found(NOW + HOUR);
	found(NOW + 30 * DAY)->live = true;
	assert_string_equal(gone(DAY / 2 - HOUR - 1), "");
	assert_string_equal(gone(DAY / 2 - HOUR), "13");
	assert_int_equal(slot(14)->due, KEEP);
	assert_int_equal(slot(15)->due, KEEP);
}

/* --- walks -------------------------------------------------------------- */

static uint64_t seed = 88172645463325252u;

static int64_t rnd(int64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (int64_t)((seed >> 1) % (uint64_t)below);
}

/* Archives of up to twelve days with right mtimes, as a machine leaves them
 * that was off now and then. */
static void random_archives(void)
{
	wall_t mtime = NOW - rnd(2) * rnd(2 * DAY);
	uint32_t wanted = (uint32_t)rnd(40);

	count = 0;
	while (count < wanted && mtime > NOW - 12 * DAY) {
		struct policy_archive *a = found(mtime);
		a->busy = rnd(8) == 0;
		a->live = rnd(8) == 0;
		a->log = (uint32_t)rnd(3);
		a->part = (uint32_t)rnd(2) * count;
		mtime -= rnd(8) == 0 ? rnd(3 * DAY) : rnd(20 * HOUR);
	}
	/* In no order. */
	for (uint32_t i = 1; i < count; i++) {
		uint32_t j = (uint32_t)rnd(i + 1);
		struct policy_archive tmp = list[i];
		list[i] = list[j];
		list[j] = tmp;
	}
}

/* What holds of every answer, whatever the clocks. */
static void check_answer(msec_t now)
{
	uint32_t condemned = 0;
	uint64_t bytes = 0;
	msec_t next = MSEC_NEVER;

	for (uint32_t i = 0; i < count; i++) {
		const struct policy_archive *a = &list[i];
		bool due = a->due <= now;
		if (a->live || a->busy)
			assert_int_equal(a->verdict, RETAIN_KEEP); /* R1 */
		else
			assert_int_equal(a->verdict == RETAIN_AGE, due);
		assert_true(i == 0 || list[i - 1].age >= a->age);
		/* R5 */
		assert_true(a->due <= (a->written == MSEC_NEVER ? a->seen : a->written) + KEEP);
		condemned += a->verdict != RETAIN_KEEP;
		bytes += a->verdict != RETAIN_KEEP ? a->size : 0;
		if (a->verdict == RETAIN_KEEP && !a->busy && !a->live)
			next = msec_min(next, a->due);
	}
	assert_int_equal(sum.count, condemned);
	assert_int_equal(sum.bytes, bytes);
	assert_int_equal(sum.next, next);
	assert_true(sum.next > now);
}

/* How much too old anything may be thought to be, given how far the least of the
 * clock's readings of this run was ahead (R3, R4). */
static int64_t allowance(int64_t ahead, msec_t now)
{
	if (ahead <= 0)
		return 0;
	if (ahead <= RETAIN_GAP_MS)
		return ahead;
	return ahead < RETAIN_CREDIT * (now - wall.settled) ? ahead : RETAIN_CREDIT * (now - wall.settled);
}

static int64_t random_error(void)
{
	static const int64_t scale[] = {HOUR, DAY, 30 * DAY, 1000 * DAY};
	int64_t most = scale[rnd(4)];

	return rnd(3) == 0 ? 0 : rnd(2 * most) - most;
}

/* One run of the daemon. True time is NOW + now. */
static void one_run(int64_t error)
{
	int64_t ahead = error;
	bool constant = true;

	random_archives();
	policy_wall_init(&wall, 0, NOW + error);
	for (msec_t now = 0; now < 8 * DAY; now += rnd(6) == 0 ? rnd(DAY) : rnd(HOUR)) {
		if (rnd(10) == 0) {
			/* Right, wrong, or nonsense. */
			int64_t next = rnd(5) == 0 ? -NOW : random_error();
			if (next != -NOW && next < ahead)
				ahead = next;
			constant &= next == error;
			policy_wall_see(&wall, now, NOW + now + next);
		}
		look(now);
		check_answer(now);
		for (uint32_t i = 0; i < count; i++) {
			const struct policy_archive *a = &list[i];
			int64_t age = NOW + now - a->mtime;
			/* R3 and R4: nothing goes early, but by what the clock is ahead. */
			if (a->due <= now && age + allowance(ahead, now) < KEEP && now < KEEP)
				fail_msg("slot %u is %lld old at %lld, clock ahead by %lld", a->slot, (long long)age,
					 (long long)now, (long long)ahead);
			/* With a right clock it goes in time, doubts aside. */
			if (constant && error == 0 && now >= SETTLE && a->doubt == 0)
				assert_int_equal(a->due <= now, age >= KEEP);
			if (constant && error == 0 && now >= SETTLE && a->doubt <= RETAIN_CREDIT * now)
				assert_int_equal(a->due <= now, age >= KEEP);
		}
		/* The next look is neither too late nor in vain. */
		if (sum.next != MSEC_NEVER && rnd(4) == 0) {
			uint32_t before = sum.count;
			msec_t next = sum.next;
			look(next - 1);
			assert_int_equal(sum.count, before);
			look(next);
			assert_true(sum.count > before);
		}
	}
	look(KEEP);
	for (uint32_t i = 0; i < count; i++)
		assert_true(list[i].verdict == RETAIN_AGE || list[i].live || list[i].busy);
}

static void walks_that_know_the_time(void **state)
{
	for (int i = 0; i < 400; i++) {
		one_run(0);
		one_run(random_error());
	}
}

/* Any mtime, any clock, any state: the bounds hold, and nothing overflows. */
static int64_t random_time(void)
{
	switch (rnd(6)) {
	case 0:
		return INT64_MIN + rnd(3);
	case 1:
		return INT64_MAX - rnd(3);
	case 2:
		return rnd(10 * DAY);
	case 3:
		return WALL_MIN - 2 + rnd(4);
	case 4:
		return WALL_MAX - 2 + rnd(4);
	default:
		return NOW - 20 * DAY + rnd(40 * DAY);
	}
}

static uint64_t kept_bytes(bool free_only)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (list[i].verdict == RETAIN_KEEP && !list[i].live && !(free_only && list[i].busy))
			bytes += list[i].size;
	}
	return bytes;
}

static void check_parts(uint32_t log)
{
	uint32_t parts = 0, lowest_kept = UINT32_MAX, highest_gone = 0;
	bool all_busy = true;

	for (uint32_t i = 0; i < count; i++) {
		const struct policy_archive *a = &list[i];
		if (a->log != log || a->part == 0 || a->live)
			continue;
		if (a->verdict == RETAIN_KEEP) {
			parts++;
			all_busy &= a->busy;
			if (!a->busy && a->part < lowest_kept)
				lowest_kept = a->part;
		}
		if (a->verdict == RETAIN_PARTS && a->part > highest_gone)
			highest_gone = a->part;
	}
	assert_true(config.log_rotate_keep == 0 || parts <= (uint64_t)config.log_rotate_keep || all_busy);
	assert_true(highest_gone <= lowest_kept);
}

static void walks_through_nonsense(void **state)
{
	for (int i = 0; i < 20000; i++) {
		msec_t now = 0;
		config.log_keep_days = rnd(3) ? 7 : 0;
		config.log_rotate_keep = rnd(3) ? 0 : 1 + rnd(3);
		config.log_keep_bytes = rnd(3) ? 0 : 1 + rnd(100);
		count = 0;
		for (uint32_t wanted = (uint32_t)rnd(12); count < wanted;) {
			struct policy_archive *a = found(random_time());
			a->seen = rnd(2) ? 0 : rnd(DAY);
			a->written = rnd(3) ? MSEC_NEVER : a->seen + rnd(DAY);
			a->busy = rnd(5) == 0;
			a->live = rnd(5) == 0;
			a->log = (uint32_t)rnd(2);
			a->part = (uint32_t)rnd(6);
			a->size = (uint64_t)rnd(30);
		}
		policy_wall_init(&wall, 0, random_time());
		for (int j = 0; j < 4; j++) {
			/* Leaps to the end of time at last. */
			now = j == 3 && rnd(4) == 0 ? MSEC_NEVER - rnd(2) : now + 2 * DAY;
			policy_wall_see(&wall, now, random_time());
			look(now);
			if (config.log_keep_bytes)
				assert_true(kept_bytes(false) <= (uint64_t)config.log_keep_bytes ||
					    kept_bytes(true) == 0);
			check_parts(0);
			check_parts(1);
			for (uint32_t k = 0; k < count; k++) {
				const struct policy_archive *a = &list[k];
				assert_true(!(a->live || a->busy) || a->verdict == RETAIN_KEEP);
				if (config.log_keep_days == 0)
					assert_true(a->verdict != RETAIN_AGE && a->due == MSEC_NEVER);
				/* R2 */
				else if (a->written != MSEC_NEVER)
					assert_int_equal(a->due, a->written + KEEP);
			}
		}
	}
}

/* The sort, which is not qsort(3): every permutation of six, and many. */
static void in_order_whatever_the_order(void **state)
{
	config.log_keep_bytes = 1;
	for (int n = 0; n < 720; n++) {
		int left[6] = {0, 1, 2, 3, 4, 5}, k = n;
		count = 0;
		for (int i = 6; i > 0; i--) {
			int at = k % i;
			k /= i;
			found(NOW - left[at] * HOUR)->slot = (uint32_t)left[at];
			left[at] = left[i - 1];
		}
		assert_string_equal(gone(0), "5 4 3 2 1 0");
	}
	count = 0;
	while (count < MAX)
		found(NOW - rnd(DAY));
	look(0);
	for (uint32_t i = 1; i < MAX; i++)
		assert_true(list[i - 1].mtime <= list[i].mtime);
	assert_int_equal(sum.count, MAX);
	count = 0;
	look(0);
	assert_int_equal(sum.next, MSEC_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_week_old_one_goes_and_the_next_look_is_known, setup),
		cmocka_unit_test_setup(what_was_written_in_this_run_is_a_week_old_after_a_week, setup),
		cmocka_unit_test_setup(the_live_and_the_busy_stay, setup),
		cmocka_unit_test_setup(of_each_log_the_lowest_numbers_go, setup),
		cmocka_unit_test_setup(the_oldest_go_until_the_rest_fits, setup),
		cmocka_unit_test_setup(what_one_bound_took_is_gone_for_the_next, setup),
		cmocka_unit_test_setup(ties_are_broken_the_same_way_every_time, setup),
		cmocka_unit_test_setup(a_step_forwards_deletes_nothing_early, setup),
		cmocka_unit_test_setup(a_step_backwards_keeps_for_a_week_of_running_at_most, setup),
		cmocka_unit_test_setup(a_boot_in_1970, setup),
		cmocka_unit_test_setup(a_boot_in_the_past, setup),
		cmocka_unit_test_setup(off_for_a_month, setup),
		cmocka_unit_test_setup(a_start_with_a_clock_ahead, setup),
		cmocka_unit_test_setup(a_restart_with_a_clock_ahead, setup),
		cmocka_unit_test_setup(stamps_from_the_future, setup),
		cmocka_unit_test_setup(walks_that_know_the_time, setup),
		cmocka_unit_test_setup(walks_through_nonsense, setup),
		cmocka_unit_test_setup(in_order_whatever_the_order, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
