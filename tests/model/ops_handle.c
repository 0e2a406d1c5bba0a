/* Operations on open files. `s->fd[op->a[0]]` is open when they are called,
 * but for those that open it. */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

static unsigned char buffer[DATA_MAX];

static size_t data_len(long n)
{
	return n < 0 ? 0 : n > DATA_MAX ? DATA_MAX : (size_t)n;
}

static int handle(const struct side *s, const struct op *op)
{
	return s->fd[op->a[0]];
}

static void store(struct side *s, const struct op *op, struct res *r, int fd)
{
	res_ret(r, fd);
	if (fd >= 0)
		r->ret = 0;
	s->fd[op->a[0]] = fd;
}

static void drop(struct side *s, const struct op *op)
{
	if (s->fd[op->a[0]] >= 0)
		close(s->fd[op->a[0]]);
	s->fd[op->a[0]] = -1;
}

void run_open(struct side *s, const struct op *op, struct res *r)
{
	int flags = (int)op->a[2] | O_CLOEXEC | O_NOCTTY;
	char path[PATH_MAX];
	struct stat st;

	drop(s, op);
	name_path(s, op->a[1], path);
	/* A FIFO without a partner would block for ever. */
	if (fstatat(s->rootfd, path, &st, 0) == 0 && S_ISFIFO(st.st_mode))
		flags |= O_NONBLOCK;
	store(s, op, r, openat(s->rootfd, path, flags, (mode_t)op->a[3]));
}

void run_creat(struct side *s, const struct op *op, struct res *r)
{
	struct op as_open = {OP_OPEN, {op->a[0], op->a[1], O_CREAT | O_WRONLY | O_TRUNC, op->a[2]}};

	run_open(s, &as_open, r);
}

void run_tmpfile(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX];

	drop(s, op);
	store(s, op, r,
	      openat(s->rootfd, name_path(s, op->a[1], path), O_TMPFILE | O_RDWR | O_CLOEXEC, (mode_t)op->a[2]));
}

void run_close(struct side *s, const struct op *op, struct res *r)
{
	res_ret(r, close(handle(s, op)));
	s->fd[op->a[0]] = -1;
}

static void took(struct res *r, ssize_t n)
{
	res_ret(r, n);
	if (n > 0)
		res_add(r, buffer, (size_t)n);
}

void run_read(struct side *s, const struct op *op, struct res *r)
{
	took(r, read(handle(s, op), buffer, data_len(op->a[1])));
}

void run_pread(struct side *s, const struct op *op, struct res *r)
{
	took(r, pread(handle(s, op), buffer, data_len(op->a[2]), op->a[1]));
}

static void split(struct iovec iov[3], size_t len)
{
	iov[0] = (struct iovec){buffer, len / 3};
	iov[1] = (struct iovec){buffer + len / 3, len / 2 - len / 3};
	iov[2] = (struct iovec){buffer + len / 2, len - len / 2};
}

void run_readv(struct side *s, const struct op *op, struct res *r)
{
	struct iovec iov[3];

	split(iov, data_len(op->a[1]));
	took(r, readv(handle(s, op), iov, 3));
}

void run_write(struct side *s, const struct op *op, struct res *r)
{
	size_t len = data_len(op->a[1]);

	fill_bytes(buffer, len, (unsigned long)op->a[2]);
	res_ret(r, write(handle(s, op), buffer, len));
}

void run_pwrite(struct side *s, const struct op *op, struct res *r)
{
	size_t len = data_len(op->a[2]);

	fill_bytes(buffer, len, (unsigned long)op->a[3]);
	res_ret(r, pwrite(handle(s, op), buffer, len, op->a[1]));
}

void run_writev(struct side *s, const struct op *op, struct res *r)
{
	size_t len = data_len(op->a[1]);
	struct iovec iov[3];

	fill_bytes(buffer, len, (unsigned long)op->a[2]);
	split(iov, len);
	res_ret(r, writev(handle(s, op), iov, 3));
}

/* Where file systems differ in whether a call that changes nothing sets the
 * mtime, an mtime set by hand is not put at risk and another is not looked at. */
static bool mtime_vague(const struct stat *st, struct res *r)
{
	r->skip = time_explicit(st->st_mtim);
	r->forget = true;
	return r->skip;
}

void run_ftruncate(struct side *s, const struct op *op, struct res *r)
{
	struct stat st;

	if (fstat(handle(s, op), &st) == 0 && st.st_size == op->a[1] && mtime_vague(&st, r))
		return;
	res_ret(r, ftruncate(handle(s, op), op->a[1]));
}

void run_truncate(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX], full[PATH_MAX * 2];
	struct stat st;

	name_path(s, op->a[0], path);
	if (fstatat(s->rootfd, path, &st, 0) == 0 && st.st_size == op->a[1] && mtime_vague(&st, r))
		return;
	snprintf(full, sizeof(full), "%s/%s", s->root, path);
	res_ret(r, truncate(full, op->a[1]));
}

void run_fsync(struct side *s, const struct op *op, struct res *r)
{
	res_ret(r, fsync(handle(s, op)));
}

void run_fdatasync(struct side *s, const struct op *op, struct res *r)
{
	res_ret(r, fdatasync(handle(s, op)));
}

void run_seek(struct side *s, const struct op *op, struct res *r)
{
	static const int whence[] = {SEEK_SET, SEEK_CUR, SEEK_END};

	res_ret(r, lseek(handle(s, op), op->a[1], whence[(unsigned long)op->a[2] % 3]));
}

static bool all_zero(const unsigned char *p, size_t from, size_t to)
{
	while (from < to && p[from] == 0)
		from++;
	return from >= to;
}

/* Calling everything data is allowed; calling a byte that is not zero a hole,
 * a data range that is empty or lies outside the file, is not. */
void run_holes(struct side *s, const struct op *op, struct res *r)
{
	int fd = handle(s, op);
	off_t was = lseek(fd, 0, SEEK_CUR), at = 0, data, hole;
	ssize_t n = pread(fd, buffer, sizeof(buffer), 0);

	took(r, n);
	while (at < n) {
		data = lseek(fd, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			data = n;
		if (data < at || data > n || !all_zero(buffer, (size_t)at, (size_t)data)) {
			note(r,
			     "SEEK_DATA from %ld of %ld answers %ld (%s); what it skips is not all zeros or not there",
			     (long)at, (long)n, (long)data, errno_name(data < 0 ? errno : 0));
			break;
		}
		if (data == n)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole <= data || (hole > n && n < (ssize_t)sizeof(buffer))) {
			note(r, "SEEK_HOLE from %ld, which is data, of %ld answers %ld", (long)data, (long)n,
			     (long)hole);
			break;
		}
		at = hole;
	}
	if (n >= 0 && n < (ssize_t)sizeof(buffer) && lseek(fd, n, SEEK_DATA) >= 0)
		note(r, "SEEK_DATA finds data at the end of the file, %ld", (long)n);
	lseek(fd, was, SEEK_SET);
}

void run_fallocate(struct side *s, const struct op *op, struct res *r)
{
	int mode = (int)op->a[1];
	off_t end = op->a[2] + op->a[3];
	bool changes;
	struct stat st;

	if (fstat(handle(s, op), &st) == 0) {
		changes = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) ? op->a[2] < st.st_size : false;
		if (!(mode & FALLOC_FL_KEEP_SIZE) && end > st.st_size)
			changes = true;
		if (!changes && mtime_vague(&st, r))
			return;
	}
	res_ret(r, fallocate(handle(s, op), mode, op->a[2], op->a[3]));
}

/* To a[0] at a[1], from a[2] at a[3]. A short count is allowed, so: until the end. */
void run_copyrange(struct side *s, const struct op *op, struct res *r)
{
	off_t to = op->a[1], from = op->a[3];
	size_t left = data_len(op->a[4]);
	ssize_t n;

	do {
		n = copy_file_range(s->fd[op->a[2]], &from, handle(s, op), &to, left, 0);
		left -= n > 0 ? (size_t)n : 0;
	} while (n > 0 && left > 0);
	res_ret(r, n);
	if (n >= 0)
		r->ret = to - op->a[1];
}

static sigjmp_buf bus_return;
static volatile sig_atomic_t bus_armed;

static void on_bus(int sig)
{
	if (!bus_armed)
		abort();
	siglongjmp(bus_return, 1);
}

enum use { MAP_WRITE, MAP_PRIVATE_WRITE, MAP_READ };

/* Reads a mapping, and writes to it when `data` is not NULL. Apart from its
 * caller, so that no variable of it changes between sigsetjmp and siglongjmp. */
static bool use_map(unsigned char *at, const unsigned char *data, size_t len, struct res *r)
{
	struct sigaction action = {.sa_handler = on_bus}, old;
	bool inside;

	sigaction(SIGBUS, &action, &old);
	inside = sigsetjmp(bus_return, 1) == 0;
	bus_armed = inside;
	if (inside) {
		res_add(r, at, len); /* what it was */
		if (data) {
			memcpy(at, data, len);
			res_add(r, at, len);
		}
	}
	bus_armed = 0;
	sigaction(SIGBUS, &old, NULL);
	return inside;
}

/* Maps [off, off + len) as far as the file reaches, and uses it. */
static void map(struct side *s, const struct op *op, struct res *r, enum use use)
{
	off_t base = op->a[1] & ~4095L;
	size_t skip = (size_t)(op->a[1] - base), len = data_len(op->a[2]);
	unsigned char *at;
	struct stat st;

	if (fstat(handle(s, op), &st) < 0 || (S_ISREG(st.st_mode) && st.st_size <= op->a[1]) || len == 0) {
		r->skip = true;
		return;
	}
	if (S_ISREG(st.st_mode) && (off_t)len > st.st_size - op->a[1])
		len = (size_t)(st.st_size - op->a[1]);
	fill_bytes(buffer, len, (unsigned long)op->a[3]);
	at = mmap(NULL, skip + len, use == MAP_READ ? PROT_READ : PROT_READ | PROT_WRITE,
		  use == MAP_PRIVATE_WRITE ? MAP_PRIVATE : MAP_SHARED, handle(s, op), base);
	res_ret(r, at == MAP_FAILED ? -1 : 0);
	if (at == MAP_FAILED)
		return;
	if (!use_map(at + skip, use == MAP_READ ? NULL : buffer, len, r))
		note(r, "SIGBUS inside the file (size %ld)", (long)st.st_size);
	else if (use == MAP_WRITE) /* dirty pages left to a later write-back would set the mtime then */
		res_ret(r, msync(at, skip + len, MS_SYNC));
	munmap(at, skip + len);
}

void run_mmapw(struct side *s, const struct op *op, struct res *r)
{
	map(s, op, r, MAP_WRITE);
}

void run_mmapp(struct side *s, const struct op *op, struct res *r)
{
	map(s, op, r, MAP_PRIVATE_WRITE);
}

void run_mmapr(struct side *s, const struct op *op, struct res *r)
{
	map(s, op, r, MAP_READ);
}

void run_fchmod(struct side *s, const struct op *op, struct res *r)
{
	res_ret(r, fchmod(handle(s, op), (mode_t)op->a[1]));
}

void run_fchown(struct side *s, const struct op *op, struct res *r)
{
	res_ret(r, fchown(handle(s, op), (uid_t)op->a[1], (gid_t)op->a[2]));
}

void run_futimens(struct side *s, const struct op *op, struct res *r)
{
	struct timespec times[2];
	const struct timespec *given = time_pair(op->a[1], times);
	struct stat st;

	res_ret(r, futimens(handle(s, op), given));
	if (r->ret == 0 && sets_atime(given) && fstat(handle(s, op), &st) == 0)
		res_add(r, &st.st_atim, sizeof(st.st_atim));
}

void run_fsetxattr(struct side *s, const struct op *op, struct res *r)
{
	unsigned char value[256];
	size_t len = data_len(op->a[2]) % sizeof(value);
	char name[32];

	snprintf(name, sizeof(name), "user.x%ld", op->a[1]);
	fill_bytes(value, len, (unsigned long)op->a[3]);
	res_ret(r, fsetxattr(handle(s, op), name, value, len, 0));
	if (r->ret == 0 &&
	    (fgetxattr(handle(s, op), name, buffer, sizeof(value)) != (ssize_t)len || memcmp(buffer, value, len) != 0))
		note(r, "fgetxattr does not return what fsetxattr set");
}

void run_fstat(struct side *s, const struct op *op, struct res *r)
{
	struct stat st;

	/* What it says is compared after every operation that names a handle. */
	res_ret(r, fstat(handle(s, op), &st));
}

void run_linkfd(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX], fd[32];

	snprintf(fd, sizeof(fd), "/proc/self/fd/%d", handle(s, op));
	res_ret(r, linkat(AT_FDCWD, fd, s->rootfd, name_path(s, op->a[1], path), AT_SYMLINK_FOLLOW));
}

void run_dontneed(struct side *s, const struct op *op, struct res *r)
{
	r->ret = posix_fadvise(handle(s, op), 0, 0, POSIX_FADV_DONTNEED);
}

void run_cat(struct side *s, const struct op *op, struct res *r)
{
	char path[PATH_MAX];
	struct stat st;
	ssize_t n;
	int fd;

	fd = openat(s->rootfd, name_path(s, op->a[0], path), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	res_ret(r, fd);
	if (fd < 0)
		return;
	r->ret = 0;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		while ((n = read(fd, buffer, 8192)) > 0)
			res_add(r, buffer, (size_t)n);
		res_ret(r, n);
	}
	close(fd);
}
