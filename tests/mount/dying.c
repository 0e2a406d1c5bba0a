/* A card that dies on demand, for dm-flakey's absence: a FUSE file system with one file, "card", which is BACKING;
 * a loop device goes over it. STATE is a file that is read at each write and sync:
 *   well          all goes to BACKING
 *   match TEXT    a write that contains TEXT fails with EIO, everything else works: bad blocks
 *   broken        every write and sync fails with EIO
 * usage: dying BACKING STATE MOUNTPOINT; stays in the foreground. */
#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CARD = 2 };

static int backing;
static const char *state_path;

/* Whether the write of these bytes, NULL for a sync, is to fail. */
static bool fails(const char *buf, size_t len)
{
	char state[256];
	int fd = open(state_path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, state, sizeof(state) - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return true;
	state[n] = '\0';
	state[strcspn(state, "\n")] = '\0';
	if (strncmp(state, "match ", 6) == 0)
		return buf && memmem(buf, len, state + 6, strlen(state + 6));
	return strcmp(state, "broken") == 0;
}

static void card_stat(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_mode = ino == CARD ? S_IFREG | 0600 : S_IFDIR | 0700;
	st->st_nlink = 1;
	if (ino == CARD)
		st->st_size = lseek(backing, 0, SEEK_END);
}

static void card_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	card_stat(ino, &st);
	fuse_reply_attr(req, &st, 3600);
}

static void card_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {.ino = CARD, .attr_timeout = 3600, .entry_timeout = 3600};

	(void)parent;
	if (strcmp(name, "card") != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	card_stat(CARD, &e.attr);
	fuse_reply_entry(req, &e);
}

static void card_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void card_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	char *buf = malloc(size);
	ssize_t n = buf ? pread(backing, buf, size, off) : -1;

	(void)ino;
	(void)fi;
	if (n < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_buf(req, buf, (size_t)n);
	free(buf);
}

static void card_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	ssize_t n = fails(buf, size) ? -1 : pwrite(backing, buf, size, off);

	(void)ino;
	(void)fi;
	if (n < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_write(req, (size_t)n);
}

static void card_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, fails(NULL, 0) ? EIO : 0);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = card_lookup,
	.getattr = card_getattr,
	.open = card_open,
	.read = card_read,
	.write = card_write,
	.fsync = card_fsync,
};

int main(int argc, char **argv)
{
	char *args[] = {argv[0], (char *)"-ofsname=dying", NULL};
	struct fuse_args fuse_args = FUSE_ARGS_INIT(2, args);

	if (argc != 4) {
		fprintf(stderr, "usage: dying BACKING STATE MOUNTPOINT\n");
		return 2;
	}
	backing = open(argv[1], O_RDWR);
	state_path = argv[2];
	struct fuse_session *se = backing < 0 ? NULL : fuse_session_new(&fuse_args, &ops, sizeof(ops), NULL);
	if (!se || fuse_set_signal_handlers(se) != 0 || fuse_session_mount(se, argv[3]) != 0) {
		fprintf(stderr, "dying: cannot mount %s on %s: %s\n", argv[1], argv[3], strerror(errno));
		return 1;
	}
	int rc = fuse_session_loop(se);
	fuse_session_unmount(se);
	fuse_session_destroy(se);
	return rc != 0;
}
