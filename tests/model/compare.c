/* Comparing what stat says of one file on both sides.
 *
 * mtimes: those set by hand are of other years than the present one
 * (time_explicit), so a pair shows by itself what is to be compared: where the
 * plain side's was set, both are equal to the nanosecond; where it was not,
 * neither was the mount's. On top of that, a file that the plain side shows
 * unchanged since long before it was last looked at has not changed on the
 * mount either: a flush must not move an mtime. */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Without multigrain timestamps (kernel 6.13), two changes within a clock tick
 * look like one; a tick is at most this (CONFIG_HZ=100, twice). */
#define TICK_NS 20000000L

struct seen {
	struct ident id;
	ino_t mount_ino;
	bool settled; /* a change since then would show in the plain side's mtime */
	struct timespec plain, mount;
	struct seen *next;
};

#define BUCKETS 1024

static struct seen *table[BUCKETS];
static bool dirs_count_links; /* a directory's nlink is 2 + its subdirectories */
static bool have_handles;
static bool fine_times; /* each change of a file that was looked at changes its mtime */

static struct seen **bucket(const struct ident *id)
{
	unsigned h = 5381;

	for (unsigned i = 0; i < id->len; i++)
		h = h * 33 + id->bytes[i];
	return &table[h % BUCKETS];
}

static struct seen *find(const struct ident *id)
{
	struct seen *at = *bucket(id);

	while (at && (at->id.len != id->len || memcmp(at->id.bytes, id->bytes, id->len) != 0))
		at = at->next;
	return at;
}

void ident_reset(void)
{
	struct seen *next;

	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct seen *at = table[i]; at; at = next) {
			next = at->next;
			free(at);
		}
		table[i] = NULL;
	}
}

/* `path` NULL: the open file `dirfd` itself. */
void ident_get(struct ident *id, int dirfd, const char *path)
{
	union {
		struct file_handle h;
		unsigned char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u;
	int mount;

	memset(&u, 0, sizeof(u));
	memset(id, 0, sizeof(*id));
	u.h.handle_bytes = sizeof(id->bytes);
	if (name_to_handle_at(dirfd, path ? path : "", &u.h, &mount, path ? 0 : AT_EMPTY_PATH) < 0)
		return;
	id->len = u.h.handle_bytes;
	memcpy(id->bytes, u.h.f_handle, id->len);
}

void ident_forget(const struct ident *id)
{
	struct seen *at = id->len ? find(id) : NULL;

	if (at)
		at->settled = false;
}

static bool probe_times(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct timespec last = {0, 0};
	struct stat st;
	bool fine = fd >= 0;

	for (int i = 0; fine && i < 100; i++) {
		fine = write(fd, "x", 1) == 1 && fstat(fd, &st) == 0 && time_cmp(st.st_mtim, last) != 0;
		last = st.st_mtim;
	}
	if (fd >= 0)
		close(fd);
	unlinkat(dirfd, path, 0);
	return fine;
}

void compare_probe(const struct side *plain)
{
	char name[32], sub[64];
	struct ident id;
	struct stat st;

	snprintf(name, sizeof(name), ".model-probe-%d", (int)getpid());
	snprintf(sub, sizeof(sub), "%s/sub", name);
	if (mkdirat(plain->rootfd, name, 0755) < 0 || mkdirat(plain->rootfd, sub, 0755) < 0)
		die("%s: %s", plain->root, strerror(errno));
	dirs_count_links = fstatat(plain->rootfd, name, &st, 0) == 0 && st.st_nlink == 3;
	ident_get(&id, plain->rootfd, name);
	have_handles = id.len > 0;
	if (!have_handles)
		fprintf(stderr, "model: %s is on a file system without file handles; inode numbers are not checked\n",
			plain->root);
	unlinkat(plain->rootfd, sub, AT_REMOVEDIR);
	fine_times = probe_times(plain->rootfd, sub);
	unlinkat(plain->rootfd, name, AT_REMOVEDIR);
}

static long ns_between(struct timespec from, struct timespec to)
{
	if (to.tv_sec - from.tv_sec > 1000)
		return LONG_MAX;
	return (to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec;
}

static bool mtime_check(const char *label, const struct stat *m, const struct stat *p, char *why)
{
	struct timespec now, a = m->st_mtim, b = p->st_mtim;
	bool same;

	clock_gettime(CLOCK_REALTIME, &now);
	if (time_explicit(b))
		same = time_cmp(a, b) == 0;
	else
		same = !time_explicit(a) && labs(a.tv_sec - b.tv_sec) < 86400 && a.tv_sec <= now.tv_sec + 1;
	if (!same)
		say(why, "mtime: %s %ld.%09ld, plain %ld.%09ld%s", label, (long)a.tv_sec, a.tv_nsec, (long)b.tv_sec,
		    b.tv_nsec, time_explicit(b) ? " (set explicitly)" : " (not set explicitly)");
	return same;
}

/* What must stay from one look to the next. */
static bool stable_check(const struct stat *m, const struct stat *p, const struct ident *id, char *why)
{
	struct seen *at = find(id), **head;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (!at) {
		at = xrealloc(NULL, sizeof(*at));
		memset(at, 0, sizeof(*at));
		head = bucket(id);
		at->id = *id;
		at->mount_ino = m->st_ino;
		at->next = *head;
		*head = at;
	} else if (at->mount_ino != m->st_ino) {
		say(why, "inode number on the mount was %lu and is %lu; it is still the same file",
		    (unsigned long)at->mount_ino, (unsigned long)m->st_ino);
		return false;
	} else if (at->settled && !S_ISDIR(p->st_mode) && time_cmp(at->plain, p->st_mtim) == 0 &&
		   time_cmp(at->mount, m->st_mtim) != 0) {
		say(why, "mtime on the mount went from %ld.%09ld to %ld.%09ld; nobody changed the file",
		    (long)at->mount.tv_sec, at->mount.tv_nsec, (long)m->st_mtim.tv_sec, m->st_mtim.tv_nsec);
		return false;
	}
	at->plain = p->st_mtim;
	at->mount = m->st_mtim;
	at->settled = fine_times || ns_between(p->st_mtim, now) > TICK_NS;
	return true;
}

/* After the mount's end: what came and went in RAM only need not have touched
 * the directory below. */
static bool vague_dir(const struct stat *p, unsigned flags)
{
	return !(flags & PAIR_INODES) && S_ISDIR(p->st_mode) && !time_explicit(p->st_mtim);
}

bool pair_check(const struct side *mount, const struct stat *m, const struct stat *p, const struct ident *id,
		unsigned flags, char *why)
{
	const char *what = NULL;
	unsigned long a = 0, b = 0;

	if (m->st_mode != p->st_mode) {
		say(why, "type and mode: %s %#o, plain %#o", mount->label, m->st_mode, p->st_mode);
		return false;
	}
	if (m->st_uid != p->st_uid) {
		what = "uid", a = m->st_uid, b = p->st_uid;
	} else if (m->st_gid != p->st_gid) {
		what = "gid", a = m->st_gid, b = p->st_gid;
	} else if (m->st_nlink != p->st_nlink && (!S_ISDIR(p->st_mode) || dirs_count_links)) {
		what = "nlink", a = m->st_nlink, b = p->st_nlink;
	} else if (m->st_size != p->st_size && !S_ISDIR(p->st_mode)) {
		what = "size", a = (unsigned long)m->st_size, b = (unsigned long)p->st_size;
	}
	if (what) {
		say(why, "%s: %s %lu, plain %lu", what, mount->label, a, b);
		return false;
	}
	if (!vague_dir(p, flags) && !mtime_check(mount->label, m, p, why))
		return false;
	if (!(flags & PAIR_INODES))
		return true;
	if (m->st_dev != mount->dev) {
		say(why, "st_dev is %lu, the mount's root has %lu", (unsigned long)m->st_dev,
		    (unsigned long)mount->dev);
		return false;
	}
	return !have_handles || id->len == 0 || stable_check(m, p, id, why);
}
