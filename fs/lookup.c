/* Finding names, and forgetting what was found. */
#include "fs/names.h"
#include "fs/serve.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

bool name_is_reserved(uint32_t parent, const char *name)
{
	if (parent == NODE_ROOT && strcmp(name, LOWER_TEMP_DIR) == 0)
		return true;
	return strncmp(name, LOWER_TEMP_PREFIX, strlen(LOWER_TEMP_PREFIX)) == 0;
}

int name_enter(struct clawfs *fs, uint32_t parent, const char *name, const struct stat *st, uint32_t *node)
{
	struct nodes *ns = &fs->nodes;
	/* Another name of a file that is known: hard links share the node. */
	uint32_t known = S_ISDIR(st->st_mode) ? 0 : node_find_lower(ns, st->st_dev, st->st_ino);
	int rc;

	if (known) {
		rc = node_name_add(ns, known, parent, name);
		if (rc < 0)
			return rc;
		file_linked(fs, known);
		*node = known;
		return 0;
	}
	*node = node_new(ns, st->st_mode);
	if (!*node)
		return -ENOMEM;
	rc = node_name_add(ns, *node, parent, name);
	if (rc < 0) {
		node_reap(ns, *node);
		return rc;
	}
	node_set_lower(ns, *node, st->st_dev, st->st_ino);
	fs_node(fs, *node)->lineage = node_new_lineage(ns);
	return 0;
}

int name_resolve(struct clawfs *fs, uint32_t parent, const char *name, uint32_t *node)
{
	struct stat st;

	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	*node = node_find(&fs->nodes, parent, name);
	if (*node && view_is_stale(fs, *node)) {
		name_gone(fs, *node, parent, name, false);
		*node = 0;
	}
	if (*node)
		return 0;
	if (name_is_reserved(parent, name) || !dir_on_lower(fs, parent))
		return -ENOENT;
	if (lowernames_lacks(fs->nodes.lower, parent, name))
		return view_resolve(fs, parent, name, node);
	int dir = dir_lower(fs, parent);
	if (dir < 0)
		return dir;
	if (fs->lower.sys->fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? view_resolve(fs, parent, name, node) : -errno;
	return name_enter(fs, parent, name, &st, node);
}

int name_give(struct clawfs *fs, uint32_t node, struct stat *st)
{
	int rc = node_stat(fs, node, st);

	if (rc == 0) {
		__atomic_add_fetch(&fs_node(fs, node)->nlookup, 1, __ATOMIC_RELAXED);
		request_gives(node);
	}
	return rc;
}

/* Whether the lower has the name, in the directory open on `fd`: 0 or a negative errno. No lock held: a rename that
 * waits for the card lets nobody look into its directory. The kernel, which asks, keeps the directory's node. */
static int ask_lower(struct clawfs *fs, uint32_t parent, int fd, const char *name, struct stat *st)
{
	int rc = fs->lower.sys->fstatat(fd, name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;

	if (rc == -ENOENT && lowernames_missed(fs->nodes.lower, parent)) {
		serve_waits(fs);
		lowernames_read(fs->nodes.lower, &fs->lower, parent, fd);
	}
	return rc;
}

int fs_lookup(struct clawfs *fs, uint32_t parent, const char *name, uint32_t *node, struct stat *st)
{
	int rc;

	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
again:
	pthread_rwlock_rdlock(&fs->tree);
	*node = node_find(&fs->nodes, parent, name);
	rc = *node ? name_give(fs, *node, st) : 0;
	bool known = *node != 0;
	int dir = -1;
	if (!known)
		rc = -ENOENT;
	if (!known && dir_on_lower(fs, parent) && !lowernames_lacks(fs->nodes.lower, parent, name)) {
		dir = dir_lower(fs, parent);
		/* Our own: the node's may be closed once the lock is gone. */
		dir = dir < 0 ? dir : fcntl(dir, F_DUPFD_CLOEXEC, 0);
		rc = dir == -1 ? -errno : dir < 0 ? dir : 0;
	}
	pthread_rwlock_unlock(&fs->tree);
	/* What is there is entered below. */
	if (dir >= 0) {
		rc = ask_lower(fs, parent, dir, name, st);
		close(dir);
	}
	/* Or a view. */
	if (!known && rc == -ENOENT && policy_log_is(name))
		rc = 0;
	if (!known && rc == 0) {
		pthread_rwlock_wrlock(&fs->tree);
		dirs_trim(fs);
		rc = name_resolve(fs, parent, name, node);
		if (rc == 0)
			rc = name_give(fs, *node, st);
		pthread_rwlock_unlock(&fs->tree);
	}
	if (rc == -VIEW_AGAIN) {
		rc = view_measure(fs, *node);
		if (rc == 0)
			goto again;
	}
	return rc;
}

static void close_late(struct clawfs *fs, const struct late_fds *late)
{
	struct stat st;

	for (unsigned i = 0; i < late->count; i++) {
		/* Its blocks are freed now. */
		if (fs->lower.sys->fstat(late->fd[i], &st) == 0 && st.st_dev == fs->lower.dev && st.st_nlink == 0)
			serve_waits(fs);
		close(late->fd[i]);
	}
}

void fs_forget(struct clawfs *fs, uint32_t node, uint64_t count)
{
	if (node < NODE_FIRST)
		return;
	struct late_fds late = {.count = 0};
	pthread_rwlock_wrlock(&fs->tree);
	struct node *n = fs_node(fs, node);
	n->nlookup -= count < n->nlookup ? count : n->nlookup;
	node_reap_late(&fs->nodes, node, &late);
	pthread_rwlock_unlock(&fs->tree);
	close_late(fs, &late);
}
