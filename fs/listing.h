/* What an open directory, or an open file below .clawfs, shows: taken once,
 * when it is first read, so that offsets stay what they were while names come
 * and go (POSIX readdir: a name that is neither added nor removed meanwhile
 * is returned exactly once). Process memory: a successor takes it again. Offsets of readdir(3) come from the names, not
 * from the places in the list, so that it goes on where the worker before had come to; 31 bits, which is all that a
 * 32-bit program can take. */
#ifndef CLAWFS_LISTING_H
#define CLAWFS_LISTING_H

#include "fs/fs.h"

struct listing {
	char *data;
	size_t used, room;
	uint32_t *offset;   /* of each entry in data */
	size_t offset_room; /* bytes */
	uint32_t count;
};

struct listing_entry {
	uint64_t ino;
	uint32_t cookie; /* offset of the entry behind it; ascending, of a directory only */
	uint8_t type;	 /* DT_* */
	char name[];
};

struct listing *listing_create(void);
void listing_destroy(struct listing *list);

/* Appends one entry, or plain text. False without memory. */
bool listing_add(struct listing *list, const char *name, uint64_t ino, uint8_t type);
/* A JSON string, with its quotes. */
void listing_json_string(struct listing *list, const char *text);
bool listing_text(struct listing *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts the entries in the order of their cookies. */
void listing_sort(struct listing *list);
/* The first entry behind the one whose cookie is `off`; `count` at the end. */
uint32_t listing_seek(const struct listing *list, off_t off);

const struct listing_entry *listing_at(const struct listing *list, uint32_t index);

/* Names of a directory of the mount, "." and ".." first: the lower's, and
 * those in RAM only. Takes the tree lock. NULL with *rc set. */
struct listing *listing_read_dir(struct clawfs *fs, uint32_t dir, int *rc);

#endif
