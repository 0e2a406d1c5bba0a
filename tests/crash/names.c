/* Names and attributes: each operation is one call that changes something (open with O_EXCL, write, rename, exchange,
 * link, symlink, unlink, mkdir, rmdir, chmod, utimens, truncate) on a dozen names of every class. What must be there is
 * known to the byte, the mode, the link count and, where it was set, the mtime. */
#include "load.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const slot_names[] = {"a.log",  "b.log",	 "c.jsonl",   "d.json",	   "e.json",
					 "f.lock", "g.tmp",	 "h.txt",     "i.tmp-1",   "sessions.json",
					 "sub",	   "sub/a.json", "sub/b.log", "sub/c.txt", "sub/d.lock"};
enum { SLOTS = sizeof(slot_names) / sizeof(*slot_names), SUB = 10, CHUNKS_MAX = 24, CHUNK_BYTES_MAX = 9000 };

enum type { NONE, REGULAR, DIRECTORY, SYMLINK };

struct object {
	enum type type;
	mode_t mode;
	unsigned links;
	unsigned chunks;
	uint32_t chunk[CHUNKS_MAX]; /* the operations that wrote them */
	uint32_t stamped;	    /* the operation that set the mtime; 0: some other did */
	uint32_t target;	    /* of a symlink: the operation that made it */
};

struct world {
	uint32_t n;	 /* as after this operation */
	int slot[SLOTS]; /* object, -1 none */
	struct object object[SLOTS];
};

struct own {
	struct world at_step, at_check;
};

enum op { CREATE, WRITE, RENAME, EXCHANGE, LINK, SYMBOLIC, UNLINK, MKDIR, RMDIR, CHMOD, STAMP, TRUNCATE };

struct change {
	enum op op;
	int slot, other;
};

static void world_reset(struct world *w)
{
	memset(w, 0, sizeof(*w));
	for (int i = 0; i < SLOTS; i++)
		w->slot[i] = -1;
}

static struct object *in_slot(struct world *w, int slot)
{
	return w->slot[slot] < 0 ? NULL : &w->object[w->slot[slot]];
}

static bool is_type(struct world *w, int slot, enum type type)
{
	struct object *o = in_slot(w, slot);

	return o ? o->type == type : type == NONE;
}

/* Whether the directory that the name is in is there. */
static bool has_place(struct world *w, int slot)
{
	return slot <= SUB || is_type(w, SUB, DIRECTORY);
}

static bool sub_is_empty(struct world *w)
{
	for (int i = SUB + 1; i < SLOTS; i++)
		if (w->slot[i] >= 0)
			return false;
	return true;
}

static bool applies(struct world *w, const struct change *c)
{
	int s = c->slot, t = c->other;

	if (!has_place(w, s))
		return false;
	switch (c->op) {
	case CREATE:
	case SYMBOLIC:
		return s != SUB && is_type(w, s, NONE);
	case WRITE:
		return is_type(w, s, REGULAR) && in_slot(w, s)->chunks < CHUNKS_MAX;
	case RENAME:
		return s != SUB && t != SUB && s != t && has_place(w, t) && w->slot[s] >= 0 && w->slot[s] != w->slot[t];
	case EXCHANGE:
		return s != SUB && t != SUB && has_place(w, t) && w->slot[s] >= 0 && w->slot[t] >= 0 &&
		       w->slot[s] != w->slot[t];
	case LINK:
		return s != t && t != SUB && has_place(w, t) && is_type(w, s, REGULAR) && is_type(w, t, NONE);
	case UNLINK:
		return s != SUB && w->slot[s] >= 0;
	case MKDIR:
		return s == SUB && is_type(w, s, NONE);
	case RMDIR:
		return s == SUB && is_type(w, s, DIRECTORY) && sub_is_empty(w);
	case CHMOD:
	case STAMP:
	case TRUNCATE:
		return is_type(w, s, REGULAR);
	}
	return false;
}

/* Operation n as it is in the world after n - 1. */
static struct change change_of(const struct actor *a, struct world *w, uint32_t n)
{
	static const enum op weights[] = {CREATE, CREATE,   CREATE, WRITE,  WRITE,    WRITE,  WRITE,  WRITE,
					  WRITE,  RENAME,   RENAME, RENAME, LINK,     UNLINK, UNLINK, EXCHANGE,
					  MKDIR,  SYMBOLIC, CHMOD,  STAMP,  TRUNCATE, RMDIR};

	for (uint64_t i = 0;; i++) {
		uint64_t r = mix(a->seed, 10 + i, n);
		struct change c = {weights[r % (sizeof(weights) / sizeof(*weights))], (int)(r >> 8 & 0xff) % SLOTS,
				   (int)(r >> 16 & 0xff) % SLOTS};
		if (c.op == MKDIR || c.op == RMDIR)
			c.slot = SUB;
		if (applies(w, &c))
			return c;
	}
}

static void let_go(struct world *w, int slot)
{
	struct object *o = in_slot(w, slot);

	if (o)
		o->links--;
	w->slot[slot] = -1;
}

static void make(struct world *w, int slot, enum type type, uint32_t n)
{
	for (int i = 0; i < SLOTS; i++) {
		if (w->object[i].links == 0) {
			w->object[i] = (struct object){.type = type, .mode = 0600, .links = 1, .target = n};
			w->slot[slot] = i;
			return;
		}
	}
	abort(); /* as many objects as names */
}

static mode_t mode_of(const struct actor *a, uint32_t n)
{
	static const mode_t modes[] = {0600, 0640, 0644, 0700};

	return modes[mix(a->seed, 3, n) % 4];
}

static void apply(const struct actor *a, struct world *w, const struct change *c, uint32_t n)
{
	struct object *o = in_slot(w, c->slot);
	int moved = w->slot[c->slot];

	switch (c->op) {
	case CREATE:
		make(w, c->slot, REGULAR, n);
		break;
	case SYMBOLIC:
		make(w, c->slot, SYMLINK, n);
		break;
	case MKDIR:
		make(w, c->slot, DIRECTORY, n);
		break;
	case WRITE:
		o->chunk[o->chunks++] = n;
		o->stamped = 0;
		break;
	case RENAME:
		let_go(w, c->other);
		w->slot[c->other] = moved;
		w->slot[c->slot] = -1;
		break;
	case EXCHANGE:
		w->slot[c->slot] = w->slot[c->other];
		w->slot[c->other] = moved;
		break;
	case LINK:
		w->slot[c->other] = moved;
		o->links++;
		break;
	case UNLINK:
	case RMDIR:
		let_go(w, c->slot);
		break;
	case CHMOD:
		o->mode = mode_of(a, n);
		break;
	case STAMP:
		o->stamped = n;
		break;
	case TRUNCATE:
		o->chunks = 0;
		o->stamped = 0;
		break;
	}
	w->n = n;
}

static void advance(const struct actor *a, struct world *w, uint32_t n)
{
	if (w->n > n || w->n == 0)
		world_reset(w);
	while (w->n < n) {
		struct change c = change_of(a, w, w->n + 1);
		apply(a, w, &c, w->n + 1);
	}
}

static struct own *own_of(struct actor *a)
{
	if (!a->own) {
		struct own *own = calloc(1, sizeof(*own));
		if (!own)
			abort();
		world_reset(&own->at_step);
		world_reset(&own->at_check);
		a->own = own;
	}
	return a->own;
}

static size_t chunk_text(const struct actor *a, uint32_t n, char chunk[CHUNK_BYTES_MAX])
{
	uint64_t r = mix(a->seed, 4, n);
	size_t len = r % 8 == 0 ? 1 + r % CHUNK_BYTES_MAX : 1 + r % 700;

	fill(chunk, len - 1, r);
	chunk[len - 1] = '\n';
	return len;
}

static struct timespec stamp_of(const struct actor *a, uint32_t n)
{
	uint64_t r = mix(a->seed, 5, n);

	return (struct timespec){1000000000 + (time_t)(r % 700000000), (long)(r >> 32) % 1000000000};
}

static size_t content(const struct actor *a, const struct object *o, char *to)
{
	size_t size = 0;

	for (unsigned i = 0; i < o->chunks; i++)
		size += chunk_text(a, o->chunk[i], to + size);
	return size;
}

static int append_chunk(struct actor *a, struct object *o, const char *path, uint32_t n)
{
	char chunk[CHUNK_BYTES_MAX];
	size_t len = chunk_text(a, n, chunk), skip = 0;
	struct stat st;
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0)
		return failed(a, "open to append");
	if (a->doubt && fstat(fd, &st) == 0) {
		char *before = malloc((size_t)CHUNKS_MAX * CHUNK_BYTES_MAX);
		size_t start = before ? content(a, o, before) : 0;
		free(before);
		skip = (size_t)st.st_size > start ? (size_t)st.st_size - start : 0;
	}
	int rc = skip < len ? put(fd, chunk + skip, len - skip) : 0;
	if (rc < 0) {
		errno = -rc;
		failed(a, "append");
	}
	close(fd);
	return rc;
}

static int names_step(struct actor *a, uint32_t n)
{
	static const char *const what[] = {"create", "write", "rename", "exchange", "link",  "symlink",
					   "unlink", "mkdir", "rmdir",	"chmod",    "stamp", "truncate"};
	struct world *w = &own_of(a)->at_step;
	char target[40], said[100];
	int rc = 0;

	advance(a, w, n - 1);
	struct change c = change_of(a, w, n);
	const char *dir = below(a->root, a->kind->path);
	const char *path = below(dir, slot_names[c.slot]), *other = below(dir, slot_names[c.other]);
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, stamp_of(a, n)};
	switch (c.op) {
	case CREATE:
		rc = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (rc >= 0)
			close(rc);
		break;
	case WRITE:
		rc = append_chunk(a, in_slot(w, c.slot), path, n);
		if (rc < 0)
			errno = -rc;
		break;
	case RENAME:
	case EXCHANGE:
		rc = renameat2(AT_FDCWD, path, AT_FDCWD, other, c.op == EXCHANGE ? RENAME_EXCHANGE : 0);
		break;
	case LINK:
		rc = link(path, other);
		break;
	case SYMBOLIC:
		snprintf(target, sizeof(target), "to-%u", n);
		rc = symlink(target, path);
		break;
	case UNLINK:
		rc = unlink(path);
		break;
	case MKDIR:
		rc = mkdir(path, 0600 | 0100);
		break;
	case RMDIR:
		rc = rmdir(path);
		break;
	case CHMOD:
		rc = chmod(path, mode_of(a, n));
		break;
	case STAMP:
		rc = utimensat(AT_FDCWD, path, times, 0);
		break;
	case TRUNCATE:
		rc = truncate(path, 0);
		break;
	}
	if (rc < 0) {
		snprintf(said, sizeof(said), "%s of %s to %s", what[c.op], slot_names[c.slot], slot_names[c.other]);
		return failed(a, said);
	}
	apply(a, w, &c, n);
	return 0;
}

/* --- judging --------------------------------------------------------------- */

/* Of class `volatile`: in RAM, unless it came from the lower. */
static bool may_vanish(int slot)
{
	const char *name = slot_names[slot];

	return strstr(name, ".lock") || strstr(name, ".tmp");
}

static int check_slot(struct actor *a, const char *dir, struct world *w, int slot, enum judge judge,
		      const struct change *half, struct verdict *v)
{
	const char *path = below(dir, slot_names[slot]);
	struct object *o = in_slot(w, slot);
	char target[64] = "", expected[40];
	struct stat st;

	/* The lower may have it from before it got that name, or not at all. */
	if (judge == JUDGE_LOWER && may_vanish(slot))
		return 0;
	if (lstat(path, &st) < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			return wrong(v, "%s: %s", path, strerror(errno));
		return o ? wrong(v, "%s is missing", path) : 0;
	}
	if (!o)
		return wrong(v, "%s is there", path);
	if (o->type == DIRECTORY)
		return S_ISDIR(st.st_mode) ? 0 : wrong(v, "%s is no directory", path);
	if (o->type == SYMLINK) {
		snprintf(expected, sizeof(expected), "to-%u", o->target);
		if (readlink(path, target, sizeof(target) - 1) < 0 || strcmp(target, expected) != 0)
			return wrong(v, "%s is no symlink to %s but to \"%s\"", path, expected, target);
		return 0;
	}
	if (!S_ISREG(st.st_mode) || (st.st_mode & 07777) != o->mode || st.st_nlink != o->links)
		return wrong(v, "%s has mode %o and %u links, expected %o and %u", path, (unsigned)st.st_mode,
			     (unsigned)st.st_nlink, (unsigned)o->mode, o->links);
	if (o->stamped && !a->forgets_times) {
		struct timespec ts = stamp_of(a, o->stamped);
		if (st.st_mtim.tv_sec != ts.tv_sec || st.st_mtim.tv_nsec != ts.tv_nsec)
			return wrong(v, "%s has the mtime %lld.%09ld, expected %lld.%09ld of operation %u", path,
				     (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (long long)ts.tv_sec, ts.tv_nsec,
				     o->stamped);
	}
	char *data, *text = malloc((size_t)CHUNKS_MAX * CHUNK_BYTES_MAX);
	ssize_t have = slurp(path, &data);
	size_t size = text ? content(a, o, text) : 0;
	size_t least = size;
	if (half && half->op == WRITE && w->slot[half->slot] == w->slot[slot] && o->chunks) {
		char chunk[CHUNK_BYTES_MAX];
		least = size - chunk_text(a, o->chunk[o->chunks - 1], chunk);
	}
	int rc = 0;
	if (have < 0)
		rc = wrong(v, "%s: %s", path, strerror(errno));
	else if (!text || (size_t)have > size || (size_t)have < least || memcmp(data, text, (size_t)have) != 0)
		rc = wrong(v, "%s has %zd bytes, expected %zu, or others", path, have, size);
	else if ((size_t)have < size)
		v->partial = true;
	free(data);
	free(text);
	return rc;
}

static int no_others(const char *dir, struct verdict *v)
{
	DIR *d = opendir(dir);
	int rc = 0;

	if (!d)
		return wrong(v, "%s: %s", dir, strerror(errno));
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		bool known = e->d_name[0] == '.';
		for (int i = 0; i <= SUB; i++)
			known |= strcmp(e->d_name, slot_names[i]) == 0;
		if (!known)
			rc = wrong(v, "%s/%s is nobody's", dir, e->d_name);
	}
	closedir(d);
	return rc;
}

static int check_world(struct actor *a, const char *dir, struct world *w, enum judge judge, const struct change *half,
		       struct verdict *v)
{
	for (int i = 0; i < SLOTS; i++)
		if (check_slot(a, dir, w, i, judge, half, v) < 0)
			return -1;
	v->found = w->n;
	return no_others(dir, v);
}

static int names_check(struct actor *a, const char *root, enum judge judge, uint32_t min, uint32_t max,
		       struct verdict *v)
{
	struct world *w = &own_of(a)->at_check;
	const char *dir = below(root, a->kind->path);
	char kept[1024];
	struct verdict first;

	snprintf(kept, sizeof(kept), "%s", dir);
	if (judge == JUDGE_CUT)
		return 0;
	advance(a, w, min);
	if (check_world(a, kept, w, judge, NULL, v) == 0)
		return 0;
	first = *v;
	for (uint32_t n = min + 1; n <= max; n++) {
		struct change c = change_of(a, w, n);
		apply(a, w, &c, n);
		v->partial = false;
		if (check_world(a, kept, w, judge, &c, v) == 0) {
			if (v->partial)
				v->found = n - 1;
			return 0;
		}
	}
	if (max > min) {
		char last[300];
		snprintf(last, sizeof(last), "%.299s", v->why);
		return wrong(v, "not as after %u: %.200s; nor as after %u: %.200s", min, first.why, max, last);
	}
	return -1;
}

#define NAMES(symbol, text, where)                                                                                     \
	const struct actor_kind symbol = {.name = (text),                                                              \
					  .path = (where),                                                             \
					  .pause_us = 3000,                                                            \
					  .kill_only = true,                                                           \
					  .step = names_step,                                                          \
					  .check = names_check}

NAMES(kind_names, "names", "agents/names");
NAMES(kind_plain, "plain", "workspace/names");
