/* bench/slowcard: a FUSE file system of one file, "card.img", which is another file, with a card's slowness: one
 * command at a time, each write takes so long and so much more per byte. A loop device on it is a synthetic card; its
 * writes reach us in the order and in the pieces that the block layer made of them. Runs in the foreground until it is
 * unmounted. */
#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/bench/die.h"

static struct {
	int fd;
	double write_ms, bytes_per_ms;
} card;

static const char name[] = "/card.img";

static int card_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	if (strcmp(path, "/") == 0) {
		*st = (struct stat){.st_mode = S_IFDIR | 0700, .st_nlink = 2};
		return 0;
	}
	if (strcmp(path, name) != 0)
		return -ENOENT;
	return fstat(card.fd, st) < 0 ? -errno : 0;
}

static int card_open(const char *path, struct fuse_file_info *fi)
{
	return strcmp(path, name) == 0 ? 0 : -ENOENT;
}

static int card_read(const char *path, char *out, size_t size, off_t at, struct fuse_file_info *fi)
{
	ssize_t n = pread(card.fd, out, size, at);
	return n < 0 ? -errno : (int)n;
}

static int card_write(const char *path, const char *bytes, size_t size, off_t at, struct fuse_file_info *fi)
{
	double done = now_ms() + card.write_ms + (double)size / card.bytes_per_ms;
	ssize_t n = pwrite(card.fd, bytes, size, at);
	int error = errno;
	sleep_until(done);
	return n < 0 ? -error : (int)n;
}

/* All that was written before is on the card: commands are done when they are answered. */
static int card_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	return 0;
}

/* mkfs and the loop driver punch holes where blocks are free again. */
static int card_fallocate(const char *path, int mode, off_t at, off_t len, struct fuse_file_info *fi)
{
	return fallocate(card.fd, mode, at, len) < 0 ? -errno : 0;
}

static void *card_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	/* What writes back to a loop device must never wait for that device. */
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct fuse_operations operations = {
		.init = card_init,
		.getattr = card_getattr,
		.open = card_open,
		.read = card_read,
		.write = card_write,
		.fsync = card_fsync,
		.fallocate = card_fallocate,
	};

	if (argc != 5 || atof(argv[3]) < 0 || atof(argv[4]) <= 0) {
		fprintf(stderr, "usage: slowcard BACKING-FILE MOUNT-POINT MS-PER-WRITE MB-PER-SECOND\n");
		return 2;
	}
	card.fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (card.fd < 0)
		die(-errno, "%s", argv[1]);
	card.write_ms = atof(argv[3]);
	card.bytes_per_ms = atof(argv[4]) * 1e3;
	/* -s: one command at a time. */
	char *arguments[] = {argv[0], argv[2], "-f", "-s", "-o", "fsname=slowcard,default_permissions", NULL};
	return fuse_main(6, arguments, &operations, NULL);
}
