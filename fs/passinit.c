/* The start of the session, of passthrough.h. */
#include "fs/fs.h"
#include "fs/passthrough.h"
#include <fuse_lowlevel.h>
#include <linux/capability.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIBFUSE_HAS_API (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17))

#define INIT_KILLPRIV_V2 ((uint64_t)1 << 28)
#define INIT_EXTENDED	 ((uint64_t)1 << 30)
#define INIT_DIRECT_MMAP ((uint64_t)1 << 36)
#define INIT_PASSTHROUGH ((uint64_t)1 << 37)
/* The lower may be any file system but one that is itself stacked on another. */
#define STACK_DEPTH 1

/* In the calling thread's effective set. */
static bool has_capability(unsigned cap)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	return syscall(SYS_capget, &head, data) == 0 && data[cap / 32].effective & 1u << cap % 32;
}

static bool is_wanted(const struct clawfs *fs)
{
	return fs->config.passthrough == PASSTHROUGH_AUTO && has_capability(CAP_SYS_ADMIN);
}

/* The layouts are the kernel's and older ones are their beginnings (include/uapi/linux/fuse.h). */
struct init_request {
	struct fuse_in_header header;
	uint32_t major, minor, max_readahead, flags, flags2;
};

struct init_reply {
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, max_stack_depth;
	uint32_t unused[6];
};
_Static_assert(sizeof(struct init_reply) == 64, "as the kernel's");

void passthrough_saw_request(struct passthrough *p, const void *in, size_t len)
{
	struct init_request request = {0};

	if (__atomic_load_n(&p->answered, __ATOMIC_ACQUIRE) || len < offsetof(struct init_request, flags2))
		return;
	memcpy(&request, in, len < sizeof(request) ? len : sizeof(request));
	if (request.header.opcode != FUSE_INIT)
		return;
	p->offered = request.flags;
	if (p->offered & INIT_EXTENDED)
		p->offered |= (uint64_t)request.flags2 << 32;
}

void passthrough_complete_init(struct passthrough *p, void *init_out, size_t len, bool want)
{
	struct init_reply reply;

	if (__atomic_load_n(&p->answered, __ATOMIC_ACQUIRE) || len != sizeof(reply))
		return;
	memcpy(&reply, init_out, sizeof(reply));
	reply.flags |= (uint32_t)(p->offered & INIT_KILLPRIV_V2);
	/* Readers of logs are answered directly (file_is_direct), and may map them all the same. */
	if (p->offered & INIT_DIRECT_MMAP) {
		reply.flags |= (uint32_t)INIT_EXTENDED;
		reply.flags2 |= (uint32_t)(INIT_DIRECT_MMAP >> 32);
	}
	if (want && p->offered & INIT_PASSTHROUGH) {
		reply.flags |= (uint32_t)INIT_EXTENDED;
		reply.flags2 |= (uint32_t)(INIT_PASSTHROUGH >> 32);
		reply.max_stack_depth = STACK_DEPTH;
		__atomic_store_n(&p->active, true, __ATOMIC_RELEASE);
	}
	memcpy(init_out, &reply, sizeof(reply));
	__atomic_store_n(&p->answered, true, __ATOMIC_RELEASE);
}

#if LIBFUSE_HAS_API

/* libfuse has answered FUSE_INIT in full. */
void passthrough_saw_reply(struct clawfs *fs, void *reply, size_t len)
{
	(void)fs;
	(void)reply;
	(void)len;
}

void passthrough_init(struct clawfs *fs, struct fuse_conn_info *conn)
{
	conn->want |= conn->capable & (FUSE_CAP_HANDLE_KILLPRIV_V2 | FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
	if (conn->capable & FUSE_CAP_PASSTHROUGH && is_wanted(fs)) {
		conn->want |= FUSE_CAP_PASSTHROUGH;
		conn->max_backing_stack_depth = STACK_DEPTH;
		__atomic_store_n(&fs->passthrough.active, true, __ATOMIC_RELEASE);
	}
}

#else

void passthrough_saw_reply(struct clawfs *fs, void *reply, size_t len)
{
	if (!__atomic_load_n(&fs->passthrough.answered, __ATOMIC_ACQUIRE))
		passthrough_complete_init(&fs->passthrough, reply, len, is_wanted(fs));
}

void passthrough_init(struct clawfs *fs, struct fuse_conn_info *conn)
{
	(void)fs;
	(void)conn;
}

#endif
