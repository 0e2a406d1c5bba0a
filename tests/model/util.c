#include "model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64 */
uint64_t rng_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

unsigned long rng_below(uint64_t *state, unsigned long n)
{
	return rng_next(state) % n;
}

void *xrealloc(void *p, size_t size)
{
	void *q = realloc(p, size ? size : 1);

	if (!q)
		die("out of memory");
	return q;
}

void die(const char *fmt, ...)
{
	va_list ap;

	fputs("model: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

void res_reset(struct res *r)
{
	r->ret = 0;
	r->err = 0;
	r->len = 0;
	r->skip = false;
	r->forget = false;
	r->note[0] = '\0';
}

void *res_room(struct res *r, size_t len)
{
	void *at;

	if (r->len + len > r->cap) {
		r->cap = (r->len + len) * 2 + 64;
		r->data = xrealloc(r->data, r->cap);
	}
	at = r->data + r->len;
	memset(at, 0, len);
	r->len += len;
	return at;
}

void res_add(struct res *r, const void *data, size_t len)
{
	void *room = res_room(r, len);

	if (len > 0)
		memcpy(room, data, len);
}

void res_ret(struct res *r, long ret)
{
	r->err = ret < 0 ? errno : 0;
	r->ret = ret;
}

void note(struct res *r, const char *fmt, ...)
{
	va_list ap;

	if (r->note[0])
		return; /* the first says it */
	va_start(ap, fmt);
	vsnprintf(r->note, sizeof(r->note), fmt, ap);
	va_end(ap);
}

void say(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, WHY_SIZE, fmt, ap);
	va_end(ap);
}

/* What a writer writes: by the seed, log lines (some urgent, some unfinished),
 * JSON that is the same for the same length (identical saves), or noise
 * with NULs in it. */
void fill_bytes(unsigned char *buf, size_t len, unsigned long seed)
{
	static const char *const levels[] = {"info", "debug", "warn", "error"};
	uint64_t rng = seed;
	size_t at = 0;
	char line[256];
	int n;

	switch (seed % 5) {
	case 0:
		for (; at < len; at++)
			buf[at] = rng_below(&rng, 8) ? (unsigned char)rng_next(&rng) : 0;
		break;
	case 1:
		for (; at < len; at++)
			buf[at] = (unsigned char)("{\"session\":{\"id\":\"main\"}}\n"[at % 26]);
		break;
	default:
		while (at < len) {
			n = snprintf(line, sizeof(line),
				     "{\"level\":\"%s\",\"seed\":%lu,\"at\":%zu,\"msg\":\"%.*s\"}\n",
				     levels[rng_below(&rng, 40) ? rng_below(&rng, 3) : 3], seed, at,
				     (int)rng_below(&rng, 60),
				     "the quick brown fox jumps over the lazy dog, twice a day ...");
			if ((size_t)n > len - at)
				n = (int)(len - at);
			memcpy(buf + at, line, (size_t)n);
			at += (size_t)n;
		}
		if (len > 0 && seed % 5 < 4)
			buf[len - 1] = '\n';
	}
}

int time_cmp(struct timespec a, struct timespec b)
{
	if (a.tv_sec != b.tv_sec)
		return a.tv_sec < b.tv_sec ? -1 : 1;
	return a.tv_nsec < b.tv_nsec ? -1 : a.tv_nsec > b.tv_nsec;
}

const char *errno_name(int err)
{
	const char *name = err ? strerrorname_np(err) : "ok";

	return name ? name : "E?";
}
