/* What is held in RAM, file by file, and bringing a part of it to the lower:
 * `.clawfs/dirty` and the command "flush PATH". */
#ifndef CLAWFS_DIRTY_H
#define CLAWFS_DIRTY_H

#include "fs/listing.h"

/* One line for each file in RAM: class, what it waits for, bytes, milliseconds since its first change that
 * the lower misses, path from the mount's root; blanks between them. The path is last and has \012 and \134
 * for a newline and a backslash, as in proc(5) mountinfo. Waits:
 *   due         for its window (P4)
 *   flushing    a flush runs
 *   rewritten   its writer has cut it and not finished (P3)
 *   refused     the lower refused the last flush; tried again (P9)
 *   -           for nothing: volatile, or clean and still open
 * No lock held. */
void dirty_list(struct clawfs *fs, struct listing *out, msec_t now);

/* Makes durable what is dirty at `path` (from the mount's root, of `len` bytes, "" for all) or below it, with
 * the commits of databases there. 0, or the first errno of the lower after trying all. No lock held. */
int dirty_flush(struct clawfs *fs, const char *path, size_t len);

#endif
