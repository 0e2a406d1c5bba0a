#include "fs/pack.h"
#include "fs/fs.h"
#include "fs/life.h"
#include "fs/names.h"
#include "fs/view.h"
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <linux/ioprio.h> is younger than Debian 12's headers allow for. */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_IDLE	   (3 << 13)

/* --- places --------------------------------------------------------------- */

int pack_find(struct clawfs *fs, const char *path, uint32_t *parent, const char **name)
{
	uint32_t dir = NODE_ROOT;
	const char *slash;
	int rc = 0;

	*parent = 0;
	while (rc == 0 && (slash = strchr(path, '/'))) {
		char part[NAME_MAX + 1];
		size_t len = (size_t)(slash - path);
		uint32_t next = 0;
		if (len >= sizeof(part)) {
			rc = -ENAMETOOLONG;
			break;
		}
		memcpy(part, path, len);
		part[len] = '\0';
		rc = name_resolve(fs, dir, part, &next);
		if (rc == 0 && !S_ISDIR(fs_node(fs, next)->type))
			rc = -ENOENT;
		if (rc == 0)
			dir = next;
		path = slash + 1;
	}
	if (rc == 0 && !dir_on_lower(fs, dir))
		rc = -ENOENT;
	*name = path;
	if (rc < 0) {
		node_reap(&fs->nodes, dir);
		return rc;
	}
	/* What is done in it must not take it away. */
	__atomic_add_fetch(&fs_node(fs, dir)->nlookup, 1, __ATOMIC_RELAXED);
	*parent = dir;
	return 0;
}

void pack_leave(struct clawfs *fs, uint32_t parent)
{
	if (!parent)
		return;
	__atomic_sub_fetch(&fs_node(fs, parent)->nlookup, 1, __ATOMIC_RELAXED);
	node_reap(&fs->nodes, parent);
}

int pack_temp_open(struct clawfs *fs, uint32_t parent, struct pack_temp *t)
{
	struct upper_work unique = upper_work_name(&fs->upper);
	struct stat st;
	int dir = dir_lower(fs, parent), temp = dir < 0 ? dir : dir_temp(fs);

	*t = (struct pack_temp){.fd = -1, .dir = -1};
	if (dir >= 0 && (temp < 0 || fs->lower.sys->fstat(dir, &st) < 0 || st.st_dev != fs->lower.dev)) {
		temp = dir;
		snprintf(t->name, sizeof(t->name), LOWER_TEMP_PREFIX "%s", unique.text);
	} else {
		snprintf(t->name, sizeof(t->name), "%s", unique.text);
	}
	if (temp < 0)
		return temp;
	t->fd = lower_open(&fs->lower, temp, t->name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (t->fd < 0)
		return t->fd;
	t->dir = fcntl(temp, F_DUPFD_CLOEXEC, 0);
	if (t->dir >= 0)
		return 0;
	fs->lower.sys->unlinkat(temp, t->name, 0);
	return -EMFILE;
}

void pack_temp_close(struct clawfs *fs, struct pack_temp *t, bool placed)
{
	if (!placed && t->dir >= 0)
		fs->lower.sys->unlinkat(t->dir, t->name, 0);
	if (t->dir >= 0)
		close(t->dir);
	if (t->fd >= 0)
		close(t->fd);
	t->fd = t->dir = -1;
}

uint32_t pack_known_dir(struct clawfs *fs, const char *path, const char **name)
{
	uint32_t dir = NODE_ROOT;
	const char *slash;

	while (dir && (slash = strchr(path, '/'))) {
		char part[NAME_MAX + 1];
		size_t len = (size_t)(slash - path) < sizeof(part) ? (size_t)(slash - path) : 0;
		memcpy(part, path, len);
		part[len] = '\0';
		dir = node_find(&fs->nodes, dir, part);
		path = slash + 1;
	}
	*name = path;
	return dir;
}

static bool is_in_use(struct clawfs *fs, uint32_t parent, const char *name)
{
	uint32_t node = node_find(&fs->nodes, parent, name);

	return node &&
	       (__atomic_load_n(&fs_node(fs, node)->file, __ATOMIC_ACQUIRE) || fs_node(fs, node)->flags & NODE_UPPER);
}

bool pack_is_open(struct clawfs *fs, const char *path)
{
	struct log_name packed;
	const char *name;
	uint32_t dir = pack_known_dir(fs, path, &name);

	return dir &&
	       (is_in_use(fs, dir, name) || (policy_log_packed(name, &packed) && is_in_use(fs, dir, packed.text)));
}

/* --- the idle thread ------------------------------------------------------ */

struct work {
	struct clawfs *fs;
	struct pack *p;
	struct gzip_source source;
	const struct stat *st;
	int to;
	int rc;
};

/* Idle in both schedulers. Not to be undone by an ordinary user: hence a thread for each compression. */
static void become_idle(void)
{
	struct sched_param none = {0};

	if (sched_setscheduler(0, SCHED_IDLE, &none) < 0)
		setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE);
}

static int attributes(const struct lower *l, int from, int to, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};

	if ((st->st_uid != geteuid() || st->st_gid != getegid()) && l->sys->fchown(to, st->st_uid, st->st_gid) < 0)
		return -errno;
	if (l->sys->fchmod(to, st->st_mode & 07777) < 0)
		return -errno;
	int rc = lower_copy_xattrs(l, from, to);
	return rc < 0 ? rc : l->sys->futimens(to, times) < 0 ? -errno : 0;
}

static void *work(void *arg)
{
	struct work *w = arg;
	const struct lower *l = &w->fs->lower;
	struct gzip_result result;
	struct timespec cpu;

	become_idle();
	w->rc = gzip_write(l, &w->source, w->to, &w->p->stop, &result);
	if (w->rc == 0)
		w->rc = attributes(l, w->source.fd, w->to, w->st);
	if (w->rc == 0 && l->sys->fsync(w->to) < 0)
		w->rc = -errno;
	if (w->rc == 0) {
		/* The card is asked, not the page cache. */
		posix_fadvise(w->to, 0, 0, POSIX_FADV_DONTNEED);
		w->rc = gzip_verify(l, w->to, &result, &w->p->stop, &w->p->why);
	}
	w->p->before = result.size;
	w->p->after = result.packed;
	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu) == 0)
		w->p->cpu_ms = (uint64_t)cpu.tv_sec * 1000 + (uint64_t)cpu.tv_nsec / 1000000;
	return NULL;
}

static int work_idly(struct work *w)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, work, w) != 0)
		return -EAGAIN;
	pthread_join(thread, NULL);
	return w->rc;
}

/* --- both are there ------------------------------------------------------- */

/* Whether `gz`, a file of ours, holds nothing but what `log` begins with. */
static bool is_leftover(struct clawfs *fs, int gz, int log, const struct gzip_stop *stop)
{
	enum { CHUNK = 64 << 10 };
	struct gunzip_header header;
	struct gunzip g;
	uint64_t off = 0;
	ssize_t n = 0;
	char *a = malloc(CHUNK), *b = malloc(CHUNK);

	if (!a || !b || gunzip_init(&g, &fs->lower, gz, stop) < 0) {
		free(a);
		free(b);
		return false;
	}
	bool same = gunzip_peek(&g, &header) == 0 && header.size != GUNZIP_UNKNOWN;
	while (same && (n = gunzip_read(&g, a, CHUNK)) > 0) {
		same = lower_pread(&fs->lower, log, b, (size_t)n, (off_t)off) == n && memcmp(a, b, (size_t)n) == 0;
		off += (uint64_t)n;
	}
	same = same && n == 0 && off == header.size;
	gunzip_fini(&g);
	free(a);
	free(b);
	return same;
}

/* 0: X.log.gz is free now. Otherwise why it is not. */
static const char *settle_pair(struct clawfs *fs, int dir, const char *packed, int log, struct pack *p)
{
	struct stat st, now;
	int gz = lower_open_own(&fs->lower, dir, packed, O_RDONLY);

	if (gz == -ENOENT)
		return NULL;
	if (gz < 0)
		return strerror(-gz);
	bool leftover = fs->lower.sys->fstat(gz, &st) == 0 && S_ISREG(st.st_mode) && is_leftover(fs, gz, log, &p->stop);
	close(gz);
	if (!leftover)
		return "there is another file of the name that it would get";
	if (fs->lower.sys->fstatat(dir, packed, &now, AT_SYMLINK_NOFOLLOW) < 0 || now.st_ino != st.st_ino ||
	    fs->lower.sys->unlinkat(dir, packed, 0) < 0)
		return strerror(errno);
	p->pair_gone = true;
	return NULL;
}

/* --- the steps ------------------------------------------------------------ */

struct packing {
	struct clawfs *fs;
	const char *path;
	struct pack *p;
	struct stat st; /* of the log at the beginning */
	int log;	/* -1 */
	int dir;	/* a descriptor of our own of its directory; -1 */
	struct pack_temp temp;
	struct log_name name, packed;
	bool placed;
};

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Why the open log is none to be compressed, or PACKED. Tree lock held. */
static enum pack_found look(struct packing *k, uint32_t parent)
{
	/* A file of several names is not ours to replace; nor is what is a database by its content. */
	uint32_t node = node_find(&k->fs->nodes, parent, k->name.text);

	if (!S_ISREG(k->st.st_mode) || k->st.st_nlink != 1 || (node && fs_node(k->fs, node)->db))
		return PACK_GONE;
	return k->st.st_size == 0 ? PACK_EMPTY : k->p->may_swap(k->p->stop.arg) ? PACKED : PACK_BUSY;
}

static int open_log(struct packing *k, uint32_t parent)
{
	int dir = dir_lower(k->fs, parent);

	if (dir < 0)
		return dir;
	k->dir = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	if (k->dir < 0)
		return -errno;
	k->log = lower_open_own(&k->fs->lower, dir, k->name.text, O_RDONLY);
	if (k->log < 0)
		return k->log;
	return k->fs->lower.sys->fstat(k->log, &k->st) < 0 ? -errno : 0;
}

static enum pack_found begin(struct packing *k)
{
	struct clawfs *fs = k->fs;
	const char *name;
	uint32_t parent;
	enum pack_found found = PACK_BUSY;

	pthread_rwlock_wrlock(&fs->tree);
	int rc = pack_find(fs, k->path, &parent, &name);
	if (rc == 0 && !policy_log_packed(name, &k->packed))
		rc = -ENAMETOOLONG;
	if (rc == 0 && !is_in_use(fs, parent, name)) {
		snprintf(k->name.text, sizeof(k->name.text), "%s", name);
		rc = open_log(k, parent);
		found = rc == 0 ? look(k, parent) : PACK_ERROR;
		if (found == PACKED)
			rc = pack_temp_open(fs, parent, &k->temp);
	}
	pack_leave(fs, parent);
	pthread_rwlock_unlock(&fs->tree);
	if (rc == -ENOENT || rc == -ENOTDIR)
		return PACK_GONE;
	if (rc < 0) {
		k->p->why = strerror(-rc);
		return PACK_ERROR;
	}
	return found;
}

/* The log is what it was, and nobody uses it: 0, and where it is. Tree lock for writing. */
static int is_untouched(struct packing *k, uint32_t *parent, int *dir)
{
	struct stat st;
	const char *name;

	*dir = -1;
	int rc = pack_find(k->fs, k->path, parent, &name);
	if (rc == 0)
		rc = *dir = dir_lower(k->fs, *parent);
	if (rc < 0 || is_in_use(k->fs, *parent, name) || !k->p->may_swap(k->p->stop.arg) ||
	    k->fs->lower.sys->fstatat(*dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_same(&st, &k->st))
		return -EBUSY;
	return 0;
}

/* Step 3. */
static int place(struct packing *k)
{
	struct clawfs *fs = k->fs;
	uint32_t parent;
	int dir;

	pthread_rwlock_wrlock(&fs->tree);
	int rc = is_untouched(k, &parent, &dir);
	/* In RAM there may be one that the lower has not yet. */
	if (rc == 0 && node_find(&fs->nodes, parent, k->packed.text))
		rc = -EEXIST;
	if (rc == 0 && fs->lower.sys->renameat2(k->temp.dir, k->temp.name, dir, k->packed.text, RENAME_NOREPLACE) < 0)
		rc = -errno;
	k->placed = rc == 0;
	if (rc == 0) {
		lowernames_add(fs->nodes.lower, parent, k->packed.text);
		dir_touch(fs, parent, true);
	}
	pack_leave(fs, parent);
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}

/* Step 5. */
static int replace(struct packing *k)
{
	struct clawfs *fs = k->fs;
	uint32_t parent;
	int dir;

	pthread_rwlock_wrlock(&fs->tree);
	int rc = is_untouched(k, &parent, &dir);
	if (rc < 0) {
		if (parent)
			name_unlink(fs, parent, k->packed.text, 0);
	} else if (fs->lower.sys->unlinkat(dir, k->name.text, 0) < 0) {
		rc = -errno;
	} else {
		uint32_t node = node_find(&fs->nodes, parent, k->name.text);
		if (node)
			view_become(fs, node);
		dir_touch(fs, parent, true);
	}
	if (parent) {
		inval_entry(fs, parent, k->packed.text);
		inval_entry(fs, parent, k->name.text);
		pack_leave(fs, parent);
	}
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}

static int run(struct packing *k)
{
	struct clawfs *fs = k->fs;
	struct work w = {
		.fs = fs,
		.p = k->p,
		.source = {.fd = k->log,
			   .size = (uint64_t)k->st.st_size,
			   .name = k->name.text,
			   .part = k->p->part,
			   .mtime = k->st.st_mtim.tv_sec},
		.st = &k->st,
		.to = k->temp.fd,
	};
	int rc = work_idly(&w);

	if (rc == 0)
		rc = place(k);
	if (rc == 0) {
		rc = lower_sync_dir(&fs->lower, k->dir);
		int swapped = replace(k);
		/* Both are there, and are looked at again. */
		rc = rc < 0 ? rc : swapped;
	}
	return rc;
}

enum pack_found pack_log(struct clawfs *fs, const char *path, struct pack *p)
{
	struct packing k = {.fs = fs, .path = path, .p = p, .log = -1, .dir = -1, .temp = {.fd = -1, .dir = -1}};

	enum pack_found found = begin(&k);
	if (found == PACKED) {
		p->why = settle_pair(fs, k.dir, k.packed.text, k.log, p);
		int rc = p->why ? 0 : run(&k);
		found = rc == -EBUSY || rc == -ECANCELED || rc == -ESTALE ? PACK_BUSY
			: rc < 0 || p->why				  ? PACK_ERROR
									  : PACKED;
		if (!p->why && rc < 0)
			p->why = strerror(-rc);
		p->mtime = k.st.st_mtim;
	}
	pack_temp_close(fs, &k.temp, k.placed);
	if (k.log >= 0)
		close(k.log);
	if (k.dir >= 0)
		close(k.dir);
	return found;
}

/* --- the end -------------------------------------------------------------- */

int pack_delete(struct clawfs *fs, const char *path, bool packed, uint32_t part, int64_t mtime, struct stat *st)
{
	char target[PATH_MAX];
	const char *name;
	uint32_t parent = 0;

	if (snprintf(target, sizeof(target), "%s%s", path, packed ? ".gz" : "") >= (int)sizeof(target))
		return -ENAMETOOLONG;
	if (!policy_log_may_delete(&fs->config.rules, fs->config.log_parts, target, part > 0))
		return -EPERM;
	pthread_rwlock_wrlock(&fs->tree);
	int rc = pack_find(fs, target, &parent, &name);
	int dir = rc < 0 ? rc : dir_lower(fs, parent);
	if (rc == 0 && dir < 0)
		rc = dir;
	if (rc == 0 && fs->lower.sys->fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
		rc = -errno;
	if (rc == 0 && !S_ISREG(st->st_mode))
		rc = -EPERM;
	if (rc == 0 && pack_is_open(fs, path))
		rc = -EBUSY;
	if (rc == 0 && packed && life_wall(&st->st_mtim) != mtime)
		rc = -ESTALE;
	if (rc == 0)
		rc = name_unlink(fs, parent, name, 0);
	if (rc == 0)
		inval_entry(fs, parent, name);
	pack_leave(fs, parent);
	pthread_rwlock_unlock(&fs->tree);
	return rc;
}
