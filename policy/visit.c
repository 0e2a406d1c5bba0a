#include "policy/visit.h"

void policy_visit_init(struct policy_visit *v, msec_t now)
{
	*v = (struct policy_visit){.active_at = now, .last = now};
}

void policy_visit_mode(struct policy_visit *v, bool rollback, msec_t now)
{
	if (rollback && !v->rollback)
		v->rollback_since = now;
	v->rollback = rollback;
}

void policy_visit_active(struct policy_visit *v, bool wal, uint64_t wal_bytes, msec_t now)
{
	v->active_at = now;
	v->touched |= wal;
	v->wal_bytes = wal_bytes;
}

static msec_t enforce_at(const struct policy_visit *v, const struct visit_rules *rules)
{
	if (!rules->enforce || !v->rollback)
		return MSEC_NEVER;
	return msec_min(msec_add(v->active_at, VISIT_QUIET_MS), msec_add(v->rollback_since, VISIT_PATIENCE_MS));
}

static msec_t checkpoint_at(const struct policy_visit *v, const struct visit_rules *rules)
{
	return v->touched && rules->checkpoint_ms ? msec_add(v->last, rules->checkpoint_ms) : MSEC_NEVER;
}

static msec_t truncate_at(const struct policy_visit *v, const struct visit_rules *rules)
{
	return v->touched && rules->wal_limit && v->wal_bytes > (uint64_t)rules->wal_limit ? v->active_at : MSEC_NEVER;
}

msec_t policy_visit_due(const struct policy_visit *v, const struct visit_rules *rules)
{
	msec_t at = enforce_at(v, rules);

	if (v->running || (v->busy >= VISIT_BUSY_MANY && v->active_at <= v->last))
		return MSEC_NEVER;
	at = msec_min(at, checkpoint_at(v, rules));
	at = msec_min(at, truncate_at(v, rules));
	return at < v->retry_at ? v->retry_at : at;
}

unsigned policy_visit_work(const struct policy_visit *v, const struct visit_rules *rules, msec_t now)
{
	if (now < policy_visit_due(v, rules))
		return 0;
	return (enforce_at(v, rules) <= now ? VISIT_ENFORCE : 0) |
	       (checkpoint_at(v, rules) <= now ? VISIT_CHECKPOINT : 0) |
	       (truncate_at(v, rules) <= now ? VISIT_TRUNCATE : 0);
}

void policy_visit_begin(struct policy_visit *v)
{
	v->running = true;
	v->touched = false;
}

void policy_visit_end(struct policy_visit *v, enum visit_result result, msec_t now)
{
	msec_t wait = VISIT_RETRY_MS;

	v->running = false;
	v->last = now;
	if (result == VISIT_DONE) {
		v->busy = 0;
		v->retry_at = 0;
		return;
	}
	/* What it was for is still to be done. */
	v->touched = true;
	if (result == VISIT_FAILED) {
		v->retry_at = msec_add(now, VISIT_FAILED_MS);
		return;
	}
	for (uint32_t i = 0; i < v->busy && wait < VISIT_RETRY_MAX; i++)
		wait *= 2;
	v->busy++;
	v->retry_at = msec_add(now, msec_min(wait, VISIT_RETRY_MAX));
}
