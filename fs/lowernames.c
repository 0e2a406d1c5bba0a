#include "fs/lowernames.h"
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Directories, by number; of two with the same place the one that is asked more often in a row has it. */
#define PLACES 64
/* Names in a directory, at most: 512 KiB. */
#define NAMES_MAX (1u << 16)
/* And in all. */
#define TOTAL_MAX (1u << 17)
/* How many times nothing must have been found; after a reading that was of no use, more and more. */
#define MISSES 3u

enum state { NOTHING, READING, COMPLETE };

struct place {
	uint32_t dir; /* whose names these are */
	enum state state;
	uint32_t *hash; /* open addressing; 0: free */
	uint32_t count, room;
	uint32_t missed_in, misses; /* the last in a row, in which directory */
	uint32_t patience;
};

struct lowernames {
	pthread_mutex_t lock; /* all below */
	struct place places[PLACES];
	uint32_t total;
};

static uint32_t hash_of(const char *name)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3ULL;
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	return (uint32_t)(h >> 32) | 1u;
}

static struct place *place_of(struct lowernames *names, uint32_t dir)
{
	return &names->places[dir % PLACES];
}

static void clear(struct lowernames *names, struct place *p)
{
	free(p->hash);
	names->total -= p->count;
	p->hash = NULL;
	p->count = p->room = 0;
	p->state = NOTHING;
	p->dir = 0;
}

static bool has(const struct place *p, uint32_t hash)
{
	for (uint32_t i = hash; p->room && p->hash[i & (p->room - 1)]; i++)
		if (p->hash[i & (p->room - 1)] == hash)
			return true;
	return false;
}

static void put(uint32_t *table, uint32_t room, uint32_t hash)
{
	uint32_t i = hash;

	while (table[i & (room - 1)])
		i++;
	table[i & (room - 1)] = hash;
}

/* False without room. */
static bool add(struct lowernames *names, struct place *p, uint32_t hash)
{
	if (has(p, hash))
		return true;
	if (p->count >= NAMES_MAX || names->total >= TOTAL_MAX)
		return false;
	if (2 * (p->count + 1) > p->room) {
		uint32_t room = p->room ? 2 * p->room : 64;
		uint32_t *more = calloc(room, sizeof(*more));
		if (!more)
			return false;
		for (uint32_t i = 0; i < p->room; i++)
			if (p->hash[i])
				put(more, room, p->hash[i]);
		free(p->hash);
		p->hash = more;
		p->room = room;
	}
	put(p->hash, p->room, hash);
	p->count++;
	names->total++;
	return true;
}

struct lowernames *lowernames_create(void)
{
	struct lowernames *names = calloc(1, sizeof(*names));

	if (names)
		pthread_mutex_init(&names->lock, NULL);
	return names;
}

void lowernames_destroy(struct lowernames *names)
{
	if (!names)
		return;
	for (unsigned i = 0; i < PLACES; i++)
		free(names->places[i].hash);
	pthread_mutex_destroy(&names->lock);
	free(names);
}

void lowernames_forget(struct lowernames *names, uint32_t dir)
{
	struct place *p = place_of(names, dir);

	pthread_mutex_lock(&names->lock);
	if (p->dir == dir)
		clear(names, p);
	if (p->missed_in == dir)
		p->misses = p->patience = 0;
	pthread_mutex_unlock(&names->lock);
}

void lowernames_add(struct lowernames *names, uint32_t dir, const char *name)
{
	struct place *p = place_of(names, dir);

	pthread_mutex_lock(&names->lock);
	if (p->dir == dir && p->state != NOTHING && !add(names, p, hash_of(name)))
		clear(names, p);
	pthread_mutex_unlock(&names->lock);
}

bool lowernames_lacks(struct lowernames *names, uint32_t dir, const char *name)
{
	struct place *p = place_of(names, dir);

	pthread_mutex_lock(&names->lock);
	bool lacks = p->dir == dir && p->state == COMPLETE && !has(p, hash_of(name));
	pthread_mutex_unlock(&names->lock);
	return lacks;
}

bool lowernames_missed(struct lowernames *names, uint32_t dir)
{
	struct place *p = place_of(names, dir);
	bool read = false;

	pthread_mutex_lock(&names->lock);
	/* Complete, and asked all the same: a name that was there once. */
	if (p->state == NOTHING || (p->state == COMPLETE && p->dir != dir)) {
		if (p->missed_in != dir)
			p->misses = p->patience = 0;
		p->missed_in = dir;
		read = ++p->misses >= MISSES << p->patience;
	}
	if (read) {
		clear(names, p);
		p->dir = dir;
		p->state = READING;
		p->misses = 0;
	}
	pthread_mutex_unlock(&names->lock);
	return read;
}

/* --- reading ------------------------------------------------------------- */

struct reading {
	uint32_t *hash;
	uint32_t count, room;
	char letters[256]; /* a name that has an ASCII letter; "" */
};

static bool swap_case(char *name)
{
	for (; *name; name++) {
		if (isascii(*name) && isalpha((unsigned char)*name)) {
			*name ^= 0x20;
			return true;
		}
	}
	return false;
}

static int see(void *arg, const char *name, uint64_t ino, unsigned char type)
{
	struct reading *r = arg;
	char swapped[sizeof(r->letters)];

	(void)ino;
	(void)type;
	if (r->count == NAMES_MAX)
		return -E2BIG;
	if (r->count == r->room) {
		uint32_t room = r->room ? 2 * r->room : 64;
		uint32_t *more = realloc(r->hash, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->hash = more;
		r->room = room;
	}
	r->hash[r->count++] = hash_of(name);
	snprintf(swapped, sizeof(swapped), "%s", name);
	if (!r->letters[0] && strlen(name) < sizeof(swapped) && swap_case(swapped))
		memcpy(r->letters, swapped, sizeof(swapped));
	return 0;
}

/* Whether a name means its very bytes here. A directory without letters does not tell. */
static bool is_exact(const struct lower *lower, const struct reading *r, int fd)
{
	struct stat st;

	for (uint32_t i = 0; i < r->count && r->letters[0]; i++)
		if (r->hash[i] == hash_of(r->letters))
			return false;
	return r->letters[0] && lower->sys->fstatat(fd, r->letters, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

void lowernames_read(struct lowernames *names, const struct lower *lower, uint32_t dir, int fd)
{
	struct place *p = place_of(names, dir);
	struct reading r = {0};

	bool good = fd >= 0 && lower_list(lower, fd, see, &r) == 0 && is_exact(lower, &r, fd);
	pthread_mutex_lock(&names->lock);
	if (p->dir == dir && p->state == READING) {
		for (uint32_t i = 0; i < r.count && good; i++)
			good = add(names, p, r.hash[i]);
		if (good) {
			p->state = COMPLETE;
		} else {
			clear(names, p);
			p->missed_in = dir;
			p->patience += p->patience < 16;
		}
	}
	pthread_mutex_unlock(&names->lock);
	free(r.hash);
}
