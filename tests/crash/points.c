/* SIGKILL at numbered points: before and after each kind of system call on the lower and on the upper, and at each
 * CRASH_POINT() of a debug build, the n-th time that it is passed; while it serves the full load, and while it
 * recovers. After each, every file is judged to the byte. A round is replayed by its seed and `first=`. */
#include "daemon.h"
#include "faultpage.h"
#include "modes.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const call_names[] = {
#define X(name) #name,
	FAULT_CALLS(X)
#undef X
};

static const char options[] = "log_flush_ms=60,append_flush_ms=40,state_flush_ms=20,session_debounce_ms=20,session_max_"
			      "ms=60,epoch_reach_ms=20,"
			      "sqlite_sync_ms=200,sqlite_checkpoint_ms=500";

struct target {
	uint32_t side, call, point, mode;
};

struct targets {
	struct target list[2 * SIDES * CALLS + 2 * POINTS_MAX];
	unsigned count;
	unsigned struck[2 * SIDES * CALLS + 2 * POINTS_MAX];
};

static void add_target(struct targets *t, struct target target)
{
	for (unsigned i = 0; i < t->count; i++)
		if (memcmp(&t->list[i], &target, sizeof(target)) == 0)
			return;
	t->list[t->count++] = target;
}

/* Whatever has been passed so far. */
static void find_targets(struct targets *t, const struct fault_page *page)
{
	for (uint32_t side = SIDE_LOWER; side < SIDES; side++)
		for (uint32_t call = 0; call < CALL_point; call++)
			for (uint32_t mode = FAULT_KILL_BEFORE; page->counts[side][call] && mode <= FAULT_KILL_AFTER;
			     mode++)
				add_target(t, (struct target){side, call, 0, mode});
	for (uint32_t p = 1; p <= page->points && p < POINTS_MAX; p++)
		add_target(t, (struct target){SIDE_LOWER, CALL_point, p, FAULT_KILL_AFTER});
}

static void arm(struct fault_page *page, const struct target *t, uint32_t skip)
{
	page->side = t->side;
	page->call = t->call;
	page->point = t->point;
	page->skip = skip;
	page->fired = 0;
	__atomic_store_n(&page->mode, t->mode, __ATOMIC_RELEASE);
}

static bool disarm(struct fault_page *page)
{
	__atomic_store_n(&page->mode, FAULT_OFF, __ATOMIC_RELEASE);
	return __atomic_load_n(&page->fired, __ATOMIC_ACQUIRE) > 0;
}

static const char *said(const struct fault_page *page, const struct target *t)
{
	static char text[100];

	snprintf(text, sizeof(text), "%s %s%s%s", t->mode == FAULT_KILL_BEFORE ? "before" : "after",
		 t->point		 ? ""
		 : t->side == SIDE_LOWER ? "lower-"
		 : t->side == SIDE_UPPER ? "upper-"
					 : "any-",
		 t->point	   ? page->point_names[t->point]
		 : t->call < CALLS ? call_names[t->call]
				   : "call",
		 "");
	return text;
}

/* The next mount, which is killed itself every other time: at the n-th of all its calls. */
static int recover(struct daemon *d, struct crew *c, struct fault_page *page, uint64_t r, unsigned *struck)
{
	for (unsigned i = 0; i < r % 3 && argument_number("recover", 1); i++) {
		const struct target any = {SIDE_NONE, CALLS, 0, r >> 8 & 1 ? FAULT_KILL_BEFORE : FAULT_KILL_AFTER};
		arm(page, &any, (uint32_t)((r >> 16) % 200) * (i + 1));
		int rc = daemon_start(d, options);
		bool fired = disarm(page);
		*struck += fired;
		if (rc < 0)
			return -1;
		if (rc == 0)
			daemon_kill(d);
		daemon_take_away(d);
	}
	if (argument_number("keep", 0))
		keep_copy(d, argument("dir", NULL));
	return remount_and_judge(d, c, options);
}

int mode_points(void)
{
	const char *dir = argument("dir", NULL);
	long long rounds = argument_number("rounds", 10), round = argument_number("first", 0), last = round + rounds;
	struct targets targets = {0};
	char acks[600];
	struct daemon d;
	unsigned recovering = 0, struck = 0, kinds = 0;
	int rc = 0;

	snprintf(acks, sizeof(acks), "%s/acks", dir);
	daemon_init(&d, argument("clawfs", NULL), dir, argument("shm", NULL));
	struct fault_page *page = daemon_with_faults(&d, dir);
	struct crew_options o = crew_arguments(d.mnt, acks);
	o.fresh = o.forgets_times = true;
	struct crew *c = crew_create(&o);
	usec_t begin = usec_now();
	if (!c || !page || daemon_start(&d, options) != 0 || crew_prepare(d.mnt) < 0)
		return 1;
	bool supervised = daemon_is_supervised(&d);
	/* To know what there is. */
	crew_go(c);
	usleep(1500000);
	crew_halt(c);
	for (; round < last && rc == 0; round++) {
		uint64_t r = mix(o.seed, 21, (uint64_t)round);
		find_targets(&targets, page);
		unsigned i = (unsigned)((uint64_t)round + o.seed * 37) % targets.count;
		const struct target *t = &targets.list[i];
		uint64_t passed = t->point ? page->point_counts[t->point] : page->counts[t->side][t->call];
		/* So often that it comes within the time. */
		uint32_t skip = (uint32_t)(r % (1 + passed / 40));
		arm(page, t, skip > 500 ? 500 : skip);
		if (!supervised)
			crew_expect_failure(c);
		crew_go(c);
		if (!supervised)
			crew_expect_failure(c);
		for (int wait = 0; wait < 400 && !__atomic_load_n(&page->fired, __ATOMIC_ACQUIRE); wait++)
			usleep(1000);
		bool fired = disarm(page);
		struck += fired;
		kinds += fired && targets.struck[i]++ == 0;
		usleep(5000);
		if (!supervised) {
			daemon_kill(&d);
			crew_halt(c);
			crew_drop(c);
			daemon_take_away(&d);
			if (argument_number("keep", 0)) {
				char cmd[2000];
				snprintf(cmd, sizeof(cmd),
					 "rm -rf %s/early; mkdir %s/early; cp -a %s %s/early/lower; cp -a %s "
					 "%s/early/upper",
					 dir, dir, d.lower, dir, d.upper, dir);
				if (system(cmd)) {
				}
			}
			rc = recover(&d, c, page, r >> 32, &recovering);
		} else {
			crew_halt(c);
			rc = crew_check(c, d.mnt, JUDGE_MOUNT, 0, 0, false) || crew_errors(c) ? -1 : 0;
			d.worker = daemon_worker(&d);
		}
		if (rc < 0)
			fprintf(stderr, "WRONG after round %lld: killed %s, the %u-th\n", round, said(page, t),
				skip + 1);
	}
	if (rc == 0)
		rc = end_and_judge(&d, c);
	if (rc < 0) {
		crew_halt(c);
		say_who_holds(dir);
		daemon_kill(&d);
		daemon_take_away(&d);
	}
	printf("coverage seed %llu kinds %u of %u, struck %u, while recovering %u, points %u\n",
	       (unsigned long long)o.seed, kinds, targets.count, struck, recovering, page->points);
	printf("kill rounds %lld operations %llu errors %u supervised %d longest-ms %.0f seconds %.1f wrong %d\n",
	       rounds, (unsigned long long)crew_done(c), crew_errors(c), supervised, (double)crew_longest(c) / 1e3,
	       (double)(usec_now() - begin) / 1e6, rc < 0);
	crew_destroy(c);
	return rc < 0;
}
