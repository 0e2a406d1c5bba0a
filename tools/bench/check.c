/* What a directory holds of what was acknowledged, by a power cut or at the end. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/bench/die.h"
#include "tools/bench/load.h"
#include "tools/bench/memory.h"

/* Of one stream: how many of its operations are there, and what is wrong besides ("" for nothing). */
struct found {
	long present;
	char damage[160];
};

/* The whole file and its length; NULL when there is none. */
static char *read_file(const char *path, size_t *len)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t got = 0;
	ssize_t n;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0)
		die(-errno, "%s", path);
	char *bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		die(0, "no memory for %s", path);
	while (got < (size_t)st.st_size && (n = read(fd, bytes + got, (size_t)st.st_size - got)) != 0) {
		if (n < 0)
			die(-errno, "reading %s", path);
		got += (size_t)n;
	}
	close(fd);
	*len = got;
	return bytes;
}

/* Lines as they were written, from the first on. */
static void find_lines(const struct plan *plan, const char *path, enum stream stream, long base, struct found *found)
{
	struct content_lines shape = plan_lines(plan, stream);
	char line[CONTENT_LINE_MAX];
	size_t len = 0, at = 0, n;
	char *bytes = read_file(path, &len);

	found->present = -base;
	while (at < len) {
		n = content_line(&shape, found->present + base, line);
		if (n > len - at || memcmp(bytes + at, line, n) != 0) {
			size_t rest = len - at;
			bool nul = memchr(bytes + at, 0, rest) != NULL;
			bool torn = rest < n && memcmp(bytes + at, line, rest) == 0;
			snprintf(found->damage, sizeof(found->damage), "%s, %zu bytes",
				 torn  ? "half a line at the end"
				 : nul ? "NUL bytes"
				       : "other bytes than were written",
				 rest);
			break;
		}
		at += n;
		found->present++;
	}
	if (found->present < 0) {
		found->present = 0;
		snprintf(found->damage, sizeof(found->damage), "%s",
			 bytes ? "what was there before is gone" : "no file");
	}
	free(bytes);
}

static void find_store(const struct plan *plan, const char *path, struct found *found)
{
	struct store *store = store_create(plan->seed, plan->store_size);
	char file[LOAD_PATH + 16];
	size_t len = 0, want_len;

	snprintf(file, sizeof(file), "%s/sessions.json", path);
	char *text = read_file(file, &len);
	long version = text ? store_version_of(text, len) : -1;
	while (store_version(store) < version && store_version(store) < plan_count(plan, STREAM_SAVE))
		store_update(store);
	const char *want = store_text(store, &want_len);
	if (text && store_version(store) == version && len == want_len && memcmp(text, want, len) == 0)
		found->present = version;
	else
		snprintf(found->damage, sizeof(found->damage), "%s", !text ? "no file" : len == 0 ? "empty" : "torn");
	free(text);
	store_destroy(store);
}

static void find_chunks(const struct plan *plan, const char *path, struct found *found)
{
	char why[128];
	int last = memory_check(path, why, sizeof(why));

	if (last < plan->rows - 1)
		snprintf(found->damage, sizeof(found->damage), "%s", last < 0 ? why : "what was there before is gone");
	else
		found->present = last + 1 - plan->rows;
}

/* As JSON: what SQLite says may have line ends and quotes in it. */
static void print_damage(const char *text, FILE *out)
{
	if (!*text) {
		fprintf(out, "null}");
		return;
	}
	fputc('"', out);
	for (; *text; text++)
		fputc(*text == '"' || *text == '\\' || (unsigned char)*text < ' ' ? ' ' : *text, out);
	fprintf(out, "\"}");
}

bool load_check(const struct plan *plan, const char *dir, const char *acks_dir, double cut, FILE *out)
{
	bool good = true;

	fprintf(out, "{\"cut\":%.1f", cut);
	for (enum stream s = 0; s < STREAMS; s++) {
		struct found found = {0};
		char path[LOAD_PATH];
		long count, acked = 0;
		if (s == STREAM_QUERY)
			continue;
		load_path(dir, s, path);
		if (s == STREAM_LOG || s == STREAM_TRANSCRIPT)
			find_lines(plan, path, s, s == STREAM_LOG ? LOG_BASE : TRANSCRIPT_BASE, &found);
		else if (s == STREAM_SAVE)
			find_store(plan, path, &found);
		else
			find_chunks(plan, path, &found);
		const double *acks = acks_open(acks_dir, s, &count);
		while (acked < count && acks[acked] > 0 && acks[acked] <= cut)
			acked++;
		long lost = acked > found.present ? acked - found.present : 0;
		/* The oldest of what is missing had been acknowledged so long. */
		double seconds = lost > 0 ? (cut - acks[found.present]) / 1e3 : 0;
		fprintf(out, ",\"%s\":{\"acked\":%ld,\"present\":%ld,\"lost\":%ld,\"seconds\":%.3f,\"damage\":",
			stream_names[s], acked, found.present, lost, seconds);
		print_damage(found.damage, out);
		good = good && lost == 0 && !*found.damage;
	}
	fprintf(out, "}\n");
	return good;
}
