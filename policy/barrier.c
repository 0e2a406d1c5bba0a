#include "policy/barrier.h"
#include <string.h>

void policy_barrier_init(struct policy_barrier *b, enum policy_sync mode)
{
	*b = (struct policy_barrier){
		.mode = mode,
		.asked = MSEC_NEVER,
		.in_flight_asked = MSEC_NEVER,
	};
}

static bool wal_is_durable(const struct policy_barrier *b)
{
	return b->wal_durable == b->wal_seq;
}

static bool head_is_durable(const struct policy_barrier *b)
{
	return b->wal_durable >= b->head_seq;
}

unsigned policy_barrier_before(const struct policy_barrier *b, enum barrier_event event)
{
	unsigned wal = wal_is_durable(b) ? 0 : BARRIER_SYNC_WAL;
	unsigned db = b->db_durable == b->db_seq ? 0 : BARRIER_SYNC_DB;

	switch (event) {
	case BARRIER_WAL_WRITE:
		return head_is_durable(b) ? 0 : BARRIER_SYNC_WAL;
	case BARRIER_WAL_HEAD:
	case BARRIER_WAL_TRUNCATE:
	case BARRIER_WAL_UNLINK:
		return db;
	case BARRIER_WAL_FSYNC:
		/* After a failure whoever asks is told (P9). */
		return b->mode == SYNC_FULL || b->failures || !head_is_durable(b) ? wal : 0;
	case BARRIER_DB_WRITE:
		return wal;
	case BARRIER_DB_FSYNC:
		return db;
	case BARRIER_RENAME:
		return wal | db;
	case BARRIER_EVENTS:
		break;
	}
	return 0;
}

void policy_barrier_after(struct policy_barrier *b, enum barrier_event event, msec_t now)
{
	switch (event) {
	case BARRIER_WAL_WRITE:
	case BARRIER_WAL_TRUNCATE:
		b->wal_seq++;
		break;
	case BARRIER_WAL_HEAD:
		b->head_seq = ++b->wal_seq;
		break;
	case BARRIER_WAL_UNLINK:
		policy_barrier_wal_new(b);
		break;
	case BARRIER_WAL_FSYNC:
		b->fsyncs_asked++;
		if (wal_is_durable(b))
			break;
		b->fsyncs_elided++;
		if (b->mode == SYNC_NORMAL)
			b->asked = msec_min(b->asked, now);
		break;
	case BARRIER_DB_WRITE:
		b->db_seq++;
		break;
	case BARRIER_DB_FSYNC:
		b->fsyncs_asked++;
		break;
	case BARRIER_RENAME:
	case BARRIER_EVENTS:
		break;
	}
}

void policy_barrier_observed(struct policy_barrier *b, bool head)
{
	b->wal_seq++;
	if (head)
		b->head_seq = b->wal_seq;
}

void policy_barrier_wal_new(struct policy_barrier *b)
{
	b->wal_durable = b->wal_seq;
	b->asked = b->in_flight_asked = MSEC_NEVER;
	b->failures = 0;
	b->error = 0;
	b->retry_at = 0;
}

uint64_t policy_barrier_sync_begin(struct policy_barrier *b, enum barrier_action what)
{
	if (what == BARRIER_SYNC_DB)
		return b->db_seq;
	b->in_flight_asked = b->asked;
	b->asked = MSEC_NEVER;
	return b->wal_seq;
}

void policy_barrier_sync_end(struct policy_barrier *b, enum barrier_action what, uint64_t token, int error, msec_t now,
			     int64_t retry_ms, int64_t retry_max_ms)
{
	if (!error)
		b->fsyncs_done++;
	if (what == BARRIER_SYNC_DB) {
		if (!error && token > b->db_durable)
			b->db_durable = token;
		return;
	}
	msec_t asked = b->in_flight_asked;
	b->in_flight_asked = MSEC_NEVER;
	if (!error) {
		if (token > b->wal_durable)
			b->wal_durable = token;
		/* Asks that came while it ran, with no write after it began, are kept too. */
		if (wal_is_durable(b)) {
			asked = msec_min(asked, b->asked);
			b->asked = MSEC_NEVER;
		}
		if (asked != MSEC_NEVER && now - asked > b->longest)
			b->longest = now - asked;
		b->failures = 0;
		b->error = 0;
		b->retry_at = 0;
		return;
	}
	/* The WAL went away while it was synced: there is nothing to try again. */
	if (wal_is_durable(b))
		return;
	b->asked = msec_min(b->asked, asked);
	b->error = error;
	b->failures++;
	msec_t wait = retry_ms;
	for (uint32_t i = 1; i < b->failures && wait < retry_max_ms; i++)
		wait *= 2;
	b->retry_at = msec_add(now, msec_min(wait, retry_max_ms));
}

void policy_barrier_revive(struct policy_barrier *b)
{
	b->asked = msec_min(b->asked, b->in_flight_asked);
	b->in_flight_asked = MSEC_NEVER;
	b->wal_durable = 0;
	b->db_durable = 0;
	b->wal_seq++;
	b->db_seq++;
	b->head_seq = b->wal_seq;
	if (policy_barrier_check(b)) {
		policy_barrier_init(b, b->mode);
		b->db_seq = 1;
		policy_barrier_observed(b, true);
	}
}

msec_t policy_barrier_due(const struct policy_barrier *b, int64_t sync_ms)
{
	if (b->asked == MSEC_NEVER || wal_is_durable(b))
		return MSEC_NEVER;
	return b->failures ? b->retry_at : msec_add(b->asked, sync_ms - sync_ms / 5);
}

const char *policy_barrier_check(const struct policy_barrier *b)
{
	if (b->wal_durable > b->wal_seq || b->db_durable > b->db_seq || b->head_seq > b->wal_seq)
		return "S1";
	if (b->asked != MSEC_NEVER && ((b->mode != SYNC_NORMAL && !b->failures) || wal_is_durable(b)))
		return "S2";
	if ((b->failures == 0) != (b->error == 0))
		return "S3";
	return NULL;
}

static const char *const sync_names[SYNC_COUNT] = {"normal", "full", "off"};

const char *policy_sync_name(enum policy_sync mode)
{
	return sync_names[mode];
}

enum policy_sync policy_sync_parse(const char *word)
{
	unsigned i = 0;

	while (i < SYNC_COUNT && strcmp(word, sync_names[i]) != 0)
		i++;
	return (enum policy_sync)i;
}
