#include "tools/bench/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/bench/appio.h"
#include "tools/bench/die.h"
#include "tools/bench/memory.h"

const char *const stream_names[STREAMS] = {"log", "save", "insert", "query", "transcript"};

long plan_count(const struct plan *plan, enum stream stream)
{
	return (long)(plan->a_minute[stream] * plan->seconds / 60);
}

double plan_due(const struct plan *plan, enum stream stream, long n)
{
	uint64_t state = plan->seed * 101 + stream * 1000003ULL + (uint64_t)n;

	return ((double)n + content_random(&state) / 4294967296.0) * 60000 / plan->a_minute[stream];
}

struct content_lines plan_lines(const struct plan *plan, enum stream stream)
{
	if (stream == STREAM_LOG)
		return (struct content_lines){plan->seed, "gateway", plan->line_min, plan->line_max};
	return (struct content_lines){plan->seed + 1, "message", 200, 1500};
}

void load_path(const char *dir, enum stream stream, char path[LOAD_PATH])
{
	static const char *const places[STREAMS] = {
		[STREAM_LOG] = "logs/gateway.log",
		[STREAM_SAVE] = "agents/main/sessions",
		[STREAM_INSERT] = "memory/main.sqlite",
		[STREAM_QUERY] = "memory/main.sqlite",
		[STREAM_TRANSCRIPT] = "agents/main/sessions/0199c0de-bench.jsonl",
	};

	if (snprintf(path, LOAD_PATH, "%s/%s", dir, places[stream]) >= LOAD_PATH)
		die(-ENAMETOOLONG, "%s", dir);
}

static void make_dir(const char *dir, const char *name)
{
	char path[LOAD_PATH];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		die(-errno, "%s", path);
}

static void write_base(const struct plan *plan, const char *dir, enum stream stream, long lines)
{
	struct content_lines shape = plan_lines(plan, stream);
	char path[LOAD_PATH], line[CONTENT_LINE_MAX];

	load_path(dir, stream, path);
	for (long n = 0; n < lines; n++) {
		int rc = appio_append(path, line, content_line(&shape, n, line), false);
		if (rc < 0)
			die(rc, "%s", path);
	}
}

void load_setup(const struct plan *plan, const char *dir)
{
	static const char *const dirs[] = {"", "logs", "agents", "agents/main", "agents/main/sessions", "memory"};
	struct store *store = store_create(plan->seed, plan->store_size);
	char path[LOAD_PATH];
	size_t len;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		make_dir(dir, dirs[i]);
	write_base(plan, dir, STREAM_LOG, LOG_BASE);
	write_base(plan, dir, STREAM_TRANSCRIPT, TRANSCRIPT_BASE);
	load_path(dir, STREAM_SAVE, path);
	const char *text = store_text(store, &len);
	int rc = appio_save(dir, path, text, len, false);
	if (rc < 0)
		die(rc, "%s/sessions.json", path);
	store_destroy(store);
	load_path(dir, STREAM_INSERT, path);
	memory_create(path, plan->rows);
}

/* --- acknowledgments ----------------------------------------------------------------- */

static double *map_acks(const char *acks, enum stream stream, int flags, long *count)
{
	char path[LOAD_PATH];
	struct stat st;
	double *map;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", acks, stream_names[stream]);
	fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		die(-errno, "%s", path);
	if ((flags & O_CREAT) && ftruncate(fd, *count * (long)sizeof(double)) < 0)
		die(-errno, "%s", path);
	if (fstat(fd, &st) < 0)
		die(-errno, "%s", path);
	*count = st.st_size / (long)sizeof(double);
	/* A stream of no operations has a file of no bytes, which cannot be mapped. */
	map = *count == 0 ? NULL
			  : mmap(NULL, (size_t)st.st_size, flags & O_CREAT ? PROT_READ | PROT_WRITE : PROT_READ,
				 MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die(-errno, "%s", path);
	close(fd);
	return map;
}

double *acks_create(const char *acks, enum stream stream, long count)
{
	return map_acks(acks, stream, O_RDWR | O_CREAT | O_TRUNC, &count);
}

double *acks_open(const char *acks, enum stream stream, long *count)
{
	return map_acks(acks, stream, O_RDONLY, count);
}
