/* Which operations: sequences as the real application makes them
 * (APPLICATION-IO.md), mixed with single ones of every kind. */
#include "model.h"

#include <fcntl.h>
#include <linux/falloc.h>

struct gen {
	struct oplist *list;
	const struct options *options;
	uint64_t rng;
	bool open[NHANDLES]; /* probably */
};

static unsigned long below(struct gen *g, unsigned long n)
{
	return rng_below(&g->rng, n);
}

static void emit(struct gen *g, struct op op)
{
	if (!g->options->only[op.kind] || ((op_info[op.kind].flags & OPF_CHOWN) && !g->options->chown) ||
	    (op.kind == OP_FORGET && !g->options->forget))
		return;
	op_push(g->list, op);
	if (op.kind == OP_OPEN || op.kind == OP_CREAT || op.kind == OP_TMPFILE)
		g->open[op.a[0]] = true;
	else if (op.kind == OP_CLOSE)
		g->open[op.a[0]] = false;
}

#define EMIT(g, ...) emit((g), (struct op){__VA_ARGS__})

static long pick(struct gen *g, unsigned kinds)
{
	unsigned i;

	do
		i = (unsigned)below(g, name_count);
	while (!(name_kind(i) & kinds));
	return i;
}

static long pick_file(struct gen *g)
{
	static const unsigned kinds[] = {NAME_LOG, NAME_WHOLE, NAME_RAM, NAME_OTHER, NAME_LOG, NAME_WHOLE};
	unsigned n = (unsigned)below(g, 16);

	return pick(g, n < 6 ? kinds[n] : n < 15 ? NAME_LOG | NAME_WHOLE | NAME_RAM | NAME_OTHER : ~0u);
}

static long pick_any(struct gen *g)
{
	return below(g, 3) ? pick_file(g) : pick(g, ~0u);
}

static long pick_handle(struct gen *g)
{
	long h = (long)below(g, NHANDLES);

	for (int i = 0; i < NHANDLES && !g->open[h]; i++)
		h = (h + 1) % NHANDLES;
	return h;
}

static long pick_size(struct gen *g)
{
	switch (below(g, 24)) {
	case 0:
		return (long)(4096 * (1 + below(g, 3)) + below(g, 3)) - 1;
	case 1:
		return (long)below(g, 16384);
	case 2:
		return (long)below(g, 70000);
	case 3:
		return below(g, 3) ? (long)below(g, 9000) : (long)below(g, 204800);
	case 4:
		return below(g, 8) ? 0 : 2 << 20;
	default:
		return (long)below(g, 300);
	}
}

static long pick_offset(struct gen *g)
{
	switch (below(g, 12)) {
	case 0:
	case 1:
	case 2:
		return 0;
	case 3:
		return (long)(4096 * below(g, 8));
	case 4:
		return (long)(4096 * below(g, 8) + below(g, 3)) - (below(g, 2) ? 1 : 0) + 1;
	case 5:
		return (long)below(g, 65536);
	case 6:
		return (long)below(g, 400000);
	default:
		return (long)below(g, 500);
	}
}

static long pick_seed(struct gen *g)
{
	return (long)below(g, 100000);
}

static long pick_flags(struct gen *g)
{
	static const int access[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_WRONLY};
	static const struct {
		int flag;
		unsigned one_in;
	} bits[] = {
		{O_CREAT, 2},	 {O_EXCL, 10},	    {O_TRUNC, 5}, {O_APPEND, 4},
		{O_NOFOLLOW, 6}, {O_DIRECTORY, 20}, {O_SYNC, 16}, {O_DSYNC, 16},
	};
	int flags = access[below(g, 5)];

	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (below(g, bits[i].one_in) == 0)
			flags |= bits[i].flag;
	return flags;
}

static long pick_mode(struct gen *g, bool dir)
{
	static const long file_modes[] = {0644, 0600, 0666, 0400, 0755, 0640, 0, 04755, 02755, 0444};
	static const long dir_modes[] = {0755, 0700, 0777, 0750, 0711, 02775, 01777, 0500};

	if (below(g, 3))
		return dir ? 0755 : 0644;
	return dir ? dir_modes[below(g, 8)] : file_modes[below(g, 10)];
}

static long pick_owner(struct gen *g)
{
	static const long owners[] = {0, 1000, 65534, -1};

	return owners[below(g, 4)];
}

static long pick_alloc(struct gen *g)
{
	static const long modes[] = {
		0,
		FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};

	return modes[below(g, 6)];
}

/* Now and then something between the steps of a sequence. */
static void breath(struct gen *g)
{
	switch (below(g, 30)) {
	case 0:
		EMIT(g, OP_FLUSH, {0});
		break;
	case 1:
		EMIT(g, OP_NAP, {(long)below(g, 70)});
		break;
	case 2:
		EMIT(g, OP_STAT, {pick_any(g)});
		break;
	}
}

static void log_line(struct gen *g)
{
	long name = pick(g, NAME_LOG), h = (long)below(g, NHANDLES);
	unsigned long lines = 1 + below(g, 3);

	EMIT(g, OP_OPEN, {h, name, O_WRONLY | O_CREAT | O_APPEND, 0666});
	while (lines-- > 0)
		EMIT(g, OP_WRITE, {h, below(g, 8) ? 150 + (long)below(g, 250) : pick_size(g), pick_seed(g)});
	breath(g);
	EMIT(g, OP_CLOSE, {h});
	if (below(g, 4) == 0)
		EMIT(g, OP_CAT, {name});
}

static void save(struct gen *g)
{
	long tmp = pick(g, NAME_RAM), name = pick(g, NAME_WHOLE), h = (long)below(g, NHANDLES);

	if (below(g, 5) == 0)
		EMIT(g, OP_RENAME, {name, pick(g, NAME_WHOLE), 0});
	EMIT(g, OP_OPEN, {h, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0600});
	EMIT(g, OP_WRITE, {h, pick_size(g), below(g, 3) ? pick_seed(g) : 1});
	breath(g);
	if (below(g, 8) == 0)
		EMIT(g, OP_FSYNC, {h});
	EMIT(g, OP_CLOSE, {h});
	EMIT(g, OP_RENAME, {tmp, name, 0});
	EMIT(g, OP_CHMOD, {name, 0600});
	EMIT(g, OP_STAT, {tmp});
	breath(g);
	EMIT(g, OP_CAT, {name});
}

static void rewrite(struct gen *g)
{
	long name = below(g, 4) ? pick(g, NAME_WHOLE) : pick_file(g), h = (long)below(g, NHANDLES);

	EMIT(g, OP_OPEN, {h, name, O_WRONLY | O_CREAT | O_TRUNC, 0666});
	breath(g);
	EMIT(g, OP_WRITE, {h, pick_size(g), below(g, 2) ? pick_seed(g) : 1});
	if (below(g, 3) == 0)
		EMIT(g, OP_WRITE, {h, pick_size(g), pick_seed(g)});
	EMIT(g, OP_CLOSE, {h});
	EMIT(g, OP_CHMOD, {name, 0600});
	if (below(g, 3) == 0)
		EMIT(g, OP_UTIMENS, {name, (long)below(g, time_count), 0});
}

static void lock_dir(struct gen *g)
{
	long name = pick(g, NAME_RAM);

	EMIT(g, OP_MKDIR, {name, 0777});
	EMIT(g, OP_UTIMENS, {name, (long)below(g, time_count), 0});
	EMIT(g, OP_STAT, {name});
	breath(g);
	EMIT(g, OP_UTIMENS, {name, (long)below(g, time_count), 0});
	EMIT(g, OP_RMDIR, {name});
}

static void lock_file(struct gen *g)
{
	long name = pick(g, NAME_RAM), h = (long)below(g, NHANDLES);

	EMIT(g, OP_OPEN, {h, name, O_WRONLY | O_CREAT | O_EXCL, 0666});
	EMIT(g, OP_WRITE, {h, 60, pick_seed(g)});
	EMIT(g, OP_CAT, {name});
	breath(g);
	EMIT(g, OP_CLOSE, {h});
	EMIT(g, OP_UNLINK, {name});
}

/* Node's copyFile. */
static void copy_file(struct gen *g)
{
	long from = pick_file(g), to = pick_file(g), a = (long)below(g, NHANDLES), b = (a + 1) % NHANDLES;

	EMIT(g, OP_OPEN, {a, from, O_RDONLY, 0});
	EMIT(g, OP_OPEN, {b, to, O_WRONLY | O_CREAT, 0644});
	EMIT(g, OP_FTRUNCATE, {b, 0});
	EMIT(g, OP_FUTIMENS, {b, (long)below(g, time_count)});
	EMIT(g, OP_FCHOWN, {b, pick_owner(g), pick_owner(g)});
	EMIT(g, OP_FCHMOD, {b, pick_mode(g, false)});
	breath(g);
	EMIT(g, OP_COPYRANGE, {b, 0, a, 0, DATA_MAX});
	EMIT(g, OP_CLOSE, {a});
	EMIT(g, OP_CLOSE, {b});
	EMIT(g, OP_CAT, {to});
}

static void unlink_open(struct gen *g)
{
	long name = pick_file(g), h = (long)below(g, NHANDLES);

	EMIT(g, OP_OPEN, {h, name, O_RDWR | O_CREAT, 0644});
	EMIT(g, OP_WRITE, {h, pick_size(g), pick_seed(g)});
	if (below(g, 2))
		EMIT(g, OP_UNLINK, {name});
	else
		EMIT(g, OP_RENAME, {name, pick_file(g), 0});
	breath(g);
	EMIT(g, OP_PWRITE, {h, pick_offset(g), pick_size(g), pick_seed(g)});
	EMIT(g, OP_FSTAT, {h});
	EMIT(g, OP_PREAD, {h, 0, 300000});
	if (below(g, 3) == 0)
		EMIT(g, OP_FSYNC, {h});
	if (below(g, 2))
		EMIT(g, OP_CLOSE, {h});
}

static void two_handles(struct gen *g)
{
	long name = pick_file(g), a = (long)below(g, NHANDLES), b = (a + 1 + (long)below(g, NHANDLES - 1)) % NHANDLES;

	EMIT(g, OP_OPEN, {a, name, O_RDWR | O_CREAT | (below(g, 2) ? O_APPEND : 0), 0644});
	EMIT(g, OP_OPEN, {b, name, below(g, 2) ? O_RDONLY : O_RDWR, 0});
	EMIT(g, OP_WRITE, {a, pick_size(g), pick_seed(g)});
	EMIT(g, OP_READ, {b, pick_size(g)});
	breath(g);
	EMIT(g, OP_PWRITE, {below(g, 2) ? a : b, pick_offset(g), pick_size(g), pick_seed(g)});
	EMIT(g, OP_PREAD, {b, 0, 300000});
	EMIT(g, OP_FSTAT, {b});
}

/* A rollback journal round of SQLite's. */
static void database(struct gen *g)
{
	long db = name_parse("d.sqlite", 8), wal = name_parse("d.sqlite-wal", 12), h = (long)below(g, NHANDLES),
	     j = (h + 1) % NHANDLES;

	EMIT(g, OP_OPEN, {h, db, O_RDWR | O_CREAT | O_NOFOLLOW, 0644});
	EMIT(g, OP_OPEN, {j, wal, O_RDWR | O_CREAT | O_NOFOLLOW, 0644});
	EMIT(g, OP_FCHOWN, {j, 0, 0});
	EMIT(g, OP_PWRITE, {j, 0, 512, pick_seed(g)});
	EMIT(g, OP_PWRITE, {j, 512, 4096, pick_seed(g)});
	EMIT(g, OP_FSYNC, {j});
	EMIT(g, OP_PWRITE, {h, (long)(4096 * below(g, 6)), 4096, pick_seed(g)});
	EMIT(g, OP_FSYNC, {h});
	EMIT(g, OP_CLOSE, {j});
	if (below(g, 2))
		EMIT(g, OP_UNLINK, {wal});
	EMIT(g, OP_SYNCDIR, {name_parse(".", 1)});
}

static void attributes(struct gen *g)
{
	long name = pick_file(g), x = (long)below(g, 4);

	EMIT(g, OP_OPEN, {(long)below(g, NHANDLES), name, O_RDWR | O_CREAT, 0644});
	EMIT(g, OP_SETXATTR, {name, x, (long)below(g, 200), pick_seed(g), 0});
	breath(g);
	EMIT(g, OP_GETXATTR, {name, x});
	EMIT(g, OP_SETXATTR, {name, (long)below(g, 4), (long)below(g, 200), pick_seed(g), (long)below(g, 3)});
	EMIT(g, OP_LISTXATTR, {name});
	if (below(g, 2))
		EMIT(g, OP_REMOVEXATTR, {name, x});
}

static void tmpfile_link(struct gen *g)
{
	long h = (long)below(g, NHANDLES);

	EMIT(g, OP_TMPFILE, {h, pick(g, NAME_DIR), pick_mode(g, false)});
	EMIT(g, OP_WRITE, {h, pick_size(g), pick_seed(g)});
	EMIT(g, OP_LINKFD, {h, pick_any(g)});
	EMIT(g, OP_CLOSE, {h});
}

/* On an open file. */
static void single_handle(struct gen *g)
{
	long h = pick_handle(g), off = pick_offset(g), size = pick_size(g), seed = pick_seed(g);

	switch (below(g, 26)) {
	case 0:
		EMIT(g, OP_READ, {h, size});
		break;
	case 1:
		EMIT(g, OP_PREAD, {h, off, size * 2});
		break;
	case 2:
		EMIT(g, OP_READV, {h, size});
		break;
	case 3:
	case 4:
		EMIT(g, OP_WRITE, {h, size, seed});
		break;
	case 5:
	case 6:
	case 7:
		EMIT(g, OP_PWRITE, {h, off, size, seed});
		break;
	case 8:
		EMIT(g, OP_WRITEV, {h, size, seed});
		break;
	case 9:
	case 10:
		EMIT(g, OP_FTRUNCATE, {h, below(g, 3) ? off : 0});
		break;
	case 11:
		EMIT(g, OP_FSYNC, {h});
		break;
	case 12:
		EMIT(g, OP_FDATASYNC, {h});
		break;
	case 13:
		EMIT(g, OP_SEEK, {h, off, (long)below(g, 3)});
		break;
	case 14:
		EMIT(g, OP_HOLES, {h});
		break;
	case 15:
	case 16:
		EMIT(g, OP_FALLOCATE, {h, pick_alloc(g), off, size + 1});
		break;
	case 17:
		EMIT(g, OP_COPYRANGE, {h, off, pick_handle(g), pick_offset(g), size});
		break;
	case 18:
		EMIT(g, OP_MMAPW, {h, off, size, seed});
		break;
	case 19:
		EMIT(g, OP_MMAPP, {h, off, size, seed});
		break;
	case 20:
		EMIT(g, OP_MMAPR, {h, off, size});
		break;
	case 21:
		EMIT(g, OP_FCHMOD, {h, pick_mode(g, false)});
		break;
	case 22:
		EMIT(g, OP_FUTIMENS, {h, (long)below(g, time_count)});
		break;
	case 23:
		EMIT(g, OP_FSETXATTR, {h, (long)below(g, 4), (long)below(g, 200), seed});
		EMIT(g, OP_FCHOWN, {h, pick_owner(g), pick_owner(g)});
		break;
	case 24:
		EMIT(g, OP_DONTNEED, {h});
		EMIT(g, OP_PREAD, {h, 0, 300000});
		break;
	default:
		EMIT(g, OP_CLOSE, {h});
	}
}

static void single_name(struct gen *g)
{
	long name = pick_any(g), other = pick_any(g), dir = pick(g, NAME_DIR), seed = pick_seed(g);

	switch (below(g, 34)) {
	case 0:
	case 1:
	case 2:
	case 3:
		EMIT(g, OP_OPEN, {(long)below(g, NHANDLES), name, pick_flags(g), pick_mode(g, false)});
		break;
	case 4:
		EMIT(g, OP_CREAT, {(long)below(g, NHANDLES), name, pick_mode(g, false)});
		break;
	case 5:
		EMIT(g, OP_OPEN, {(long)below(g, NHANDLES), dir, O_RDONLY | O_DIRECTORY, 0});
		break;
	case 6:
		EMIT(g, OP_TRUNCATE, {name, below(g, 3) ? pick_offset(g) : 0});
		break;
	case 7:
	case 8:
		EMIT(g, OP_CAT, {name});
		break;
	case 9:
		EMIT(g, OP_MKDIR, {below(g, 3) ? dir : name, pick_mode(g, true)});
		break;
	case 10:
		EMIT(g, OP_RMDIR, {below(g, 3) ? dir : name});
		break;
	case 11:
		EMIT(g, OP_UNLINK, {name});
		break;
	case 12:
	case 13:
	case 14:
	case 15:
		EMIT(g, OP_RENAME, {name, other, below(g, 2) ? 0 : (long)below(g, 3)});
		break;
	case 16:
		EMIT(g, OP_RENAME, {dir, pick(g, NAME_DIR), (long)below(g, 3)});
		break;
	case 17:
		EMIT(g, OP_LINK, {name, other});
		break;
	case 18:
		EMIT(g, OP_SYMLINK, {below(g, 2) ? pick(g, NAME_ODD) : name, (long)below(g, link_count)});
		break;
	case 19:
		EMIT(g, OP_READLINK, {below(g, 2) ? pick(g, NAME_ODD) : name});
		break;
	case 20:
		EMIT(g, OP_MKNOD, {below(g, 2) ? pick(g, NAME_ODD) : name, (long)below(g, 3), pick_mode(g, false)});
		break;
	case 21:
		EMIT(g, OP_CHMOD, {below(g, 3) ? name : dir, pick_mode(g, (name_kind(name) & NAME_DIR) != 0)});
		break;
	case 22:
		EMIT(g, OP_CHOWN, {name, pick_owner(g), pick_owner(g)});
		break;
	case 23:
	case 24:
		EMIT(g, OP_UTIMENS, {below(g, 4) ? name : dir, (long)below(g, time_count), (long)below(g, 2)});
		break;
	case 25:
		EMIT(g, OP_SETXATTR, {name, (long)below(g, 4), (long)below(g, 200), seed, (long)below(g, 3)});
		break;
	case 26:
		EMIT(g, OP_GETXATTR, {name, (long)below(g, 4)});
		EMIT(g, OP_LISTXATTR, {name});
		break;
	case 27:
		EMIT(g, OP_REMOVEXATTR, {name, (long)below(g, 4)});
		break;
	case 28:
		EMIT(g, OP_STATFS, {name});
		EMIT(g, OP_STAT, {other});
		break;
	case 29:
	case 30:
		EMIT(g, OP_READDIR, {dir});
		break;
	case 31:
		if (below(g, 4) == 0)
			EMIT(g, OP_DIRWALK, {dir, 20 + (long)below(g, 80), seed});
		break;
	case 32:
		EMIT(g, OP_SYNCDIR, {dir});
		break;
	default:
		if (below(g, 4) == 0)
			EMIT(g, OP_FORGET, {0});
	}
}

void generate(struct oplist *list, uint64_t seed, const struct options *o)
{
	static void (*const sequences[])(struct gen *) = {
		log_line, log_line,  log_line,	save,	     save,	  save,	    rewrite,	  rewrite,
		lock_dir, lock_file, copy_file, unlink_open, two_handles, database, tmpfile_link, attributes,
	};
	struct gen g = {.list = list, .options = o, .rng = seed};
	unsigned long barren = 0, n;

	list->n = 0;
	for (unsigned i = 0; i < name_count; i++)
		if (name_kind(i) & NAME_HEADER)
			EMIT(&g, OP_MKDIR, {i, 0755});
	/* A choice of kinds that leaves nothing to do ends too. */
	while (list->n < o->ops && barren < 100000) {
		n = below(&g, 100);
		barren++;
		if (n < 20)
			sequences[below(&g, sizeof(sequences) / sizeof(sequences[0]))](&g);
		else if (n < 60)
			single_handle(&g);
		else if (n < 96)
			single_name(&g);
		else
			breath(&g);
	}
	if (list->n > o->ops)
		list->n = o->ops;
}
