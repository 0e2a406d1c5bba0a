/* Taking over what an earlier daemon left in the upper (P6, P12). */
#ifndef CLAWFS_RECOVER_H
#define CLAWFS_RECOVER_H

#include "fs/fs.h"

struct listing;

/* Completes an interrupted rename, then enters every file of the upper tree
 * as dirty, so that the flusher brings it to the lower in its time. What
 * cannot be used is named in the log and left out. Before requests are served.
 * 0, or a negative errno when the upper could not be read at all. */
int recover_upper(struct clawfs *fs, msec_t now);

/* --- shared with a worker's takeover ------------------------------------- */

/* Completes the rename of a directory that exists on both sides, if one was under way. */
void recover_rename(struct clawfs *fs);
/* Completes a rotation; false when it had not begun on the lower, or was taken back. */
bool recover_rotation(struct clawfs *fs, const struct upper_intent *intent);
/* What lies in a directory of the upper, without "." and ".."; NULL on error. */
struct listing *recover_list(int dir);
/* A descriptor of a file in the upper, to read and write, whatever its mode; -1 and errno. */
int recover_open(int dir, const char *name);

#endif
