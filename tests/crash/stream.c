/* Logs and transcripts: one line an operation, by one write call. Every `arg`-th operation renames the file to
 * NAME.1, over the one before, as a program that rotates its own log does; 0: never. Lines tell their number.
 *
 * P2: each of the two files is a prefix of the lines of one such generation. */
#include "load.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static size_t line_text(const struct actor *a, uint32_t n, char line[LINE_MAX_BYTES])
{
	uint64_t r = mix(a->seed, 1, n);
	size_t pad = 10 + r % 250;

	/* Now and then a long one, that crosses a page. */
	if (r >> 20 & 1 && r >> 21 & 1 && r >> 22 & 1 && r >> 23 & 1)
		pad += 1500;
	const char *level = (r >> 32) % 60 == 0 ? "error" : "info";
	int len = snprintf(line, LINE_MAX_BYTES, "{\"n\":%08u,\"level\":\"%s\",\"text\":\"", n, level);
	fill(line + len, pad, r);
	memcpy(line + len + pad, "\"}\n", 3);
	return (size_t)len + pad + 3;
}

static uint32_t generation(const struct actor *a, uint32_t n)
{
	return a->kind->arg ? n / a->kind->arg : 0;
}

static uint32_t generation_first(const struct actor *a, uint32_t g)
{
	return g * a->kind->arg + 1;
}

static void stream_drop(struct actor *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

/* Where line n begins in its file. */
static off_t line_start(const struct actor *a, uint32_t n)
{
	char line[LINE_MAX_BYTES];
	off_t at = 0;

	for (uint32_t i = generation_first(a, generation(a, n)); i < n; i++)
		at += (off_t)line_text(a, i, line);
	return at;
}

static bool is_synced(const struct actor *a)
{
	return a->kind->window_ms == 0;
}

static int stream_step(struct actor *a, uint32_t n)
{
	const char *path = below(a->root, a->kind->path);
	char old[1024], line[LINE_MAX_BYTES];
	struct stat st;
	size_t skip = 0;

	if (a->kind->arg && n % a->kind->arg == 0) {
		stream_drop(a);
		snprintf(old, sizeof(old), "%s.1", path);
		if (rename(path, old) < 0 && !(a->doubt && errno == ENOENT))
			return failed(a, "rename of the log");
		return 0;
	}
	/* Now and then by a fresh descriptor, as a program that opens its log for each line. */
	if (a->doubt || mix(a->seed, 2, n) % 16 == 0)
		stream_drop(a);
	if (a->fd < 0)
		a->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (a->fd < 0)
		return failed(a, "open of the log");
	size_t len = line_text(a, n, line);
	if (a->doubt) {
		/* What a program does that finds its line half written. */
		off_t start = line_start(a, n);
		if (fstat(a->fd, &st) < 0)
			return failed(a, "fstat of the log");
		if (st.st_size < start || st.st_size > start + (off_t)len) {
			errno = EBADMSG;
			return failed(a, "size of the log");
		}
		skip = (size_t)(st.st_size - start);
	}
	int rc = skip < len ? put(a->fd, line + skip, len - skip) : 0;
	if (rc < 0) {
		errno = -rc;
		return failed(a, "write to the log");
	}
	if (is_synced(a) && fdatasync(a->fd) < 0)
		return failed(a, "fdatasync of the log");
	return 0;
}

/* What one of the two files holds. */
struct piece {
	bool there;
	uint32_t first; /* operation of the first line; 0: none is there in whole */
	uint32_t last;	/* operation of the last whole line; first - 1 when there is none */
	size_t partial; /* bytes of the line after it */
};

static int read_piece(struct actor *a, const char *path, uint32_t max, struct piece *p, struct verdict *v)
{
	char *data, line[LINE_MAX_BYTES];
	ssize_t size = slurp(path, &data);
	uint32_t n = 0;

	*p = (struct piece){0};
	if (size < 0)
		return errno == ENOENT ? 0 : wrong(v, "%s: %s", path, strerror(errno));
	p->there = true;
	if (size == 0) {
		free(data);
		return 0;
	}
	if (size < 13 || sscanf(data, "{\"n\":%8u", &n) != 1 || n == 0 || n > max ||
	    n != generation_first(a, generation(a, n))) {
		/* Less than a number of the first line cannot be told apart. */
		int rc = size < 13 ? 0 : wrong(v, "%s begins with \"%.40s\", which begins no generation", path, data);
		free(data);
		return rc;
	}
	p->first = n;
	uint32_t end = a->kind->arg ? (generation(a, n) + 1) * a->kind->arg : UINT32_MAX;
	size_t at = 0;
	for (; at < (size_t)size; n++) {
		size_t len = line_text(a, n, line), left = (size_t)size - at;
		size_t cmp = left < len ? left : len;
		if (n >= end || n > max || memcmp(data + at, line, cmp) != 0) {
			size_t same = 0;
			while (same < cmp && data[at + same] == line[same])
				same++;
			int rc = wrong(v, "%s: at byte %zu of %zd, in line %u (max %u), there is 0x%02x, not 0x%02x",
				       path, at + same, size, n, max, (unsigned char)data[at + same],
				       (unsigned char)line[same]);
			free(data);
			return rc;
		}
		if (left < len) {
			p->partial = left;
			break;
		}
		at += len;
	}
	p->last = n - 1;
	free(data);
	return 0;
}

static bool covers(const struct piece *p, uint32_t n)
{
	return p->first && n >= p->first && n <= p->last;
}

/* Whether the two files are as after operation n. */
static bool is_state(const struct actor *a, const struct piece *now, const struct piece *old, uint32_t n)
{
	uint32_t g = generation(a, n), first = generation_first(a, g);
	bool now_ok = n < first ? !now->first && !now->partial : now->first == first && now->last == n && !now->partial;
	bool old_ok =
		g == 0 ? !old->there
		       : old->first == generation_first(a, g - 1) && old->last == g * a->kind->arg - 1 && !old->partial;

	return now_ok && old_ok;
}

static int stream_check(struct actor *a, const char *root, enum judge judge, uint32_t min, uint32_t max,
			struct verdict *v)
{
	const char *path = below(root, a->kind->path);
	char old_path[1024];
	struct piece now, old = {0};

	snprintf(old_path, sizeof(old_path), "%s.1", path);
	if (read_piece(a, path, max, &now, v) < 0 || (a->kind->arg && read_piece(a, old_path, max, &old, v) < 0))
		return -1;
	v->partial = now.partial || old.partial;
	v->found = now.first ? now.last : old.last;
	if (judge != JUDGE_CUT) {
		for (uint32_t n = min; n <= max; n++) {
			if (is_state(a, &now, &old, n)) {
				v->found = n;
				return 0;
			}
		}
		/* A write that was cut short by the daemon's death, and told so. */
		if (max > min && now.partial && now.last == min) {
			now.partial = 0;
			v->found = min;
			if (is_state(a, &now, &old, min))
				return 0;
		}
		return wrong(v,
			     "%s: has lines %u to %u and %zu bytes, .1 has %u to %u and %zu; expected the state after "
			     "%u or %u",
			     path, now.first, now.last, now.partial, old.first, old.last, old.partial, min, max);
	}
	/* Each line whose file has not been replaced since. */
	uint32_t g = generation(a, max);
	for (uint32_t n = g > 0 ? generation_first(a, g - 1) : 1; n <= min; n++) {
		if ((a->kind->arg && n % a->kind->arg == 0) || covers(&now, n) || covers(&old, n))
			continue;
		v->found = n - 1;
		return wrong(v, "%s: line %u of %u is missing; has %u to %u, .1 has %u to %u", path, n, min, now.first,
			     now.last, old.first, old.last);
	}
	if (!now.first && v->found < min)
		v->found = min;
	return 0;
}

#define STREAM(symbol, text, where, window, short_window, pause, generation_size)                                      \
	const struct actor_kind symbol = {.name = (text),                                                              \
					  .path = (where),                                                             \
					  .window_ms = (window),                                                       \
					  .short_ms = (short_window),                                                  \
					  .pause_us = (pause),                                                         \
					  .arg = (generation_size),                                                    \
					  .step = stream_step,                                                         \
					  .check = stream_check,                                                       \
					  .drop = stream_drop}

STREAM(kind_log, "log", "logs/gateway.log", 5000, 1000, 2000, 2000);
STREAM(kind_workerlog, "workerlog", "logs/worker.log", 5000, 1000, 17000, 150);
STREAM(kind_append, "append", "agents/main/sessions/talk.jsonl", 2000, 500, 9000, 0);
/* fdatasync after each line. */
STREAM(kind_audit, "audit", "logs/audit.log", 0, 0, 60000, 0);
