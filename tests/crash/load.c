#include "load.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const struct actor_kind *const actor_kinds[] = {
	&kind_log,    &kind_workerlog, &kind_append, &kind_audit, &kind_sessions, &kind_state, &kind_config,
	&kind_synced, &kind_rows,      &kind_busydb, &kind_data,  &kind_names,	  &kind_plain, &kind_gone,
};
const unsigned actor_kind_count = sizeof(actor_kinds) / sizeof(*actor_kinds);

usec_t usec_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (usec_t)ts.tv_sec * 1000000 + (usec_t)ts.tv_nsec / 1000;
}

/* splitmix64 */
static uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint64_t mix(uint64_t seed, uint64_t stream, uint64_t n)
{
	return scramble(scramble(scramble(seed) ^ stream) ^ n);
}

void fill(char *buf, size_t len, uint64_t n)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
	uint64_t x = 0;

	for (size_t i = 0; i < len; i++) {
		if (i % 10 == 0)
			x = scramble(n + i);
		buf[i] = digits[x & 63];
		x >>= 6;
	}
}

const char *below(const char *root, const char *path)
{
	static __thread char text[4][1024];
	static __thread unsigned next;
	char *to = text[next++ % 4];

	snprintf(to, sizeof(text[0]), "%s/%s", root, path);
	return to;
}

ssize_t slurp(const char *path, char **data)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*data = NULL;
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0) {
		close(fd);
		return -1;
	}
	/* One byte more, so that a file that grew is seen; a terminator besides. */
	size_t size = (size_t)st.st_size + 1, have = 0;
	*data = malloc(size + 1);
	while (*data && have < size) {
		ssize_t n = read(fd, *data + have, size - have);
		if (n < 0) {
			int error = errno;
			close(fd);
			free(*data);
			*data = NULL;
			errno = error;
			return -1;
		}
		if (n == 0)
			break;
		have += (size_t)n;
	}
	close(fd);
	if (!*data) {
		errno = ENOMEM;
		return -1;
	}
	(*data)[have] = '\0';
	return (ssize_t)have;
}

int put(int fd, const void *buf, size_t len)
{
	ssize_t n = write(fd, buf, len);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int failed(struct actor *a, const char *what)
{
	int error = errno ? errno : EIO;

	snprintf(a->error, sizeof(a->error), "%s: %s", what, strerror(error));
	return -error;
}

int wrong(struct verdict *v, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(v->why, sizeof(v->why), format, list);
	va_end(list);
	return -1;
}
