/* P7, tried out: every order of steps that SQLite can make, to a depth, on a
 * model of SQLite and of a card under the barrier; after every write and every
 * sync every possible power cut; on each what SQLite's recovery makes of it.
 *
 * The card keeps for each slot (the WAL's header, its frames, the db's pages)
 * what is durable and what was written since. A cut leaves of each slot any
 * of them, or something torn; of the directory the durable state or that after
 * any number of the changes since, in their order (as ext4's journal has them;
 * a sync of a new file makes its name durable). What recovery finds must be
 * the state after one of the commits, and after one that it may not be before:
 * see `must`.
 *
 * SQLite's fsyncs are left out in any combination, as synchronous=OFF would.
 * A barrier that is broken on purpose in one rule must be found out: the last
 * tests are about the model itself.
 *
 * CLAWFS_BARRIER_DEPTH=N looks further than the default. */
#include "policy/barrier.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	DEPTH = 10,
	PAGES = 2,
	FRAMES = 4,
	FILES = 4,   /* WALs that were unlinked, or before they were truncated, and the one that is there */
	PENDING = 5, /* unsynced versions of a slot */
	COMMITS = 16,
	SYNC_MS = 5000,
	TICK_MS = 2000,
	RETRY_MS = 1000,
	RETRY_MAX_MS = 60000,
	NO_FILE = 0xff,
	NOT_ASKED = 0xffff,
};

/* What one slot holds: a header (commit and page are 0), a frame, or a page of
 * the db (only `stamp`). All zero: nothing. */
struct content {
	uint32_t sum; /* of the frame and all before it, as SQLite's cumulative checksum */
	uint8_t salt; /* the generation */
	uint8_t page;
	uint8_t stamp; /* the commit that wrote it */
	uint8_t ends;  /* a transaction */
};

struct slot {
	uint8_t pending, begun; /* unsynced versions; those that the running sync covers */
	struct content v[1 + PENDING];
};

struct wal_file {
	struct slot head, frame[FRAMES];
};

struct world {
	/* the card */
	struct wal_file file[FILES];
	struct slot page[PAGES];
	uint8_t dir[1 + PENDING], dir_pending, dir_begun; /* which file the WAL's name is: durable, and then */
	/* SQLite */
	uint8_t wal;	    /* the WAL that it has, NO_FILE */
	uint8_t files_used; /* of `file` */
	bool begun;	    /* the WAL's header belongs to the frames that follow */
	uint8_t salt, mx, backfilled;
	uint8_t commits;
	uint8_t checkpointing; /* 0, or 1 + the frame up to which */
	uint8_t todo;	       /* pages still to be copied */
	uint8_t at_frame[FRAMES + 1];
	struct content log[FRAMES];
	uint32_t sum; /* of the last committed frame */
	uint8_t snap[COMMITS][PAGES];
	/* what must survive: the least commit, and when an fsync covered which */
	uint8_t must;
	uint16_t asked_ago[COMMITS];
	/* the barrier and who drives it */
	struct policy_barrier b;
	msec_t now;
	uint64_t token;
	bool syncing;
	uint8_t syncing_file;
	uint8_t covers; /* the last commit whose frames the running sync covers */
};

enum step {
	BEGIN, /* a generation: a new file, or the first bytes anew */
	BEGIN_NO_SYNC,
	COMMIT_1, /* one page */
	COMMIT_1_NO_SYNC,
	COMMIT_2, /* both pages */
	COMMIT_2_NO_SYNC,
	SPILL, /* a frame of a transaction that is rolled back */
	CHECKPOINT,
	CHECKPOINT_NO_SYNC,
	COPY_PAGE,
	CHECKPOINT_END,
	CHECKPOINT_END_NO_SYNC,
	TRUNCATE,
	UNLINK,
	RENAME,
	KILL, /* the process dies; the next one recovers, and knows nothing of a backfill */
	TICK,
	SYNC_ENDS,
	SYNC_FAILS,
	RESTART, /* kill -9 of the daemon, and another one */
	STEPS
};

static const char *const step_names[STEPS] = {
	"header+fsync",
	"header",
	"commit 1+fsync",
	"commit 1",
	"commit 2+fsync",
	"commit 2",
	"spill",
	"checkpoint+fsync",
	"checkpoint",
	"copy page",
	"checkpoint ends+fsync",
	"checkpoint ends",
	"truncate",
	"unlink",
	"rename",
	"kill",
	"tick",
	"sync ends",
	"sync fails",
	"restart",
};

/* The barrier with one rule broken. */
enum mutation {
	SOUND,
	NO_B1,
	NO_B2_HEAD,
	NO_B2_TRUNCATE,
	NO_B2_UNLINK,
	NO_B3,
	NO_B4,
	NO_B5,
	NO_FULL,
	NO_DB_FSYNC,
	TOKEN_TOO_NEW, /* a sync is said to cover what was written while it ran */
	FAILURE_IS_SUCCESS,
	RESTART_FORGETS, /* a new barrier takes what it finds for durable */
	NAMES_NEED_MORE, /* no fault of the barrier's: a card on which the sync of a new file does not keep its name */
	MUTATIONS
};

static enum mutation mutation;
static unsigned max_depth, depth, run;
static enum step trace[64];
static const char *found;
static char found_text[1024];
static uint64_t worlds, cuts;

static void violation(const char *what)
{
	size_t at;

	if (found)
		return;
	found = what;
	at = (size_t)snprintf(found_text, sizeof(found_text), "%s after:", what);
	for (unsigned i = 0; i <= depth && at < sizeof(found_text); i++)
		at += (size_t)snprintf(found_text + at, sizeof(found_text) - at, "%s %s", i ? "," : "",
				       step_names[trace[i]]);
}

/* --- what a cut leaves ------------------------------------------------------ */

static uint32_t chain(uint32_t before, const struct content *c)
{
	uint32_t sum =
		before ^ ((uint32_t)c->salt << 24 | (uint32_t)c->page << 17 | (uint32_t)c->ends << 16 | c->stamp);

	sum *= 0x9e3779b1;
	sum ^= sum >> 15;
	sum *= 0x85ebca77;
	sum ^= sum >> 13;
	return sum | 1;
}

/* `view`: the pages that the recovered WAL has, 0xff for none. */
static void recovered(const struct world *w, const uint8_t *view)
{
	uint8_t got[PAGES];

	cuts++;
	for (unsigned p = 0; p < PAGES; p++) {
		got[p] = view[p];
		if (view[p] != 0xff)
			continue;
		if (w->page[p].pending) {
			violation("P7: a page may be torn that no recovered frame hides");
			return;
		}
		got[p] = w->page[p].v[0].stamp;
	}
	for (unsigned k = 0; k <= w->commits; k++) {
		if (memcmp(got, w->snap[k], PAGES) != 0)
			continue;
		if (k < w->must)
			violation("B5: a commit is lost that had to be durable");
		return;
	}
	violation("P7: recovered is a state that never was");
}

static void recover_frames(const struct world *w, const struct wal_file *f, unsigned i, uint32_t sum, uint8_t salt,
			   const uint8_t *view, const uint8_t *open)
{
	bool may_end = true;

	for (unsigned n = 0; i < FRAMES && n <= f->frame[i].pending; n++) {
		const struct content *c = &f->frame[i].v[n];
		uint8_t now_open[PAGES];

		if (c->salt != salt || c->sum != chain(sum, c))
			continue;
		/* Durable and with nothing pending: no cut ends the chain here. */
		may_end = f->frame[i].pending > 0;
		memcpy(now_open, open, PAGES);
		now_open[c->page] = c->stamp;
		recover_frames(w, f, i + 1, c->sum, salt, c->ends ? now_open : view, now_open);
	}
	if (may_end)
		recovered(w, view);
}

static void cut_here(const struct world *w)
{
	static const uint8_t none[PAGES] = {0xff, 0xff};

	for (unsigned d = 0; d <= w->dir_pending && !found; d++) {
		const struct wal_file *f;

		if (w->dir[d] == NO_FILE) {
			recovered(w, none);
			continue;
		}
		f = &w->file[w->dir[d]];
		for (unsigned n = 0; n <= f->head.pending; n++) {
			const struct content *h = &f->head.v[n];

			if (h->salt == 0)
				recovered(w, none);
			else
				recover_frames(w, f, 0, h->sum, h->salt, none, none);
		}
		if (f->head.pending)
			recovered(w, none); /* torn */
	}
}

/* --- the card --------------------------------------------------------------- */

static void slot_write(struct slot *s, struct content c)
{
	assert_true(s->pending < PENDING);
	s->v[++s->pending] = c;
}

static void slot_sync_begins(struct slot *s)
{
	s->begun = s->pending;
}

static void slot_sync_ends(struct slot *s)
{
	unsigned left = s->pending - s->begun;

	memmove(s->v, s->v + s->begun, (1 + left) * sizeof(s->v[0]));
	memset(s->v + 1 + left, 0, (PENDING - left) * sizeof(s->v[0]));
	s->pending = (uint8_t)left;
	s->begun = 0;
}

static void each_slot(struct wal_file *f, void (*call)(struct slot *))
{
	call(&f->head);
	for (unsigned i = 0; i < FRAMES; i++)
		call(&f->frame[i]);
}

static void dir_set(struct world *w, uint8_t file)
{
	assert_true(w->dir_pending < PENDING);
	w->dir[++w->dir_pending] = file;
}

/* --- who drives the barrier --------------------------------------------------- */

static void check(const struct world *w)
{
	const char *broken = policy_barrier_check(&w->b);

	if (broken && mutation == SOUND)
		violation(broken);
	cut_here(w);
}

static void wal_sync_begin(struct world *w)
{
	w->token = policy_barrier_sync_begin(&w->b, BARRIER_SYNC_WAL);
	w->syncing = true;
	w->syncing_file = w->wal;
	w->covers = w->commits;
	each_slot(&w->file[w->wal], slot_sync_begins);
	w->dir_begun = 0;
	for (uint8_t d = 1; d <= w->dir_pending; d++) {
		if (w->dir[d] == w->wal)
			w->dir_begun = d;
	}
}

static void wal_sync_end(struct world *w, int error)
{
	if (!error) {
		each_slot(&w->file[w->syncing_file], slot_sync_ends);
		if (w->dir_begun && mutation != NAMES_NEED_MORE) {
			w->dir_pending -= w->dir_begun;
			memmove(w->dir, w->dir + w->dir_begun, 1u + w->dir_pending);
			memset(w->dir + 1 + w->dir_pending, 0, (size_t)PENDING - w->dir_pending);
		}
	}
	if (mutation == TOKEN_TOO_NEW)
		w->token = w->b.wal_seq;
	if (mutation == FAILURE_IS_SUCCESS)
		error = 0;
	policy_barrier_sync_end(&w->b, BARRIER_SYNC_WAL, w->token, error, w->now, RETRY_MS, RETRY_MAX_MS);
	w->syncing = false;
	w->token = 0;
	w->covers = w->dir_begun = 0;
	w->syncing_file = 0;
	check(w);
}

static void sync_wal(struct world *w)
{
	if (!w->syncing)
		wal_sync_begin(w);
	wal_sync_end(w, 0);
}

static void sync_db(struct world *w)
{
	uint64_t token = policy_barrier_sync_begin(&w->b, BARRIER_SYNC_DB);

	for (unsigned p = 0; p < PAGES; p++) {
		slot_sync_begins(&w->page[p]);
		slot_sync_ends(&w->page[p]);
	}
	policy_barrier_sync_end(&w->b, BARRIER_SYNC_DB, token, 0, w->now, RETRY_MS, RETRY_MAX_MS);
	check(w);
}

static unsigned before(const struct world *w, enum barrier_event event)
{
	static const int broken[MUTATIONS] = {
		[NO_B1] = 1 + BARRIER_WAL_WRITE,
		[NO_B2_HEAD] = 1 + BARRIER_WAL_HEAD,
		[NO_B2_TRUNCATE] = 1 + BARRIER_WAL_TRUNCATE,
		[NO_B2_UNLINK] = 1 + BARRIER_WAL_UNLINK,
		[NO_B3] = 1 + BARRIER_DB_WRITE,
		[NO_B4] = 1 + BARRIER_RENAME,
		[NO_FULL] = 1 + BARRIER_WAL_FSYNC,
		[NO_DB_FSYNC] = 1 + BARRIER_DB_FSYNC,
	};

	if (broken[mutation] == 1 + (int)event)
		return 0;
	/* B1 stands twice: frames wait for the header, and an fsync has it done. */
	if (mutation == NO_B1 && event == BARRIER_WAL_FSYNC && w->b.mode != SYNC_FULL)
		return 0;
	return policy_barrier_before(&w->b, event);
}

static void allow(struct world *w, enum barrier_event event)
{
	unsigned need;

	while ((need = before(w, event)) != 0) {
		if (need & BARRIER_SYNC_WAL)
			sync_wal(w);
		if (need & BARRIER_SYNC_DB)
			sync_db(w);
	}
}

static void done(struct world *w, enum barrier_event event)
{
	policy_barrier_after(&w->b, event, w->now);
	check(w);
}

static void wal_fsync(struct world *w)
{
	allow(w, BARRIER_WAL_FSYNC);
	for (unsigned k = 1; k <= w->commits; k++) {
		if (w->asked_ago[k] == NOT_ASKED)
			w->asked_ago[k] = 0;
	}
	if (w->b.mode == SYNC_FULL)
		w->must = w->commits;
	done(w, BARRIER_WAL_FSYNC);
}

static void db_fsync(struct world *w)
{
	allow(w, BARRIER_DB_FSYNC);
	for (unsigned p = 0; p < PAGES; p++) {
		if (w->page[p].pending)
			violation("P5: an fsync of the db was acknowledged and not done");
	}
	done(w, BARRIER_DB_FSYNC);
}

/* --- SQLite ------------------------------------------------------------------- */

static bool reset_possible(const struct world *w)
{
	return w->wal != NO_FILE && w->mx > 0 && w->backfilled == w->mx && !w->checkpointing;
}

static bool begin_generation(struct world *w, bool fsync)
{
	struct content head = {.salt = (uint8_t)(w->salt + 1)};

	if (w->begun && !reset_possible(w))
		return false;
	if (w->wal == NO_FILE) {
		if (w->files_used == FILES || w->dir_pending == PENDING)
			return false;
		w->wal = w->files_used++;
		dir_set(w, w->wal);
		policy_barrier_wal_new(&w->b);
	}
	head.sum = chain(0, &head);
	allow(w, BARRIER_WAL_HEAD);
	slot_write(&w->file[w->wal].head, head);
	done(w, BARRIER_WAL_HEAD);
	w->salt = head.salt;
	w->sum = head.sum;
	w->begun = true;
	w->mx = w->backfilled = 0;
	memset(w->log, 0, sizeof(w->log));
	memset(w->at_frame, 0, sizeof(w->at_frame));
	w->at_frame[0] = w->commits;
	if (fsync)
		wal_fsync(w);
	return true;
}

static bool frame_write(struct world *w, unsigned i, struct content c)
{
	allow(w, BARRIER_WAL_WRITE);
	if (w->file[w->wal].frame[i].pending == PENDING)
		return false;
	slot_write(&w->file[w->wal].frame[i], c);
	done(w, BARRIER_WAL_WRITE);
	return true;
}

static bool commit(struct world *w, unsigned pages, bool fsync)
{
	uint8_t k = (uint8_t)(w->commits + 1);
	uint32_t sum = w->sum;

	if (!w->begun || w->mx + pages > FRAMES)
		return false;
	memcpy(w->snap[k], w->snap[k - 1], PAGES);
	for (unsigned n = 0; n < pages; n++) {
		struct content c = {.salt = w->salt, .stamp = k, .ends = n + 1 == pages};

		/* One page: now the one, now the other. */
		c.page = (uint8_t)(pages == 1 ? k % PAGES : n);
		c.sum = sum = chain(sum, &c);
		w->snap[k][c.page] = k;
		w->log[w->mx + n] = c;
		/* Until its last frame is written there is no such commit. */
		if (n + 1 == pages) {
			w->commits = k;
			w->asked_ago[k] = NOT_ASKED;
		}
		if (!frame_write(w, w->mx + n, c))
			return false;
	}
	w->sum = sum;
	w->mx = (uint8_t)(w->mx + pages);
	w->at_frame[w->mx] = k;
	if (fsync)
		wal_fsync(w);
	return true;
}

static bool spill(struct world *w)
{
	struct content c = {.salt = w->salt, .stamp = 0x80, .page = 0};

	if (!w->begun || w->mx == FRAMES)
		return false;
	c.sum = chain(w->sum, &c);
	return frame_write(w, w->mx, c);
}

static bool checkpoint(struct world *w, bool fsync)
{
	if (!w->begun || w->checkpointing || w->mx == w->backfilled)
		return false;
	w->checkpointing = (uint8_t)(1 + w->mx);
	w->todo = 0;
	for (unsigned i = w->backfilled; i < w->mx; i++)
		w->todo |= (uint8_t)(1u << w->log[i].page);
	if (fsync)
		wal_fsync(w);
	return true;
}

static bool copy_page(struct world *w)
{
	unsigned p = 0, i;

	if (!w->checkpointing || !w->todo)
		return false;
	while (!(w->todo & 1u << p))
		p++;
	for (i = w->checkpointing - 1u; w->log[i - 1].page != p; i--)
		;
	allow(w, BARRIER_DB_WRITE);
	if (w->page[p].pending == PENDING)
		return false;
	slot_write(&w->page[p], (struct content){.stamp = w->log[i - 1].stamp});
	w->todo &= (uint8_t) ~(1u << p);
	done(w, BARRIER_DB_WRITE);
	return true;
}

static bool checkpoint_end(struct world *w, bool fsync)
{
	uint8_t safe = (uint8_t)(w->checkpointing - 1);

	if (!w->checkpointing || w->todo)
		return false;
	if (safe == w->mx) {
		/* SQLite cuts the db to its size here. */
		allow(w, BARRIER_DB_WRITE);
		done(w, BARRIER_DB_WRITE);
		if (fsync)
			db_fsync(w);
	} else if (!fsync) {
		return false; /* there is none to leave out */
	}
	w->backfilled = safe;
	w->checkpointing = 0;
	if (w->must < w->at_frame[safe])
		w->must = w->at_frame[safe];
	return true;
}

static bool wal_truncate(struct world *w)
{
	if (!reset_possible(w) || w->files_used == FILES || w->dir_pending == PENDING)
		return false;
	allow(w, BARRIER_WAL_TRUNCATE);
	/* All of it or nothing, as ext4 does it: to the card it is another file. */
	w->wal = w->files_used++;
	dir_set(w, w->wal);
	done(w, BARRIER_WAL_TRUNCATE);
	w->begun = false;
	w->mx = w->backfilled = 0;
	return true;
}

static bool wal_unlink(struct world *w)
{
	if (w->wal == NO_FILE || w->backfilled != w->mx || w->checkpointing || w->dir_pending == PENDING)
		return false;
	allow(w, BARRIER_WAL_UNLINK);
	dir_set(w, NO_FILE);
	w->wal = NO_FILE;
	done(w, BARRIER_WAL_UNLINK);
	w->begun = false;
	w->mx = w->backfilled = 0;
	return true;
}

/* Changes names and nothing else: both of them at once here. */
static bool rename_both(struct world *w)
{
	unsigned pending = 0;

	if (w->checkpointing || (w->wal == NO_FILE && !w->b.db_seq))
		return false;
	allow(w, BARRIER_RENAME);
	for (unsigned p = 0; p < PAGES; p++)
		pending += w->page[p].pending;
	if (w->wal != NO_FILE) {
		pending += w->file[w->wal].head.pending;
		pending += w->dir[0] != w->wal; /* created, or truncated */
		for (unsigned i = 0; i < FRAMES; i++)
			pending += w->file[w->wal].frame[i].pending;
	}
	if (pending && (mutation == SOUND || mutation == NO_B4))
		violation("B4: a name moved before what it names was durable");
	done(w, BARRIER_RENAME);
	return true;
}

static bool kill_process(struct world *w)
{
	if (!w->checkpointing && !w->backfilled)
		return false;
	w->checkpointing = w->todo = w->backfilled = 0;
	return true;
}

static void pass(struct world *w, msec_t ms)
{
	w->now += ms;
	for (unsigned k = 1; k <= w->commits; k++) {
		if (w->asked_ago[k] == NOT_ASKED)
			continue;
		w->asked_ago[k] = (uint16_t)(w->asked_ago[k] + ms > SYNC_MS + 1 ? SYNC_MS + 1 : w->asked_ago[k] + ms);
		/* After a failure the bound is the card's business (P9). */
		if (w->b.mode == SYNC_NORMAL && w->asked_ago[k] > SYNC_MS && !w->b.failures && w->must < k)
			w->must = (uint8_t)k;
	}
}

/* Up to TICK_MS later, or when the barrier wants a sync: that begins. */
static bool tick(struct world *w)
{
	msec_t due;

	if (w->syncing)
		wal_sync_end(w, 0); /* a card that takes longer than sync_ms / 5 is not its fault */
	due = mutation == NO_B5 ? MSEC_NEVER : policy_barrier_due(&w->b, SYNC_MS);
	if (due > w->now + TICK_MS) {
		pass(w, TICK_MS);
	} else {
		if (due > w->now)
			pass(w, due - w->now);
		if (w->wal == NO_FILE) {
			violation("a WAL is due that is not there");
			return false;
		}
		wal_sync_begin(w);
	}
	check(w);
	return true;
}

static bool sync_ends(struct world *w, int error)
{
	if (!w->syncing)
		return false;
	wal_sync_end(w, error);
	return true;
}

/* What the daemon before had not synced is in the kernel's page cache still. */
static bool restart(struct world *w)
{
	if (w->wal == NO_FILE)
		return false;
	policy_barrier_init(&w->b, w->b.mode);
	w->syncing = false;
	w->token = 0;
	w->covers = w->dir_begun = w->syncing_file = 0;
	if (mutation == RESTART_FORGETS)
		return true;
	policy_barrier_observed(&w->b, true);
	policy_barrier_after(&w->b, BARRIER_DB_WRITE, w->now);
	sync_wal(w);
	sync_db(w);
	return true;
}

static bool take(struct world *w, enum step step)
{
	switch (step) {
	case BEGIN:
	case BEGIN_NO_SYNC:
		return begin_generation(w, step == BEGIN);
	case COMMIT_1:
	case COMMIT_1_NO_SYNC:
		return commit(w, 1, step == COMMIT_1);
	case COMMIT_2:
	case COMMIT_2_NO_SYNC:
		return commit(w, 2, step == COMMIT_2);
	case SPILL:
		return spill(w);
	case CHECKPOINT:
	case CHECKPOINT_NO_SYNC:
		return checkpoint(w, step == CHECKPOINT);
	case COPY_PAGE:
		return copy_page(w);
	case CHECKPOINT_END:
	case CHECKPOINT_END_NO_SYNC:
		return checkpoint_end(w, step == CHECKPOINT_END);
	case TRUNCATE:
		return wal_truncate(w);
	case UNLINK:
		return wal_unlink(w);
	case RENAME:
		return rename_both(w);
	case KILL:
		return kill_process(w);
	case TICK:
		return tick(w);
	case SYNC_ENDS:
		return sync_ends(w, 0);
	case SYNC_FAILS:
		return sync_ends(w, -EIO);
	case RESTART:
		return restart(w);
	case STEPS:
		break;
	}
	return false;
}

/* --- all orders ------------------------------------------------------------------ */

/* Worlds that were seen with as many steps left or more need not be tried again. */
enum { SEEN_BITS = 22 };
static struct {
	uint64_t key;
	unsigned run, left;
} seen[1u << SEEN_BITS];

static uint64_t mix(uint64_t h, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint64_t word;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		h = (h ^ word) * 0x9e3779b97f4a7c15;
		h ^= h >> 32;
	}
	for (; len; p++, len--)
		h = (h ^ *p) * 0x100000001b3;
	return h ^ h >> 29;
}

/* Of a time or a count only the difference to now matters. */
static uint64_t key_of(const struct world *w)
{
	const struct policy_barrier *b = &w->b;
	uint64_t h = mix(1, w, offsetof(struct world, b));
	int64_t rest[] = {
		b->mode,
		(int64_t)(b->wal_seq - b->wal_durable),
		b->head_seq > b->wal_durable ? (int64_t)(b->wal_seq - b->head_seq) : -1,
		(int64_t)(b->db_seq - b->db_durable),
		b->asked == MSEC_NEVER ? -1 : w->now - b->asked,
		b->in_flight_asked == MSEC_NEVER ? -1 : w->now - b->in_flight_asked,
		b->failures,
		b->failures ? b->retry_at - w->now : 0,
		w->syncing ? (int64_t)(b->wal_seq - w->token) : -1,
		w->syncing_file,
		w->covers,
		b->db_seq > 0,
	};

	return mix(h, rest, sizeof(rest));
}

static bool seen_before(const struct world *w, unsigned left)
{
	uint64_t key = key_of(w);
	size_t at = key >> (64 - SEEN_BITS);

	for (unsigned n = 0; n < 16; n++, at = (at + 1) % (1u << SEEN_BITS)) {
		if (seen[at].run == run && seen[at].key == key) {
			if (seen[at].left >= left)
				return true;
			seen[at].left = left;
			return false;
		}
		if (seen[at].run != run) {
			seen[at].run = run;
			seen[at].key = key;
			seen[at].left = left;
			return false;
		}
	}
	return false; /* full here: tried once more, which is only slower */
}

static void explore(const struct world *w)
{
	if (depth == max_depth || seen_before(w, max_depth - depth))
		return;
	worlds++;
	for (int step = 0; step < STEPS && !found; step++) {
		struct world next = *w;

		trace[depth] = (enum step)step;
		if (!take(&next, trace[depth]) || found)
			continue;
		depth++;
		explore(&next);
		depth--;
	}
}

static void explore_all(enum policy_sync mode, enum mutation broken, unsigned to_depth)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	run++;
	policy_barrier_init(&w.b, mode);
	w.dir[0] = w.wal = NO_FILE;
	mutation = broken;
	max_depth = to_depth;
	depth = 0;
	found = NULL;
	worlds = cuts = 0;
	explore(&w);
}

static unsigned wanted_depth(void)
{
	const char *env = getenv("CLAWFS_BARRIER_DEPTH"), *preload = getenv("LD_PRELOAD");
	unsigned long wanted = env ? strtoul(env, NULL, 10) : 0;

	if (wanted > 0 && wanted < sizeof(trace) / sizeof(trace[0]) && wanted < COMMITS)
		return (unsigned)wanted;
	/* valgrind is 50 times slower and looks for something else. */
	return preload && strstr(preload, "vgpreload") ? 5 : DEPTH;
}

static void assert_sound(enum policy_sync mode)
{
	explore_all(mode, SOUND, wanted_depth());
	if (found)
		fail_msg("%s: %s", policy_sync_name(mode), found_text);
	print_message("%s: %llu states, %llu cuts\n", policy_sync_name(mode), (unsigned long long)worlds,
		      (unsigned long long)cuts);
}

static void test_every_order_in_normal(void **state)
{
	assert_sound(SYNC_NORMAL);
}

static void test_every_order_in_full(void **state)
{
	assert_sound(SYNC_FULL);
}

static void test_every_order_in_off(void **state)
{
	assert_sound(SYNC_OFF);
}

/* --- the model has teeth ----------------------------------------------------------- */

static void assert_found(enum policy_sync mode, enum mutation broken, const char *expected)
{
	/* The shortest trace there is. */
	for (unsigned d = 1; d <= 10; d++) {
		explore_all(mode, broken, d);
		if (found)
			break;
	}
	if (!found)
		fail_msg("mutation %d in mode %s was not found", (int)broken, policy_sync_name(mode));
	print_message("%s\n", found_text);
	assert_memory_equal(found, expected, 2);
}

static void test_frames_before_their_header_are_found(void **state)
{
	assert_found(SYNC_NORMAL, NO_B1, "P7");
	assert_found(SYNC_OFF, NO_B1, "P7");
}

static void test_a_log_given_up_too_early_is_found(void **state)
{
	assert_found(SYNC_NORMAL, NO_B2_HEAD, "P7");
	assert_found(SYNC_NORMAL, NO_B2_TRUNCATE, "P7");
	assert_found(SYNC_NORMAL, NO_B2_UNLINK, "P7");
}

static void test_a_page_before_its_frame_is_found(void **state)
{
	assert_found(SYNC_NORMAL, NO_B3, "P7");
	assert_found(SYNC_FULL, NO_B3, "P7"); /* when SQLite does not ask */
}

static void test_a_name_before_its_content_is_found(void **state)
{
	assert_found(SYNC_NORMAL, NO_B4, "B4");
}

static void test_a_forgotten_promise_is_found(void **state)
{
	assert_found(SYNC_NORMAL, NO_B5, "B5");
	assert_found(SYNC_FULL, NO_FULL, "B5");
	assert_found(SYNC_NORMAL, NO_DB_FSYNC, "P5");
}

static void test_a_sync_that_covers_too_much_is_found(void **state)
{
	assert_found(SYNC_NORMAL, TOKEN_TOO_NEW, "P7");
	assert_found(SYNC_NORMAL, FAILURE_IS_SUCCESS, "B5");
}

static void test_a_daemon_that_forgets_is_found(void **state)
{
	assert_found(SYNC_NORMAL, RESTART_FORGETS, "P7");
}

/* What the barrier rests on: that a new WAL that is durable has its name. */
static void test_a_card_that_forgets_names_is_found(void **state)
{
	assert_found(SYNC_NORMAL, NAMES_NEED_MORE, "P7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_order_in_normal),
		cmocka_unit_test(test_every_order_in_full),
		cmocka_unit_test(test_every_order_in_off),
		cmocka_unit_test(test_frames_before_their_header_are_found),
		cmocka_unit_test(test_a_log_given_up_too_early_is_found),
		cmocka_unit_test(test_a_page_before_its_frame_is_found),
		cmocka_unit_test(test_a_name_before_its_content_is_found),
		cmocka_unit_test(test_a_forgotten_promise_is_found),
		cmocka_unit_test(test_a_sync_that_covers_too_much_is_found),
		cmocka_unit_test(test_a_daemon_that_forgets_is_found),
		cmocka_unit_test(test_a_card_that_forgets_names_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
