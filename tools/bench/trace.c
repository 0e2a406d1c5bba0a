#include "tools/bench/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tools/bench/die.h"

enum { PATH = 512, OPCODES = 64, SETTLE_MS = 50 };

struct trace {
	char dir[PATH];
};

static bool write_in(const struct trace *t, const char *name, const char *text, int flags)
{
	char path[PATH + 64];
	int fd;
	ssize_t n = -1;

	snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC | flags);
	if (fd >= 0) {
		n = write(fd, text, strlen(text));
		close(fd);
	}
	return n >= 0;
}

struct trace *trace_create(const char *tracefs)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (!t)
		die(0, "no memory");
	snprintf(t->dir, sizeof(t->dir), "%s/instances/clawfs-bench-%d", tracefs, getpid());
	if (mkdir(t->dir, 0700) < 0) {
		free(t);
		return NULL;
	}
	if (!write_in(t, "buffer_size_kb", "8192", 0) || !write_in(t, "events/fuse/fuse_request_send/enable", "1", 0)) {
		trace_destroy(t);
		return NULL;
	}
	return t;
}

void trace_destroy(struct trace *t)
{
	if (!t)
		return;
	rmdir(t->dir);
	free(t);
}

/* Opening it with O_TRUNC empties the buffer. */
void trace_begin(struct trace *t)
{
	if (t && !write_in(t, "trace", "", O_TRUNC))
		die(-errno, "%s/trace", t->dir);
}

void trace_end(struct trace *t, const char *path, long operations, FILE *out)
{
	struct {
		char name[32];
		long count;
	} seen[OPCODES] = {0};
	char file[PATH + 64], line[512];
	struct stat st;
	int kinds = 0;
	FILE *f;

	if (!t) {
		fprintf(out, "null");
		return;
	}
	/* The last RELEASE is not waited for by close(). */
	sleep_until(now_ms() + SETTLE_MS);
	snprintf(file, sizeof(file), "%s/trace", t->dir);
	f = fopen(file, "re");
	if (!f || stat(path, &st) < 0)
		die(-errno, "%s", f ? path : file);
	while (fgets(line, sizeof(line), f)) {
		unsigned connection;
		char name[32];
		const char *at = strstr(line, "fuse_request_send: connection ");
		if (!at ||
		    sscanf(at, "fuse_request_send: connection %u req %*u opcode %*u (FUSE_%31[A-Z_0-9])", &connection,
			   name) != 2 ||
		    connection != minor(st.st_dev))
			continue;
		int i = 0;
		while (i < kinds && strcmp(seen[i].name, name) != 0)
			i++;
		if (i == OPCODES)
			continue;
		if (i == kinds)
			snprintf(seen[kinds++].name, sizeof(seen[i].name), "%s", name);
		seen[i].count++;
	}
	fclose(f);
	fprintf(out, "{");
	for (int i = 0; i < kinds; i++)
		fprintf(out, "%s\"%s\":%.2f", i ? "," : "", seen[i].name, (double)seen[i].count / (double)operations);
	fprintf(out, "}");
}
