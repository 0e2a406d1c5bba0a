/* The life of a log: traces of rotation and compression, and whole weeks of
 * all of it under clocks of every kind. */
#include "policy/life.h"
#include "policy/retain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW    ((wall_t)1780000000000) /* 2026 */
#define SECOND ((int64_t)1000)
#define MINUTE ((int64_t)60000)
#define HOUR   ((int64_t)3600000)
#define DAY    ((int64_t)86400000)
#define MIB    ((uint64_t)1 << 20)

static struct policy_config config;
static struct policy_wall wall;
static struct policy_packer packer;
static struct policy_log l;

static int setup(void **state)
{
	policy_config_init(&config);
	policy_wall_init(&wall, 0, NOW);
	memset(&packer, 0, sizeof(packer));
	policy_log_init(&l, 0, NOW - 30 * DAY, 100, false);
	return 0;
}

static msec_t due(void)
{
	return policy_pack_due(&l, &config, &wall);
}

static void write_at(msec_t now)
{
	policy_log_write(&l, now, 100);
	policy_log_flushed(&l);
}

/* --- rotation ----------------------------------------------------------- */

static bool cut(uint64_t size, bool line_end)
{
	return policy_rotate_due(&l, &config, 1000, size, line_end);
}

static void a_log_is_rotated_when_it_is_large_enough(void **state)
{
	assert_false(cut(10 * MIB - 1, true));
	assert_true(cut(10 * MIB, true));
	assert_true(cut(11 * MIB, true));
	assert_true(cut(UINT64_MAX, true));
	config.log_rotate_bytes = 0;
	assert_false(cut(UINT64_MAX, true));
}

static void it_is_cut_at_a_line_end(void **state)
{
	assert_false(cut(10 * MIB, false));
	assert_false(cut(UINT64_MAX, false));
	assert_true(cut(10 * MIB + 1, true));
}

static void a_part_is_not_rotated_nor_a_log_that_is_being_compressed(void **state)
{
	policy_pack_begin(&packer, &l);
	assert_false(cut(20 * MIB, true));
	policy_pack_end(&packer, &l, PACK_CHANGED, 0);
	assert_true(cut(20 * MIB, true));
	policy_log_init(&l, 0, NOW, 100, true);
	assert_false(cut(20 * MIB, true));
}

static void a_log_that_is_followed_is_cut_where_it_was_read_to(void **state)
{
	assert_true(policy_rotate_followed(config.log_rotate_bytes, 11 * MIB, 11 * MIB, 11 * MIB));
	assert_false(policy_rotate_followed(config.log_rotate_bytes, 11 * MIB, 11 * MIB - 1, 11 * MIB));
	assert_false(policy_rotate_followed(config.log_rotate_bytes, 11 * MIB, 11 * MIB, 11 * MIB + 1));
	assert_false(policy_rotate_followed(config.log_rotate_bytes, 20 * MIB - 1, 1, 1));
	assert_true(policy_rotate_followed(config.log_rotate_bytes, 20 * MIB, 1, 1));
}

static void what_is_copied_is_told_from_what_is_logged(void **state)
{
	struct policy_writers w = {0};

	/* A shell's ">": lines, from the eighth on. */
	for (int i = 1; i <= 9; i++) {
		policy_writers_saw(&w, false, true, 100);
		assert_int_equal(w.copying, i < WRITERS_LINES);
	}
	/* Pieces of a copy, one of which happens to end in a line. */
	policy_writers_saw(&w, false, false, 200);
	assert_true(w.copying);
	policy_writers_saw(&w, false, true, 300);
	assert_true(w.copying);
	/* It has been open for long; or somebody logs to the copy. */
	policy_writers_saw(&w, false, false, WRITERS_OPEN_MS);
	assert_false(w.copying);
	policy_writers_saw(&w, false, false, WRITERS_OPEN_MS - 1);
	assert_true(w.copying);
	policy_writers_saw(&w, true, false, 0);
	assert_false(w.copying);
}

static void a_rotation_that_failed_waits(void **state)
{
	msec_t now = 1000, wait = PACK_RETRY_MS;

	for (int i = 0; i < 10; i++) {
		policy_rotate_failed(&l, now);
		assert_false(policy_rotate_due(&l, &config, now + wait - 1, 10 * MIB, true));
		now += wait;
		assert_true(policy_rotate_due(&l, &config, now, 10 * MIB, true));
		wait = msec_min(2 * wait, PACK_RETRY_MAX);
	}
	policy_rotate_done(&l, 7);
	assert_int_equal(l.size, 7);
	policy_rotate_failed(&l, now);
	assert_true(policy_rotate_due(&l, &config, now + PACK_RETRY_MS, 10 * MIB, true));
}

/* --- compression -------------------------------------------------------- */

static void an_idle_log_is_due_an_hour_after_its_last_write(void **state)
{
	write_at(5000);
	assert_int_equal(due(), 5000 + HOUR);
	write_at(5000 + HOUR - 1);
	assert_int_equal(due(), 5000 + 2 * HOUR - 1);
	config.log_gzip_age_ms = 0;
	assert_int_equal(due(), 5000 + HOUR - 1);
	config.log_gzip_age_ms = 30 * DAY;
	assert_int_equal(due(), 5000 + HOUR - 1 + 30 * DAY);
	config.log_gzip = false;
	assert_int_equal(due(), MSEC_NEVER);
}

static void one_that_is_open_or_unflushed_or_empty_is_not_due(void **state)
{
	write_at(5000);
	policy_log_open(&l);
	policy_log_open(&l);
	policy_log_close(&l);
	assert_int_equal(due(), MSEC_NEVER);
	policy_log_close(&l);
	assert_int_equal(due(), 5000 + HOUR);
	policy_log_close(&l); /* one too many changes nothing */
	policy_log_open(&l);
	assert_int_equal(due(), MSEC_NEVER);
	policy_log_close(&l);
	policy_log_write(&l, 6000, 100);
	assert_int_equal(due(), MSEC_NEVER);
	policy_log_flushed(&l);
	assert_int_equal(due(), 6000 + HOUR);
	write_at(7000);
	policy_log_write(&l, 8000, 0);
	policy_log_flushed(&l);
	assert_int_equal(due(), MSEC_NEVER);
}

static void a_part_is_due_at_once(void **state)
{
	policy_log_init(&l, 5000, NOW, 10 * MIB, true);
	assert_int_equal(due(), 5000);
	policy_log_open(&l);
	assert_int_equal(due(), MSEC_NEVER);
}

static void one_from_before_is_due_when_a_clock_says_so(void **state)
{
	/* Old, by a clock that has settled. */
	assert_int_equal(due(), WALL_SETTLE_MS);
	policy_log_init(&l, 0, NOW - 5 * MINUTE, 100, false);
	assert_int_equal(due(), 55 * MINUTE);
	/* From the future, or of no time: an hour after it was seen. */
	policy_log_init(&l, 7000, NOW + DAY, 100, false);
	assert_int_equal(due(), 7000 + HOUR);
	policy_log_init(&l, 7000, 0, 100, false);
	assert_int_equal(due(), 7000 + HOUR);
	policy_log_init(&l, 7000, INT64_MIN, 100, false);
	assert_int_equal(due(), 7000 + HOUR);
	/* By a clock that is nonsense. */
	policy_wall_init(&wall, 0, 5000);
	policy_log_init(&l, 7000, NOW - DAY, 100, false);
	assert_int_equal(due(), 7000 + HOUR);
}

static void no_step_compresses_a_log_that_is_written(void **state)
{
	static const int64_t steps[] = {DAY, -DAY, 3000 * DAY, -3000 * DAY, -NOW, 1, -1};

	write_at(5000);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		policy_wall_see(&wall, 6000 + (msec_t)i, NOW + steps[i]);
		assert_int_equal(due(), 5000 + HOUR);
	}
	/* Nor forwards one that was only seen. */
	setup(NULL);
	policy_log_init(&l, 0, NOW - MINUTE, 100, false);
	policy_wall_see(&wall, 5000, NOW + 100 * DAY);
	assert_int_equal(due(), 59 * MINUTE);
}

static void one_at_a_time_and_not_under_pressure(void **state)
{
	struct policy_log other = l;

	assert_int_equal(policy_packer_wake(&packer, 7), 7);
	assert_int_equal(policy_packer_wake(&packer, MSEC_NEVER), MSEC_NEVER);
	policy_pack_begin(&packer, &l);
	assert_int_equal(policy_pack_due(&l, &config, &wall), MSEC_NEVER);
	assert_int_equal(policy_pack_due(&other, &config, &wall), WALL_SETTLE_MS);
	assert_int_equal(policy_packer_wake(&packer, 7), MSEC_NEVER);
	assert_false(policy_pack_pause(&packer));
	policy_packer_pressure(&packer, 1000, PRESSURE_NONE, true);
	assert_true(policy_pack_pause(&packer));
	policy_packer_pressure(&packer, 1010, PRESSURE_NONE, false);
	assert_false(policy_pack_pause(&packer));
	policy_pack_end(&packer, &l, PACK_DONE, 2000);
	/* A flush that has ended leaves no trace, RAM that was short does. */
	assert_int_equal(policy_packer_wake(&packer, 2000), 2000);
	policy_packer_pressure(&packer, 3000, PRESSURE_SOFT, false);
	assert_int_equal(policy_packer_wake(&packer, 2000), MSEC_NEVER);
	policy_packer_pressure(&packer, 4000, PRESSURE_HARD, true);
	policy_packer_pressure(&packer, 5000, PRESSURE_NONE, true);
	assert_int_equal(policy_packer_wake(&packer, 2000), MSEC_NEVER);
	policy_packer_pressure(&packer, 6000, PRESSURE_NONE, false);
	assert_int_equal(policy_packer_wake(&packer, 2000), 5000 + PACKER_CALM_MS);
	assert_int_equal(policy_packer_wake(&packer, 50000), 50000);
}

static void what_was_written_meanwhile_is_not_replaced(void **state)
{
	policy_pack_begin(&packer, &l);
	assert_true(policy_pack_may_swap(&l));
	policy_log_open(&l);
	assert_false(policy_pack_may_swap(&l));
	assert_false(policy_pack_spoiled(&l)); /* a reader may go away again */
	policy_log_close(&l);
	assert_true(policy_pack_may_swap(&l));
	write_at(HOUR);
	assert_true(policy_pack_spoiled(&l));
	assert_false(policy_pack_may_swap(&l));
	policy_pack_end(&packer, &l, PACK_CHANGED, HOUR + 5);
	assert_false(policy_pack_may_swap(&l));
	assert_int_equal(due(), 2 * HOUR);
	assert_int_equal(policy_packer_wake(&packer, HOUR + 5), HOUR + 5);
	policy_pack_begin(&packer, &l);
	assert_true(policy_pack_may_swap(&l));
	/* In vain without a write: not again at once. */
	policy_pack_end(&packer, &l, PACK_CHANGED, 3 * HOUR);
	assert_int_equal(due(), 3 * HOUR + PACK_RETRY_MS);
}

static void one_that_failed_waits_longer_and_longer_the_others_less(void **state)
{
	msec_t now = WALL_SETTLE_MS, wait = PACK_RETRY_MS;

	for (int i = 0; i < 40; i++) {
		assert_true(due() <= now && policy_packer_wake(&packer, due()) <= now);
		policy_pack_begin(&packer, &l);
		policy_pack_end(&packer, &l, PACK_FAILED, now);
		assert_int_equal(due(), now + wait);
		assert_int_equal(policy_packer_wake(&packer, 0), now + msec_min(wait, PACKER_RETRY_MAX));
		now += wait;
		wait = msec_min(2 * wait, PACK_RETRY_MAX);
	}
	policy_pack_begin(&packer, &l);
	policy_pack_end(&packer, &l, PACK_DONE, now);
	assert_int_equal(policy_packer_wake(&packer, now), now);
}

static void far_away_times_saturate(void **state)
{
	struct policy_retry r = {.failures = UINT32_MAX};

	config.log_gzip_age_ms = MSEC_NEVER;
	write_at(MSEC_NEVER - 1);
	assert_int_equal(due(), MSEC_NEVER);
	config.log_gzip_age_ms = HOUR;
	assert_int_equal(due(), MSEC_NEVER);
	policy_retry_failed(&r, MSEC_NEVER - 1, MSEC_NEVER - 1, MSEC_NEVER);
	assert_int_equal(r.at, MSEC_NEVER);
	assert_int_equal(r.failures, UINT32_MAX);
}

/* --- weeks -------------------------------------------------------------- *
 *
 * The gateway writes 10 KiB a minute but from three to five in the morning; a
 * second log gets one line a day. What fs/ would do takes no time. */

#define ARCHIVES 512
#define DAYS	 24

struct gone {
	msec_t at, written;
	uint32_t log, part;
	enum retain_verdict why;
};

static struct {
	struct policy_log live[2];
	bool there[2]; /* X.log is, and is not X.log.gz */
	uint32_t part[2];
	struct policy_archive archive[ARCHIVES]; /* parts from their rotation on */
	uint32_t archives, slots;
	msec_t next;
	struct gone gone[4096];
	uint32_t gones;
	unsigned rotations, packed, revived;
	uint64_t written, kept;
} s;

static void sim_judge(msec_t now)
{
	struct policy_retained r = policy_retain(&config, &wall, now, s.archive, s.archives);
	uint32_t left = 0;

	for (uint32_t i = 0; i < s.archives; i++) {
		struct policy_archive *a = &s.archive[i];
		if (a->verdict == RETAIN_KEEP) {
			s.archive[left++] = *a;
			continue;
		}
		s.kept -= a->size;
		s.gone[s.gones++] = (struct gone){now, a->written, a->log, a->part, a->verdict};
	}
	assert_int_equal(s.archives - left, r.count);
	s.archives = left;
	s.next = r.next;
}

static void sim_archive(uint32_t log, uint32_t part, const struct policy_log *from)
{
	assert_true(s.archives < ARCHIVES && s.slots < 4096);
	s.archive[s.archives++] = (struct policy_archive){
		.slot = s.slots,
		.log = log,
		.part = part,
		.size = from->size,
		.mtime = from->mtime,
		.seen = from->seen,
		.written = from->written,
	};
	s.slots++;
	s.kept += from->size;
}

static void sim_write(uint32_t log, msec_t now, wall_t clock, uint64_t bytes)
{
	struct policy_log *x = &s.live[log];
	uint64_t size;

	if (!s.there[log]) {
		/* Its name is free, or it is compressed and comes back to life. */
		policy_log_init(x, now, clock, 0, false);
		for (uint32_t i = 0; i < s.archives; i++) {
			if (s.archive[i].log != log || s.archive[i].part != 0)
				continue;
			x->size = s.archive[i].size;
			s.kept -= x->size;
			s.archive[i] = s.archive[--s.archives];
			s.revived++;
			break;
		}
		s.there[log] = true;
	}
	policy_log_write(x, now, x->size + bytes);
	x->mtime = clock;
	s.written += bytes;
	policy_log_flushed(x);
	size = x->size;
	if (!policy_rotate_due(x, &config, now, size, true))
		return;
	struct policy_log part = *x;
	part.part = true;
	part.size = size;
	policy_rotate_done(x, x->size - size);
	assert_int_equal(policy_pack_due(&part, &config, &wall), config.log_gzip ? part.seen : MSEC_NEVER);
	sim_archive(log, ++s.part[log], &part);
	s.rotations++;
	sim_judge(now);
}

static void sim_pack(uint32_t log, msec_t now)
{
	if (!s.there[log] || policy_packer_wake(&packer, policy_pack_due(&s.live[log], &config, &wall)) > now)
		return;
	policy_pack_begin(&packer, &s.live[log]);
	assert_true(policy_pack_may_swap(&s.live[log]));
	policy_pack_end(&packer, &s.live[log], PACK_DONE, now);
	assert_int_equal(now, s.live[log].written + HOUR);
	s.there[log] = false;
	sim_archive(log, 0, &s.live[log]);
	s.packed++;
	sim_judge(now);
}

/* The wall clock at `now`, as one of several bad ones would have it. */
typedef wall_t clock_fn(msec_t now);

static void simulate(clock_fn *clock)
{
	memset(&s, 0, sizeof(s));
	memset(&packer, 0, sizeof(packer));
	s.next = MSEC_NEVER;
	policy_wall_init(&wall, 0, clock(0));
	for (msec_t now = 0; now < DAYS * DAY; now += MINUTE) {
		int64_t hour = now % DAY / HOUR;

		while (s.next < now)
			sim_judge(s.next);
		if (policy_wall_see(&wall, now, clock(now)))
			sim_judge(now);
		if (hour < 3 || hour >= 5)
			sim_write(0, now, clock(now), 10240);
		if (now % DAY == 12 * HOUR)
			sim_write(1, now, clock(now), 100);
		sim_pack(0, now);
		sim_pack(1, now);
	}
}

static wall_t right(msec_t now)
{
	return NOW + now;
}

static wall_t stays_in_1970(msec_t now)
{
	return now;
}

static wall_t forwards_by_a_month(msec_t now)
{
	return NOW + now + (now > 5 * DAY ? 30 * DAY : 0);
}

static wall_t back_by_a_month(msec_t now)
{
	return NOW + now - (now > 5 * DAY ? 30 * DAY : 0);
}

static wall_t to_and_fro(msec_t now)
{
	return NOW + now + (now / HOUR * 7919 % 61 - 30) * DAY;
}

static wall_t begins_in_1970(msec_t now)
{
	return now < 90 * SECOND ? now : NOW + now;
}

static wall_t falls_to_1970(msec_t now)
{
	return now < 8 * DAY ? NOW + now : now;
}

static wall_t mad(msec_t now)
{
	return (wall_t)((uint64_t)now * 6364136223846793005u);
}

/* What the rules say of a run that saw everything begin: deleted exactly seven
 * days after its last line, in that order, nothing else, at whatever clock. */
static void check_weeks(void)
{
	for (uint32_t i = 0; i < s.gones; i++) {
		assert_int_equal(s.gone[i].why, RETAIN_AGE);
		assert_int_equal(s.gone[i].at, s.gone[i].written + 7 * DAY);
		assert_true(i == 0 || s.gone[i].at >= s.gone[i - 1].at);
	}
	for (uint32_t i = 0; i < s.archives; i++)
		assert_true(s.archive[i].written > (DAYS - 7) * DAY - MINUTE - 1);
	/* 12.9 MiB a day; each log is packed once a day and comes back to life, but for the last time. */
	assert_int_equal(s.packed, 2 * DAYS);
	assert_int_equal(s.revived, 2 * DAYS - 1);
	assert_int_equal(s.written, DAYS * (22 * 60 * 10240 + 100));
	assert_int_equal(s.rotations, DAYS * 22 * 60 * 10240 / (10 * MIB));
	/* A part lives a week, the rest are brought back to life each day. */
	assert_in_range(s.gones, 20, 22);
}

static void weeks_under_clocks_of_every_kind(void **state)
{
	static clock_fn *const clocks[] = {right,      stays_in_1970,  forwards_by_a_month, back_by_a_month,
					   to_and_fro, begins_in_1970, falls_to_1970,	    mad};
	static struct gone expected[4096];
	uint32_t count = 0;

	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		simulate(clocks[i]);
		check_weeks();
		if (i == 0) {
			count = s.gones;
			memcpy(expected, s.gone, sizeof(expected));
		}
		assert_int_equal(s.gones, count);
		assert_memory_equal(s.gone, expected, count * sizeof(struct gone));
	}
}

/* The same weeks with fewer parts, and without compression. */
static void weeks_with_few_parts(void **state)
{
	config.log_rotate_keep = 3;
	config.log_gzip = false;
	simulate(forwards_by_a_month);
	assert_int_equal(s.packed, 0);
	assert_true(s.archives == 3 && s.rotations > 25);
	assert_int_equal(s.gones, s.rotations - 3);
	for (uint32_t i = 0; i < s.gones; i++) {
		assert_int_equal(s.gone[i].why, RETAIN_PARTS);
		assert_int_equal(s.gone[i].part, i + 1);
	}
}

static void weeks_with_few_bytes(void **state)
{
	config.log_keep_bytes = (int64_t)(35 * MIB);
	simulate(back_by_a_month);
	assert_true(s.gones > 20);
	for (uint32_t i = 0; i < s.gones; i++) {
		assert_int_equal(s.gone[i].why, RETAIN_BYTES);
		assert_true(i == 0 || s.gone[i].written >= s.gone[i - 1].written);
	}
	assert_true(s.kept <= 35 * MIB && s.kept > 20 * MIB);
}

static void weeks_for_ever(void **state)
{
	config.log_keep_days = 0;
	simulate(forwards_by_a_month);
	assert_int_equal(s.gones, 0);
	assert_int_equal(s.next, MSEC_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_log_is_rotated_when_it_is_large_enough, setup),
		cmocka_unit_test_setup(it_is_cut_at_a_line_end, setup),
		cmocka_unit_test_setup(a_part_is_not_rotated_nor_a_log_that_is_being_compressed, setup),
		cmocka_unit_test_setup(a_rotation_that_failed_waits, setup),
		cmocka_unit_test_setup(a_log_that_is_followed_is_cut_where_it_was_read_to, setup),
		cmocka_unit_test_setup(what_is_copied_is_told_from_what_is_logged, setup),
		cmocka_unit_test_setup(an_idle_log_is_due_an_hour_after_its_last_write, setup),
		cmocka_unit_test_setup(one_that_is_open_or_unflushed_or_empty_is_not_due, setup),
		cmocka_unit_test_setup(a_part_is_due_at_once, setup),
		cmocka_unit_test_setup(one_from_before_is_due_when_a_clock_says_so, setup),
		cmocka_unit_test_setup(no_step_compresses_a_log_that_is_written, setup),
		cmocka_unit_test_setup(one_at_a_time_and_not_under_pressure, setup),
		cmocka_unit_test_setup(what_was_written_meanwhile_is_not_replaced, setup),
		cmocka_unit_test_setup(one_that_failed_waits_longer_and_longer_the_others_less, setup),
		cmocka_unit_test_setup(far_away_times_saturate, setup),
		cmocka_unit_test_setup(weeks_under_clocks_of_every_kind, setup),
		cmocka_unit_test_setup(weeks_with_few_parts, setup),
		cmocka_unit_test_setup(weeks_with_few_bytes, setup),
		cmocka_unit_test_setup(weeks_for_ever, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
