/* The lower: the real directory, opened before it is mounted over.
 *
 * Everything below is reached from that descriptor, one component at a time,
 * and no symlink is ever followed: a name comes with the descriptor of its
 * directory. Every call that touches the lower goes through `struct
 * lower_calls`, so that tests can fail, cut and record each of them.
 *
 * Functions return 0 or a result, or a negative errno: any that the named
 * call has. None takes a lock. */
#ifndef CLAWFS_LOWER_H
#define CLAWFS_LOWER_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

/* The system calls, with their own conventions (-1 and errno). */
struct lower_calls {
	int (*open)(int dirfd, const char *name, int flags, mode_t mode); /* openat2, RESOLVE_BENEATH, no links */
	int (*reopen)(const char *path, int flags);			  /* open(2) of a /proc/self/fd path */
	int (*fstatat)(int dirfd, const char *name, struct stat *st, int flags);
	int (*fstat)(int fd, struct stat *st);
	ssize_t (*pread)(int fd, void *buf, size_t len, off_t off);
	ssize_t (*pwrite)(int fd, const void *buf, size_t len, off_t off);
	int (*ftruncate)(int fd, off_t size);
	off_t (*lseek)(int fd, off_t off, int whence);
	int (*fallocate)(int fd, int mode, off_t off, off_t len);
	int (*fsync)(int fd);
	int (*fdatasync)(int fd);
	int (*syncfs)(int fd);
	int (*sync_file_range)(int fd, off_t off, off_t len, unsigned flags);
	ssize_t (*copy_file_range)(int in, off_t *in_off, int out, off_t *out_off, size_t len, unsigned flags);
	int (*renameat2)(int olddir, const char *old, int newdir, const char *new, unsigned flags);
	int (*unlinkat)(int dirfd, const char *name, int flags);
	int (*mkdirat)(int dirfd, const char *name, mode_t mode);
	int (*mknodat)(int dirfd, const char *name, mode_t mode, dev_t dev);
	int (*symlinkat)(const char *target, int dirfd, const char *name);
	int (*linkat)(int olddir, const char *old, int newdir, const char *new, int flags);
	ssize_t (*readlinkat)(int dirfd, const char *name, char *buf, size_t size);
	int (*chmod)(const char *path, mode_t mode); /* of a /proc/self/fd path */
	int (*fchmod)(int fd, mode_t mode);
	int (*fchown)(int fd, uid_t uid, gid_t gid);
	int (*fchownat)(int dirfd, const char *name, uid_t uid, gid_t gid, int flags);
	int (*utimensat)(int dirfd, const char *name, const struct timespec ts[2], int flags);
	int (*futimens)(int fd, const struct timespec ts[2]);
	int (*fstatvfs)(int fd, struct statvfs *st);
	ssize_t (*getxattr)(const char *path, const char *name, void *value, size_t size);
	ssize_t (*listxattr)(const char *path, char *list, size_t size);
	int (*setxattr)(const char *path, const char *name, const void *value, size_t size, int flags);
	int (*removexattr)(const char *path, const char *name);
	ssize_t (*getdents)(int fd, void *buf, size_t size);
};

/* The kernel's. */
const struct lower_calls *lower_calls_default(void);

struct lower {
	int root; /* O_RDONLY | O_DIRECTORY */
	int temp; /* directory of files that replace others, "TEMP_DIR" below the root; -1 not yet made */
	dev_t dev;
	ino_t ino;
	uint64_t fsid;	 /* statfs(2)'s f_fsid: of another card in the same slot it is another; 0: none */
	bool privileged; /* euid 0: files are created as the caller */
	const struct lower_calls *sys;
};

/* Where replacements are written until they are renamed into place. Reserved:
 * hidden by the mount, emptied at mount, gone after unmount. */
#define LOWER_TEMP_DIR ".clawfs"
/* The same for a directory on another device than the root (a mount below). */
#define LOWER_TEMP_PREFIX ".clawfs-replace-"

/* Opens `path`. -ENOTDIR, -ENOENT, -EACCES as open(2). */
int lower_init(struct lower *lower, const char *path, const struct lower_calls *sys);
void lower_fini(struct lower *lower);

/* The temporary directory's descriptor, made on first use; also removes what
 * an interrupted flush left there (P12). Callers serialise the first call. */
int lower_temp_dir(struct lower *lower);
/* Empties and removes it. */
void lower_temp_remove(struct lower *lower);

/* A descriptor for `name` in `dirfd`. O_CLOEXEC, O_NOFOLLOW, O_NOCTTY and
 * O_NONBLOCK are added, so that a FIFO in a file's place cannot block us. */
int lower_open(struct lower *lower, int dirfd, const char *name, int flags, mode_t mode);

/* As lower_open, for the daemon's own purposes (flush, compare): gets at a
 * file of ours whose mode forbids it to us, as an ordinary user's daemon must
 * with a file of mode 0400. */
int lower_open_own(struct lower *lower, int dirfd, const char *name, int flags);

/* A second descriptor of what `fd` (O_PATH or not) is open on. */
int lower_reopen(const struct lower *lower, int fd, int flags);

/* A path that names `fd`, for calls that take paths only and for O_PATH
 * descriptors. */
struct lower_fdpath {
	char text[32];
};
struct lower_fdpath lower_fdpath(int fd);

/* All of it, or a negative errno; EINTR and short counts are handled. For
 * pread the count up to end of file. */
ssize_t lower_pread(const struct lower *lower, int fd, void *buf, size_t len, off_t off);
int lower_pwrite(const struct lower *lower, int fd, const void *buf, size_t len, off_t off);

/* Makes the directory's entries durable. Falls back to syncfs when the
 * directory itself may not be opened for reading. */
int lower_sync_dir(const struct lower *lower, int dirfd);

/* Calls `entry` for each name in the directory but "." and "..", until it
 * returns non-zero; that value or a negative errno. */
typedef int lower_entry_fn(void *arg, const char *name, uint64_t ino, unsigned char type);
int lower_list(const struct lower *lower, int dirfd, lower_entry_fn *entry, void *arg);

/* Writes the file's bytes over themselves, so that they are dirty again, and get a place on the card again, after a
 * sync that failed. Nobody may write them meanwhile. */
int lower_rewrite(const struct lower *lower, int fd);

/* The same without touching the bytes, while somebody writes them. Nobody may shorten it meanwhile. -EIO where the
 * kernel cannot (before 5.14). The place on the card stays what it was: a sync is believed when lower_is_backed. */
int lower_redirty(const struct lower *lower, int fd);

/* Whether what was synced can be read back from the card: none of it lies where the file system reads zeros, be it that
 * the bytes are there. 0; -EIO when it cannot; -EOPNOTSUPP where the file system does not say. */
int lower_is_backed(const struct lower *lower, int fd);

/* Whether somebody has the file open for writing, another descriptor than `fd` (which is open for reading): also the
 * kernel for a mount that is gone (passthrough). False where the file system cannot say. */
bool lower_is_written(int fd);

/* Copies every extended attribute that may be copied; best effort on
 * namespaces that the daemon may not write (security.*, trusted.* as user). */
int lower_copy_xattrs(const struct lower *lower, int from, int to);

/* Between these two the calling thread creates files as `uid`:`gid` (owner,
 * setgid directories, quota as if the application had done it), but with the
 * daemon's right to reach the place: the kernel has checked the caller's
 * (default_permissions). Without effect for an ordinary user's daemon. */
void lower_become(const struct lower *lower, uid_t uid, gid_t gid);
void lower_return(const struct lower *lower);

#endif
