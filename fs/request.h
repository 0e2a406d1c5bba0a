/* Requests of the kernel that must not be done twice.
 *
 * When a worker dies, the kernel sends what it had not answered to the next
 * one, with the top bit of `unique` set. What of it had been done? A request
 * whose repetition would not give the same has a record here while it is
 * served:
 *
 *   BEGUN  nothing lasting was done, or what the intent (fs/intent.h) and the record's details say
 *   MADE   the file is created (`node`), not yet open
 *   DONE   all is done but the answer, which is `rc` and `node`
 *
 * A successor settles every record that is BEGUN with details (takeover.c)
 * before it serves, so that a request is either undone or DONE when it comes
 * again. Requests without a record (reads, writes at a place, attributes,
 * lookups) are simply done again.
 *
 * The record belongs to the thread that read the request, until it has sent
 * the answer; no lock. */
#ifndef CLAWFS_REQUEST_H
#define CLAWFS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum request_state { REQUEST_FREE, REQUEST_BEGUN, REQUEST_MADE, REQUEST_DONE };

#define REQUEST_GIVEN_MAX 120

struct request {
	uint32_t state;	     /* atomic */
	uint32_t opcode;     /* enum fuse_opcode */
	uint64_t unique;     /* the kernel's, without its top bit; 0: not filled in yet */
	uint32_t generation; /* of the worker that began it */
	int32_t rc;
	uint32_t node;
	bool able;	 /* an extended attribute can be made, or removed */
	uint32_t handle; /* made or to be closed by it; 0 */
	/* An append under way: of `len` bytes at `off` of the file `slot`; 0 none. Written last, cleared first. */
	uint32_t slot;
	off_t off, len;
	/* References of nodes that the answer gives to the kernel, or that it gives back (FORGET); more than fit are
	 * not remembered. */
	uint32_t gave; /* atomic */
	uint32_t given[REQUEST_GIVEN_MAX];
	uint32_t count[REQUEST_GIVEN_MAX]; /* of FORGET */
};

/* More than there are threads: those that are never answered (their process was killed) stay until the room is needed.
 */
#define REQUESTS_MAX 512

struct requests {
	struct request record[REQUESTS_MAX];
};

/* From the device: this thread is going to read a request into `buf`. Its pages are made present: the kernel answers
 * EIO for us if it finds one that is not while the process is being killed. */
void request_wait(void *buf, size_t len);
/* From the device: a request was read by this thread; its reply was sent. `generation` of this worker. The second
 * takes the reply's header, and ignores notifications. */
void request_read(struct requests *all, uint32_t generation, const void *in, size_t len);
void request_answered(const void *out, size_t len);

/* The record of the request that this thread serves, NULL when it needs none. */
struct request *request_current(void);
/* The kernel sends it again. */
bool request_is_again(void);
/* The answer gives the kernel a reference of the node, which is counted. */
void request_gives(uint32_t node);
/* Nor that of the last one: it is about to be taken back. */
void request_gives_not(uint32_t node);
/* From FORGET: before each of the references that it gives back, from the last to the first; and at its end, since no
 * answer ends it. */
void request_forgets(void);
void request_forgotten(void);
/* Its file is there. */
void request_made(uint32_t node);
/* It is done but for the answer. */
void request_done(int rc, uint32_t node);
/* It was done by the worker before. */
bool request_was_done(void);

/* In a successor, before it serves. */
void requests_revive(struct requests *all);

#endif
