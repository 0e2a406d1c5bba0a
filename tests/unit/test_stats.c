/* Counters under a fake clock: minutes, idle hours, windows, histograms. */
#include "fs/blockdev.h"
#include "fs/latency.h"
#include "fs/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#define START 1000

static struct stats *stats;
static struct stats_minute minutes[STATS_MINUTES];

static int setup(void **state)
{
	stats = stats_create(START, makedev(0, 5));
	return stats ? 0 : -1;
}

static int teardown(void **state)
{
	stats_destroy(stats);
	return 0;
}

/* The time `ms` into minute `n`. */
static msec_t at(int n, int ms)
{
	return START + (msec_t)n * MINUTE_MS + ms;
}

static void flush(msec_t now, enum policy_class cls, uint64_t bytes, uint64_t coalesced, int error)
{
	const struct stats_flush f = {.cls = cls,
				      .cause = CAUSE_INTERVAL,
				      .bytes = bytes,
				      .coalesced = coalesced,
				      .error = error,
				      .us = 3000};

	stats_flush(stats, now, &f);
}

static void test_first_minute(void **state)
{
	stats_app_write(stats, at(0, 1), CLASS_LOG, 100, false);
	assert_int_equal(stats_history(stats, at(0, 59999), minutes), 0);
	assert_int_equal(stats_window(stats, at(0, 59999), 5, &minutes[0]), 0);
	assert_int_equal(stats_history(stats, at(1, 0), minutes), 1);
	assert_int_equal(minutes[0].end, at(1, 0));
	assert_int_equal(minutes[0].value[MINUTE_APP_BYTES], 100);
}

static void test_values(void **state)
{
	stats_app_write(stats, at(0, 1), CLASS_LOG, 100, false);
	stats_app_write(stats, at(0, 2), CLASS_VOLATILE, 1000, false);
	stats_app_move(stats, at(0, 3), CLASS_VOLATILE, CLASS_SNAPSHOT, 1, 1000);
	stats_app_write(stats, at(0, 4), CLASS_THROUGH, 10, true);
	flush(at(0, 5), CLASS_LOG, 100, 0, 0);
	flush(at(0, 6), CLASS_SNAPSHOT, 1000, 4, 0);
	flush(at(0, 7), CLASS_STATE, 0, 0, -5);
	stats_count(stats, STATS_READS_RAM, 3);
	stats_count(stats, STATS_CHECKPOINTS, 2);
	stats_count(stats, STATS_DB_ELIDED, 7);
	assert_int_equal(stats_history(stats, at(1, 0), minutes), 1);
	const uint64_t *v = minutes[0].value;
	assert_int_equal(v[MINUTE_APP_WRITES], 3);
	assert_int_equal(v[MINUTE_APP_BYTES], 1110);
	assert_int_equal(v[MINUTE_LOWER_WRITES], 3);
	assert_int_equal(v[MINUTE_LOWER_BYTES], 1110);
	assert_int_equal(v[MINUTE_LOG_BYTES], 100);
	assert_int_equal(v[MINUTE_SAVES], 5);
	assert_int_equal(v[MINUTE_REPLACES], 1);
	assert_int_equal(v[MINUTE_FLUSHES], 3);
	assert_int_equal(v[MINUTE_ERRORS], 1);
	assert_int_equal(v[MINUTE_COUNTS + STATS_READS_RAM], 3);
	assert_int_equal(v[MINUTE_COUNTS + STATS_CHECKPOINTS], 2);
	assert_int_equal(v[MINUTE_COUNTS + STATS_DB_ELIDED], 7);
	/* A file system without a device of its own: nothing is made up. */
	assert_false(minutes[0].device);
	assert_int_equal(v[MINUTE_DEV_WRITES], 0);
}

/* Idle minutes are there, empty, and what came before them stays where it was. */
static void test_idle(void **state)
{
	stats_app_write(stats, at(0, 1), CLASS_LOG, 1, false);
	stats_app_write(stats, at(4, 30000), CLASS_LOG, 2, false);
	assert_int_equal(stats_history(stats, at(6, 1), minutes), 6);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(minutes[i].end, at(i + 1, 0));
		assert_int_equal(minutes[i].value[MINUTE_APP_BYTES], i == 0 ? 1 : i == 4 ? 2 : 0);
	}
	/* The last full minute of the classes agrees. */
	struct stats_class total[CLASS_COUNT], minute[CLASS_COUNT];
	int64_t uptime;
	stats_read(stats, at(6, 1), total, minute, &uptime);
	assert_int_equal(total[CLASS_LOG].app_bytes, 3);
	assert_int_equal(minute[CLASS_LOG].app_bytes, 0);
	assert_int_equal(uptime, 6 * MINUTE_MS + 1);
}

/* What takes no lock and no time is of the minute in which the requests came. */
static void test_counts_without_writes(void **state)
{
	for (int i = 0; i < 3; i++) {
		stats_tick(stats, at(i, 10));
		stats_count(stats, STATS_READS_LOWER, (uint64_t)i + 1);
	}
	assert_int_equal(stats_history(stats, at(3, 0), minutes), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(minutes[i].value[MINUTE_COUNTS + STATS_READS_LOWER], i + 1);
}

static void test_an_hour(void **state)
{
	for (int i = 0; i < 100; i++)
		stats_app_write(stats, at(i, 1), CLASS_APPEND, (uint64_t)i, false);
	assert_int_equal(stats_history(stats, at(100, 0), minutes), STATS_MINUTES);
	for (int i = 0; i < STATS_MINUTES; i++) {
		assert_int_equal(minutes[i].value[MINUTE_APP_BYTES], 40 + i);
		assert_int_equal(minutes[i].end, at(41 + i, 0));
	}
	/* A day of nothing. */
	assert_int_equal(stats_history(stats, at(2000, 0), minutes), STATS_MINUTES);
	for (int i = 0; i < STATS_MINUTES; i++) {
		assert_int_equal(minutes[i].value[MINUTE_APP_BYTES], 0);
		assert_int_equal(minutes[i].end, at(1941 + i, 0));
	}
}

/* A process that takes over has counted nothing yet, and claims no idle minutes. */
static void test_begin(void **state)
{
	stats_app_write(stats, at(0, 1), CLASS_LOG, 5, false);
	stats_begin(stats, at(7, 30000));
	assert_int_equal(stats_history(stats, at(8, 29999), minutes), 0);
	stats_app_write(stats, at(8, 20000), CLASS_LOG, 6, false);
	assert_int_equal(stats_history(stats, at(8, 30000), minutes), 1);
	assert_int_equal(minutes[0].end, at(8, 30000));
	assert_int_equal(minutes[0].value[MINUTE_APP_BYTES], 6);
}

static void test_window(void **state)
{
	struct stats_minute sum;

	for (int i = 0; i < 10; i++)
		stats_app_write(stats, at(i, 1), CLASS_APPEND, 1U << i, false);
	assert_int_equal(stats_window(stats, at(10, 5), 1, &sum), 1);
	assert_int_equal(sum.value[MINUTE_APP_BYTES], 512);
	assert_int_equal(stats_window(stats, at(10, 5), 3, &sum), 3);
	assert_int_equal(sum.value[MINUTE_APP_BYTES], 512 + 256 + 128);
	assert_int_equal(stats_window(stats, at(10, 5), 60, &sum), 10);
	assert_int_equal(sum.value[MINUTE_APP_BYTES], 1023);
	assert_false(sum.device);
}

static void test_latency(void **state)
{
	static const struct {
		uint64_t us;
		unsigned bucket;
	} cases[] = {{0, 0}, {1, 1},	 {2, 2},     {3, 2},
		     {4, 3}, {1023, 10}, {1024, 11}, {UINT64_MAX / 2, LATENCY_BUCKETS - 1}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct latency l = {0};
		latency_add(&l, cases[i].us);
		assert_int_equal(l.bucket[cases[i].bucket], 1);
		assert_int_equal(l.sum_us, cases[i].us);
		/* Bucket b is what took less than 2^b us. */
		if (cases[i].bucket < LATENCY_BUCKETS - 1) {
			assert_true(cases[i].us < 1ULL << cases[i].bucket);
			assert_true(cases[i].bucket == 0 || cases[i].us >= 1ULL << (cases[i].bucket - 1));
		}
	}
}

static void test_no_device(void **state)
{
	char name[BLOCKDEV_NAME_MAX] = "x";
	struct blockdev d = {.writes = 5};

	assert_false(blockdev_read(makedev(0, 5), &d));
	assert_int_equal(d.writes, 0);
	blockdev_name(makedev(0, 5), name);
	assert_string_equal(name, "");
	/* Of a number that no driver has. */
	assert_false(blockdev_read(makedev(4000, 5), &d));
	blockdev_name(makedev(4000, 5), name);
	assert_string_equal(name, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_minute, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counts_without_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_hour, setup, teardown),
		cmocka_unit_test_setup_teardown(test_begin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_window, setup, teardown),
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_no_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
