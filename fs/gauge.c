#include "fs/gauge.h"

static void refusal_add(struct refusal *r, const struct policy_file *p)
{
	r->error = p->error;
	r->files++;
	r->next = msec_min(r->next, p->retry_at);
}

void gauges_read(struct clawfs *fs, struct gauge gauge[CLASS_COUNT], uint64_t *used, struct refusal *refused)
{
	uint32_t end = shm_table_end(fs->files);

	for (int c = 0; c < CLASS_COUNT; c++)
		gauge[c] = (struct gauge){.oldest = MSEC_NEVER};
	for (uint32_t i = 1; i < end; i++) {
		const struct file *f = file_at(fs, i);
		pthread_mutex_lock(&fs->attach);
		pthread_mutex_lock(&fs->sched.lock);
		if (f->refs > 0 && f->ram + (f->policy.state != POLICY_CLEAN) > 0) {
			struct gauge *g = &gauge[f->policy.cls];
			g->files++;
			g->dirty_bytes += f->ram;
			g->oldest = msec_min(g->oldest, msec_min(f->policy.first, f->policy.in_flight_first));
			if (f->policy.failures)
				refusal_add(refused, &f->policy);
		}
		pthread_mutex_unlock(&fs->sched.lock);
		pthread_mutex_unlock(&fs->attach);
	}
	pthread_mutex_lock(&fs->sched.lock);
	*used = fs->sched.used;
	pthread_mutex_unlock(&fs->sched.lock);
	/* Which databases they are is said further down. */
	end = shm_table_end(fs->dbs.table);
	pthread_mutex_lock(&fs->dbs.lock);
	for (uint32_t i = 1; i < end; i++)
		if (db_at(fs, i)->node && db_at(fs, i)->barrier.error)
			refused->error = db_at(fs, i)->barrier.error;
	pthread_mutex_unlock(&fs->dbs.lock);
}

struct gauge gauge_sum(const struct gauge gauge[CLASS_COUNT])
{
	struct gauge all = {.oldest = MSEC_NEVER};

	for (int c = 0; c < CLASS_COUNT; c++) {
		all.files += gauge[c].files;
		if (c == CLASS_VOLATILE)
			continue;
		all.dirty_bytes += gauge[c].dirty_bytes;
		all.oldest = msec_min(all.oldest, gauge[c].oldest);
	}
	return all;
}

int64_t gauge_age(const struct gauge *g, msec_t now)
{
	return g->oldest == MSEC_NEVER || g->oldest > now ? 0 : now - g->oldest;
}
