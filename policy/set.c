/* The heap of due times. Order: due, then slot, so that what is due at one time
 * is taken in the same order on every run. */
#include "policy/policy.h"

#include <string.h>

void policy_set_storage(struct policy_set *set, struct policy_entry *heap, uint32_t *position, uint32_t capacity)
{
	set->heap = heap;
	set->position = position;
	set->capacity = capacity;
}

static bool is_before(const struct policy_entry *a, const struct policy_entry *b)
{
	return a->due != b->due ? a->due < b->due : a->slot < b->slot;
}

static void place(struct policy_set *set, uint32_t at, struct policy_entry entry)
{
	set->heap[at] = entry;
	set->position[entry.slot] = at + 1;
}

/* Puts `entry` where it belongs, beginning with the hole at `at`. */
static void settle(struct policy_set *set, uint32_t at, struct policy_entry entry)
{
	uint32_t child;

	while (at > 0 && is_before(&entry, &set->heap[(at - 1) / 2])) {
		place(set, at, set->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	/* An entry that has risen stops here: what is below it now was above it. */
	while (at < set->count / 2) {
		child = 2 * at + 1;
		if (child + 1 < set->count && is_before(&set->heap[child + 1], &set->heap[child]))
			child++;
		if (!is_before(&set->heap[child], &entry))
			break;
		place(set, at, set->heap[child]);
		at = child;
	}
	place(set, at, entry);
}

static void remove_at(struct policy_set *set, uint32_t at)
{
	set->position[set->heap[at].slot] = 0;
	set->count--;
	if (at < set->count)
		settle(set, at, set->heap[set->count]);
}

void policy_set_update(struct policy_set *set, uint32_t slot, msec_t due)
{
	uint32_t position;

	if (slot >= set->capacity)
		return;
	position = set->position[slot];
	if (due == MSEC_NEVER) {
		if (position)
			remove_at(set, position - 1);
		return;
	}
	if (!position)
		position = ++set->count;
	settle(set, position - 1, (struct policy_entry){.due = due, .slot = slot});
}

msec_t policy_set_wake(const struct policy_set *set)
{
	return set->count > 0 ? set->heap[0].due : MSEC_NEVER;
}

uint32_t policy_set_take(struct policy_set *set, msec_t now, msec_t reach, uint32_t *slots, uint32_t max)
{
	msec_t limit = reach > 0 ? msec_add(now, reach) : now;
	uint32_t taken = 0;

	if (policy_set_wake(set) > now)
		return 0;
	while (taken < max && set->count > 0 && set->heap[0].due <= limit) {
		slots[taken++] = set->heap[0].slot;
		remove_at(set, 0);
	}
	return taken;
}
