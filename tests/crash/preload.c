/* Preloaded into the daemon: makes system calls on the lower and the upper fail, or kills the process before or after
 * one of them, as the tester says in the page they share (faultpage.h). So a release build has no code for it. A call
 * belongs to a side when the file or directory that it is about is on that side's device. */
#include "faultpage.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static struct fault_page *page;

__attribute__((constructor)) static void page_map(void)
{
	const char *path = getenv("CRASH_FAULT_PAGE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	void *at = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		page = at;
}

/* --- whose call it is ---------------------------------------------------------- */

static enum fault_side side_of_dev(uint64_t dev)
{
	return dev == page->lower_dev ? SIDE_LOWER : dev == page->upper_dev ? SIDE_UPPER : SIDE_NONE;
}

static enum fault_side side_of_fd(int fd)
{
	struct stat st;
	int kept = errno;
	enum fault_side side = SIDE_NONE;

	if (page && fd >= 0 && syscall(SYS_newfstatat, fd, "", &st, 0x1000 /* AT_EMPTY_PATH */) == 0)
		side = side_of_dev(st.st_dev);
	errno = kept;
	return side;
}

/* A name below a directory, or a path of its own: what it is about, else its directory. */
static enum fault_side side_of_path(int dirfd, const char *path)
{
	static const char self[] = "/proc/self/fd/";
	struct stat st;

	if (!page)
		return SIDE_NONE;
	if (strncmp(path, self, sizeof(self) - 1) == 0)
		return side_of_fd(atoi(path + sizeof(self) - 1));
	if (*path != '/' && dirfd != AT_FDCWD)
		return side_of_fd(dirfd);
	int kept = errno;
	enum fault_side side = SIDE_NONE;
	if (syscall(SYS_newfstatat, dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		side = side_of_dev(st.st_dev);
	errno = kept;
	return side;
}

/* --- what becomes of it ---------------------------------------------------------- */

enum { PASS = 0, HALF = -1, DIE = -2 }; /* else an errno */

static void die_now(void)
{
	/* The call itself: kill(2) may be what is forbidden. */
	syscall(SYS_kill, getpid(), SIGKILL);
	abort();
}

static int before(enum fault_call call, enum fault_side side, uint32_t point)
{
	if (!page || side == SIDE_NONE)
		return PASS;
	__atomic_add_fetch(&page->counts[side][call], 1, __ATOMIC_RELAXED);
	uint32_t mode = __atomic_load_n(&page->mode, __ATOMIC_ACQUIRE);
	if (mode == FAULT_OFF || (page->side != SIDE_NONE && page->side != side) ||
	    (page->call != CALLS && page->call != call) || (page->point && page->point != point))
		return PASS;
	if (__atomic_load_n(&page->skip, __ATOMIC_RELAXED) > 0) {
		__atomic_sub_fetch(&page->skip, 1, __ATOMIC_RELAXED);
		return PASS;
	}
	if (mode != FAULT_EVER) {
		uint32_t expected = mode;
		/* Whoever takes it away is the one. */
		if (!__atomic_compare_exchange_n(&page->mode, &expected, FAULT_OFF, false, __ATOMIC_ACQ_REL,
						 __ATOMIC_ACQUIRE))
			return PASS;
	}
	__atomic_add_fetch(&page->fired, 1, __ATOMIC_RELEASE);
	if (mode == FAULT_KILL_BEFORE)
		die_now();
	return mode == FAULT_KILL_AFTER ? DIE : mode == FAULT_SHORT ? HALF : page->error;
}

#define NEXT(name)                                                                                                     \
	static __typeof__(name) *next;                                                                                 \
	if (!next)                                                                                                     \
	next = (__typeof__(next))dlsym(RTLD_NEXT, #name)

#define WRAP(type, name, call, side, parameters, arguments)                                                            \
	type name parameters;                                                                                          \
	type name parameters                                                                                           \
	{                                                                                                              \
		NEXT(name);                                                                                            \
		int what = before(CALL_##call, side, 0);                                                               \
		if (what > 0) {                                                                                        \
			errno = what;                                                                                  \
			return -1;                                                                                     \
		}                                                                                                      \
		type result = next arguments;                                                                          \
		if (what == DIE)                                                                                       \
			die_now();                                                                                     \
		return result;                                                                                         \
	}

/* Of these, half may be done. */
#define WRAP_WRITE(name, call, parameters, half, arguments)                                                            \
	ssize_t name parameters;                                                                                       \
	ssize_t name parameters                                                                                        \
	{                                                                                                              \
		NEXT(name);                                                                                            \
		int what = before(CALL_##call, side_of_fd(fd), 0);                                                     \
		if (what > 0) {                                                                                        \
			errno = what;                                                                                  \
			return -1;                                                                                     \
		}                                                                                                      \
		ssize_t result = what == HALF && len > 1 ? next half : next arguments;                                 \
		if (what == DIE)                                                                                       \
			die_now();                                                                                     \
		return result;                                                                                         \
	}

WRAP_WRITE(pwrite64, pwrite, (int fd, const void *buf, size_t len, off_t off), (fd, buf, len / 2, off),
	   (fd, buf, len, off))
WRAP_WRITE(write, write, (int fd, const void *buf, size_t len), (fd, buf, len / 2), (fd, buf, len))
WRAP_WRITE(pread64, pread, (int fd, void *buf, size_t len, off_t off), (fd, buf, len / 2, off), (fd, buf, len, off))
WRAP(ssize_t, read, read, side_of_fd(fd), (int fd, void *buf, size_t len), (fd, buf, len))
WRAP(int, ftruncate64, ftruncate, side_of_fd(fd), (int fd, off_t size), (fd, size))
WRAP(int, fallocate64, fallocate, side_of_fd(fd), (int fd, int mode, off_t off, off_t len), (fd, mode, off, len))
WRAP(int, fsync, fsync, side_of_fd(fd), (int fd), (fd))
WRAP(int, fdatasync, fdatasync, side_of_fd(fd), (int fd), (fd))
WRAP(int, syncfs, syncfs, side_of_fd(fd), (int fd), (fd))
WRAP(int, sync_file_range, sync_file_range, side_of_fd(fd), (int fd, off_t off, off_t len, unsigned flags),
     (fd, off, len, flags))
WRAP(ssize_t, copy_file_range, copy_file_range, side_of_fd(out),
     (int in, off_t *in_off, int out, off_t *out_off, size_t len, unsigned flags),
     (in, in_off, out, out_off, len, flags))
WRAP(off_t, lseek64, lseek, side_of_fd(fd), (int fd, off_t off, int whence), (fd, off, whence))
WRAP(int, fstat64, fstat, side_of_fd(fd), (int fd, struct stat64 *st), (fd, st))
WRAP(int, fstatat64, fstatat, side_of_path(dirfd, name), (int dirfd, const char *name, struct stat64 *st, int flags),
     (dirfd, name, st, flags))
WRAP(int, fstatvfs64, fstatvfs, side_of_fd(fd), (int fd, struct statvfs64 *st), (fd, st))
WRAP(int, renameat2, rename, side_of_path(to_dir, to),
     (int from_dir, const char *from, int to_dir, const char *to, unsigned flags), (from_dir, from, to_dir, to, flags))
WRAP(int, renameat, rename, side_of_path(to_dir, to), (int from_dir, const char *from, int to_dir, const char *to),
     (from_dir, from, to_dir, to))
WRAP(int, unlinkat, unlink, side_of_path(dirfd, name), (int dirfd, const char *name, int flags), (dirfd, name, flags))
WRAP(int, unlink, unlink, side_of_path(AT_FDCWD, name), (const char *name), (name))
WRAP(int, mkdirat, mkdir, side_of_path(dirfd, name), (int dirfd, const char *name, mode_t mode), (dirfd, name, mode))
WRAP(int, mknodat, mknod, side_of_path(dirfd, name), (int dirfd, const char *name, mode_t mode, dev_t dev),
     (dirfd, name, mode, dev))
WRAP(int, symlinkat, symlink, side_of_path(dirfd, name), (const char *target, int dirfd, const char *name),
     (target, dirfd, name))
WRAP(int, linkat, link, side_of_path(to_dir, to),
     (int from_dir, const char *from, int to_dir, const char *to, int flags), (from_dir, from, to_dir, to, flags))
WRAP(ssize_t, readlinkat, readlink, side_of_path(dirfd, name), (int dirfd, const char *name, char *buf, size_t size),
     (dirfd, name, buf, size))
WRAP(int, chmod, chmod, side_of_path(AT_FDCWD, name), (const char *name, mode_t mode), (name, mode))
WRAP(int, fchmod, chmod, side_of_fd(fd), (int fd, mode_t mode), (fd, mode))
WRAP(int, fchmodat, chmod, side_of_path(dirfd, name), (int dirfd, const char *name, mode_t mode, int flags),
     (dirfd, name, mode, flags))
WRAP(int, fchown, chown, side_of_fd(fd), (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
WRAP(int, fchownat, chown, side_of_path(dirfd, name), (int dirfd, const char *name, uid_t uid, gid_t gid, int flags),
     (dirfd, name, uid, gid, flags))
WRAP(int, utimensat, utimens, side_of_path(dirfd, name),
     (int dirfd, const char *name, const struct timespec times[2], int flags), (dirfd, name, times, flags))
WRAP(int, futimens, utimens, side_of_fd(fd), (int fd, const struct timespec times[2]), (fd, times))
WRAP(ssize_t, getxattr, getxattr, side_of_path(AT_FDCWD, path),
     (const char *path, const char *name, void *value, size_t size), (path, name, value, size))
WRAP(ssize_t, listxattr, listxattr, side_of_path(AT_FDCWD, path), (const char *path, char *list, size_t size),
     (path, list, size))
WRAP(int, setxattr, setxattr, side_of_path(AT_FDCWD, path),
     (const char *path, const char *name, const void *value, size_t size, int flags), (path, name, value, size, flags))

/* --- those with arguments that may be missing ---------------------------------------- */

static mode_t mode_argument(int flags, va_list list)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, mode_t) : 0;
}

#define WRAP_OPEN(name, side, parameters, arguments)                                                                   \
	int name parameters;                                                                                           \
	int name parameters                                                                                            \
	{                                                                                                              \
		NEXT(name);                                                                                            \
		va_list list;                                                                                          \
		va_start(list, flags);                                                                                 \
		mode_t mode = mode_argument(flags, list);                                                              \
		va_end(list);                                                                                          \
		int what = before(CALL_open, side, 0);                                                                 \
		if (what > 0) {                                                                                        \
			errno = what;                                                                                  \
			return -1;                                                                                     \
		}                                                                                                      \
		int result = next arguments;                                                                           \
		if (what == DIE)                                                                                       \
			die_now();                                                                                     \
		return result;                                                                                         \
	}

WRAP_OPEN(open64, side_of_path(AT_FDCWD, path), (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(openat64, side_of_path(dirfd, path), (int dirfd, const char *path, int flags, ...),
	  (dirfd, path, flags, mode))

int fcntl64(int fd, int command, ...);
int fcntl64(int fd, int command, ...)
{
	NEXT(fcntl64);
	va_list list;

	va_start(list, command);
	void *argument = va_arg(list, void *);
	va_end(list);
	int what = command == F_DUPFD_CLOEXEC ? before(CALL_dup, side_of_fd(fd), 0) : PASS;
	if (what > 0) {
		errno = what;
		return -1;
	}
	int result = next(fd, command, argument);
	if (what == DIE)
		die_now();
	return result;
}

/* openat2 and getdents64 have no function in this C library. */
long syscall(long number, ...)
{
	NEXT(syscall);
	va_list list;
	long a[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	int what = PASS;
	if (number == SYS_openat2)
		what = before(CALL_open, side_of_path((int)a[0], (const char *)a[1]), 0);
	else if (number == SYS_getdents64)
		what = before(CALL_getdents, side_of_fd((int)a[0]), 0);
	if (what > 0) {
		errno = what;
		return -1;
	}
	long result = next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (what == DIE)
		die_now();
	return result;
}

/* --- the clock, and the points of debug builds ------------------------------------- */

int clock_gettime(clockid_t id, struct timespec *ts)
{
	NEXT(clock_gettime);
	int rc = next(id, ts);

	if (rc == 0 && page && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += __atomic_load_n(&page->clock_step, __ATOMIC_RELAXED);
	return rc;
}

time_t time(time_t *to)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (to)
		*to = ts.tv_sec;
	return ts.tv_sec;
}

static uint32_t point_number(const char *name)
{
	static int lock;

	while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
		;
	uint32_t n = 1;
	while (n <= page->points && strcmp(page->point_names[n], name) != 0)
		n++;
	if (n > page->points && n < POINTS_MAX) {
		snprintf(page->point_names[n], sizeof(page->point_names[n]), "%s", name);
		page->points = n;
	}
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	return n;
}

void clawfs_crash_point(const char *name);
void clawfs_crash_point(const char *name)
{
	if (!page)
		return;
	uint32_t n = point_number(name);
	__atomic_add_fetch(&page->point_counts[n], 1, __ATOMIC_RELAXED);
	if (before(CALL_point, SIDE_LOWER, n) == DIE)
		die_now();
}
