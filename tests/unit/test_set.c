/* The heap of due times, alone and against a plain array. */
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SLOTS 200

static struct policy_entry heap[SLOTS];
static uint32_t position[SLOTS];
static uint32_t slots[SLOTS];
static struct policy_set set;

static int setup(void **state)
{
	memset(&set, 0, sizeof(set));
	memset(position, 0, sizeof(position));
	policy_set_storage(&set, heap, position, SLOTS);
	return 0;
}

static bool before(struct policy_entry a, struct policy_entry b)
{
	return a.due < b.due || (a.due == b.due && a.slot < b.slot);
}

/* Order from parent to child, and each slot where position says it is. */
static void assert_sound(const struct policy_set *s)
{
	uint32_t i, listed = 0;

	for (i = 1; i < s->count; i++)
		assert_true(before(s->heap[(i - 1) / 2], s->heap[i]));
	for (i = 0; i < s->count; i++)
		assert_int_equal(s->position[s->heap[i].slot], i + 1);
	for (i = 0; i < s->capacity; i++)
		listed += s->position[i] != 0;
	assert_int_equal(listed, s->count);
}

static void test_empty(void **state)
{
	assert_true(policy_set_wake(&set) == MSEC_NEVER);
	assert_int_equal(policy_set_take(&set, 1000000, 1000000, slots, SLOTS), 0);
	assert_int_equal(policy_set_take(&set, MSEC_NEVER, MSEC_NEVER, slots, SLOTS), 0);
	policy_set_update(&set, 3, MSEC_NEVER);
	assert_int_equal(set.count, 0);
	assert_sound(&set);
}

static void test_one_moves(void **state)
{
	policy_set_update(&set, 7, 500);
	assert_true(policy_set_wake(&set) == 500);
	policy_set_update(&set, 7, 900);
	assert_true(policy_set_wake(&set) == 900);
	policy_set_update(&set, 7, 100);
	assert_true(policy_set_wake(&set) == 100);
	assert_int_equal(set.count, 1);
	assert_int_equal(policy_set_take(&set, 99, 10, slots, SLOTS), 0);
	assert_int_equal(policy_set_take(&set, 100, 10, slots, SLOTS), 1);
	assert_int_equal(slots[0], 7);
	assert_true(policy_set_wake(&set) == MSEC_NEVER);
	policy_set_update(&set, 7, 200);
	policy_set_update(&set, 7, MSEC_NEVER);
	assert_int_equal(set.count, 0);
	assert_sound(&set);
}

static void test_take_reaches(void **state)
{
	policy_set_update(&set, 5, 1000);
	policy_set_update(&set, 4, 1400);
	policy_set_update(&set, 3, 1500);
	policy_set_update(&set, 2, 1501);
	/* t=999: nothing is due, whatever the reach */
	assert_int_equal(policy_set_take(&set, 999, 500, slots, SLOTS), 0);
	assert_int_equal(set.count, 4);
	/* t=1000: slot 5, and with it all up to 1500 */
	assert_int_equal(policy_set_take(&set, 1000, 500, slots, SLOTS), 3);
	assert_int_equal(slots[0], 5);
	assert_int_equal(slots[1], 4);
	assert_int_equal(slots[2], 3);
	assert_true(policy_set_wake(&set) == 1501);
	/* without reach, just what is due */
	policy_set_update(&set, 9, 1502);
	assert_int_equal(policy_set_take(&set, 1501, 0, slots, SLOTS), 1);
	assert_int_equal(slots[0], 2);
	/* a reach that overflows reaches everything */
	policy_set_update(&set, 1, MSEC_NEVER - 1);
	assert_int_equal(policy_set_take(&set, 1502, MSEC_NEVER, slots, SLOTS), 2);
	assert_int_equal(slots[1], 1);
	assert_sound(&set);
}

static void test_ties_by_slot(void **state)
{
	static const uint32_t order[] = {9, 2, 7, 0, 5, 1};
	static const uint32_t sorted[] = {0, 1, 2, 5, 7, 9};
	size_t i;

	for (i = 0; i < 6; i++)
		policy_set_update(&set, order[i], 42);
	assert_int_equal(policy_set_take(&set, 42, 0, slots, SLOTS), 6);
	assert_memory_equal(slots, sorted, sizeof(sorted));
}

/* What does not fit into one epoch is still there for the next. */
static void test_take_at_most(void **state)
{
	uint32_t i;

	for (i = 0; i < 10; i++)
		policy_set_update(&set, i, 10 - (msec_t)i);
	assert_int_equal(policy_set_take(&set, 10, 0, slots, 0), 0);
	assert_int_equal(policy_set_take(&set, 10, 0, slots, 4), 4);
	assert_int_equal(slots[0], 9);
	assert_int_equal(slots[3], 6);
	assert_int_equal(set.count, 6);
	assert_sound(&set);
	assert_int_equal(policy_set_take(&set, 10, 0, slots, SLOTS), 6);
	assert_int_equal(slots[5], 0);
}

static void test_slot_out_of_range(void **state)
{
	policy_set_update(&set, SLOTS, 1);
	policy_set_update(&set, UINT32_MAX, 1);
	assert_int_equal(set.count, 0);
	policy_set_update(&set, SLOTS - 1, 1);
	assert_int_equal(set.count, 1);
}

static void test_storage_grows(void **state)
{
	struct policy_entry *small_heap = calloc(2, sizeof(*small_heap)), *big_heap = calloc(64, sizeof(*big_heap));
	uint32_t *small_position = calloc(2, sizeof(*small_position)),
		 *big_position = calloc(64, sizeof(*big_position));
	struct policy_set s = {.count = 0};

	assert_true(small_heap && big_heap && small_position && big_position);
	policy_set_storage(&s, small_heap, small_position, 2);
	policy_set_update(&s, 1, 10);
	policy_set_update(&s, 0, 20);
	memcpy(big_heap, small_heap, 2 * sizeof(*small_heap));
	memcpy(big_position, small_position, 2 * sizeof(*small_position));
	policy_set_storage(&s, big_heap, big_position, 64);
	free(small_heap);
	free(small_position);
	policy_set_update(&s, 63, 5);
	policy_set_update(&s, 1, 30);
	assert_sound(&s);
	assert_int_equal(policy_set_take(&s, 30, 0, slots, SLOTS), 3);
	assert_int_equal(slots[0], 63);
	assert_int_equal(slots[1], 0);
	assert_int_equal(slots[2], 1);
	free(big_heap);
	free(big_position);
}

/* --- against an array ----------------------------------------------------- */

static uint64_t seed = 1181783497276652981;

static unsigned rnd(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 33) % below);
}

/* The least of what is due by `limit`, or SLOTS. */
static uint32_t least(const msec_t *due, msec_t limit)
{
	uint32_t i, found = SLOTS;

	for (i = 0; i < SLOTS; i++) {
		if (due[i] != MSEC_NEVER && due[i] <= limit && (found == SLOTS || due[i] < due[found]))
			found = i;
	}
	return found;
}

static void test_against_array(void **state)
{
	static msec_t due[SLOTS];
	uint32_t i, k, slot, taken, max;
	msec_t now, reach;

	for (i = 0; i < SLOTS; i++)
		due[i] = MSEC_NEVER;
	for (i = 0; i < 50000; i++) {
		if (rnd(20) != 0) {
			slot = rnd(SLOTS);
			due[slot] = rnd(4) ? (msec_t)rnd(300) : MSEC_NEVER; /* many ties */
			policy_set_update(&set, slot, due[slot]);
		} else {
			now = rnd(300);
			reach = rnd(30);
			max = rnd(30);
			taken = policy_set_take(&set, now, reach, slots, max);
			k = 0;
			while (least(due, now) < SLOTS || k > 0) {
				slot = least(due, now + reach);
				if (k == max || slot == SLOTS)
					break;
				assert_true(k < taken);
				assert_int_equal(slots[k], slot);
				due[slot] = MSEC_NEVER;
				k++;
			}
			assert_int_equal(taken, k);
		}
		slot = least(due, MSEC_NEVER);
		assert_true(policy_set_wake(&set) == (slot == SLOTS ? MSEC_NEVER : due[slot]));
		if (i % 64 == 0)
			assert_sound(&set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_empty, setup),
		cmocka_unit_test_setup(test_one_moves, setup),
		cmocka_unit_test_setup(test_take_reaches, setup),
		cmocka_unit_test_setup(test_ties_by_slot, setup),
		cmocka_unit_test_setup(test_take_at_most, setup),
		cmocka_unit_test_setup(test_slot_out_of_range, setup),
		cmocka_unit_test(test_storage_grows),
		cmocka_unit_test_setup(test_against_array, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
