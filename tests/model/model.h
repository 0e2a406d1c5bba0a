/* The model tier: random operations on a mount and on a plain directory, side
 * by side; whatever differs is a bug of the mount.
 *
 * An operation is data: a kind and a few small numbers that name paths,
 * handles, offsets. It always makes sense to execute one (a handle that is not
 * open makes it a no-op on both sides), so any subset of a list is a list, and
 * a failing list can be shrunk.
 *
 * Every execution of a list works in fresh directories ("run 7"): r7/,
 * logs/r7/ and workspace/r7/ - three, because the class of a path may depend on
 * its first component. Names in operations are relative to r7/, but for those
 * below logs/ and workspace/ (names.c). */
#ifndef CLAWFS_TESTS_MODEL_H
#define CLAWFS_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#define NHANDLES 6
#define NARGS	 6
#define DATA_MAX (4 << 20) /* bytes that one operation moves, at most */
#define WHY_SIZE 1024

/* --- operations ---------------------------------------------------------- */

enum op_kind {
	OP_OPEN,
	OP_CREAT,
	OP_CLOSE,
	OP_READ,
	OP_PREAD,
	OP_READV,
	OP_WRITE,
	OP_PWRITE,
	OP_WRITEV,
	OP_FTRUNCATE,
	OP_FSYNC,
	OP_FDATASYNC,
	OP_SEEK,
	OP_HOLES,
	OP_FALLOCATE,
	OP_COPYRANGE,
	OP_MMAPW,
	OP_MMAPP,
	OP_MMAPR,
	OP_FCHMOD,
	OP_FCHOWN,
	OP_FUTIMENS,
	OP_FSETXATTR,
	OP_FSTAT,
	OP_LINKFD,
	OP_TMPFILE,
	OP_DONTNEED,
	OP_TRUNCATE,
	OP_CAT,
	OP_MKDIR,
	OP_RMDIR,
	OP_UNLINK,
	OP_RENAME,
	OP_LINK,
	OP_SYMLINK,
	OP_READLINK,
	OP_MKNOD,
	OP_CHMOD,
	OP_CHOWN,
	OP_UTIMENS,
	OP_SETXATTR,
	OP_GETXATTR,
	OP_LISTXATTR,
	OP_REMOVEXATTR,
	OP_STATFS,
	OP_STAT,
	OP_READDIR,
	OP_DIRWALK,
	OP_SYNCDIR,
	OP_NAP,
	OP_FLUSH,
	OP_FORGET,
	OP_KINDS
};

struct op {
	enum op_kind kind;
	long a[NARGS];
};

struct oplist {
	struct op *v;
	size_t n, cap;
};

/* One of the two trees. */
struct side {
	const char *label; /* "mount", "plain" */
	const char *root;
	int rootfd;
	int run; /* number of the run's directories */
	dev_t dev;
	bool is_mount;
	int fd[NHANDLES]; /* -1: closed */
};

/* What an operation did on one side; everything in it must be equal on both. */
struct res {
	long ret;
	int err; /* errno, 0 */
	unsigned char *data;
	size_t len, cap;
	bool skip;	     /* had nothing to act on */
	bool forget;	     /* may or may not have changed the mtime: it cannot be compared any more */
	char note[WHY_SIZE]; /* a promise broken on this side alone, or "" */
};

/* How an operation is printed, parsed and executed: ops.c. `args` has one
 * letter for each argument:
 *   h handle  p path  f open flags  m mode  n number  s seed of the bytes
 *   t time    w whence  r rename flags  x xattr name  l link target  k file type
 *   a fallocate mode  u uid or gid */
struct op_info {
	const char *name;
	const char *args;
	void (*run)(struct side *s, const struct op *op, struct res *r);
	unsigned flags;
};

#define OPF_IO	    1u	/* moves a[0]'s data: not for FIFOs, whose times the kernel keeps */
#define OPF_MODIFY  2u	/* may change the data of handle a[0]: its mtime must not go back */
#define OPF_CHOWN   4u	/* needs root */
#define OPF_MOUNT   8u	/* acts on the mount alone */
#define OPF_REGULAR 16u /* a[0] must be a regular file */
#define OPF_HANDLE2 32u /* a[2] is a handle too */

extern const struct op_info op_info[OP_KINDS];

/* --- ops_handle.c, ops_name.c, ops_dir.c --------------------------------- */

void run_open(struct side *s, const struct op *op, struct res *r);
void run_creat(struct side *s, const struct op *op, struct res *r);
void run_close(struct side *s, const struct op *op, struct res *r);
void run_read(struct side *s, const struct op *op, struct res *r);
void run_pread(struct side *s, const struct op *op, struct res *r);
void run_readv(struct side *s, const struct op *op, struct res *r);
void run_write(struct side *s, const struct op *op, struct res *r);
void run_pwrite(struct side *s, const struct op *op, struct res *r);
void run_writev(struct side *s, const struct op *op, struct res *r);
void run_ftruncate(struct side *s, const struct op *op, struct res *r);
void run_fsync(struct side *s, const struct op *op, struct res *r);
void run_fdatasync(struct side *s, const struct op *op, struct res *r);
void run_seek(struct side *s, const struct op *op, struct res *r);
void run_holes(struct side *s, const struct op *op, struct res *r);
void run_fallocate(struct side *s, const struct op *op, struct res *r);
void run_copyrange(struct side *s, const struct op *op, struct res *r);
void run_mmapw(struct side *s, const struct op *op, struct res *r);
void run_mmapp(struct side *s, const struct op *op, struct res *r);
void run_mmapr(struct side *s, const struct op *op, struct res *r);
void run_fchmod(struct side *s, const struct op *op, struct res *r);
void run_fchown(struct side *s, const struct op *op, struct res *r);
void run_futimens(struct side *s, const struct op *op, struct res *r);
void run_fsetxattr(struct side *s, const struct op *op, struct res *r);
void run_fstat(struct side *s, const struct op *op, struct res *r);
void run_linkfd(struct side *s, const struct op *op, struct res *r);
void run_tmpfile(struct side *s, const struct op *op, struct res *r);
void run_dontneed(struct side *s, const struct op *op, struct res *r);
void run_truncate(struct side *s, const struct op *op, struct res *r);
void run_cat(struct side *s, const struct op *op, struct res *r);
void run_mkdir(struct side *s, const struct op *op, struct res *r);
void run_rmdir(struct side *s, const struct op *op, struct res *r);
void run_unlink(struct side *s, const struct op *op, struct res *r);
void run_rename(struct side *s, const struct op *op, struct res *r);
void run_link(struct side *s, const struct op *op, struct res *r);
void run_symlink(struct side *s, const struct op *op, struct res *r);
void run_readlink(struct side *s, const struct op *op, struct res *r);
void run_mknod(struct side *s, const struct op *op, struct res *r);
void run_chmod(struct side *s, const struct op *op, struct res *r);
void run_chown(struct side *s, const struct op *op, struct res *r);
void run_utimens(struct side *s, const struct op *op, struct res *r);
void run_setxattr(struct side *s, const struct op *op, struct res *r);
void run_getxattr(struct side *s, const struct op *op, struct res *r);
void run_listxattr(struct side *s, const struct op *op, struct res *r);
void run_removexattr(struct side *s, const struct op *op, struct res *r);
void run_statfs(struct side *s, const struct op *op, struct res *r);
void run_stat(struct side *s, const struct op *op, struct res *r);
void run_readdir(struct side *s, const struct op *op, struct res *r);
void run_dirwalk(struct side *s, const struct op *op, struct res *r);
void run_syncdir(struct side *s, const struct op *op, struct res *r);
void run_nap(struct side *s, const struct op *op, struct res *r);
void run_flush(struct side *s, const struct op *op, struct res *r);
void run_forget(struct side *s, const struct op *op, struct res *r);

/* The user.* extended attributes of a path (no symlink is followed), sorted and
 * with their values, appended to `r`. */
void res_xattrs(struct res *r, const char *path);

/* --- ops.c --------------------------------------------------------------- */

void op_push(struct oplist *list, struct op op);
void op_print(FILE *out, const struct op *op);
/* Parses what op_print printed. False with a reason on stderr. */
bool op_read_file(const char *path, struct oplist *list);
enum op_kind op_kind_parse(const char *name, size_t len); /* OP_KINDS: unknown */

/* --- names.c ------------------------------------------------------------- */

#define NAME_LOG    1u	/* class log or append */
#define NAME_WHOLE  2u	/* class snapshot or state */
#define NAME_RAM    4u	/* class volatile */
#define NAME_OTHER  8u	/* sqlite, through */
#define NAME_DIR    16u /* mostly a directory */
#define NAME_ODD    32u /* symlinks, FIFOs, too long, through a file */
#define NAME_HEADER 64u /* a directory that every run begins with */

extern const unsigned name_count;
extern const unsigned link_count; /* symlink targets */
extern const unsigned time_count; /* explicit times */

const char *name_alias(long index); /* as printed */
unsigned name_kind(long index);
long name_parse(const char *alias, size_t len); /* -1 */
const char *link_target(long index);
/* The path below the side's root; in `buf`, which is PATH_MAX. */
const char *name_path(const struct side *s, long index, char *buf);
/* `times` for utimensat; NULL for the index that means "now, both". */
const struct timespec *time_pair(long index, struct timespec times[2]);
/* Only then is the atime the same on both sides: plain file systems set it when they are read. */
bool sets_atime(const struct timespec *times);
/* Was this mtime set by us, and not by the passing of time? */
bool time_explicit(struct timespec t);
/* Does clawfs keep this path (below the root) in RAM only? */
bool name_volatile(const char *path);

/* --- util.c -------------------------------------------------------------- */

uint64_t rng_next(uint64_t *state);
unsigned long rng_below(uint64_t *state, unsigned long n);

void res_reset(struct res *r);
void res_add(struct res *r, const void *data, size_t len);
void *res_room(struct res *r, size_t len); /* zeroed; counts as added */
void res_ret(struct res *r, long ret);	   /* takes errno when ret < 0 */
void note(struct res *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void say(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* `why` is WHY_SIZE */
void fill_bytes(unsigned char *buf, size_t len, unsigned long seed);
void *xrealloc(void *p, size_t size);
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
int time_cmp(struct timespec a, struct timespec b);
const char *errno_name(int err);

/* --- compare.c ----------------------------------------------------------- */

#define PAIR_INODES 1u /* inode numbers: stable, distinct */

/* Who a file of the plain side is, beyond its inode number, which is reused. */
struct ident {
	unsigned char bytes[64];
	unsigned len; /* 0: the file system has no file handles */
};

void ident_reset(void); /* a new run: forget all files */
void ident_get(struct ident *id, int dirfd, const char *path);
/* The mtime of this file cannot be compared with what it was. */
void ident_forget(const struct ident *id);
/* Stat of one file on both sides; false with a reason. `m`'s root device is checked with PAIR_INODES. */
bool pair_check(const struct side *mount, const struct stat *m, const struct stat *p, const struct ident *id,
		unsigned flags, char *why);
/* Decides what can be compared on PLAIN's file system; call once. */
void compare_probe(const struct side *plain);

/* --- tree.c -------------------------------------------------------------- */

bool tree_compare(const struct side *a, const struct side *b, const char *top, unsigned flags, char *why);
/* All three directories of a run. */
bool run_compare(const struct side *a, const struct side *b, unsigned flags, char *why);
/* Removes the run's files that clawfs keeps in RAM only, through the mount, on both sides. */
bool run_purge(const struct side *a, const struct side *b, char *why);
void run_remove(const struct side *s);

/* --- step.c -------------------------------------------------------------- */

enum phase { PHASE_STEP, PHASE_TREES, PHASE_PURGE, PHASE_PURGED };

struct failure {
	size_t step; /* index of the operation; the list's length: at the end */
	enum phase phase;
	char why[WHY_SIZE];
};

struct options {
	uint64_t seed;
	unsigned long ops, runs, every;
	bool shrink, seed_given;
	bool chown;  /* owners may be changed */
	bool forget; /* the kernel's caches may be dropped */
	bool only[OP_KINDS];
	const char *replay;
};

bool sides_open(struct side *mount, const char *mount_root, struct side *plain, const char *plain_root);
bool sides_alive(const struct side *mount);
/* Executes a list in fresh directories. True when nothing differed. */
bool run_list(struct side *mount, struct side *plain, const struct oplist *list, const struct options *o,
	      struct failure *f);

/* --- watchdog.c ----------------------------------------------------------- */

#define LIST_MAX 60 /* operations that are printed of a list that would not shrink */

void watchdog_start(void);
void watchdog_list(const struct oplist *list, uint64_t seed); /* what is executed from now on; NULL: nothing */
void watchdog_step(size_t step);

/* --- gen.c, shrink.c ------------------------------------------------------ */

void generate(struct oplist *list, uint64_t seed, const struct options *o);
/* Makes `list` as short as it can while it still fails; `f` is the failure of
 * what is left. False when it never failed again. */
bool shrink(struct side *mount, struct side *plain, struct oplist *list, const struct options *o, struct failure *f);

#endif
