#include "fs/node.h"
#include "fs/nodeimpl.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES_MAX (1u << 24)

/* Longest text, with its NUL, that each table of names holds. */
static const size_t name_room[NODE_NAMES] = {30, 62, 126, 256};

/* Numbers of our own for st_ino: far above what ext4, xfs and btrfs give out
 * on disks of today, and below 2^53, which is as far as JavaScript counts
 * exactly (node's fs.stat). */
#define INO_BASE ((uint64_t)1 << 48)

static uint32_t hash_mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 29;
	return (uint32_t)(h >> (64 - HASH_BITS));
}

static uint32_t hash_name(uint32_t parent, const char *name)
{
	uint64_t h = 0xcbf29ce484222325ULL ^ parent;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3ULL;
	return hash_mix(h);
}

static uint32_t hash_lower(uint64_t dev, uint64_t ino)
{
	return hash_mix(dev * 0x9e3779b97f4a7c15ULL + ino * 0xc2b2ae3d27d4eb4fULL);
}

static uint32_t hash_ino(uint64_t ino)
{
	return hash_mix(ino * 0x9e3779b97f4a7c15ULL);
}

struct node *node_at(const struct nodes *ns, uint32_t index)
{
	return shm_table_at(ns->table, index);
}

struct name *name_at(const struct nodes *ns, uint32_t ref)
{
	return shm_table_at(ns->names[ref >> REF_SHIFT], ref & REF_MASK);
}

int nodes_init(struct nodes *ns, dev_t dev, ino_t ino)
{
	memset(ns, 0, sizeof(*ns));
	int rc = shm_table_create(&ns->table, "clawfs-nodes", sizeof(struct node), NODE_FIRST, NODES_MAX);
	for (int i = 0; rc == 0 && i < NODE_NAMES; i++)
		rc = shm_table_create(&ns->names[i], "clawfs-names", sizeof(struct name) + name_room[i], 1, NODES_MAX);
	ns->name_hash = calloc(HASH_SIZE, sizeof(uint32_t));
	ns->lower_hash = calloc(HASH_SIZE, sizeof(uint32_t));
	ns->ino_hash = calloc(HASH_SIZE, sizeof(uint32_t));
	ns->lower = lowernames_create();
	if (rc == 0 && (!ns->name_hash || !ns->lower_hash || !ns->ino_hash || !ns->lower))
		rc = -ENOMEM;
	if (rc < 0) {
		nodes_fini(ns);
		return rc;
	}
	ns->next = (struct node_numbers *)shm_table_words(ns->table);
	ns->next->ino = INO_BASE;
	for (uint32_t i = NODE_ROOT; i < NODE_FIRST; i++) {
		struct node *n = node_at(ns, i);
		n->lower_fd = n->upper_fd = -1;
		n->nlookup = 1;
		n->flags = i == NODE_ROOT ? 0 : NODE_VIRTUAL;
		n->type = i <= NODE_CTL_DIR ? S_IFDIR : S_IFREG;
		n->ino = ns->next->ino++;
	}
	node_at(ns, NODE_ROOT)->ino = 0;
	node_set_lower(ns, NODE_ROOT, dev, ino);
	return 0;
}

void nodes_fini(struct nodes *ns)
{
	if (ns->table) {
		uint32_t end = shm_table_end(ns->table);
		for (uint32_t i = NODE_ROOT; i < end && ns->dirfds; i++) {
			struct node *n = node_at(ns, i);
			/* Freed records keep -1 there (node_reap). */
			node_close_fd(ns, &n->upper_fd);
			node_close_fd(ns, &n->lower_fd);
		}
	}
	shm_table_destroy(ns->table);
	for (int i = 0; i < NODE_NAMES; i++)
		shm_table_destroy(ns->names[i]);
	free(ns->name_hash);
	free(ns->lower_hash);
	free(ns->ino_hash);
	lowernames_destroy(ns->lower);
	memset(ns, 0, sizeof(*ns));
}

/* --- names --------------------------------------------------------------- */

uint32_t node_find(const struct nodes *ns, uint32_t parent, const char *name)
{
	size_t len = strlen(name);

	for (uint32_t ref = ns->name_hash[hash_name(parent, name)]; ref;) {
		const struct name *n = name_at(ns, ref);
		if (n->parent == parent && n->len == len && memcmp(n->text, name, len) == 0)
			return n->node;
		ref = n->hash_next;
	}
	return 0;
}

static uint32_t name_new(struct nodes *ns, uint32_t node, uint32_t parent, const char *text)
{
	size_t len = strlen(text);
	uint32_t t = 0;

	while (t < NODE_NAMES && len >= name_room[t])
		t++;
	if (t == NODE_NAMES)
		return 0;
	uint32_t index = shm_table_alloc(ns->names[t]);
	if (!index)
		return 0;
	struct name *n = shm_table_at(ns->names[t], index);
	n->parent = parent;
	n->len = (uint16_t)len;
	memcpy(n->text, text, len + 1);
	/* Last: to a successor a name without a node is none. */
	__atomic_store_n(&n->node, node, __ATOMIC_RELEASE);
	return t << REF_SHIFT | index;
}

void name_link(struct nodes *ns, uint32_t ref)
{
	struct name *n = name_at(ns, ref);
	uint32_t *bucket = &ns->name_hash[hash_name(n->parent, n->text)];

	n->hash_next = *bucket;
	*bucket = ref;
	struct node *node = node_at(ns, n->node);
	n->sibling = node->name;
	node->name = ref;
	node->flags &= ~(uint32_t)NODE_ORPHAN;
	node_at(ns, n->parent)->children++;
	if (node->flags & NODE_LOWER)
		lowernames_add(ns->lower, n->parent, n->text);
}

int node_name_add(struct nodes *ns, uint32_t node, uint32_t parent, const char *name)
{
	assert(!node_find(ns, parent, name));
	uint32_t ref = name_new(ns, node, parent, name);

	if (!ref)
		return -ENOMEM;
	name_link(ns, ref);
	return 0;
}

void node_name_remove(struct nodes *ns, uint32_t node, uint32_t parent, const char *name)
{
	struct node *owner = node_at(ns, node);
	size_t len = strlen(name);

	for (uint32_t *p = &owner->name; *p; p = &name_at(ns, *p)->sibling) {
		struct name *n = name_at(ns, *p);
		if (n->parent != parent || n->len != len || memcmp(n->text, name, len) != 0)
			continue;
		uint32_t ref = *p;
		*p = n->sibling;
		uint32_t *h = &ns->name_hash[hash_name(parent, name)];
		while (*h != ref)
			h = &name_at(ns, *h)->hash_next;
		*h = n->hash_next;
		node_at(ns, parent)->children--;
		shm_table_free(ns->names[ref >> REF_SHIFT], ref & REF_MASK);
		return;
	}
	assert(!"a name that is not the node's");
}

int node_name_move(struct nodes *ns, uint32_t node, uint32_t parent, const char *name, uint32_t new_parent,
		   const char *new_name)
{
	uint32_t ref = name_new(ns, node, new_parent, new_name);

	if (!ref)
		return -ENOMEM;
	node_name_remove(ns, node, parent, name);
	name_link(ns, ref);
	return 0;
}

uint32_t node_parent(const struct nodes *ns, uint32_t node)
{
	uint32_t ref = node_at(ns, node)->name;

	return ref ? name_at(ns, ref)->parent : 0;
}

int node_child_path(const struct nodes *ns, uint32_t parent, const char *name, char *buf, size_t size)
{
	size_t len = strlen(name);
	size_t pos = size;

	/* Built from its end; moved to the front when it is complete. */
	if (pos < len + 1)
		return -ENAMETOOLONG;
	pos -= len + 1;
	memcpy(buf + pos, name, len + 1);
	while (parent != NODE_ROOT) {
		uint32_t ref = node_at(ns, parent)->name;
		if (!ref)
			return -ENOENT;
		const struct name *n = name_at(ns, ref);
		if (pos < (size_t)n->len + 1)
			return -ENAMETOOLONG;
		buf[--pos] = '/';
		pos -= n->len;
		memcpy(buf + pos, n->text, n->len);
		parent = n->parent;
	}
	memmove(buf, buf + pos, size - pos);
	return 0;
}

int node_path(const struct nodes *ns, uint32_t node, char *buf, size_t size)
{
	if (node == NODE_ROOT) {
		if (size)
			buf[0] = '\0';
		return 0;
	}
	uint32_t ref = node_at(ns, node)->name;
	if (!ref)
		return -ENOENT;
	const struct name *n = name_at(ns, ref);
	return node_child_path(ns, n->parent, n->text, buf, size);
}

bool node_is_below(const struct nodes *ns, uint32_t node, uint32_t dir)
{
	for (; node; node = node_parent(ns, node))
		if (node == dir)
			return true;
	return false;
}

/* --- identity ------------------------------------------------------------ */

uint32_t node_find_lower(const struct nodes *ns, uint64_t dev, uint64_t ino)
{
	for (uint32_t i = ns->lower_hash[hash_lower(dev, ino)]; i; i = node_at(ns, i)->by_lower) {
		const struct node *n = node_at(ns, i);
		if (n->lower_ino == ino && n->dev == dev)
			return i;
	}
	return 0;
}

static bool ino_is_shown(const struct nodes *ns, uint64_t ino)
{
	for (uint32_t i = ns->ino_hash[hash_ino(ino)]; i; i = node_at(ns, i)->by_ino)
		if (node_at(ns, i)->ino == ino)
			return true;
	return false;
}

static void unhash_lower(struct nodes *ns, uint32_t node)
{
	struct node *n = node_at(ns, node);
	uint32_t *p = &ns->lower_hash[hash_lower(n->dev, n->lower_ino)];

	while (*p != node)
		p = &node_at(ns, *p)->by_lower;
	*p = n->by_lower;
	n->by_lower = 0;
}

void node_make_foreign(struct nodes *ns, uint32_t node)
{
	struct node *n = node_at(ns, node);
	uint32_t *bucket = &ns->ino_hash[hash_ino(n->ino)];

	assert(!(n->flags & NODE_FOREIGN));
	n->flags |= NODE_FOREIGN;
	n->by_ino = *bucket;
	*bucket = node;
}

void node_unhash_ino(struct nodes *ns, uint32_t node)
{
	uint32_t *p = &ns->ino_hash[hash_ino(node_at(ns, node)->ino)];

	while (*p != node)
		p = &node_at(ns, *p)->by_ino;
	*p = node_at(ns, node)->by_ino;
}

void node_set_ino(struct nodes *ns, uint32_t node)
{
	node_at(ns, node)->ino = ns->next->ino++;
	node_make_foreign(ns, node);
}

uint64_t node_new_lineage(struct nodes *ns)
{
	return ++ns->next->lineage;
}

void node_hash_lower(struct nodes *ns, uint32_t node)
{
	struct node *n = node_at(ns, node);
	uint32_t *bucket = &ns->lower_hash[hash_lower(n->dev, n->lower_ino)];

	n->by_lower = *bucket;
	*bucket = node;
}

void node_set_lower(struct nodes *ns, uint32_t node, uint64_t dev, uint64_t ino)
{
	struct node *n = node_at(ns, node);

	if (n->flags & NODE_OWN)
		unhash_lower(ns, node);
	else if (node_in_ram(ns, node))
		node_ram_remove(ns, node);
	n->flags |= NODE_LOWER | NODE_OWN;
	for (uint32_t ref = n->name; ref; ref = name_at(ns, ref)->sibling)
		lowernames_add(ns->lower, name_at(ns, ref)->parent, name_at(ns, ref)->text);
	n->dev = dev;
	n->lower_ino = ino;
	node_hash_lower(ns, node);
	if (n->ino == 0) {
		/* The number may be that of a file which a flush has replaced
		 * and which the mount goes on showing under it. */
		if (ino_is_shown(ns, ino)) {
			node_set_ino(ns, node);
		} else {
			n->ino = ino;
		}
	} else if (n->ino != ino && !(n->flags & NODE_FOREIGN)) {
		node_make_foreign(ns, node);
	}
}

void node_unset_own(struct nodes *ns, uint32_t node)
{
	struct node *n = node_at(ns, node);

	if (!(n->flags & NODE_OWN))
		return;
	unhash_lower(ns, node);
	n->flags &= ~(uint32_t)NODE_OWN;
}

void node_leave_lower(struct nodes *ns, uint32_t node)
{
	node_unset_own(ns, node);
	if (!(node_at(ns, node)->flags & NODE_FOREIGN))
		node_make_foreign(ns, node);
}

/* --- children in RAM only ------------------------------------------------ */

bool node_in_ram(const struct nodes *ns, uint32_t node)
{
	const struct node *n = node_at(ns, node);
	uint32_t parent = node_parent(ns, node);

	return parent && (n->ram_prev || node_at(ns, parent)->ram_head == node);
}

void node_ram_add(struct nodes *ns, uint32_t node)
{
	struct node *n = node_at(ns, node);
	struct node *parent = node_at(ns, node_parent(ns, node));

	n->ram_prev = 0;
	n->ram_next = parent->ram_head;
	if (n->ram_next)
		node_at(ns, n->ram_next)->ram_prev = node;
	parent->ram_head = node;
	if (S_ISDIR(n->type))
		parent->ram_dirs++;
}

void node_ram_remove(struct nodes *ns, uint32_t node)
{
	struct node *n = node_at(ns, node);
	struct node *parent = node_at(ns, node_parent(ns, node));

	if (n->ram_prev)
		node_at(ns, n->ram_prev)->ram_next = n->ram_next;
	else
		parent->ram_head = n->ram_next;
	if (n->ram_next)
		node_at(ns, n->ram_next)->ram_prev = n->ram_prev;
	n->ram_next = n->ram_prev = 0;
	if (S_ISDIR(n->type))
		parent->ram_dirs--;
}

const char *node_check(const struct nodes *ns, uint32_t node)
{
	const struct node *n = node_at(ns, node);
	uint32_t place = n->flags & (NODE_LOWER | NODE_OWN | NODE_UPPER);

	if (n->flags & NODE_VIRTUAL)
		return place ? "a virtual node has no place" : NULL;
	/* Of a hard-linked file another name may come, found by its identity. */
	if (n->flags & NODE_ORPHAN)
		return place & ~(uint32_t)NODE_OWN || n->name ? "an orphan has no name and no place" : NULL;
	if (node != NODE_ROOT && !n->name)
		return "a node without name is an orphan";
	if (n->flags & NODE_PACKED)
		return place || node_in_ram(ns, node) ? "what is packed has no place of its own" : NULL;
	if (n->flags & NODE_OWN && !(n->flags & NODE_LOWER))
		return "OWN implies LOWER";
	if (!(n->flags & (NODE_LOWER | NODE_UPPER)))
		return "a node has LOWER or UPPER";
	if (n->flags & NODE_LOWER && !(n->flags & NODE_OWN) && !(n->flags & NODE_UPPER))
		return "what is on the lower alone is its OWN";
	if (node != NODE_ROOT && node_in_ram(ns, node) != !(n->flags & NODE_LOWER))
		return "the RAM list holds exactly what is not on the lower";
	return NULL;
}
