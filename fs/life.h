/* The life of the logs: one thread that asks policy/life.h and policy/retain.h what is due, and does it: compresses
 * (fs/pack.h), deletes, and settles what a crash has left. Rotation happens in the flush (fs/rotate.h), and what is
 * compressed is shown by fs/view.h; both tell here.
 *
 * It knows the logs by their paths: from one walk over the lower when it starts (names are classified as they come,
 * directories in which nothing can be a log are not entered, only logs are asked for their size), and from then on by
 * what is closed, flushed and renamed. It sleeps until the next one is due, or the wall clock is set; with nothing due
 * it does not wake at all.
 *
 * An entry is a log, X.log, whether it is there plain, compressed, or (after a crash) both ways. */
#ifndef CLAWFS_LIFE_H
#define CLAWFS_LIFE_H

#include "policy/retain.h"
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

struct clawfs;
struct listing;

static inline wall_t life_wall(const struct timespec *ts)
{
	return (wall_t)ts->tv_sec * 1000 + ts->tv_nsec / 1000000;
}

struct life_log {
	char *path;    /* of X.log; NULL: the entry is free */
	uint32_t next; /* hash chain, or free list */
	uint32_t part; /* its number, if clawfs made it by rotation; 0 */
	uint32_t of;   /* the entry of the log whose part it is; its own otherwise */
	bool packable; /* policy_log_may_pack */
	bool plain, packed;
	bool busy; /* had been open when retention was asked */
	struct policy_log log;
	/* of X.log.gz */
	uint64_t packed_size;
	wall_t packed_mtime;
	msec_t packed_seen, packed_written;
};

#define LIFE_HASH 4096

struct life {
	/* A leaf, but that the log (fs/log.h) may be written with it held. */
	pthread_mutex_t lock;
	struct policy_config config; /* a copy, to be read with this lock alone */
	struct life_log *logs;	     /* index 0 is none */
	uint32_t end, capacity, free;
	uint32_t hash[LIFE_HASH];
	struct policy_set due; /* to be compressed */
	struct policy_packer packer;
	struct policy_wall wall;
	struct policy_life_stats stats;
	struct policy_retry retry; /* of deletions */
	msec_t retain_at, walk_at;
	msec_t sleeps_until;
	bool stop, running;
	int event_fd, timer_fd;
	pthread_t thread;
	/* Serialises the bringing back of logs (view.h). Before the tree lock. */
	pthread_mutex_t reviving;
};

/* 0, -ENOMEM, -EMFILE. */
int life_init(struct clawfs *fs, msec_t now);
void life_fini(struct clawfs *fs);
/* 0 or -EAGAIN. life_stop gives up a running compression, and waits for that. */
int life_start(struct clawfs *fs);
void life_stop(struct clawfs *fs);

/* The configuration is another. No lock held. */
void life_configure(struct clawfs *fs);

/* --- what happened; any lock may be held --------------------------------- */

/* The log at `path` was closed by somebody, or a flush has brought it to the lower; `written`: it may have changed. */
void life_closed(struct clawfs *fs, const char *path, bool written, msec_t now);
/* The same, of the file of that node, if it is a log. Tree lock held. */
void life_closed_node(struct clawfs *fs, uint32_t node, bool written, msec_t now);
/* Names have changed by more than one log: look at them all in a while. */
void life_walk_soon(struct clawfs *fs, msec_t now);

bool life_rotation_due(struct clawfs *fs, const char *path, uint64_t size, bool line_end, msec_t now);
/* `part`, the name of a file beside it, now has `bytes` of it. */
void life_rotated(struct clawfs *fs, const char *path, const char *part, uint64_t bytes, msec_t now);
/* True for the first failure in a row. */
bool life_rotation_failed(struct clawfs *fs, const char *path, msec_t now);

/* X.log was brought back to life, or X.log.gz is gone. */
void life_revived(struct clawfs *fs, const char *path, msec_t now);
void life_packed_gone(struct clawfs *fs, const char *path);
/* A view was opened; read, `bytes` of it; or found damaged. */
void life_view_opened(struct clawfs *fs);
void life_view_read(struct clawfs *fs, int64_t bytes);

/* --- for the walk (lifewalk.c) ------------------------------------------- */

/* Walks the lower and enters what it finds. No lock held. */
void life_walk(struct clawfs *fs);
/* X.log is there, plain or, with `packed`, as X.log.gz with `part` in its header (0: none). */
void life_found(struct clawfs *fs, const char *path, bool packed, uint32_t part, const struct stat *st, msec_t now);

/* lifestats.c: a few lines, and the member "logs". */
void life_stats_text(struct clawfs *fs, struct listing *out);
void life_stats_json(struct clawfs *fs, struct listing *out);

/* Copies the counters; logs that are known plain and compressed into the last two. */
void life_stats(struct clawfs *fs, struct policy_life_stats *stats, uint32_t *plain, uint32_t *packed);

#endif
