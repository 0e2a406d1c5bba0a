/* What a mount does at its beginning and at its end, without the mount: an upper that a daemon has left is brought to
 * its directory, by the code that recovers it at a mount (fs/recover.h). */
#ifndef CLAWFS_OFFLINE_H
#define CLAWFS_OFFLINE_H

#include <stddef.h>
#include <stdint.h>

struct offline_done {
	char upper[4096]; /* where it was */
	uint64_t files;	  /* brought to the directory */
	uint64_t bytes;
	unsigned left_out; /* entries that could not be: they stay in the upper, and the log names them */
};

/* Brings what `upper` holds ("": where a mount of `dir` would have it) to `dir`, durably, and removes it from there.
 * Warnings go to stderr. 0; or a negative errno with thing, reason and remedy in `why`: -EBUSY while `dir` is mounted
 * or the upper in use, those of upper_open and of the lower. What did not reach `dir` stays in the upper (P9). */
int offline_recover(const char *dir, const char *upper, struct offline_done *done, char *why, size_t why_size);

#endif
