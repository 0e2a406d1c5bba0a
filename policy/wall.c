#include "policy/wall.h"

static void first_good(struct policy_wall *w, msec_t now, int64_t offset)
{
	w->known = true;
	w->offset = offset;
	w->latest = offset;
	w->settled = now;
}

void policy_wall_init(struct policy_wall *w, msec_t now, wall_t wall)
{
	*w = (struct policy_wall){.start = now, .nonsense = !policy_wall_sane(wall)};
	if (!w->nonsense)
		first_good(w, now, wall - now);
}

bool policy_wall_see(struct policy_wall *w, msec_t now, wall_t wall)
{
	bool nonsense = !policy_wall_sane(wall), step = nonsense != w->nonsense;
	int64_t offset = wall_sub(wall, now), moved;

	w->nonsense = nonsense;
	if (!nonsense && !w->known) {
		first_good(w, now, offset);
	} else if (!nonsense) {
		moved = wall_sub(offset, w->latest);
		step |= moved >= WALL_STEP_MS || moved <= -WALL_STEP_MS;
		w->latest = offset;
		if (offset < w->offset)
			w->offset = offset;
	}
	if (!step)
		return false;
	w->steps++;
	w->settled = now;
	return true;
}

msec_t policy_wall_due(const struct policy_wall *w, wall_t mtime, msec_t age)
{
	msec_t at, settled = msec_add(w->settled, WALL_SETTLE_MS);

	if (!w->known || !policy_wall_sane(mtime))
		return MSEC_NEVER;
	at = wall_sub(msec_add(mtime, age), w->offset);
	return at < settled ? settled : at;
}
