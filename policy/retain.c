#include "policy/retain.h"

#include <string.h>

#define DAY_MS ((int64_t)86400000)

/* --- order: a heap sort, because qsort(3) is not policy/'s to call ------- */

typedef bool before_fn(const struct policy_archive *a, const struct policy_archive *b);

static void swap(struct policy_archive *a, struct policy_archive *b)
{
	struct policy_archive tmp = *a;

	*a = *b;
	*b = tmp;
}

static void sift(struct policy_archive *list, uint32_t at, uint32_t count, before_fn *before)
{
	uint32_t child;

	while ((child = 2 * at + 1) < count) {
		if (child + 1 < count && before(&list[child], &list[child + 1]))
			child++;
		if (!before(&list[at], &list[child]))
			return;
		swap(&list[at], &list[child]);
		at = child;
	}
}

static void sort(struct policy_archive *list, uint32_t count, before_fn *before)
{
	for (uint32_t at = count / 2; at-- > 0;)
		sift(list, at, count, before);
	while (count > 1) {
		swap(&list[0], &list[--count]);
		sift(list, 0, count, before);
	}
}

static bool by_part(const struct policy_archive *a, const struct policy_archive *b)
{
	if (a->log != b->log)
		return a->log < b->log;
	if (a->part != b->part)
		return a->part < b->part;
	return a->slot < b->slot;
}

static bool by_mtime(const struct policy_archive *a, const struct policy_archive *b)
{
	return a->mtime != b->mtime ? a->mtime < b->mtime : by_part(a, b);
}

static bool by_age(const struct policy_archive *a, const struct policy_archive *b)
{
	return a->age != b->age ? a->age > b->age : by_mtime(a, b);
}

/* --- age ---------------------------------------------------------------- */

/* Its mtime is from before this run, as far as it says anything. */
static bool is_witness(const struct policy_archive *a)
{
	return a->written == MSEC_NEVER && policy_wall_sane(a->mtime);
}

/* The wall clock's time at the start of this run, as it is believed. The list
 * is in the order of mtimes. */
static wall_t believed_start(const struct policy_wall *wall, const struct policy_archive *list, uint32_t count)
{
	wall_t least = wall_sub(wall->start, -wall->offset), now_says = wall_sub(wall->start, -wall->latest);

	while (count-- > 0) {
		if (is_witness(&list[count]) && list[count].mtime <= now_says)
			return list[count].mtime > least ? list[count].mtime : least;
	}
	return least;
}

/* The gaps between the archives' mtimes and the start of the run. */
static void count_doubts(wall_t start, struct policy_archive *list, uint32_t count)
{
	wall_t newer = start;
	int64_t doubt = 0;

	while (count-- > 0) {
		list[count].doubt = 0;
		if (!is_witness(&list[count]) || list[count].mtime > start)
			continue;
		if (newer - list[count].mtime > RETAIN_GAP_MS)
			doubt += newer - list[count].mtime;
		newer = list[count].mtime;
		list[count].doubt = doubt;
	}
}

/* When the claim of an mtime, `keep` after it by a clock that is `offset` ahead
 * of the monotonic one, will be believed. */
static msec_t claim_due(const struct policy_wall *wall, int64_t offset, const struct policy_archive *a, msec_t keep)
{
	msec_t claimed = wall_sub(msec_add(a->mtime, keep), offset);
	/* t with (t - claimed) + RETAIN_CREDIT * (t - settled) >= doubt, rounded up */
	int64_t wait = msec_add(wall_sub(claimed, wall->settled), a->doubt);
	msec_t at = msec_add(wall->settled, WALL_SETTLE_MS), paid;

	paid = wait > 0 ? msec_add(wall->settled, wait / (RETAIN_CREDIT + 1) + (wait % (RETAIN_CREDIT + 1) != 0)) : 0;
	if (at < claimed)
		at = claimed;
	return at < paid ? paid : at;
}

static void date(const struct policy_wall *wall, int64_t offset, struct policy_archive *a, msec_t keep, msec_t now)
{
	bool written = a->written != MSEC_NEVER;
	int64_t claimed;

	a->age = wall_sub(now, written ? a->written : a->seen);
	a->due = msec_add(written ? a->written : a->seen, keep);
	if (!wall->known || !is_witness(a))
		return;
	claimed = wall_sub(wall_sub(now, -offset), a->mtime);
	if (claimed > a->age)
		a->age = claimed;
	if (keep != MSEC_NEVER)
		a->due = msec_min(a->due, claim_due(wall, offset, a, keep));
}

static void date_all(const struct policy_wall *wall, msec_t now, msec_t keep, struct policy_archive *list,
		     uint32_t count)
{
	int64_t offset = 0;
	wall_t start;

	sort(list, count, by_mtime);
	if (wall->known) {
		start = believed_start(wall, list, count);
		offset = wall_sub(start, wall->start);
		count_doubts(start, list, count);
	}
	for (uint32_t i = 0; i < count; i++)
		date(wall, offset, &list[i], keep, now);
}

/* --- bounds ------------------------------------------------------------- */

static bool counts(const struct policy_archive *a)
{
	return !a->live && a->verdict == RETAIN_KEEP;
}

static void condemn(struct policy_archive *a, enum retain_verdict why, struct policy_retained *sum)
{
	a->verdict = why;
	sum->count++;
	sum->bytes += a->size;
}

static void by_days(msec_t now, struct policy_archive *list, uint32_t count, struct policy_retained *sum)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i].live || list[i].busy)
			continue;
		if (list[i].due <= now && list[i].due != MSEC_NEVER)
			condemn(&list[i], RETAIN_AGE, sum);
	}
}

/* One log's parts, lowest number first. */
static void bound_parts(uint64_t keep, struct policy_archive *list, uint32_t count, struct policy_retained *sum)
{
	uint64_t parts = 0;
	uint32_t i;

	for (i = 0; i < count; i++)
		parts += counts(&list[i]);
	for (i = 0; i < count && parts > keep; i++) {
		if (!counts(&list[i]) || list[i].busy)
			continue;
		condemn(&list[i], RETAIN_PARTS, sum);
		parts--;
	}
}

static void by_parts(uint64_t keep, struct policy_archive *list, uint32_t count, struct policy_retained *sum)
{
	uint32_t from = 0, to;

	sort(list, count, by_part);
	while (from < count) {
		for (to = from; to < count && list[to].log == list[from].log; to++)
			;
		/* What is no part comes first. */
		while (from < to && list[from].part == 0)
			from++;
		bound_parts(keep, list + from, to - from, sum);
		from = to;
	}
}

static void add_size(uint64_t *total, const struct policy_archive *a)
{
	if (__builtin_add_overflow(*total, a->size, total))
		*total = UINT64_MAX;
}

/* The list is in the order of age. From the newest on, what is too much goes
 * and all that is older with it; what is busy takes its place beforehand. */
static void by_bytes(uint64_t keep, struct policy_archive *list, uint32_t count, struct policy_retained *sum)
{
	uint64_t total = 0;
	uint32_t i, from;

	for (i = 0; i < count; i++) {
		if (counts(&list[i]) && list[i].busy)
			add_size(&total, &list[i]);
	}
	for (from = count; from > 0; from--) {
		if (!counts(&list[from - 1]) || list[from - 1].busy)
			continue;
		add_size(&total, &list[from - 1]);
		if (total > keep)
			break;
	}
	for (i = 0; i < from; i++) {
		if (counts(&list[i]) && !list[i].busy)
			condemn(&list[i], RETAIN_BYTES, sum);
	}
}

struct policy_retained policy_retain(const struct policy_config *config, const struct policy_wall *wall, msec_t now,
				     struct policy_archive *list, uint32_t count)
{
	struct policy_retained sum = {.next = MSEC_NEVER};
	msec_t keep = config->log_keep_days ? config->log_keep_days * DAY_MS : MSEC_NEVER;
	uint32_t i;

	date_all(wall, now, keep, list, count);
	for (i = 0; i < count; i++)
		list[i].verdict = RETAIN_KEEP;
	by_days(now, list, count, &sum);
	if (config->log_rotate_keep)
		by_parts((uint64_t)config->log_rotate_keep, list, count, &sum);
	sort(list, count, by_age);
	if (config->log_keep_bytes)
		by_bytes((uint64_t)config->log_keep_bytes, list, count, &sum);
	for (i = 0; i < count; i++) {
		if (counts(&list[i]) && !list[i].busy)
			sum.next = msec_min(sum.next, list[i].due);
	}
	return sum;
}
