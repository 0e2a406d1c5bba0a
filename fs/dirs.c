/* Descriptors of directories, on both sides. */
#include "fs/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool dir_on_lower(struct clawfs *fs, uint32_t dir)
{
	return fs_node(fs, dir)->flags & NODE_LOWER;
}

int node_place_lower(struct clawfs *fs, uint32_t node, int *dirfd, const char **name)
{
	uint32_t ref = fs_node(fs, node)->name;

	if (!ref)
		return -ESTALE;
	const struct name *n = name_at(&fs->nodes, ref);
	*name = n->text;
	*dirfd = dir_lower(fs, n->parent);
	return *dirfd < 0 ? *dirfd : 0;
}

int node_place_upper(struct clawfs *fs, uint32_t node, int *dirfd, const char **name)
{
	uint32_t ref = fs_node(fs, node)->name;

	if (!ref)
		return -ESTALE;
	const struct name *n = name_at(&fs->nodes, ref);
	*name = n->text;
	*dirfd = dir_upper(fs, n->parent);
	return *dirfd < 0 ? *dirfd : 0;
}

/* Several threads may want a directory at once; the first to finish stores. */
static int store_fd(struct clawfs *fs, int32_t *slot, int fd)
{
	pthread_mutex_lock(&fs->dirfd);
	if (*slot >= 0) {
		close(fd);
		fd = *slot;
	} else {
		__atomic_store_n(slot, fd, __ATOMIC_RELEASE);
		fs->nodes.dirfds++;
	}
	pthread_mutex_unlock(&fs->dirfd);
	return fd;
}

int dir_lower(struct clawfs *fs, uint32_t dir)
{
	struct node *n = fs_node(fs, dir);
	int dirfd;
	const char *name;

	if (dir == NODE_ROOT)
		return fs->lower.root;
	int fd = __atomic_load_n(&n->lower_fd, __ATOMIC_ACQUIRE);
	if (fd >= 0)
		return fd;
	int rc = node_place_lower(fs, dir, &dirfd, &name);
	if (rc < 0)
		return rc;
	fd = lower_open(&fs->lower, dirfd, name, O_PATH | O_DIRECTORY, 0);
	return fd < 0 ? fd : store_fd(fs, &n->lower_fd, fd);
}

int dir_upper(struct clawfs *fs, uint32_t dir)
{
	struct node *n = fs_node(fs, dir);
	int dirfd;
	const char *name;

	if (dir == NODE_ROOT)
		return fs->upper.tree;
	int fd = __atomic_load_n(&n->upper_fd, __ATOMIC_ACQUIRE);
	if (fd >= 0)
		return fd;
	int rc = node_place_upper(fs, dir, &dirfd, &name);
	if (rc < 0)
		return rc;
	/* A mirror of a directory on the lower, made when first needed; one in
	 * RAM only exists. */
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	__atomic_store_n(&n->mirror, n->flags & NODE_LOWER ? 1 : 0, __ATOMIC_RELAXED);
	fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : store_fd(fs, &n->upper_fd, fd);
}

void dir_touch(struct clawfs *fs, uint32_t dir, bool lower)
{
	struct node *n = fs_node(fs, dir);

	if (lower) {
		n->flags &= ~(uint32_t)NODE_DIRTIME;
		return;
	}
	n->mtime = n->ctime = clock_stamp();
	n->flags |= NODE_DIRTIME;
}

void dir_hold_times(struct clawfs *fs, uint32_t dir)
{
	struct node *n = fs_node(fs, dir);
	struct stat st;

	if (n->flags & NODE_DIRTIME || node_stat(fs, dir, &st) < 0)
		return;
	n->mtime = st.st_mtim;
	n->ctime = st.st_ctim;
	n->flags |= NODE_DIRTIME;
}

/* False when they are the lower's own. */
static bool held_mtime(struct clawfs *fs, uint32_t dir, struct timespec *mtime)
{
	pthread_rwlock_rdlock(&fs->tree);
	const struct node *n = fs_node(fs, dir);
	bool held = n->flags & NODE_DIRTIME;
	*mtime = n->mtime;
	pthread_rwlock_unlock(&fs->tree);
	return held;
}

void dir_restore_times(struct clawfs *fs, uint32_t dir, int fd)
{
	enum { TRIES = 4 };
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}}, now;
	const struct lower_fdpath path = lower_fdpath(fd);

	if (!held_mtime(fs, dir, &times[1]))
		return;
	for (int i = 0; i < TRIES; i++) {
		fs->lower.sys->utimensat(AT_FDCWD, path.text, times, 0);
		bool held = held_mtime(fs, dir, &now);
		if (held && now.tv_sec == times[1].tv_sec && now.tv_nsec == times[1].tv_nsec)
			return;
		times[1] = now;
		/* A name was changed on the lower meanwhile: no time before that. */
		if (!held)
			times[1] = (struct timespec){.tv_nsec = UTIME_NOW};
	}
}

int dir_temp(struct clawfs *fs)
{
	pthread_mutex_lock(&fs->temp);
	int dir = lower_temp_dir(&fs->lower);
	pthread_mutex_unlock(&fs->temp);
	return dir;
}

void dirs_trim(struct clawfs *fs)
{
	if (fs->nodes.dirfds <= fs->dirfds_max)
		return;
	uint32_t end = shm_table_end(fs->nodes.table);
	for (uint32_t i = NODE_FIRST; i < end; i++) {
		struct node *n = fs_node(fs, i);
		/* What has a name can be opened again. */
		if (!n->name || n->flags & NODE_ORPHAN || !S_ISDIR(n->type))
			continue;
		node_close_fd(&fs->nodes, &n->lower_fd);
		node_close_fd(&fs->nodes, &n->upper_fd);
	}
}
