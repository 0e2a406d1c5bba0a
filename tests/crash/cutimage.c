/* What a card may hold after a power cut, from the log of what reached it (blockrec.c).
 *
 * usage: cutimage LOG list SEED COUNT      prints so many ids, one a line
 *        cutimage LOG count                prints how many writes and flushes there are
 *        cutimage LOG build ID BASE IMAGE  makes IMAGE; prints the latest instant of the cut, us of CLOCK_MONOTONIC
 *
 * An id is SEED:EVENT:VARIANT. The power went after EVENT (counted from 1) and before the next one. What was
 * written before the last flush up to there is on the card. Of what was written after it
 *   variant all    everything is there, too: the prefix of the log, a copy of the card at that instant
 *   variant none   nothing is
 *   a number       each write is there, is not, or is torn: some of its 512-byte sectors are. Which, follows from the
 *                  seed, the event, and that number. The last write of a sector wins, whatever came between. */
#include "blocklog.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, ALL = -1, NONE = -2 };

struct event {
	const struct block_record *record;
	const char *data;
};

struct log {
	struct event *events; /* [1, count] */
	long count;
};

static void die(const char *what)
{
	fprintf(stderr, "cutimage: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c)
{
	return scramble(scramble(scramble(a) ^ b) ^ c);
}

static struct log log_open(const char *path)
{
	struct log log = {0};
	struct stat st;
	long room = 0;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);
	const char *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		die(path);
	close(fd);
	for (off_t off = 0; off + (off_t)sizeof(struct block_record) <= st.st_size;) {
		const struct block_record *r = (const void *)(at + off);
		off += (off_t)sizeof(*r) + r->length;
		if (off > st.st_size)
			break;
		if (log.count + 1 >= room) {
			room = room ? 2 * room : 4096;
			log.events = realloc(log.events, (size_t)room * sizeof(*log.events));
			if (!log.events)
				die("memory");
		}
		log.events[++log.count] = (struct event){r, (const char *)(r + 1)};
	}
	return log;
}

static void write_part(int fd, const struct event *e, size_t from, size_t to)
{
	if (pwrite(fd, e->data + from, to - from, (off_t)(e->record->offset + from)) != (ssize_t)(to - from))
		die("write of the image");
}

static void copy_base(const char *from, int to)
{
	struct stat st;
	int fd = open(from, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) < 0 || ftruncate(to, 0) < 0 || ftruncate(to, st.st_size) < 0)
		die(from);
	for (off_t data = 0; (data = lseek(fd, data, SEEK_DATA)) >= 0;) {
		off_t end = lseek(fd, data, SEEK_HOLE), at = data;
		while (at < end)
			if (copy_file_range(fd, &data, to, &at, (size_t)(end - at), 0) <= 0)
				die("copy of the base");
	}
	close(fd);
}

/* A write after the last flush. */
static void maybe_write(int fd, const struct log *log, long i, uint64_t seed, long cut, long variant)
{
	const struct event *e = &log->events[i];
	uint64_t r = mix(mix(seed, (uint64_t)cut, (uint64_t)variant), 1, (uint64_t)i);
	size_t sectors = e->record->length / SECTOR;

	switch (r % 8) {
	case 0:
	case 1:
	case 2:
		return;
	case 3: /* torn: the beginning, the end, or any sectors */
		for (size_t s = 0; s < sectors; s++) {
			uint64_t q = mix(r, 2, s);
			bool there = r >> 8 & 1	  ? s < (r >> 16) % (sectors + 1)
				     : r >> 9 & 1 ? s >= (r >> 16) % (sectors + 1)
						  : q & 1;
			if (there)
				write_part(fd, e, s * SECTOR, (s + 1) * SECTOR);
		}
		return;
	default:
		write_part(fd, e, 0, e->record->length);
	}
}

static void build(const struct log *log, const char *id, const char *base, const char *image)
{
	uint64_t seed;
	long cut, flushed = 0;
	char word[32];
	int fd = open(image, O_RDWR | O_CREAT, 0600);

	if (sscanf(id, "%" SCNu64 ":%ld:%31s", &seed, &cut, word) != 3 || cut < 0 || cut > log->count) {
		errno = EINVAL;
		die(id);
	}
	long variant = strcmp(word, "all") == 0 ? ALL : strcmp(word, "none") == 0 ? NONE : atol(word);
	if (fd < 0)
		die(image);
	copy_base(base, fd);
	for (long i = 1; i <= cut; i++)
		if (log->events[i].record->kind == BLOCK_FLUSH)
			flushed = i;
	for (long i = 1; i <= cut; i++) {
		const struct event *e = &log->events[i];
		if (e->record->kind != BLOCK_WRITE)
			continue;
		if (i < flushed || variant == ALL)
			write_part(fd, e, 0, e->record->length);
		else if (variant != NONE)
			maybe_write(fd, log, i, seed, cut, variant);
	}
	if (close(fd) < 0)
		die(image);
	/* Nothing tells it from a cut just before the next event. */
	printf("%" PRIu64 "\n", log->events[cut < log->count ? cut + 1 : cut].record->time_us - 1);
}

/* Half of them at an instant chosen by time, half by event, where more happens. */
static void list(const struct log *log, uint64_t seed, long count)
{
	static const char *const variants[] = {"all", "none", "1", "2", "3"};

	for (long i = 0; i < count && log->count > 1; i++) {
		uint64_t r = mix(seed, 3, (uint64_t)i);
		long cut = 1 + (long)(r % (uint64_t)log->count);
		if (i % 2) {
			uint64_t first = log->events[1].record->time_us;
			uint64_t at = first + (r >> 8) % (log->events[log->count].record->time_us - first);
			for (cut = 1; cut < log->count && log->events[cut + 1].record->time_us <= at;)
				cut++;
		}
		printf("%" PRIu64 ":%ld:%s\n", seed, cut, variants[(size_t)i / 2 % 5]);
	}
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[2], "list") == 0) {
		struct log log = log_open(argv[1]);
		list(&log, strtoull(argv[3], NULL, 10), atol(argv[4]));
	} else if (argc == 3 && strcmp(argv[2], "count") == 0) {
		struct log log = log_open(argv[1]);
		long flushes = 0;
		for (long i = 1; i <= log.count; i++)
			flushes += log.events[i].record->kind == BLOCK_FLUSH;
		printf("%ld writes %ld flushes\n", log.count - flushes, flushes);
	} else if (argc == 6 && strcmp(argv[2], "build") == 0) {
		struct log log = log_open(argv[1]);
		build(&log, argv[3], argv[4], argv[5]);
	} else {
		fprintf(stderr, "usage: cutimage LOG list SEED COUNT | count | build ID BASE IMAGE\n");
		return 2;
	}
	return 0;
}
