/* How far the wall clock is believed.
 *
 * A Pi boots in 1970, or at the time of its last shutdown, and NTP steps it hours or years forwards some
 * seconds to minutes later; an administrator or a bad server may step it anywhere. Ages are therefore counted
 * on the monotonic clock wherever this run has seen the beginning. What was there before this run has nothing
 * but its mtime, and this is what the wall clock is needed for, and how it is read:
 *
 *   W1 A time before 2020 or after 2099 is nonsense, as the clock's and as an mtime. It is not used at all.
 *   W2 The believed clock is the monotonic clock plus the least (wall - monotonic) that was not nonsense in
 *      this run. So a step forwards never moves it, and a step backwards moves it back: it never runs ahead of
 *      any reading of the wall clock in this run, and no age that is computed from it is larger than the wall
 *      clock ever claimed.
 *   W3 Nothing is derived from it within WALL_SETTLE_MS of the first time that was not nonsense, or of the last
 *      step of WALL_STEP_MS or more in any direction. So a clock that NTP is about to correct is not believed.
 *
 * Consequence of W2 and W1 for the usual boots: 1970, then right: the right one. Right all along: the right
 * one. Behind, then right (no saved time): behind for this run, so ages are too small, things happen later,
 * at the latest when the monotonic clock alone proves the age. Ahead, then right: the right one. */
#ifndef CLAWFS_POLICY_WALL_H
#define CLAWFS_POLICY_WALL_H

#include "policy/types.h"

/* Milliseconds since 1970, of CLOCK_REALTIME and of mtimes. Any value may come in. */
typedef int64_t wall_t;
#define WALL_MIN ((wall_t)1577836800000) /* 2020-01-01 */
#define WALL_MAX ((wall_t)4102444800000) /* 2100-01-01 */

#define WALL_STEP_MS   2000 /* less is two clocks not read at one instant, or a leap second */
#define WALL_SETTLE_MS 600000

struct policy_wall {
	msec_t start;	/* of this run */
	bool known;	/* a time that was not nonsense was seen */
	bool nonsense;	/* the last one seen was */
	int64_t offset; /* W2 */
	int64_t latest; /* wall - monotonic as last seen without nonsense */
	msec_t settled; /* W3: the first good time, or the last step */
	uint64_t steps;
};

static inline bool policy_wall_sane(wall_t wall)
{
	return wall >= WALL_MIN && wall < WALL_MAX;
}

/* a - b, saturating at both ends. */
static inline int64_t wall_sub(int64_t a, int64_t b)
{
	int64_t diff;

	if (!__builtin_sub_overflow(a, b, &diff))
		return diff;
	return a < b ? INT64_MIN : INT64_MAX;
}

/* The run begins. `now` is the monotonic clock's, `wall` was read beside it. */
void policy_wall_init(struct policy_wall *w, msec_t now, wall_t wall);

/* Both clocks, read one after the other: at every wake for policy/life.h and
 * policy/retain.h, and at least once a minute while something of theirs waits
 * (or on TFD_TIMER_CANCEL_ON_SET). True when it was a step: whatever was asked
 * before must be asked again. */
bool policy_wall_see(struct policy_wall *w, msec_t now, wall_t wall);

/* When, on the monotonic clock, what bears `mtime` is believed to be `age` old;
 * MSEC_NEVER if that cannot be said. May lie in the past. */
msec_t policy_wall_due(const struct policy_wall *w, wall_t mtime, msec_t age);

#endif
