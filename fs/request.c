#include "fs/request.h"
#include "fs/crashpoint.h"
#include <linux/fuse.h>
#include <string.h>
#include <sys/mman.h>

/* Linux 6.9; Debian 12's headers are older. */
#define UNIQUE_RESEND ((uint64_t)1 << 63)
/* Linux 5.14: MADV_POPULATE_WRITE. */
#define MADV_POPULATE 23

static __thread struct request *current;
static __thread bool again;

static bool needs_record(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_LOOKUP:
	case FUSE_READDIRPLUS:
	case FUSE_SYMLINK:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
	case FUSE_RENAME:
	case FUSE_RENAME2:
	case FUSE_LINK:
	case FUSE_OPEN:
	case FUSE_OPENDIR:
	case FUSE_CREATE:
	case 51: /* FUSE_TMPFILE, Linux 6.1 */
	case FUSE_WRITE:
	case FUSE_SETXATTR:
	case FUSE_REMOVEXATTR:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		return true;
	default:
		return false;
	}
}

static struct request *find(struct requests *all, uint64_t unique)
{
	for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
		struct request *r = &all->record[i];
		if (__atomic_load_n(&r->state, __ATOMIC_ACQUIRE) != REQUEST_FREE && r->unique == unique)
			return r;
	}
	return NULL;
}

static bool take(struct request *r, uint32_t from)
{
	return __atomic_compare_exchange_n(&r->state, &from, REQUEST_BEGUN, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* A free record, or that of the longest forgotten one of an earlier worker. */
static struct request *claim(struct requests *all, uint32_t generation)
{
	static __thread uint32_t next;
	struct request *oldest = NULL;

	for (uint32_t n = 0; n < REQUESTS_MAX; n++) {
		struct request *r = &all->record[next++ % REQUESTS_MAX];
		uint32_t state = __atomic_load_n(&r->state, __ATOMIC_ACQUIRE);
		if (state == REQUEST_FREE && take(r, REQUEST_FREE)) {
			next--;
			return r;
		}
		if (state != REQUEST_FREE && r->generation != generation && (!oldest || r->unique < oldest->unique))
			oldest = r;
	}
	return oldest && take(oldest, oldest->state) ? oldest : NULL;
}

void request_wait(void *buf, size_t len)
{
	static __thread void *known;

	if (buf == known)
		return;
	known = buf;
	/* Where the kernel cannot, the pages come one by one. */
	(void)madvise((void *)((uintptr_t)buf & ~(uintptr_t)4095), len + ((uintptr_t)buf & 4095), MADV_POPULATE);
}

/* What the kernel gives back, which it will not say again. */
static void note_forgets(struct request *r, const char *in, size_t len)
{
	struct fuse_in_header head;
	struct fuse_batch_forget_in batch = {.count = 1};
	struct fuse_forget_one one;
	size_t at = sizeof(head);

	memcpy(&head, in, sizeof(head));
	one.nodeid = head.nodeid;
	if (head.opcode == FUSE_FORGET && len >= at + sizeof(struct fuse_forget_in)) {
		memcpy(&one.nlookup, in + at, sizeof(one.nlookup));
	} else if (head.opcode == FUSE_BATCH_FORGET && len >= at + sizeof(batch)) {
		memcpy(&batch, in + at, sizeof(batch));
		at += sizeof(batch);
	} else {
		return;
	}
	uint32_t n = 0;
	for (; n < batch.count && n < REQUEST_GIVEN_MAX; n++, at += sizeof(one)) {
		if (head.opcode == FUSE_BATCH_FORGET) {
			if (at + sizeof(one) > len)
				break;
			memcpy(&one, in + at, sizeof(one));
		}
		r->given[n] = (uint32_t)one.nodeid;
		r->count[n] = one.nlookup > UINT32_MAX ? UINT32_MAX : (uint32_t)one.nlookup;
	}
	__atomic_store_n(&r->gave, n, __ATOMIC_RELEASE);
}

void request_read(struct requests *all, uint32_t generation, const void *in, size_t len)
{
	struct fuse_in_header head;

	current = NULL;
	again = false;
	if (len < sizeof(head))
		return;
	memcpy(&head, in, sizeof(head));
	again = head.unique & UNIQUE_RESEND;
	uint64_t unique = head.unique & ~UNIQUE_RESEND;
	if (!unique || !needs_record(head.opcode))
		return;
	if (again)
		current = find(all, unique);
	if (!current) {
		struct request *r = claim(all, generation);
		if (!r)
			return;
		CRASH_POINT("request: claimed");
		r->rc = 0;
		r->node = r->handle = r->slot = 0;
		r->able = false;
		r->gave = 0;
		r->opcode = head.opcode;
		__atomic_store_n(&r->unique, unique, __ATOMIC_RELEASE);
		current = r;
		CRASH_POINT("request: recorded");
		if (head.opcode == FUSE_FORGET || head.opcode == FUSE_BATCH_FORGET)
			note_forgets(r, in, len);
	}
	current->generation = generation;
}

void request_answered(const void *out, size_t len)
{
	struct fuse_out_header head;

	if (!current || len < sizeof(head))
		return;
	CRASH_POINT("request: answered");
	memcpy(&head, out, sizeof(head));
	/* A notification that it sends meanwhile has none. */
	if ((head.unique & ~UNIQUE_RESEND) != current->unique)
		return;
	current->unique = 0;
	__atomic_store_n(&current->state, REQUEST_FREE, __ATOMIC_RELEASE);
	current = NULL;
}

struct request *request_current(void)
{
	return current;
}

bool request_is_again(void)
{
	return again;
}

void request_done(int rc, uint32_t node)
{
	if (!current)
		return;
	current->rc = rc;
	current->node = node;
	__atomic_store_n(&current->state, REQUEST_DONE, __ATOMIC_RELEASE);
}

void request_gives(uint32_t node)
{
	if (!current || current->gave == REQUEST_GIVEN_MAX)
		return;
	current->given[current->gave] = node;
	__atomic_store_n(&current->gave, current->gave + 1, __ATOMIC_RELEASE);
}

void request_gives_not(uint32_t node)
{
	if (current && current->gave > 0 && current->given[current->gave - 1] == node)
		__atomic_store_n(&current->gave, current->gave - 1, __ATOMIC_RELEASE);
}

void request_forgets(void)
{
	if (current && current->gave > 0)
		__atomic_store_n(&current->gave, current->gave - 1, __ATOMIC_RELEASE);
}

void request_forgotten(void)
{
	if (!current)
		return;
	current->unique = 0;
	__atomic_store_n(&current->state, REQUEST_FREE, __ATOMIC_RELEASE);
	current = NULL;
}

void request_made(uint32_t node)
{
	if (!current)
		return;
	current->node = node;
	__atomic_store_n(&current->state, REQUEST_MADE, __ATOMIC_RELEASE);
}

bool request_was_done(void)
{
	return again && current && current->state == REQUEST_DONE;
}

void requests_revive(struct requests *all)
{
	for (uint32_t i = 0; i < REQUESTS_MAX; i++)
		if (!all->record[i].unique)
			all->record[i].state = REQUEST_FREE;
}
