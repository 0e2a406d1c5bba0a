#include "tools/bench/scale.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/bench/appio.h"
#include "tools/bench/die.h"
#include "tools/bench/memory.h"
#include "tools/bench/series.h"

enum { FILES = 100, FILE_SIZE = 4096, LOG_SIZE = 10 << 20, STORE_SIZE = 200000, ROWS = 100 };

static const char store_dir[] = "agents/agent-000/sessions";

static void make_dirs(const char *dir, const char *name)
{
	char path[LOAD_PATH];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (char *at = path + strlen(dir) + 1;; at++) {
		char c = *at;
		if (c != '/' && c != '\0')
			continue;
		*at = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			die(-errno, "%s", path);
		*at = c;
		if (c == '\0')
			return;
	}
}

/* `size` bytes of lines. */
static void write_lines(const char *path, const struct content_lines *shape, size_t size)
{
	FILE *f = fopen(path, "we");
	char line[CONTENT_LINE_MAX];

	if (!f)
		die(-errno, "%s", path);
	for (size_t at = 0, n = 0; at < size; n++) {
		size_t len = content_line(shape, (long)n, line);
		fwrite(line, 1, len, f);
		at += len;
	}
	if (fclose(f) != 0)
		die(-errno, "%s", path);
}

static void copy_file(const char *from, const char *to)
{
	struct stat st;
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (in < 0 || out < 0 || fstat(in, &st) < 0)
		die(-errno, "copying %s to %s", from, to);
	while (st.st_size > 0) {
		ssize_t n = copy_file_range(in, NULL, out, NULL, (size_t)st.st_size, 0);
		if (n <= 0)
			die(-errno, "copying %s to %s", from, to);
		st.st_size -= n;
	}
	close(in);
	close(out);
}

void scale_setup(const struct plan *plan, const char *dir, int factor)
{
	const struct content_lines log = {plan->seed, "gateway", 150, 400},
				   message = {plan->seed, "message", 200, 1500};
	char name[64], path[LOAD_PATH], first[LOAD_PATH];
	size_t len;

	for (int agent = 0; agent < factor; agent++) {
		snprintf(name, sizeof(name), "agents/agent-%03d/sessions", agent);
		make_dirs(dir, name);
		for (int i = 0; i < FILES; i++) {
			snprintf(path, sizeof(path), "%s/%s/0199c0de-%04d.jsonl", dir, name, i);
			write_lines(path, &message, FILE_SIZE);
		}
		snprintf(path, sizeof(path), "%s/logs/gateway-2026-%03d.log", dir, agent);
		write_lines(path, &log, LOG_SIZE);
		snprintf(path, sizeof(path), "%s/memory/agent-%03d.sqlite", dir, agent);
		if (agent == 0) {
			memcpy(first, path, sizeof(first));
			memory_create(path, ROWS);
		} else {
			copy_file(first, path);
		}
	}
	struct store *store = store_create(plan->seed, (size_t)STORE_SIZE * (size_t)factor);
	const char *text = store_text(store, &len);
	snprintf(path, sizeof(path), "%s/%s", dir, store_dir);
	int rc = appio_save(dir, path, text, len, false);
	if (rc < 0)
		die(rc, "%s/sessions.json", path);
	store_destroy(store);
}

static void print_usage(struct watch *watch, FILE *out)
{
	struct usage u = watch_destroy(watch);

	fprintf(out, "\"daemon\":{\"processes\":%d,\"cpu_ms\":%.0f,\"switches\":%ld,\"rss_kib\":%ld,\"pss_kib\":%ld}",
		u.processes, u.cpu_ms, u.switches, u.rss_kib, u.pss_kib);
}

void scale_resave(const struct plan *plan, const char *dir, int factor, int count, double every_ms, struct watch *watch,
		  FILE *out)
{
	struct store *store = store_create(plan->seed, (size_t)STORE_SIZE * (size_t)factor);
	struct series series = {.name = "save"};
	double start = now_ms();
	char path[LOAD_PATH];
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", dir, store_dir);
	const char *text = store_text(store, &len);
	for (int n = 0; n < count; n++) {
		double begin = now_ms();
		int rc = appio_save(dir, path, text, len, false);
		if (rc < 0)
			die(rc, "%s/sessions.json", path);
		series_add(&series, now_ms() - begin);
		watch_look(watch);
		sleep_until(start + (n + 1) * every_ms);
	}
	fprintf(out, "{\"seconds\":%.3f,\"bytes\":%zu,", (now_ms() - start) / 1e3, len);
	print_usage(watch, out);
	fprintf(out, ",");
	series_print(&series, out);
	fprintf(out, "}\n");
	series_free(&series);
	store_destroy(store);
}

void scale_idle(double seconds, struct watch *watch, FILE *out)
{
	sleep_until(now_ms() + seconds * 1e3);
	fprintf(out, "{\"seconds\":%.3f,", seconds);
	print_usage(watch, out);
	fprintf(out, "}\n");
}
