#include "policy/life.h"

static msec_t msec_max(msec_t a, msec_t b)
{
	return a > b ? a : b;
}

void policy_writers_saw(struct policy_writers *w, bool append, bool line_end, msec_t open)
{
	if (!line_end)
		w->lines = 0;
	else if (w->lines < UINT32_MAX)
		w->lines++;
	w->copying = !append && w->lines < WRITERS_LINES && open < WRITERS_OPEN_MS;
}

void policy_retry_failed(struct policy_retry *r, msec_t now, msec_t first, msec_t max)
{
	msec_t wait = first;

	for (uint32_t i = 0; i < r->failures && wait < max; i++)
		wait = msec_add(wait, wait);
	if (r->failures < UINT32_MAX)
		r->failures++;
	r->at = msec_add(now, msec_min(wait, max));
}

/* --- one log ------------------------------------------------------------ */

void policy_log_init(struct policy_log *l, msec_t now, wall_t mtime, uint64_t size, bool part)
{
	*l = (struct policy_log){.mtime = mtime, .seen = now, .written = MSEC_NEVER, .size = size, .part = part};
}

void policy_log_open(struct policy_log *l)
{
	l->open++;
}

void policy_log_close(struct policy_log *l)
{
	if (l->open > 0)
		l->open--;
}

void policy_log_write(struct policy_log *l, msec_t now, uint64_t size)
{
	l->written = now;
	l->size = size;
	l->unflushed = true;
	l->spoiled = true;
}

void policy_log_flushed(struct policy_log *l)
{
	l->unflushed = false;
}

/* --- rotation ----------------------------------------------------------- */

bool policy_rotate_due(const struct policy_log *l, const struct policy_config *config, msec_t now, uint64_t size,
		       bool line_end)
{
	if (config->log_rotate_bytes == 0 || l->part || l->packing || size < (uint64_t)config->log_rotate_bytes)
		return false;
	return line_end && now >= l->rotate.at;
}

bool policy_rotate_followed(int64_t log_rotate_bytes, uint64_t size, uint64_t least, uint64_t most)
{
	return (least == size && most == size) || size / 2 >= (uint64_t)log_rotate_bytes;
}

void policy_rotate_done(struct policy_log *l, uint64_t size)
{
	l->size = size;
	l->rotate = (struct policy_retry){0};
}

void policy_rotate_failed(struct policy_log *l, msec_t now)
{
	policy_retry_failed(&l->rotate, now, PACK_RETRY_MS, PACK_RETRY_MAX);
}

/* --- compression -------------------------------------------------------- */

void policy_packer_pressure(struct policy_packer *p, msec_t now, enum policy_pressure ram, bool flushing)
{
	bool ram_short = ram != PRESSURE_NONE;

	if (p->ram_short && !ram_short)
		p->calm_at = msec_add(now, PACKER_CALM_MS);
	p->ram_short = ram_short;
	p->pressed = ram_short || flushing;
}

static msec_t idle_at(const struct policy_log *l, const struct policy_wall *wall, msec_t age)
{
	if (l->part)
		return l->seen;
	if (l->written != MSEC_NEVER)
		return msec_add(l->written, age);
	return msec_min(msec_add(l->seen, age), policy_wall_due(wall, l->mtime, age));
}

msec_t policy_pack_due(const struct policy_log *l, const struct policy_config *config, const struct policy_wall *wall)
{
	if (!config->log_gzip || l->size == 0 || l->open > 0 || l->unflushed || l->packing)
		return MSEC_NEVER;
	return msec_max(idle_at(l, wall, config->log_gzip_age_ms), l->pack.at);
}

msec_t policy_packer_wake(const struct policy_packer *p, msec_t due)
{
	if (p->running || p->pressed)
		return MSEC_NEVER;
	return msec_max(due, msec_max(p->calm_at, p->retry.at));
}

void policy_pack_begin(struct policy_packer *p, struct policy_log *l)
{
	p->running = true;
	l->packing = true;
	l->spoiled = false;
}

bool policy_pack_pause(const struct policy_packer *p)
{
	return p->pressed;
}

bool policy_pack_spoiled(const struct policy_log *l)
{
	return l->spoiled;
}

bool policy_pack_may_swap(const struct policy_log *l)
{
	return l->packing && !l->spoiled && !l->unflushed && l->open == 0;
}

void policy_pack_end(struct policy_packer *p, struct policy_log *l, enum pack_result result, msec_t now)
{
	p->running = false;
	l->packing = false;
	switch (result) {
	case PACK_DONE:
		l->pack = (struct policy_retry){0};
		p->retry = (struct policy_retry){0};
		break;
	case PACK_CHANGED:
		/* No failure, but what was in vain is not begun again at once. */
		l->pack.at = msec_add(now, PACK_RETRY_MS);
		break;
	case PACK_FAILED:
		policy_retry_failed(&l->pack, now, PACK_RETRY_MS, PACK_RETRY_MAX);
		policy_retry_failed(&p->retry, now, PACK_RETRY_MS, PACKER_RETRY_MAX);
		break;
	}
}
