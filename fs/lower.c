#include "fs/lower.h"
#include <errno.h>
#include <linux/capability.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Linux 5.14; not in older headers. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static int call_open(int dirfd, const char *name, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags,
		/* The kernel refuses a mode where nothing can be created. */
		.mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? mode & 07777 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
}

static int call_reopen(const char *path, int flags)
{
	return open(path, flags);
}

static ssize_t call_getdents(int fd, void *buf, size_t size)
{
	return syscall(SYS_getdents64, fd, buf, size);
}

const struct lower_calls *lower_calls_default(void)
{
	static const struct lower_calls calls = {
		.open = call_open,
		.reopen = call_reopen,
		.fstatat = fstatat,
		.fstat = fstat,
		.pread = pread,
		.pwrite = pwrite,
		.ftruncate = ftruncate,
		.lseek = lseek,
		.fallocate = fallocate,
		.fsync = fsync,
		.fdatasync = fdatasync,
		.syncfs = syncfs,
		.sync_file_range = sync_file_range,
		.copy_file_range = copy_file_range,
		.renameat2 = renameat2,
		.unlinkat = unlinkat,
		.mkdirat = mkdirat,
		.mknodat = mknodat,
		.symlinkat = symlinkat,
		.linkat = linkat,
		.readlinkat = readlinkat,
		.chmod = chmod,
		.fchmod = fchmod,
		.fchown = fchown,
		.fchownat = fchownat,
		.utimensat = utimensat,
		.futimens = futimens,
		.fstatvfs = fstatvfs,
		.getxattr = getxattr,
		.listxattr = listxattr,
		.setxattr = setxattr,
		.removexattr = removexattr,
		.getdents = call_getdents,
	};

	return &calls;
}

int lower_init(struct lower *l, const char *path, const struct lower_calls *sys)
{
	struct stat st;

	*l = (struct lower){.root = -1, .temp = -1, .privileged = geteuid() == 0, .sys = sys};
	/* The one path the user gave: its symlinks are the user's. */
	l->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->root < 0)
		return -errno;
	if (sys->fstat(l->root, &st) < 0) {
		int rc = -errno;
		close(l->root);
		l->root = -1;
		return rc;
	}
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	struct statfs fs;
	if (fstatfs(l->root, &fs) == 0)
		memcpy(&l->fsid, &fs.f_fsid, sizeof(l->fsid));
	return 0;
}

void lower_fini(struct lower *l)
{
	if (l->temp >= 0)
		close(l->temp);
	if (l->root >= 0)
		close(l->root);
	l->temp = l->root = -1;
}

static int temp_unlink(void *arg, const char *name, uint64_t ino, unsigned char type)
{
	struct lower *l = arg;

	(void)ino;
	(void)type;
	if (l->sys->unlinkat(l->temp, name, 0) < 0)
		l->sys->unlinkat(l->temp, name, AT_REMOVEDIR);
	return 0;
}

int lower_temp_dir(struct lower *l)
{
	if (l->temp >= 0)
		return l->temp;
	if (l->sys->mkdirat(l->root, LOWER_TEMP_DIR, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = lower_open(l, l->root, LOWER_TEMP_DIR, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	l->temp = fd;
	lower_list(l, fd, temp_unlink, l);
	return fd;
}

void lower_temp_remove(struct lower *l)
{
	if (l->temp < 0) {
		/* What a mount that did not end left behind. */
		int fd = lower_open(l, l->root, LOWER_TEMP_DIR, O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0)
			return;
		l->temp = fd;
	}
	lower_list(l, l->temp, temp_unlink, l);
	close(l->temp);
	l->temp = -1;
	l->sys->unlinkat(l->root, LOWER_TEMP_DIR, AT_REMOVEDIR);
}

int lower_open(struct lower *l, int dirfd, const char *name, int flags, mode_t mode)
{
	/* openat2(2) refuses flags that mean nothing to O_PATH. */
	int safe = O_CLOEXEC | O_NOFOLLOW | (flags & O_PATH ? 0 : O_NOCTTY | O_NONBLOCK);
	int fd = l->sys->open(dirfd, name, flags | safe, mode);

	return fd < 0 ? -errno : fd;
}

int lower_open_own(struct lower *l, int dirfd, const char *name, int flags)
{
	struct stat st;
	int fd = lower_open(l, dirfd, name, flags, 0);

	if (fd != -EACCES)
		return fd;
	int path = lower_open(l, dirfd, name, O_PATH, 0);
	if (path < 0)
		return -EACCES;
	if (l->sys->fstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    l->sys->chmod(lower_fdpath(path).text, (st.st_mode & 07777) | 0600) == 0) {
		fd = lower_open(l, dirfd, name, flags, 0);
		l->sys->chmod(lower_fdpath(path).text, st.st_mode & 07777);
	}
	close(path);
	return fd;
}

int lower_reopen(const struct lower *l, int fd, int flags)
{
	int copy = l->sys->reopen(lower_fdpath(fd).text, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	return copy < 0 ? -errno : copy;
}

struct lower_fdpath lower_fdpath(int fd)
{
	struct lower_fdpath p;

	snprintf(p.text, sizeof(p.text), "/proc/self/fd/%d", fd);
	return p;
}

ssize_t lower_pread(const struct lower *l, int fd, void *buf, size_t len, off_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = l->sys->pread(fd, (char *)buf + done, len - done, off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int lower_pwrite(const struct lower *l, int fd, const void *buf, size_t len, off_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = l->sys->pwrite(fd, (const char *)buf + done, len - done, off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

int lower_sync_dir(const struct lower *l, int dirfd)
{
	/* Not "." in it: that would need the right to search it, too. */
	int fd = lower_reopen(l, dirfd, O_RDONLY | O_DIRECTORY);

	if (fd == -EACCES)
		return l->sys->syncfs(l->root) < 0 ? -errno : 0;
	if (fd < 0)
		return fd;
	int rc = l->sys->fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

struct dent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

int lower_list(const struct lower *l, int dirfd, lower_entry_fn *entry, void *arg)
{
	enum { LIST_BUFFER = 64 << 10 };
	int rc = 0;
	int fd = lower_reopen(l, dirfd, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return fd;
	char *buf = malloc(LIST_BUFFER);
	if (!buf) {
		close(fd);
		return -ENOMEM;
	}
	while (rc == 0) {
		ssize_t n = l->sys->getdents(fd, buf, LIST_BUFFER);
		if (n < 0)
			rc = -errno;
		if (n <= 0)
			break;
		for (ssize_t pos = 0; pos < n && rc == 0;) {
			const struct dent *d = (const struct dent *)(buf + pos);
			pos += d->reclen;
			if (strcmp(d->name, ".") != 0 && strcmp(d->name, "..") != 0)
				rc = entry(arg, d->name, d->ino, d->type);
		}
	}
	free(buf);
	close(fd);
	return rc;
}

int lower_rewrite(const struct lower *l, int fd)
{
	/* Whole folios, be they as large as they get: one that is half in the chunk would stay. */
	enum { CHUNK = 4 << 20 };
	int to = lower_reopen(l, fd, O_RDWR);
	char *buf = to < 0 ? NULL : malloc(CHUNK);
	int rc = to < 0 ? to : buf ? 0 : -ENOMEM;
	off_t off = 0;

	for (ssize_t n = 1; rc == 0 && n > 0; off += n) {
		n = lower_pread(l, to, buf, CHUNK, off);
		if (n <= 0) {
			rc = (int)n;
		} else {
			/* Dirtied in place, pages would be written to blocks that ext4 promised them when that failed,
			 * and still reads as unwritten. So the page cache forgets them first, which it does with clean
			 * ones only; whether this write-out succeeds is all the same. */
			l->sys->sync_file_range(to, off, CHUNK,
						SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
							SYNC_FILE_RANGE_WAIT_AFTER);
			posix_fadvise(to, off, CHUNK, POSIX_FADV_DONTNEED);
			rc = lower_pwrite(l, to, buf, (size_t)n, off);
		}
	}
	free(buf);
	if (to >= 0)
		close(to);
	return rc;
}

int lower_redirty(const struct lower *l, int fd)
{
	enum { SPAN = 16 << 20 };
	int to = lower_reopen(l, fd, O_RDWR);
	struct stat st;
	int rc = to < 0 ? to : l->sys->fstat(to, &st) < 0 ? -errno : 0;

	for (off_t off = 0; rc == 0 && off < st.st_size; off += SPAN) {
		size_t len = st.st_size - off < SPAN ? (size_t)(st.st_size - off) : SPAN;
		void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, to, off);
		if (at == MAP_FAILED) {
			rc = -errno;
			break;
		}
		/* A write fault without a write; what a store would take as SIGBUS comes as EFAULT. */
		if (madvise(at, len, MADV_POPULATE_WRITE) < 0)
			rc = -EIO;
		munmap(at, len);
	}
	if (to >= 0)
		close(to);
	return rc;
}

int lower_is_backed(const struct lower *l, int fd)
{
	enum { EXTENTS = 64 };
	const uint32_t unreadable = FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_UNKNOWN;
	struct stat st;
	int rc = l->sys->fstat(fd, &st) < 0 ? -errno : 0;
	struct fiemap *map = calloc(1, sizeof(*map) + EXTENTS * sizeof(struct fiemap_extent));
	uint64_t off = 0;

	if (!map)
		return -ENOMEM;
	while (rc == 0 && off < (uint64_t)st.st_size) {
		*map = (struct fiemap){
			.fm_start = off, .fm_length = (uint64_t)st.st_size - off, .fm_extent_count = EXTENTS};
		if (ioctl(fd, FS_IOC_FIEMAP, map) < 0) {
			rc = errno == ENOTTY || errno == EOPNOTSUPP ? -EOPNOTSUPP : -errno;
			break;
		}
		/* Nothing more: a hole, which a log has not. */
		if (map->fm_mapped_extents == 0)
			rc = -EIO;
		for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
			const struct fiemap_extent *e = &map->fm_extents[i];
			if (e->fe_flags & unreadable || e->fe_logical > off)
				rc = -EIO;
			off = e->fe_logical + e->fe_length;
		}
	}
	free(map);
	return rc;
}

bool lower_is_written(int fd)
{
	/* A read lease is refused while anybody may write (fcntl(2)). */
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return false;
}

int lower_copy_xattrs(const struct lower *l, int from, int to)
{
	char names[4096];
	struct lower_fdpath source = lower_fdpath(from), target = lower_fdpath(to);
	ssize_t n = l->sys->listxattr(source.text, names, sizeof(names));

	if (n < 0)
		return errno == ENOTSUP ? 0 : -errno;
	if (n == 0)
		return 0;
	char *value = malloc(XATTR_SIZE_MAX);
	if (!value)
		return -ENOMEM;
	int rc = 0;
	for (const char *name = names; name < names + n && rc == 0; name += strlen(name) + 1) {
		ssize_t size = l->sys->getxattr(source.text, name, value, XATTR_SIZE_MAX);
		if (size < 0)
			continue;
		/* A write clears capabilities, so the new content has none. */
		if (strcmp(name, "security.capability") == 0)
			continue;
		if (l->sys->setxattr(target.text, name, value, (size_t)size, 0) < 0 && errno != EPERM &&
		    errno != ENOTSUP)
			rc = -errno;
	}
	free(value);
	return rc;
}

static void raise_dac(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	/* setfsuid dropped these from the effective set; the permitted set
	 * still has them. Failure means the service has no such capability,
	 * and then the lower's own check decides. */
	if (syscall(SYS_capget, &head, data) < 0)
		return;
	data[0].effective |= data[0].permitted & (1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
	syscall(SYS_capset, &head, data);
}

void lower_become(const struct lower *l, uid_t uid, gid_t gid)
{
	if (!l->privileged || (uid == 0 && gid == 0))
		return;
	/* These two change the calling thread alone. */
	setfsgid(gid);
	setfsuid(uid);
	if (uid != 0)
		raise_dac();
}

void lower_return(const struct lower *l)
{
	if (!l->privileged)
		return;
	setfsuid(0);
	setfsgid(0);
}
