/* The one struct that main owns: everything a mount consists of.
 *
 * Locks, in the order in which they are taken:
 *   0 life.reviving  a mutex; see life.h
 *   1 tree         read-write. Names, and which path, flags and parent a node
 *                  has. Held for writing across the lower's and the upper's
 *                  change of a name, so that both change together.
 *   2 file->lock   read-write, one a file. Where its bytes are and the bytes.
 *                  Two are never held at once.
 *   3 attach       node->file, file->refs, readers, writers.
 *   4 sched.lock   file->policy, file->ram, the heap, RAM in use.
 *   5 dbs.lock     struct db; let go while a database is synced.
 *   6 leaves       dirfd (opening a directory's descriptors), temp (making the lower's directory of
 *                  temporaries), underway.lock, reload, life.lock, inval.lock, and those inside tables,
 *                  views, stats and log.
 * The configuration: most of it is fixed at mount and read freely. What is `live` in policy/options.c (numbers and
 * switches only) SIGHUP may change (reload.h): each field is stored atomically, all of them with sched.lock and
 * dbs.lock held. So with either of the two held it is read as any field, and as one consistent set; without, by
 * CONFIG(), one field at a time.
 * A flush never waits for the card with one of them held: what it changes on the lower is under way meanwhile
 * (underway.h). Who changes a name of class `through` does so, with the tree lock, for the call that changes it. */
#ifndef CLAWFS_FS_H
#define CLAWFS_FS_H

#include "fs/blockdev.h"
#include "fs/clock.h"
#include "fs/db.h"
#include "fs/device.h"
#include "fs/fdset.h"
#include "fs/file.h"
#include "fs/handle.h"
#include "fs/hold.h"
#include "fs/inval.h"
#include "fs/life.h"
#include "fs/log.h"
#include "fs/lower.h"
#include "fs/node.h"
#include "fs/observe.h"
#include "fs/passthrough.h"
#include "fs/sched.h"
#include "fs/shared.h"
#include "fs/spawner.h"
#include "fs/stats.h"
#include "fs/underway.h"
#include "fs/upper.h"
#include "policy/policy.h"
#include <pthread.h>

struct fuse_session;
struct notify;
struct listing;
struct zview;
struct layers;
struct settings;

struct clawfs {
	struct policy_config config;
	const struct layers *layers; /* where the configuration comes from */
	pthread_mutex_t reload;
	struct settings *settings; /* which layer set what; guarded by `reload` */
	struct log *log;
	struct stats *stats;
	struct shared *shared; /* what outlives a worker, besides the tables */
	struct lower lower;
	struct upper upper;
	pthread_rwlock_t tree;
	pthread_mutex_t attach;
	pthread_mutex_t dirfd;
	pthread_mutex_t temp;
	struct underway underway;
	struct nodes nodes;
	struct shm_table *files;
	struct shm_table *handles;
	struct sched sched;
	struct dbs dbs;
	struct listing **listings; /* by handle index; process memory */
	struct fuse_session *session;
	struct passthrough passthrough;
	struct inval inval;
	struct life life;
	struct zview **views;	  /* by file slot; process memory; the file's lock */
	struct blockdev blockdev; /* the lower's device when it was mounted */
	bool blockdev_known;
	struct device device;
	struct observer observer;
	struct spawner spawner;
	struct holds holds;
	struct fdset kept;     /* descriptors that are the supervisor's */
	dev_t mount_dev;       /* st_dev of what is mounted; 0 before */
	struct notify *notify; /* the worker's; NULL without a service manager */
	bool log_ready;	       /* the log goes where it belongs */
	int live_fd;	       /* where to say that the mount is live; -1 */
	char source[4096];
	char mountpoint[4096];
	char rescue_dir[4096];
	unsigned dirfds_max;
	unsigned left_out;  /* entries of an earlier mount that could not be taken over: the upper is kept */
	bool log_elsewhere; /* in the foreground with a log of its own: stderr is read by somebody else */
};

/* A number or a switch of the configuration, read with neither sched.lock nor dbs.lock held. */
#define CONFIG(fs, field) __atomic_load_n(&(fs)->config.field, __ATOMIC_RELAXED)

/* Sets up all but upper, lower and session, which must be open: tables, locks, flusher (not
 * started). 0 or a negative errno. */
int clawfs_init(struct clawfs *fs, msec_t now);
void clawfs_fini(struct clawfs *fs);

/* Who asks: from the FUSE request. */
struct caller {
	uid_t uid;
	gid_t gid;
	pid_t pid;
};

static inline struct node *fs_node(struct clawfs *fs, uint32_t node)
{
	return node_at(&fs->nodes, node);
}

/* Keeps its reading lock from starving writers; see fs.c. */
void rwlock_init(pthread_rwlock_t *lock);

/* In debug builds: aborts with the rule that the node breaks. Tree lock held. */
void clawfs_check(struct clawfs *fs, uint32_t node);

/* --- attr.c -------------------------------------------------------------- */

/* What stat(2) shows. Tree lock held. Negative errno as fstatat. */
int node_stat(struct clawfs *fs, uint32_t node, struct stat *st);

/* --- dirs.c: descriptors of directories; tree lock held, any way --------- */

/* O_PATH descriptor of the directory on the lower, or in the upper (made
 * there when need be); owned by the node. -ESTALE for an orphan without one. */
int dir_lower(struct clawfs *fs, uint32_t dir);
int dir_upper(struct clawfs *fs, uint32_t dir);
/* Whether children of the directory can be on the lower at all. */
bool dir_on_lower(struct clawfs *fs, uint32_t dir);
/* A name in the directory changed: on the lower, which has stamped it then, or in RAM only, and then
 * the mount shows times of its own. Tree lock for writing. */
void dir_touch(struct clawfs *fs, uint32_t dir, bool lower);
/* A name on the lower is about to be changed, for a flush: the application did not change the directory now, it did
 * when it made the name. From here on the mount shows the directory's times as they are. Tree lock for writing. */
void dir_hold_times(struct clawfs *fs, uint32_t dir);
/* After it: what the mount shows goes to the lower, `fd` the directory there. May wait for the card; no lock held. */
void dir_restore_times(struct clawfs *fs, uint32_t dir, int fd);
/* The lower's directory of temporaries, made when it is first needed. A negative errno. Any lock may be held. */
int dir_temp(struct clawfs *fs);
/* Closes descriptors when too many are open. Tree lock for writing. */
void dirs_trim(struct clawfs *fs);
/* Where the first name of `node` is: directory descriptor and string. The
 * string is the node's own: valid while the tree lock is held. */
int node_place_lower(struct clawfs *fs, uint32_t node, int *dirfd, const char **name);
int node_place_upper(struct clawfs *fs, uint32_t node, int *dirfd, const char **name);

#endif
