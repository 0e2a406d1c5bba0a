/* Set-user-id and set-group-id, which writing by an ordinary user takes from a
 * file. With FUSE_HANDLE_KILLPRIV_V2 the kernel leaves that to us: on write,
 * truncate, O_TRUNC, fallocate and copy_file_range. (On chown the lower's own
 * chown does it, and security.capability goes at any write to the lower.)
 *
 * libfuse does not hand on what the kernel knows of the caller's CAP_FSETID;
 * everybody but root is taken to lack it. */
#ifndef CLAWFS_KILLPRIV_H
#define CLAWFS_KILLPRIV_H

#include "fs/fs.h"

/* Whether a write may take bits from such a file. */
static inline bool killpriv_has(mode_t mode)
{
	return mode & (S_ISUID | S_ISGID);
}

/* `who` is about to change the content of an open file, or of one by name
 * (`slot` 0): takes the bits, on the lower and in the upper, and has the kernel
 * forget the mode. No lock held. 0 or a negative errno as chmod(2); then the content must stay as it is. */
int killpriv(struct clawfs *fs, struct caller who, uint32_t node, uint32_t slot);

#endif
