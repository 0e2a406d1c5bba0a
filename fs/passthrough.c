#include "fs/passthrough.h"
#include "fs/fileimpl.h"
#include "fs/fs.h"
#include "fs/killpriv.h"
#include "fs/observe.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/capability.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIBFUSE_HAS_API (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17))

/* Debian 12's kernel headers are older than its users' kernels. */
#ifndef FUSE_DEV_IOC_BACKING_OPEN
struct fuse_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define FUSE_DEV_IOC_BACKING_OPEN  _IOW(FUSE_DEV_IOC_MAGIC, 1, struct fuse_backing_map)
#define FUSE_DEV_IOC_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)
#endif
#ifndef FOPEN_PASSTHROUGH
#define FOPEN_PASSTHROUGH (1 << 7)
#endif

/* --- backing files ------------------------------------------------------- */

/* Takes CAP_FSETID from the calling thread, or gives it back; true when it was there. */
static bool set_fsetid(bool on)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	const uint32_t bit = 1u << CAP_FSETID;

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	bool had = data[0].effective & bit;
	data[0].effective = on ? data[0].effective | bit : data[0].effective & ~bit;
	return syscall(SYS_capset, &head, data) == 0 && had;
}

/* An id, or 0. */
static int backing_open(struct clawfs *fs, int fd)
{
	struct fuse_backing_map map = {.fd = fd};

	bool had = set_fsetid(false);
	int id = ioctl(fuse_session_fd(fs->session), FUSE_DEV_IOC_BACKING_OPEN, &map);
	int err = id < 0 ? errno : 0;
	if (had)
		set_fsetid(true);
	if (id > 0)
		return id;
	/* ELOOP and EINVAL are this file's: of a file system that cannot be stacked on. */
	if ((err == EPERM || err == ENOTTY || err == EOPNOTSUPP || err == EACCES) &&
	    __atomic_exchange_n(&fs->passthrough.active, false, __ATOMIC_ACQ_REL))
		log_info(fs->log, "kernel passthrough is off: %s", strerror(err));
	return 0;
}

static void backing_close(struct clawfs *fs, int id)
{
	uint32_t arg = (uint32_t)id;

	if (ioctl(fuse_session_fd(fs->session), FUSE_DEV_IOC_BACKING_CLOSE, &arg) < 0)
		log_warn(fs->log, "cannot close a backing file: %s", strerror(errno));
}

/* --- which files --------------------------------------------------------- */

/* A second descriptor with other flags can be had: the kernel's own open of the lower, which would turn any error into
 * EIO, will not fail. */
static bool can_open(struct clawfs *fs, int fd, int flags)
{
	int probe = lower_reopen(&fs->lower, fd, flags);

	if (probe >= 0)
		close(probe);
	return probe >= 0;
}

/* Writes to a database must be seen (DESIGN.md section 4), whatever it is called. */
static bool is_database(struct clawfs *fs, int fd, bool readable, off_t size)
{
	char head[SQLITE_HEADER_SIZE];

	if (size < 512)
		return false;
	int probe = readable ? fd : lower_reopen(&fs->lower, fd, O_RDONLY);
	ssize_t n = probe < 0 ? probe : lower_pread(&fs->lower, probe, head, sizeof(head), 0);
	if (!readable && probe >= 0)
		close(probe);
	/* Not known: not passed. */
	return n != (ssize_t)sizeof(head) || db_is_header(head, sizeof(head));
}

/* SQLite's write-ahead log, by its name alone: that of a database without a suffix is of class `through`. Tree lock
 * held. */
static bool is_wal(struct clawfs *fs, const struct file *f)
{
	const struct node *n = fs_node(fs, f->node);
	const struct name *name = n->name ? name_at(&fs->nodes, n->name) : NULL;

	return name && name->len > 4 && memcmp(name->text + name->len - 4, "-wal", 4) == 0;
}

/* Whether the file is to be passed through, opened on `fd`. Tree lock and file lock held. */
static bool passthrough_wanted(struct clawfs *fs, const struct file *f, int fd, int flags)
{
	struct stat st;

	if (fd < 0 || !f->through || f->place != PLACE_LOWER)
		return false;
	bool wal = is_wal(fs, f);
	if (wal ? !fs->passthrough.wal || class_is_cached(f->cls) || !db_wal_may_pass(fs, f->node)
		: f->cls != CLASS_THROUGH)
		return false;
	if (fs->lower.sys->fstat(fd, &st) < 0 || killpriv_has(st.st_mode))
		return false;
	/* The kernel applies it to the lower, which may not know it. */
	if (flags & O_DIRECT && !can_open(fs, fd, O_RDONLY | O_DIRECT))
		return false;
	return wal || !is_database(fs, fd, f->fd_rd >= 0, st.st_size);
}

/* --- the upper ----------------------------------------------------------- */

/* A reader that joins makes the upper hold all of it. */
#define UPPER_LOG_MAX (16 << 20)

/* Whether a file's first handle is to be passed through to the upper. Tree lock and file lock held. */
static bool upper_wanted(struct clawfs *fs, const struct file *f, int flags)
{
	const int want = O_WRONLY | O_APPEND;
	struct stat st;

	if (!__atomic_load_n(&fs->passthrough.active, __ATOMIC_ACQUIRE))
		return false;
	/* Its writer does not ask us either. */
	if (f->foreign)
		return true;
	if (f->place == PLACE_PACKED || f->through || f->orphan || !class_is_tail(f->cls) ||
	    (flags & (O_ACCMODE | O_APPEND | O_SYNC | O_DSYNC | O_DIRECT)) != want)
		return false;
	if (fs->lower.sys->fstat(f->place == PLACE_LOWER ? f->fd_rd : f->fd_up, &st) < 0)
		return false;
	if (killpriv_has(st.st_mode) || st.st_size > UPPER_LOG_MAX || st.st_size > CONFIG(fs, file_max))
		return false;
	/* Who cannot be made to wait for RAM is not let in when it is short (P11). */
	pthread_mutex_lock(&fs->sched.lock);
	bool room = policy_pressure(&fs->config, fs->sched.used) == PRESSURE_NONE;
	pthread_mutex_unlock(&fs->sched.lock);
	return room;
}

/* The first handle of a file whose place is the upper. File lock held for writing. */
static void upper_begin(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	if (!f->seen.backing)
		f->seen.backing = backing_open(fs, f->fd_up);
	if (!f->seen.backing)
		return;
	pthread_mutex_lock(&fs->attach);
	f->backing = f->seen.backing;
	pthread_mutex_unlock(&fs->attach);
	f->io = FILE_IO_UPPER;
	observe_begin(fs, slot, clock_now());
}

/* What a further handle needs of the upper file: who may read, or map, all of it; and who may write anywhere, a whole
 * one, because the kernel tells nobody where it did. Of a log that is rotated all but its appenders are answered by us,
 * so that it stays one (rotate.h). Tree lock, and file lock for writing. */
static int upper_join(struct clawfs *fs, uint32_t slot, int flags, bool *direct)
{
	struct file *f = file_at(fs, slot);
	int acc = flags & O_ACCMODE;
	bool appends = acc == O_WRONLY && flags & O_APPEND;

	/* The upper's own sync would be none (P5): such writes come to us. */
	*direct = flags & (O_SYNC | O_DSYNC) || (f->rotates && !appends);
	if (appends || (f->rotates && acc == O_WRONLY))
		return 0;
	if (f->rotates || acc == O_RDONLY)
		return file_fill(fs, slot);
	int rc = file_make_whole(fs, slot);
	f->anywhere |= rc == 0;
	return rc;
}

/* --- handles ------------------------------------------------------------- */

/* Decides for the first handle. True when the file must be brought into the upper first, which wants the tree
 * lock for writing. Tree lock, and file lock for writing. */
static bool decide(struct clawfs *fs, uint32_t slot, int flags, bool may_raise)
{
	struct file *f = file_at(fs, slot);
	int fd = f->fd_rd >= 0 ? f->fd_rd : f->fd_wr;
	int id = 0;

	if (upper_wanted(fs, f, flags)) {
		if (f->place == PLACE_LOWER && !may_raise)
			return true;
		if (f->place == PLACE_LOWER && file_raise(fs, slot, true, false, false) < 0)
			log_warn(fs->log, "cannot bring a log into the upper; its writers are served by the daemon");
		if (f->place != PLACE_LOWER)
			upper_begin(fs, slot);
	}
	if (f->io != FILE_IO_NONE)
		return false;
	if (__atomic_load_n(&fs->passthrough.active, __ATOMIC_ACQUIRE) && passthrough_wanted(fs, f, fd, flags))
		id = backing_open(fs, fd);
	pthread_mutex_lock(&fs->attach);
	f->backing = id;
	pthread_mutex_unlock(&fs->attach);
	f->io = id ? FILE_IO_PASSED : FILE_IO_DAEMON;
	return false;
}

struct passthrough_open passthrough_attach(struct clawfs *fs, uint32_t slot, int flags)
{
	struct file *f = file_at(fs, slot);
	struct passthrough_open how = {0};
	struct stat st;

	pthread_rwlock_rdlock(&fs->tree);
	pthread_rwlock_wrlock(&f->lock);
	if (f->io == FILE_IO_NONE && decide(fs, slot, flags, false)) {
		pthread_rwlock_unlock(&f->lock);
		pthread_rwlock_unlock(&fs->tree);
		pthread_rwlock_wrlock(&fs->tree);
		pthread_rwlock_wrlock(&f->lock);
		if (f->io == FILE_IO_NONE)
			decide(fs, slot, flags, true);
	}
	how.id = f->backing;
	if (f->io == FILE_IO_UPPER) {
		how.error = upper_join(fs, slot, flags, &how.direct);
	} else if (how.id && (flags & O_ACCMODE) != O_RDONLY) {
		/* Set-id bits: looked at after the handle is counted and the id is known, and by those who set them
		 * the other way round, so that one of the two sees the other. */
		int fd = f->fd_rd >= 0 ? f->fd_rd : f->fd_wr;
		how.direct = fs->lower.sys->fstat(fd, &st) < 0 || killpriv_has(st.st_mode);
	}
	pthread_rwlock_unlock(&f->lock);
	pthread_rwlock_unlock(&fs->tree);
	if (how.id)
		__atomic_add_fetch(&fs->passthrough.opens, 1, __ATOMIC_RELAXED);
	return how;
}

void passthrough_detach(struct clawfs *fs, struct file *f)
{
	int id = f->io == FILE_IO_PASSED ? f->backing : 0;

	if (f->io == FILE_IO_UPPER)
		observe_end(fs, f);
	f->io = FILE_IO_NONE;
	f->anywhere = false;
	pthread_mutex_lock(&fs->attach);
	f->backing = 0;
	pthread_mutex_unlock(&fs->attach);
	if (id)
		backing_close(fs, id);
}

void passthrough_forget(struct clawfs *fs, int id)
{
	/* With the connection the ids have ended. */
	if (fs->session && fuse_session_fd(fs->session) >= 0)
		backing_close(fs, id);
}

bool passthrough_is_written(struct clawfs *fs, uint32_t node)
{
	bool written = false;

	if (!__atomic_load_n(&fs->passthrough.opens, __ATOMIC_RELAXED) || !node)
		return false;
	pthread_mutex_lock(&fs->attach);
	uint32_t slot = fs_node(fs, node)->file;
	if (slot) {
		const struct file *f = file_at(fs, slot);
		written = (f->backing && f->writers > 0) || f->foreign;
	}
	pthread_mutex_unlock(&fs->attach);
	return written;
}

/* --- replies ------------------------------------------------------------- */

#if LIBFUSE_HAS_API

int passthrough_reply_open(fuse_req_t req, struct fuse_file_info *fi, struct passthrough_open how)
{
	fi->keep_cache = how.id == 0;
	fi->direct_io = fi->direct_io || how.direct;
	fi->backing_id = how.id;
	return fuse_reply_open(req, fi);
}

int passthrough_reply_create(fuse_req_t req, const struct fuse_entry_param *e, struct fuse_file_info *fi,
			     struct passthrough_open how)
{
	fi->keep_cache = how.id == 0;
	fi->direct_io = fi->direct_io || how.direct;
	fi->backing_id = how.id;
	return fuse_reply_create(req, e, fi);
}

#else

struct open_reply {
	uint64_t fh;
	uint32_t flags;
	int32_t backing_id;
};
_Static_assert(sizeof(struct open_reply) == sizeof(struct fuse_open_out), "as the kernel's");

static struct open_reply open_reply(const struct fuse_file_info *fi, struct passthrough_open how)
{
	uint32_t flags = FOPEN_PASSTHROUGH;

	if (fi->noflush)
		flags |= FOPEN_NOFLUSH;
	if (how.direct)
		flags |= FOPEN_DIRECT_IO;
	return (struct open_reply){.fh = fi->fh, .flags = flags, .backing_id = how.id};
}

int passthrough_reply_open(fuse_req_t req, struct fuse_file_info *fi, struct passthrough_open how)
{
	fi->keep_cache = how.id == 0;
	if (!how.id)
		return fuse_reply_open(req, fi);
	struct open_reply reply = open_reply(fi, how);
	return fuse_reply_buf(req, (const char *)&reply, sizeof(reply));
}

static void split_seconds(double t, uint64_t *seconds, uint32_t *ns)
{
	*seconds = (uint64_t)t;
	*ns = (uint32_t)((t - (double)*seconds) * 1e9);
}

static struct fuse_attr to_attr(const struct stat *st)
{
	return (struct fuse_attr){
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.atime = (uint64_t)st->st_atim.tv_sec,
		.mtime = (uint64_t)st->st_mtim.tv_sec,
		.ctime = (uint64_t)st->st_ctim.tv_sec,
		.atimensec = (uint32_t)st->st_atim.tv_nsec,
		.mtimensec = (uint32_t)st->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = (uint32_t)st->st_rdev,
		.blksize = (uint32_t)st->st_blksize,
	};
}

int passthrough_reply_create(fuse_req_t req, const struct fuse_entry_param *e, struct fuse_file_info *fi,
			     struct passthrough_open how)
{
	struct {
		struct fuse_entry_out entry;
		struct open_reply open;
	} reply = {
		.entry = {.nodeid = e->ino, .generation = e->generation, .attr = to_attr(&e->attr)},
		.open = open_reply(fi, how),
	};

	fi->keep_cache = how.id == 0;
	if (!how.id)
		return fuse_reply_create(req, e, fi);
	split_seconds(e->entry_timeout, &reply.entry.entry_valid, &reply.entry.entry_valid_nsec);
	split_seconds(e->attr_timeout, &reply.entry.attr_valid, &reply.entry.attr_valid_nsec);
	return fuse_reply_buf(req, (const char *)&reply, sizeof(reply));
}

#endif
