/* A stream of operations against policy/ and a shadow of what RAM and the card hold. The flusher wakes when the set of
 * due times says so. At every step: a file that policy calls clean is on the card as it is in RAM; no change waits
 * longer than its class allows, but for a writer that is rewriting, a flush that runs, and the distance between tries
 * on a bad card; and what policy says of itself holds. */
#include "policy/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NEED(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "not so: %s (%s:%d)\n", #condition, __FILE__, __LINE__);                       \
			__builtin_trap();                                                                              \
		}                                                                                                      \
	} while (0)

enum { FILES = 4 };

/* Versions are numbers that grow. */
struct shadow {
	struct policy_file f;
	unsigned ram, card, flying; /* version; what a running flush carries */
	bool flies;
	unsigned writers;
	msec_t excused; /* held back, or tried, until then */
};

struct world {
	struct policy_config config;
	struct policy_set set;
	struct policy_entry heap[FILES];
	uint32_t position[FILES];
	struct shadow files[FILES];
	msec_t now;
};

static msec_t window(enum policy_class cls)
{
	return cls == CLASS_APPEND ? 2000 : cls == CLASS_STATE ? 1000 : 5000;
}

static void update(struct world *w, unsigned i)
{
	policy_set_update(&w->set, i, policy_file_due(&w->files[i].f, &w->config));
}

static void begin(struct world *w, unsigned i)
{
	struct shadow *s = &w->files[i];

	NEED(s->f.state == POLICY_DIRTY && !s->flies);
	s->flying = s->ram;
	s->flies = true;
	policy_file_flush_begin(&s->f, w->now);
}

static void end(struct world *w, unsigned i, bool fails)
{
	struct shadow *s = &w->files[i];

	if (!s->flies)
		return;
	s->flies = false;
	policy_file_flush_end(&s->f, &w->config, w->now, fails ? -EIO : 0, false);
	if (!fails)
		s->card = s->flying;
	s->excused = fails ? s->f.retry_at : w->now;
}

static void wake(struct world *w)
{
	uint32_t slots[FILES];
	uint32_t n = policy_set_take(&w->set, w->now, 0, slots, FILES);

	for (uint32_t k = 0; k < n; k++) {
		begin(w, slots[k]);
		update(w, slots[k]);
	}
}

/* The flusher wakes in time, however far the clock runs. */
static void run_clock(struct world *w, msec_t to)
{
	for (msec_t next; (next = policy_set_wake(&w->set)) <= to;) {
		if (next > w->now)
			w->now = next;
		wake(w);
	}
	w->now = to;
}

static void judge(const struct world *w, const struct shadow *s)
{
	msec_t since = s->f.first;

	NEED(policy_file_check(&s->f) == NULL);
	NEED(s->f.state != POLICY_CLEAN || s->card == s->ram);
	NEED(s->f.state == POLICY_CLEAN || s->f.state == POLICY_FLUSHING || s->card != s->ram || s->flies);
	if (s->f.state != POLICY_DIRTY || s->writers)
		return;
	/* P4, and the flusher has just woken. */
	if (s->excused > since)
		since = s->excused;
	NEED(w->now <= since + window(s->f.cls));
}

static void change(struct world *w, struct shadow *s, unsigned op, unsigned argument)
{
	const struct policy_scan scan = {.lines = argument % 40, .urgent = argument % 50 == 49};

	switch (op) {
	case 0:
	case 1:
	case 2:
		s->ram++;
		policy_file_write(&s->f, w->now, 1 + argument * 50, scan);
		break;
	case 3:
		s->ram++;
		policy_file_touch(&s->f, w->now);
		break;
	case 4:
		s->ram++;
		s->writers++;
		policy_file_rewrite_begin(&s->f, w->now);
		break;
	case 5:
		if (!s->writers)
			break;
		s->writers--;
		if (s->excused < w->now)
			s->excused = w->now;
		policy_file_rewrite_end(&s->f, w->now);
		break;
	default:
		if (s->f.state != POLICY_CLEAN)
			policy_file_demand(&s->f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum policy_class classes[FILES] = {CLASS_LOG, CLASS_APPEND, CLASS_SNAPSHOT, CLASS_STATE};
	struct world w = {.now = 0};

	policy_config_init(&w.config);
	policy_set_storage(&w.set, w.heap, w.position, FILES);
	for (unsigned i = 0; i < FILES; i++)
		policy_file_init(&w.files[i].f, classes[i]);
	for (size_t at = 0; at + 3 <= size; at += 3) {
		unsigned i = data[at] % FILES, op = data[at] / FILES % 10, argument = data[at + 1];
		struct shadow *s = &w.files[i];
		run_clock(&w, w.now + data[at + 2] * (data[at + 2] & 1 ? 40 : 2));
		/* Logs are not rewritten. */
		if ((op == 4 || op == 5) && i < 2)
			op = 0;
		if (op < 7)
			change(&w, s, op, argument);
		else
			end(&w, i, argument % 4 == 0);
		update(&w, i);
		run_clock(&w, w.now);
		for (unsigned k = 0; k < FILES; k++)
			judge(&w, &w.files[k]);
	}
	return 0;
}
