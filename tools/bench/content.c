#include "tools/bench/content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/bench/die.h"

enum { EPOCH = 1767225600, NOTE = 1400 };

uint32_t content_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)(z >> 32);
}

void content_words(uint64_t seed, char *out, size_t len)
{
	char spelled[24];

	for (size_t at = 0; at < len;) {
		double u = content_random(&seed) / 4294967296.0;
		uint32_t word = (uint32_t)(6000 * u * u * u);
		size_t n = (size_t)snprintf(spelled, sizeof(spelled), "%c%c%x ", (int)('a' + word % 26),
					    (int)('a' + word / 26 % 26), word);
		if (n > len - at)
			n = len - at;
		memcpy(out + at, spelled, n);
		at += n;
	}
}

/* --- lines ------------------------------------------------------------------------ */

size_t content_line(const struct content_lines *lines, long n, char out[CONTENT_LINE_MAX])
{
	uint64_t state = lines->seed * 7919 + (uint64_t)n;
	size_t want = lines->min + content_random(&state) % (lines->max - lines->min + 1);
	time_t second = EPOCH + n * 48 / 1000;
	struct tm tm;
	char stamp[24];

	gmtime_r(&second, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	size_t head =
		(size_t)snprintf(out, CONTENT_LINE_MAX,
				 "{\"time\":\"%s.%03ldZ\",\"level\":\"info\",\"kind\":\"%s\",\"n\":%ld,\"msg\":\"",
				 stamp, n * 48 % 1000, lines->kind, n);
	if (want < head + 4)
		want = head + 4;
	content_words(state, out + head, want - head - 3);
	out[want - 3] = '"';
	out[want - 2] = '}';
	out[want - 1] = '\n';
	return want;
}

/* --- store ------------------------------------------------------------------------ */

/* All that changes is digits in fixed places. */
struct store {
	uint64_t seed;
	long version;
	int sessions;
	size_t len, cap, first, last;
	size_t *changing; /* per session: where its digits begin */
	char *text;
};

static const char first_key[] = "{\n  \"first\": ";

/* Versions are shown from here on, so that they have ten digits. */
static const long version_base = 1000000000;

static void put(char *at, const char *digits)
{
	while (*digits)
		*at++ = *digits++;
}

static void put_version(struct store *s)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%ld", version_base + s->version);
	put(s->text + s->first, digits);
	put(s->text + s->last, digits);
}

static void put_session(struct store *s, int i)
{
	uint64_t state = s->seed * 31 + (uint64_t)s->version;
	char digits[64];

	snprintf(digits, sizeof(digits), "%lld,\n    \"tokens\": %u", EPOCH * 1000LL + s->version * 200,
		 100000 + content_random(&state) % 900000);
	put(s->text + s->changing[i], digits);
}

struct store *store_create(uint64_t seed, size_t bytes)
{
	struct store *s = calloc(1, sizeof(*s));
	enum { SESSION_MAX = NOTE + 512 };

	if (!s)
		die(0, "no memory");
	s->seed = seed;
	s->cap = bytes + 2 * SESSION_MAX;
	s->text = malloc(s->cap);
	s->changing = calloc(bytes / NOTE + 2, sizeof(*s->changing));
	if (!s->text || !s->changing)
		die(0, "no memory for a store of %zu bytes", bytes);
	s->first = sizeof(first_key) - 1;
	s->len = (size_t)snprintf(s->text, s->cap, "%s%ld", first_key, version_base);
	do {
		int i = s->sessions++;
		uint64_t state = seed * 1000003 + (uint64_t)i;
		char id[40], note[NOTE + 1] = {0};
		/* The last one fills up what is left. */
		size_t note_len = bytes > s->len + NOTE + 200 ? NOTE : 100;
		snprintf(id, sizeof(id), "%08x-%08x", content_random(&state), content_random(&state));
		content_words(state, note, note_len);
		s->len += (size_t)snprintf(s->text + s->len, s->cap - s->len,
					   ",\n  \"agent:main:session-%d\": {\n    \"sessionId\": \"%s\",\n"
					   "    \"systemPromptReport\": \"%s\",\n    \"updatedAt\": ",
					   i, id, note);
		s->changing[i] = s->len;
		s->len += (size_t)snprintf(s->text + s->len, s->cap - s->len, "%lld,\n    \"tokens\": %u\n  }",
					   EPOCH * 1000LL, 100000U);
	} while (s->len + 300 < bytes);
	s->last = s->len + strlen(",\n  \"last\": ");
	s->len += (size_t)snprintf(s->text + s->len, s->cap - s->len, ",\n  \"last\": %ld\n}\n", version_base);
	return s;
}

void store_destroy(struct store *s)
{
	if (!s)
		return;
	free(s->text);
	free(s->changing);
	free(s);
}

void store_update(struct store *s)
{
	uint64_t state = s->seed * 17 + (uint64_t)++s->version;

	put_session(s, (int)(content_random(&state) % (unsigned)s->sessions));
	put_version(s);
}

long store_version(const struct store *s)
{
	return s->version;
}

const char *store_text(const struct store *s, size_t *len)
{
	*len = s->len;
	return s->text;
}

long store_version_of(const char *text, size_t len)
{
	size_t head = sizeof(first_key) - 1;
	char digits[11] = {0};

	if (len < head + 10 || memcmp(text, first_key, head) != 0)
		return -1;
	memcpy(digits, text + head, 10);
	long version = strtol(digits, NULL, 10) - version_base;
	return version >= 0 ? version : -1;
}
