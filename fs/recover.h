/* Taking over what an earlier daemon left in the upper (P6, P12). */
#ifndef CLAWFS_RECOVER_H
#define CLAWFS_RECOVER_H

#include "fs/fs.h"

/* Completes an interrupted rename, then enters every file of the upper tree
 * as dirty, so that the flusher brings it to the lower in its time. What
 * cannot be used is named in the log and left out. Before requests are served.
 * 0, or a negative errno when the upper could not be read at all. */
int recover_upper(struct clawfs *fs, msec_t now);

#endif
