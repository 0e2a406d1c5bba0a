/* Preloaded into the daemon: holds its changes of the lower for as long as the tester wants, as a card that is busy
 * may. They share the file HELD_PAGE: byte 0 is the call that is held ('-': none), byte 1 counts, from '0' on, the
 * calls that were ever held, byte 2 those that have gone on. HELD_DEV is the lower's device. For case 16. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	CREATE = 'c',
	RENAME = 'r',
	TIMES = 't',
	DIR_TIMES = 'T',
	SYNC = 's',
	DIR_SYNC = 'd',
	REMOVE = 'u',
	LOOK = 'l',
	FREE = 'x'
};

static char *page;
static unsigned long dev;

__attribute__((constructor)) static void page_map(void)
{
	const char *path = getenv("HELD_PAGE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	void *at = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		abort();
	dev = strtoul(getenv("HELD_DEV"), NULL, 10);
	page = at;
}

/* The call itself: to a sanitizer's interceptor a descriptor that is being closed is closed. */
static bool look(int fd, struct stat *st)
{
	return syscall(SYS_newfstatat, fd, "", st, AT_EMPTY_PATH) == 0;
}

static void hold(char call, int fd)
{
	struct stat st;
	int kept = errno;

	if (!page || __atomic_load_n(page, __ATOMIC_ACQUIRE) != call || !look(fd, &st) || st.st_dev != dev) {
		errno = kept;
		return;
	}
	__atomic_add_fetch(page + 1, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(page, __ATOMIC_ACQUIRE) == call)
		usleep(1000);
	__atomic_add_fetch(page + 2, 1, __ATOMIC_ACQ_REL);
	errno = kept;
}

static bool is_dir(int fd)
{
	struct stat st;

	return look(fd, &st) && S_ISDIR(st.st_mode);
}

#define NEXT(name)                                                                                                     \
	static __typeof__(name) *next;                                                                                 \
	if (!next)                                                                                                     \
	*(void **)&next = dlsym(RTLD_NEXT, #name)

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	NEXT(renameat2);
	hold(RENAME, to_dir);
	return next(from_dir, from, to_dir, to, flags);
}

int unlinkat(int dir, const char *name, int flags)
{
	NEXT(unlinkat);
	hold(REMOVE, dir);
	return next(dir, name, flags);
}

int fstatat64(int dir, const char *name, struct stat64 *st, int flags)
{
	NEXT(fstatat64);
	hold(LOOK, dir);
	return next(dir, name, st, flags);
}

/* Which frees the blocks of a file that has no name. */
int close(int fd)
{
	struct stat st;
	NEXT(close);

	if (page && look(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink == 0)
		hold(FREE, fd);
	return next(fd);
}

int fdatasync(int fd)
{
	NEXT(fdatasync);
	hold(SYNC, fd);
	return next(fd);
}

int fsync(int fd)
{
	NEXT(fsync);
	hold(is_dir(fd) ? DIR_SYNC : SYNC, fd);
	return next(fd);
}

int futimens(int fd, const struct timespec times[2])
{
	NEXT(futimens);
	hold(TIMES, fd);
	return next(fd, times);
}

/* Of a directory, by a path of its descriptor. */
int utimensat(int dir, const char *path, const struct timespec times[2], int flags)
{
	static const char self[] = "/proc/self/fd/";
	NEXT(utimensat);

	if (strncmp(path, self, sizeof(self) - 1) == 0 && is_dir(atoi(path + sizeof(self) - 1)))
		hold(DIR_TIMES, atoi(path + sizeof(self) - 1));
	return next(dir, path, times, flags);
}

/* The C library has no openat2(2). */
long syscall(long number, ...)
{
	long a[6];
	va_list args;
	NEXT(syscall);

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2 && ((const struct open_how *)a[2])->flags & O_CREAT)
		hold(CREATE, (int)a[0]);
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
