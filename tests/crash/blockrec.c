/* usage: blockrec IMAGE LOG DIR: mounts on DIR a file `disk` with the content of IMAGE, for a loop device to lie on,
 * and notes every write and every flush of that device in LOG. The loop driver turns a flush, and the one after a write
 * with FUA, into fsync of its file; so what the log says is what a card is told. Runs until DIR is unmounted. */
#define FUSE_USE_VERSION 314
#include "blocklog.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct disk {
	int image, log;
	off_t size;
};

static struct disk *disk_here(void)
{
	return fuse_get_context()->private_data;
}

static int note(struct disk *d, uint32_t kind, const void *data, size_t length, off_t offset)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	struct block_record r = {.time_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000,
				 .offset = (uint64_t)offset,
				 .length = (uint32_t)length,
				 .kind = kind};
	struct iovec parts[2] = {{&r, sizeof(r)}, {(void *)(uintptr_t)data, length}};
	return writev(d->log, parts, 2) == (ssize_t)(sizeof(r) + length) ? 0 : -EIO;
}

static int disk_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	memset(st, 0, sizeof(*st));
	st->st_nlink = 1;
	st->st_mode = strcmp(path, "/") == 0 ? S_IFDIR | 0700 : S_IFREG | 0600;
	st->st_size = disk_here()->size;
	return strcmp(path, "/") == 0 || strcmp(path, "/disk") == 0 ? 0 : -ENOENT;
}

static int disk_open(const char *path, struct fuse_file_info *fi)
{
	/* Nothing may stay in a page cache between the loop device and us. */
	fi->direct_io = 1;
	return strcmp(path, "/disk") == 0 ? 0 : -ENOENT;
}

static int disk_read(const char *path, char *buf, size_t size, off_t offset, struct fuse_file_info *fi)
{
	ssize_t n = pread(disk_here()->image, buf, size, offset);

	(void)path;
	(void)fi;
	return n < 0 ? -errno : (int)n;
}

static int disk_write(const char *path, const char *buf, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct disk *d = disk_here();

	(void)path;
	(void)fi;
	if (pwrite(d->image, buf, size, offset) != (ssize_t)size)
		return -EIO;
	int rc = note(d, BLOCK_WRITE, buf, size, offset);
	return rc < 0 ? rc : (int)size;
}

static int disk_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	(void)path;
	(void)data_only;
	(void)fi;
	return note(disk_here(), BLOCK_FLUSH, NULL, 0, 0);
}

int main(int argc, char **argv)
{
	static const struct fuse_operations operations = {.getattr = disk_getattr,
							  .open = disk_open,
							  .read = disk_read,
							  .write = disk_write,
							  .fsync = disk_fsync};
	struct disk d;
	struct stat st;

	if (argc != 4) {
		fprintf(stderr, "usage: blockrec IMAGE LOG DIR\n");
		return 2;
	}
	d.image = open(argv[1], O_RDWR | O_CLOEXEC);
	d.log = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (d.image < 0 || d.log < 0 || fstat(d.image, &st) < 0) {
		fprintf(stderr, "blockrec: %s, %s: %s\n", argv[1], argv[2], strerror(errno));
		return 1;
	}
	d.size = st.st_size;
	/* One after the other (-s): the log is the order in which they took effect. */
	char *args[] = {argv[0], argv[3], "-f", "-s", NULL};
	return fuse_main(4, args, &operations, &d);
}
