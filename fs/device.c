#include "fs/device.h"
#include "fs/fs.h"
#include "fs/listing.h"
#include "fs/ops.h"
#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *const names[DEVICE_OPCODES] = {
	[FUSE_LOOKUP] = "LOOKUP",
	[FUSE_FORGET] = "FORGET",
	[FUSE_GETATTR] = "GETATTR",
	[FUSE_SETATTR] = "SETATTR",
	[FUSE_READLINK] = "READLINK",
	[FUSE_SYMLINK] = "SYMLINK",
	[FUSE_MKNOD] = "MKNOD",
	[FUSE_MKDIR] = "MKDIR",
	[FUSE_UNLINK] = "UNLINK",
	[FUSE_RMDIR] = "RMDIR",
	[FUSE_RENAME] = "RENAME",
	[FUSE_LINK] = "LINK",
	[FUSE_OPEN] = "OPEN",
	[FUSE_READ] = "READ",
	[FUSE_WRITE] = "WRITE",
	[FUSE_STATFS] = "STATFS",
	[FUSE_RELEASE] = "RELEASE",
	[FUSE_FSYNC] = "FSYNC",
	[FUSE_SETXATTR] = "SETXATTR",
	[FUSE_GETXATTR] = "GETXATTR",
	[FUSE_LISTXATTR] = "LISTXATTR",
	[FUSE_REMOVEXATTR] = "REMOVEXATTR",
	[FUSE_FLUSH] = "FLUSH",
	[FUSE_INIT] = "INIT",
	[FUSE_OPENDIR] = "OPENDIR",
	[FUSE_READDIR] = "READDIR",
	[FUSE_RELEASEDIR] = "RELEASEDIR",
	[FUSE_FSYNCDIR] = "FSYNCDIR",
	[FUSE_GETLK] = "GETLK",
	[FUSE_SETLK] = "SETLK",
	[FUSE_SETLKW] = "SETLKW",
	[FUSE_ACCESS] = "ACCESS",
	[FUSE_CREATE] = "CREATE",
	[FUSE_INTERRUPT] = "INTERRUPT",
	[FUSE_BMAP] = "BMAP",
	[FUSE_DESTROY] = "DESTROY",
	[FUSE_IOCTL] = "IOCTL",
	[FUSE_POLL] = "POLL",
	[FUSE_BATCH_FORGET] = "BATCH_FORGET",
	[FUSE_FALLOCATE] = "FALLOCATE",
	[FUSE_READDIRPLUS] = "READDIRPLUS",
	[FUSE_RENAME2] = "RENAME2",
	[FUSE_LSEEK] = "LSEEK",
	[FUSE_COPY_FILE_RANGE] = "COPY_FILE_RANGE",
	/* Debian 12's kernel headers end before these. */
	[50] = "SYNCFS",
	[51] = "TMPFILE",
	[52] = "STATX",
};

const char *device_opcode_name(uint32_t opcode)
{
	return opcode < DEVICE_OPCODES && names[opcode] ? names[opcode] : "OTHER";
}

const char *const device_error_names[DEVICE_ERRORS] = {
	[DEVICE_EIO] = "EIO",	  [DEVICE_ENOSPC] = "ENOSPC", [DEVICE_EDQUOT] = "EDQUOT",
	[DEVICE_EROFS] = "EROFS", [DEVICE_ENOMEM] = "ENOMEM",
};

/* A thread serves one request at a time, from reading it to the reply: what it is about is the thread's own. */
static _Thread_local struct {
	uint64_t unique, begun_us;
	uint32_t opcode;
} serving;

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void time_request(struct clawfs *fs, const struct fuse_in_header *in, uint32_t opcode)
{
	if (!fs->device.timed)
		return;
	serving.begun_us = now_us();
	serving.unique = in->unique;
	serving.opcode = opcode;
	stats_tick(fs->stats, (msec_t)(serving.begun_us / 1000));
}

static void time_reply(struct clawfs *fs, const struct fuse_out_header *out)
{
	static const int errors[DEVICE_ERRORS] = {EIO, ENOSPC, EDQUOT, EROFS, ENOMEM};

	for (int i = 0; out->error && i < DEVICE_ERRORS; i++)
		if (out->error == -errors[i])
			__atomic_add_fetch(&fs->device.errors[i], 1, __ATOMIC_RELAXED);
	/* A notification is no reply: its unique is 0. */
	if (!fs->device.timed || !out->unique || out->unique != serving.unique)
		return;
	latency_add(&fs->device.latency[serving.opcode], now_us() - serving.begun_us);
	serving.unique = 0;
}

static ssize_t device_read(int fd, void *buf, size_t len, void *userdata)
{
	struct clawfs *fs = userdata;

	request_wait(buf, len);
	ssize_t n = read(fd, buf, len);
	if (n < (ssize_t)sizeof(struct fuse_in_header))
		return n;
	const struct fuse_in_header *in = buf;
	uint32_t opcode = device_opcode_name(in->opcode) == device_opcode_name(0) ? 0 : in->opcode;
	__atomic_add_fetch(&fs->device.requests[opcode], 1, __ATOMIC_RELAXED);
	time_request(fs, in, opcode);
	passthrough_saw_request(&fs->passthrough, buf, (size_t)n);
	request_read(&fs->shared->requests, fs->shared->generation, buf, (size_t)n);
	if (request_is_again())
		ops_take_back(fs);
	return n;
}

static ssize_t device_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct clawfs *fs = userdata;

	if (count > 0 && iov[0].iov_len >= sizeof(struct fuse_out_header))
		time_reply(fs, iov[0].iov_base);
	if (count == 2)
		passthrough_saw_reply(fs, iov[1].iov_base, iov[1].iov_len);
	ssize_t n = writev(fd, iov, count);
	request_answered(iov[0].iov_base, iov[0].iov_len);
	return n;
}

int device_install(struct clawfs *fs)
{
	fs->device.timed = fs->config.metrics;
	const struct fuse_custom_io io = {.read = device_read, .writev = device_writev};

	return fuse_session_custom_io(fs->session, &io, fuse_session_fd(fs->session));
}

/* --- stats --------------------------------------------------------------- */

void device_stats_text(const struct device *device, struct listing *out)
{
	listing_text(out, "requests:");
	for (uint32_t op = 0; op < DEVICE_OPCODES; op++) {
		uint64_t n = __atomic_load_n(&device->requests[op], __ATOMIC_RELAXED);
		if (n)
			listing_text(out, " %s %llu", device_opcode_name(op), (unsigned long long)n);
	}
	listing_text(out, "\n");
}

void device_stats_json(const struct device *device, struct listing *out)
{
	const char *comma = "";

	listing_text(out, ",\"requests\":{");
	for (uint32_t op = 0; op < DEVICE_OPCODES; op++) {
		uint64_t n = __atomic_load_n(&device->requests[op], __ATOMIC_RELAXED);
		if (!n)
			continue;
		listing_text(out, "%s\"%s\":%llu", comma, device_opcode_name(op), (unsigned long long)n);
		comma = ",";
	}
	listing_text(out, "}");
}
