/* A successor's view of names and nodes. What a record says by itself counts; what joins records is made anew. */
#include "fs/nodeimpl.h"
#include <string.h>

static void revive_nodes(struct nodes *ns)
{
	uint32_t end = shm_table_end(ns->table);

	ns->dirfds = 0;
	for (uint32_t i = NODE_ROOT; i < end; i++) {
		struct node *n = node_at(ns, i);
		if (!shm_table_is_live(ns->table, i))
			continue;
		/* Handed out, and no node yet. */
		if (!n->type) {
			shm_table_free(ns->table, i);
			continue;
		}
		n->name = n->children = n->by_lower = n->by_ino = 0;
		ns->dirfds += (n->lower_fd >= 0) + (n->upper_fd >= 0);
		if (n->flags & NODE_OWN)
			node_hash_lower(ns, i);
		if (n->flags & NODE_FOREIGN) {
			n->flags &= ~(uint32_t)NODE_FOREIGN;
			node_make_foreign(ns, i);
		}
	}
}

/* Whether the name stays. */
static bool keep_name(struct nodes *ns, const struct name *n, struct name_drop *drop, unsigned drops)
{
	if (!n->node || !shm_table_is_live(ns->table, n->node) || !shm_table_is_live(ns->table, n->parent))
		return false;
	for (unsigned i = 0; i < drops; i++) {
		if (drop[i].parent == n->parent && strcmp(drop[i].name, n->text) == 0) {
			drop[i].node = n->node;
			return false;
		}
	}
	return !node_find(ns, n->parent, n->text);
}

static void revive_names(struct nodes *ns, uint32_t t, struct name_drop *drop, unsigned drops)
{
	uint32_t end = shm_table_end(ns->names[t]);

	for (uint32_t i = 1; i < end; i++) {
		if (!shm_table_is_live(ns->names[t], i))
			continue;
		struct name *n = shm_table_at(ns->names[t], i);
		if (keep_name(ns, n, drop, drops)) {
			n->hash_next = n->sibling = 0;
			name_link(ns, t << REF_SHIFT | i);
		} else {
			shm_table_free(ns->names[t], i);
		}
	}
}

int nodes_revive(struct nodes *ns, struct name_drop *drop, unsigned drops)
{
	int rc = shm_table_revive(ns->table);

	for (int t = 0; t < NODE_NAMES && rc == 0; t++)
		rc = shm_table_revive(ns->names[t]);
	if (rc < 0)
		return rc;
	memset(ns->name_hash, 0, HASH_SIZE * sizeof(uint32_t));
	memset(ns->lower_hash, 0, HASH_SIZE * sizeof(uint32_t));
	memset(ns->ino_hash, 0, HASH_SIZE * sizeof(uint32_t));
	revive_nodes(ns);
	for (uint32_t t = 0; t < NODE_NAMES; t++)
		revive_names(ns, t, drop, drops);
	return 0;
}

void nodes_list_ram(struct nodes *ns)
{
	uint32_t end = shm_table_end(ns->table);

	for (uint32_t i = NODE_ROOT; i < end; i++) {
		struct node *n = node_at(ns, i);
		if (shm_table_is_live(ns->table, i))
			n->ram_head = n->ram_next = n->ram_prev = n->ram_dirs = 0;
	}
	for (uint32_t i = NODE_FIRST; i < end; i++) {
		const struct node *n = node_at(ns, i);
		if (shm_table_is_live(ns->table, i) && n->name && (n->flags & (NODE_LOWER | NODE_UPPER)) == NODE_UPPER)
			node_ram_add(ns, i);
	}
}
