/* Delta debugging over the operations of a failing list: chunks, smaller and
 * smaller, then one by one. A candidate fails when it fails in the same way, so
 * that shrinking does not slip from one bug to another. */
#include "model.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_MAX 60 /* for all of it */
#define REPEAT	    3  /* executions of a candidate: flushes come when they come */

struct shrinker {
	struct side *mount, *plain;
	const struct options *options;
	struct failure *failure;
	struct failure first; /* what is looked for */
	enum op_kind kind;    /* ... at such an operation */
	time_t end;
};

/* The first word that says what differs: "mtime", "size", "user.*" ... */
static const char *subject(const struct failure *f, size_t *len)
{
	const char *at = f->why, *after = strstr(at, "afterwards: ");

	if (f->phase == PHASE_STEP && after)
		at = after + strlen("afterwards: ");
	else if (f->phase != PHASE_STEP && strstr(at, ": "))
		at = strstr(at, ": ") + 2;
	*len = strcspn(at, " :");
	return at;
}

static bool same_failure(const struct shrinker *s, const struct oplist *list, const struct failure *f)
{
	const char *a, *b;
	size_t m, n;

	if (s->first.phase == PHASE_STEP) {
		if (f->phase != PHASE_STEP || f->step >= list->n || list->v[f->step].kind != s->kind)
			return false;
	} else if (f->phase == PHASE_STEP) {
		return false;
	}
	a = subject(f, &m);
	b = subject(&s->first, &n);
	return m == n && memcmp(a, b, n) == 0;
}

static bool fails(struct shrinker *s, struct oplist *list, unsigned repeat)
{
	struct failure f;
	bool failed = false;

	while (repeat-- > 0 && !failed && time(NULL) < s->end && sides_alive(s->mount)) {
		failed = !run_list(s->mount, s->plain, list, s->options, &f) && same_failure(s, list, &f);
		run_remove(s->mount);
		run_remove(s->plain);
	}
	if (!failed)
		return false;
	*s->failure = f;
	if (f.step < list->n) /* what came after does not matter */
		list->n = f.step + 1;
	return true;
}

/* `list` without [from, to). */
static void without(struct oplist *out, const struct oplist *list, size_t from, size_t to)
{
	out->n = 0;
	for (size_t i = 0; i < list->n; i++)
		if (i < from || i >= to)
			op_push(out, list->v[i]);
}

static bool drop_chunks(struct shrinker *s, struct oplist *list, size_t chunk)
{
	struct oplist shorter = {NULL, 0, 0};
	bool dropped = false;
	size_t at = list->n;

	/* From the end: later operations depend on earlier ones. */
	while (at > 0) {
		size_t from = at > chunk ? at - chunk : 0;

		without(&shorter, list, from, at);
		if (fails(s, &shorter, chunk == 1 ? REPEAT : 1)) {
			struct oplist swap = *list;

			*list = shorter;
			shorter = swap;
			dropped = true;
		}
		at = from < list->n ? from : list->n;
	}
	free(shorter.v);
	return dropped;
}

/* Sizes and offsets, which make a list hard to read when they are large. */
static void smaller_numbers(struct shrinker *s, struct oplist *list)
{
	static const long sizes[] = {0, 1, 10, 100, 4096, 8192, 65537};
	struct failure was;
	const char *args;
	long old;

	for (size_t i = 0; i < list->n; i++) {
		args = op_info[list->v[i].kind].args;
		for (int a = 0; args[a] && i < list->n; a++) {
			old = list->v[i].a[a];
			for (unsigned k = 0; args[a] == 'n' && k < sizeof(sizes) / sizeof(sizes[0]) && sizes[k] < old;
			     k++) {
				was = *s->failure;
				list->v[i].a[a] = sizes[k];
				if (fails(s, list, 1))
					break;
				list->v[i].a[a] = old;
				*s->failure = was;
			}
		}
	}
}

bool shrink(struct side *mount, struct side *plain, struct oplist *list, const struct options *o, struct failure *f)
{
	struct shrinker s = {.mount = mount, .plain = plain, .options = o, .failure = f, .first = *f};
	size_t chunk;

	s.end = time(NULL) + SECONDS_MAX;
	s.kind = f->step < list->n ? list->v[f->step].kind : OP_KINDS;

	if (f->step < list->n)
		list->n = f->step + 1;
	if (!fails(&s, list, REPEAT))
		return false;
	for (chunk = list->n / 2; chunk > 1; chunk /= 2)
		drop_chunks(&s, list, chunk);
	while (drop_chunks(&s, list, 1))
		;
	smaller_numbers(&s, list);
	return true;
}
