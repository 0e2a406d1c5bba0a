/* What the parts of a rotation share: rotate.c (whether, where, the lower's part, the tables), rotateupper.c (the
 * upper's part, and what a crash has left). For nobody else. Locks as the callers' in rotate.c: tree, and the file's
 * for writing. Negative errno as write(2). */
#ifndef CLAWFS_ROTATEIMPL_H
#define CLAWFS_ROTATEIMPL_H

#include "fs/fs.h"

/* A fresh upper file in work/ with what `old` has from `cut` on: a descriptor. */
int rotate_rest(struct clawfs *fs, int old, off_t cut, const struct upper_work *work);

/* In place, for an upper file that the kernel's writers hold: the rest is copied to the beginning, which is a hole or
 * holds what the lower has, and one truncation makes it the log. Writers must be out (hold.h).
 *   - rotate_place_begin: between the intent and the lower's rename. The page before the tail's first becomes a hole
 *     until the truncation; by that is known whether it was done. -EAGAIN: too much waits behind `cut`;
 *   - rotate_place_end: behind the rename. `before` is the upper file's state at the begin; its times stay. -EAGAIN: it
 *     was written meanwhile;
 *   - rotate_place_undo: before the truncation. The head is a hole then. */
int rotate_place_begin(int fd, off_t cut, const struct stat *before);
int rotate_place_end(const struct lower *lower, int fd, off_t cut, const struct stat *before);
void rotate_place_undo(int fd, off_t cut);

#endif
