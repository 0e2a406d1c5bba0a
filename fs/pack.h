/* X.log becomes X.log.gz, and X.log.gz goes when its time has come. When: fs/life.h.
 *
 * The order of the steps, and what a crash or a power cut behind each leaves:
 *   1 compressed into a file in the temporary directory          X.log (the rest goes at the next mount, P12)
 *   2 attributes, fsync; read back from the card and compared    the same
 *   3 renamed to X.log.gz, which must be free                    X.log, and maybe X.log.gz: the same bytes twice
 *   4 sync of the directory                                      both
 *   5 X.log unlinked, if nobody touched it since 1; else X.log.gz  X.log.gz, maybe X.log too
 * Both are there until the next look (pack_log with `pair`): a .gz of ours whose content X.log begins with says nothing
 * that X.log does not, and goes. While both are there, X.log is what is shown under its name.
 *
 * Steps 1 and 2 run in a thread of their own at idle CPU and I/O priority, which holds no lock of the daemon. The
 * others are short, under the tree lock. "Nobody touched it": its inode, size, mtime and ctime are those of step 1, it
 * has no content state (struct file), so nobody has it open, and nothing of it waits in RAM. */
#ifndef CLAWFS_PACK_H
#define CLAWFS_PACK_H

#include "fs/gzip.h"
#include "policy/life.h"

struct clawfs;

struct pack {
	/* in */
	uint32_t part;		     /* its number if clawfs made it by rotation */
	bool pair;		     /* X.log.gz was there too when it was last looked at */
	struct gzip_stop stop;	     /* to give up; may pause */
	bool (*may_swap)(void *arg); /* asked before step 3 and 5, with the tree lock held; stop.arg */
	/* out */
	uint64_t before, after; /* bytes */
	struct timespec mtime;
	uint64_t cpu_ms;
	bool pair_gone;	 /* a leftover X.log.gz was removed */
	const char *why; /* of an error */
};

enum pack_found {
	PACKED,
	PACK_BUSY,  /* changed, opened, or told to stop */
	PACK_EMPTY, /* there is nothing in it */
	PACK_GONE,  /* there is no such log any more */
	PACK_ERROR  /* see `why` */
};

/* No lock held. */
enum pack_found pack_log(struct clawfs *fs, const char *path, struct pack *p);

/* Deletes X.log.gz (`packed`) or the part X.N.log at `path` (of X.log, X.N.log), if policy_log_may_delete. -EBUSY when
 * somebody has it open, -ESTALE when its mtime is not `mtime` (a wall_t of milliseconds) any more, -EPERM, or the
 * lower's error; `st` is what it was. No lock held. */
int pack_delete(struct clawfs *fs, const char *path, bool packed, uint32_t part, int64_t mtime, struct stat *st);

/* Whether somebody has X.log or X.log.gz open, or it is in the upper. Tree lock held. */
bool pack_is_open(struct clawfs *fs, const char *path);

/* The directory's node and the name in it by what is known, asking nothing of the card; 0. Tree lock held. */
uint32_t pack_known_dir(struct clawfs *fs, const char *path, const char **name);

/* A file under construction on the lower, beside which its place is: in the temporary directory where that is on the
 * same device. Tree lock for writing. */
struct pack_temp {
	int fd, dir; /* -1: none */
	char name[48];
};
int pack_temp_open(struct clawfs *fs, uint32_t parent, struct pack_temp *t);
/* Removes it, unless it was renamed (`placed`). */
void pack_temp_close(struct clawfs *fs, struct pack_temp *t, bool placed);

/* The directory node of the path and the name in it. Enters the nodes on the way, which stay until pack_leave. Tree
 * lock for writing, for both. -ENOENT, or the lower's error; then `parent` is 0. */
int pack_find(struct clawfs *fs, const char *path, uint32_t *parent, const char **name);
void pack_leave(struct clawfs *fs, uint32_t parent);

#endif
