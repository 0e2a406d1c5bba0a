/* How nodes begin and end. */
#include "fs/node.h"
#include "fs/nodeimpl.h"
#include <unistd.h>

uint32_t node_new(struct nodes *ns, mode_t type)
{
	uint32_t node = shm_table_alloc(ns->table);

	if (node) {
		struct node *n = node_at(ns, node);
		n->lower_fd = n->upper_fd = -1;
		/* Last: to a successor a record without type is none. */
		__atomic_store_n(&n->type, type & S_IFMT, __ATOMIC_RELEASE);
	}
	return node;
}

void node_close_fd(struct nodes *ns, int32_t *fd)
{
	int old = *fd;

	if (old < 0)
		return;
	__atomic_store_n(fd, -1, __ATOMIC_RELEASE);
	close(old);
	ns->dirfds--;
}

static bool node_is_needed(const struct node *n, uint32_t node)
{
	if (node < NODE_FIRST || n->nlookup || n->children || n->file)
		return true;
	/* What the lower alone would not say again: content and times in RAM,
	 * a number that the lower does not know. */
	if (n->flags & NODE_ORPHAN)
		return false;
	return n->db || n->flags & (NODE_UPPER | NODE_TIMES) || (n->flags & NODE_FOREIGN && !(n->flags & NODE_PACKED));
}

/* Closes it, or has the caller do so. */
static void let_go(struct nodes *ns, int32_t *fd, struct late_fds *late)
{
	if (!late || late->count == LATE_FDS) {
		node_close_fd(ns, fd);
		return;
	}
	if (*fd < 0)
		return;
	late->fd[late->count++] = *fd;
	__atomic_store_n(fd, -1, __ATOMIC_RELEASE);
	ns->dirfds--;
}

void node_reap_late(struct nodes *ns, uint32_t node, struct late_fds *late)
{
	while (node) {
		struct node *n = node_at(ns, node);
		if (node_is_needed(n, node))
			return;
		uint32_t parent = node_parent(ns, node);
		node_unset_own(ns, node);
		if (n->flags & NODE_FOREIGN)
			node_unhash_ino(ns, node);
		while (n->name) {
			const struct name *name = name_at(ns, n->name);
			uint32_t other = name->parent;
			node_name_remove(ns, node, other, name->text);
			/* A hard link's other directory may now be free too. */
			if (other != parent)
				node_reap_late(ns, other, late);
		}
		if (S_ISDIR(n->type))
			lowernames_forget(ns->lower, node);
		/* nodes_fini looks at free records too. */
		let_go(ns, &n->lower_fd, late);
		let_go(ns, &n->upper_fd, late);
		shm_table_free(ns->table, node);
		node = parent;
	}
}

void node_reap(struct nodes *ns, uint32_t node)
{
	node_reap_late(ns, node, NULL);
}
