#include "tools/bench/ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/bench/appio.h"
#include "tools/bench/content.h"
#include "tools/bench/die.h"
#include "tools/bench/memory.h"

enum { STORE_SIZE = 123000, ROWS = 2000, ENTRIES = 10000, SMALL = 4096, LARGE = 32 << 20, PIECE_MAX = 1 << 20 };

static char buffer[PIECE_MAX];

static const char *at(struct target *t, const char *name)
{
	if (snprintf(t->path, sizeof(t->path), "%s/%s", t->dir, name) >= (int)sizeof(t->path))
		die(-ENAMETOOLONG, "%s", t->dir);
	return t->path;
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		die(-errno, "%s", path);
	return fd;
}

static void write_or_die(const struct target *t, int fd, const void *bytes, size_t len)
{
	if (write(fd, bytes, len) != (ssize_t)len)
		die(-errno, "writing %s", t->path);
}

void ops_setup(struct target *t)
{
	static const char *const dirs[] = {
		"", "logs", "agents", "agents/main", "agents/main/sessions", "memory", "workspace", "workspace/many"};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		if (mkdir(at(t, dirs[i]), 0700) < 0 && errno != EEXIST)
			die(-errno, "%s", t->path);
	for (int i = 0; i < ENTRIES; i++) {
		char name[64];
		snprintf(name, sizeof(name), "workspace/many/0199c0de-%05d.md", i);
		close(open_or_die(at(t, name), O_WRONLY | O_CREAT | O_TRUNC));
	}
	content_words(1, buffer, sizeof(buffer));
	int fd = open_or_die(at(t, "workspace/small.md"), O_WRONLY | O_CREAT | O_TRUNC);
	write_or_die(t, fd, buffer, SMALL);
	close(fd);
	fd = open_or_die(at(t, "secureclaw.json"), O_WRONLY | O_CREAT | O_TRUNC);
	write_or_die(t, fd, buffer, SMALL);
	close(fd);
	fd = open_or_die(at(t, "workspace/large.bin"), O_WRONLY | O_CREAT | O_TRUNC);
	for (int i = 0; i < LARGE / PIECE_MAX; i++)
		write_or_die(t, fd, buffer, PIECE_MAX);
	close(fd);
	memory_create(at(t, "memory/main.sqlite"), ROWS);
}

/* --- logs and sessions ---------------------------------------------------------------- */

static const struct content_lines lines = {7, "gateway", 150, 400};

static void append_step(struct target *t, const struct op *op)
{
	char line[CONTENT_LINE_MAX];
	int rc = appio_append(t->path, line, content_line(&lines, t->done, line), false);

	if (rc < 0)
		die(rc, "%s", t->path);
}

static void log_prepare(struct target *t, const struct op *op)
{
	at(t, "logs/gateway.log");
}

static void open_log_prepare(struct target *t, const struct op *op)
{
	t->fd = open_or_die(at(t, "logs/open.log"), O_WRONLY | O_CREAT | O_APPEND);
}

static void open_log_step(struct target *t, const struct op *op)
{
	char line[CONTENT_LINE_MAX];

	write_or_die(t, t->fd, line, content_line(&lines, t->done, line));
}

static void close_fd(struct target *t)
{
	close(t->fd);
}

static void save_prepare(struct target *t, const struct op *op)
{
	at(t, "agents/main/sessions");
	t->store = store_create(7, STORE_SIZE);
}

static void save_step(struct target *t, const struct op *op)
{
	size_t len;

	store_update(t->store);
	const char *text = store_text(t->store, &len);
	int rc = appio_save(t->dir, t->path, text, len, false);
	if (rc < 0)
		die(rc, "%s", t->path);
}

static void save_finish(struct target *t)
{
	store_destroy(t->store);
}

/* --- names and small files ------------------------------------------------------------- */

static void small_prepare(struct target *t, const struct op *op)
{
	at(t, "workspace/small.md");
}

static void state_prepare(struct target *t, const struct op *op)
{
	at(t, "secureclaw.json");
}

static void stat_step(struct target *t, const struct op *op)
{
	struct stat st;

	if (stat(t->path, &st) < 0)
		die(-errno, "%s", t->path);
}

static void read_small_step(struct target *t, const struct op *op)
{
	int fd = open_or_die(t->path, O_RDONLY);

	if (read(fd, buffer, SMALL + 1) != SMALL)
		die(-errno, "reading %s", t->path);
	close(fd);
}

static void many_prepare(struct target *t, const struct op *op)
{
	at(t, "workspace/many");
}

static void readdir_step(struct target *t, const struct op *op)
{
	DIR *dir = opendir(t->path);
	int count = 0;

	if (!dir)
		die(-errno, "%s", t->path);
	while (readdir(dir))
		count++;
	closedir(dir);
	if (count != ENTRIES + 2)
		die(0, "%s lists %d entries", t->path, count);
}

/* --- a large file ----------------------------------------------------------------------- */

static void large_prepare(struct target *t, const struct op *op)
{
	t->fd = open_or_die(at(t, "workspace/large.bin"), O_RDWR);
}

static off_t next_piece(const struct target *t, const struct op *op)
{
	return (off_t)((size_t)t->done * op->bytes % LARGE);
}

static off_t some_piece(const struct target *t, const struct op *op)
{
	uint64_t state = (uint64_t)t->done;

	return (off_t)(content_random(&state) % (LARGE / op->bytes) * op->bytes);
}

static void read_at(struct target *t, const struct op *op, off_t where)
{
	if (pread(t->fd, buffer, op->bytes, where) != (ssize_t)op->bytes)
		die(-errno, "reading %s", t->path);
}

static void write_at(struct target *t, const struct op *op, off_t where)
{
	if (pwrite(t->fd, buffer, op->bytes, where) != (ssize_t)op->bytes)
		die(-errno, "writing %s", t->path);
}

static void read_next(struct target *t, const struct op *op)
{
	read_at(t, op, next_piece(t, op));
}

static void write_next(struct target *t, const struct op *op)
{
	write_at(t, op, next_piece(t, op));
}

static void read_some(struct target *t, const struct op *op)
{
	read_at(t, op, some_piece(t, op));
}

static void write_some(struct target *t, const struct op *op)
{
	write_at(t, op, some_piece(t, op));
}

/* --- database ----------------------------------------------------------------------------- */

static void memory_prepare(struct target *t, const struct op *op)
{
	t->memory = memory_open(at(t, "memory/main.sqlite"), NULL);
}

static void insert_step(struct target *t, const struct op *op)
{
	memory_insert(t->memory, ROWS + (int)t->done);
}

static void query_step(struct target *t, const struct op *op)
{
	memory_query(t->memory, (int)t->done);
}

static void memory_finish(struct target *t)
{
	memory_close(t->memory);
}

#define LARGE_OPS(size, text, batch)                                                                                   \
	{"read " text ", sequential", size, batch, large_prepare, read_next, close_fd},                                \
		{"read " text ", random", size, batch, large_prepare, read_some, close_fd},                            \
		{"write " text ", sequential", size, batch, large_prepare, write_next, close_fd},                      \
	{                                                                                                              \
		"write " text ", random", size, batch, large_prepare, write_some, close_fd                             \
	}

const struct op ops_table[] = {
	{"log append (open, write, close)", 0, 50, log_prepare, append_step, NULL},
	{"write to an open log", 0, 50, open_log_prepare, open_log_step, close_fd},
	{"session save", 0, 10, save_prepare, save_step, save_finish},
	{"stat", 0, 200, small_prepare, stat_step, NULL},
	{"open, read 4 KiB, close (workspace)", 0, 50, small_prepare, read_small_step, NULL},
	{"open, read 4 KiB, close (state)", 0, 50, state_prepare, read_small_step, NULL},
	{"readdir of 10,000", 0, 1, many_prepare, readdir_step, NULL},
	{"SQLite insert (5 commits)", 0, 5, memory_prepare, insert_step, memory_finish},
	{"SQLite query", 0, 10, memory_prepare, query_step, memory_finish},
	LARGE_OPS(4096, "4 KiB", 256),
	LARGE_OPS(65536, "64 KiB", 64),
	LARGE_OPS(1048576, "1 MiB", 16),
};
const int ops_count = sizeof(ops_table) / sizeof(*ops_table);
