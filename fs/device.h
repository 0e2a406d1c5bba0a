/* The one place where messages of the kernel go by: every request as it is
 * read from the FUSE device, every reply as it is written. libfuse calls it
 * (fuse_session_custom_io, in all versions since 3.13). What wants to see requests before
 * libfuse does, or replies after, is called from here and nowhere else:
 *
 *   reading    the count by opcode, and the time, for the stats
 *              passthrough_saw_request (what the kernel offers in FUSE_INIT)
 *              request_read (what must not be done twice)
 *   writing    how long it took, and errors, for the stats
 *              passthrough_complete_init (what we take of it)
 *              request_answered
 *
 * Several threads read at once. Nothing here takes a lock or waits, but for the
 * read itself. */
#ifndef CLAWFS_DEVICE_H
#define CLAWFS_DEVICE_H

#include "fs/latency.h"
#include <stdbool.h>
#include <stdint.h>

struct clawfs;
struct listing;

/* Opcodes are below that (linux/fuse.h); what a later kernel adds counts as 0. */
#define DEVICE_OPCODES 64

/* Replies with an error that the application did not ask for. */
enum device_error { DEVICE_EIO, DEVICE_ENOSPC, DEVICE_EDQUOT, DEVICE_EROFS, DEVICE_ENOMEM, DEVICE_ERRORS };

struct device {
	uint64_t requests[DEVICE_OPCODES];	/* atomic: by opcode, since the mount */
	bool timed;				/* fixed at mount: `latency` is kept */
	struct latency latency[DEVICE_OPCODES]; /* from a request's arrival to its reply */
	uint64_t errors[DEVICE_ERRORS];		/* atomic */
};

extern const char *const device_error_names[DEVICE_ERRORS];

/* Between the mount and the first request. 0 or a negative errno of fuse_session_custom_io. */
int device_install(struct clawfs *fs);

/* The requests so far, those that never came left out: a line of the text, a member of the JSON. */
void device_stats_text(const struct device *device, struct listing *out);
void device_stats_json(const struct device *device, struct listing *out);

/* The kernel's name of an opcode ("LOOKUP"); "OTHER" for what is not known. */
const char *device_opcode_name(uint32_t opcode);

#endif
