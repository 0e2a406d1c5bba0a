#include "fs/listing.h"
#include "fs/names.h"
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listing *listing_create(void)
{
	return calloc(1, sizeof(struct listing));
}

void listing_destroy(struct listing *list)
{
	if (!list)
		return;
	free(list->data);
	free(list->offset);
	free(list);
}

/* Room for `need` bytes in all; what was there is kept. */
static void *grown(void *data, size_t *room, size_t need)
{
	size_t size = *room ? *room : 4096;

	while (size < need)
		size *= 2;
	if (data && size == *room)
		return data;
	void *more = realloc(data, size);
	if (more)
		*room = size;
	return more;
}

static bool reserve(struct listing *list, size_t more)
{
	char *data = grown(list->data, &list->room, list->used + more);

	if (data)
		list->data = data;
	return data != NULL;
}

/* FNV-1a; "." and ".." first. */
static uint32_t cookie_of(const char *name)
{
	uint32_t h = 0x811c9dc5u;

	if (strcmp(name, ".") == 0)
		return 1;
	if (strcmp(name, "..") == 0)
		return 2;
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x01000193u;
	h = (h >> 1) & 0x7ffffeffu;
	return h < 3 ? 3 : h;
}

bool listing_add(struct listing *list, const char *name, uint64_t ino, uint8_t type)
{
	size_t len = strlen(name) + 1;
	size_t size = (sizeof(struct listing_entry) + len + 7) & ~(size_t)7;

	if (!reserve(list, size))
		return false;
	uint32_t *offset = grown(list->offset, &list->offset_room, (list->count + 1) * sizeof(*offset));
	if (!offset)
		return false;
	list->offset = offset;
	struct listing_entry *e = (struct listing_entry *)(list->data + list->used);
	e->ino = ino;
	e->cookie = cookie_of(name);
	e->type = type;
	memcpy(e->name, name, len);
	list->offset[list->count++] = (uint32_t)list->used;
	list->used += size;
	return true;
}

bool listing_text(struct listing *list, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int need = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (need < 0 || !reserve(list, (size_t)need + 1))
		return false;
	va_start(args, format);
	vsnprintf(list->data + list->used, (size_t)need + 1, format, args);
	va_end(args);
	list->used += (size_t)need;
	return true;
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct listing *list = arg;
	const struct listing_entry *x = (const struct listing_entry *)(list->data + *(const uint32_t *)a);
	const struct listing_entry *y = (const struct listing_entry *)(list->data + *(const uint32_t *)b);

	if (x->cookie != y->cookie)
		return x->cookie < y->cookie ? -1 : 1;
	return strcmp(x->name, y->name);
}

void listing_sort(struct listing *list)
{
	uint32_t last = 0;

	if (!list->count)
		return;
	qsort_r(list->offset, list->count, sizeof(*list->offset), compare, list);
	/* Names whose hashes are the same follow each other. */
	for (uint32_t i = 0; i < list->count; i++) {
		struct listing_entry *e = (struct listing_entry *)(list->data + list->offset[i]);
		e->cookie = e->cookie > last ? e->cookie : last + 1;
		last = e->cookie;
	}
}

uint32_t listing_seek(const struct listing *list, off_t off)
{
	uint32_t low = 0, high = list->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if ((off_t)listing_at(list, middle)->cookie > off)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

const struct listing_entry *listing_at(const struct listing *list, uint32_t index)
{
	return (const struct listing_entry *)(list->data + list->offset[index]);
}

struct dir_walk {
	struct clawfs *fs;
	struct listing *list;
	uint32_t dir;
};

static int add_lower(void *arg, const char *name, uint64_t ino, unsigned char type)
{
	struct dir_walk *w = arg;

	if (name_is_reserved(w->dir, name))
		return 0;
	uint32_t node = node_find(&w->fs->nodes, w->dir, name);
	/* Listed already: a flush has brought it to the lower, and not said so yet. */
	if (node && node_in_ram(&w->fs->nodes, node))
		return 0;
	if (node) {
		const struct node *n = fs_node(w->fs, node);
		ino = n->ino;
		type = (unsigned char)IFTODT(n->type);
	}
	return listing_add(w->list, name, ino, type) ? 0 : -ENOMEM;
}

struct listing *listing_read_dir(struct clawfs *fs, uint32_t dir, int *rc)
{
	struct dir_walk w = {.fs = fs, .list = listing_create(), .dir = dir};

	*rc = -ENOMEM;
	if (!w.list)
		return NULL;
	/* One lock throughout, so that a file which a flush brings to the lower
	 * meanwhile is neither missed nor seen twice. */
	pthread_rwlock_rdlock(&fs->tree);
	const struct node *n = fs_node(fs, dir);
	uint32_t parent = node_parent(&fs->nodes, dir);
	bool ok = listing_add(w.list, ".", n->ino, DT_DIR) &&
		  listing_add(w.list, "..", fs_node(fs, parent ? parent : dir)->ino, DT_DIR);
	for (uint32_t child = n->ram_head; ok && child; child = fs_node(fs, child)->ram_next) {
		const struct node *c = fs_node(fs, child);
		ok = listing_add(w.list, name_at(&fs->nodes, c->name)->text, c->ino, (uint8_t)IFTODT(c->type));
	}
	if (ok)
		*rc = 0;
	/* A directory that was removed under somebody is empty. */
	if (ok && n->flags & NODE_LOWER) {
		int fd = dir_lower(fs, dir);
		*rc = fd < 0 ? fd : lower_list(&fs->lower, fd, add_lower, &w);
	}
	pthread_rwlock_unlock(&fs->tree);
	if (*rc < 0) {
		listing_destroy(w.list);
		return NULL;
	}
	listing_sort(w.list);
	return w.list;
}
