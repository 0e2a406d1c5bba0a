/* What the parts of the content of a file share: file.c (references, open
 * handles), filedata.c (reading, writing, truncating), fileplace.c (into the
 * upper and out of it), filesync.c (durability). For nobody else. */
#ifndef CLAWFS_FILEIMPL_H
#define CLAWFS_FILEIMPL_H

#include "fs/fs.h"

/* A tail's upper file has real data from the page in which the tail begins. */
#define PAGE_FLOOR(off) ((off) & ~(off_t)4095)

/* A negative errno when it cannot be told. */
off_t file_fd_size(int fd);
/* Closes it if it is open, and says so there. */
void file_close_fd(int *fd);
/* Both descriptors on the lower. */
void file_close_lower(struct file *f);

/* Gets the missing descriptors on the lower. `own`: the daemon needs them,
 * whatever the mode says. Negative errno as open(2). Tree lock, and file lock for writing. */
int file_open_lower(struct clawfs *fs, struct file *f, bool rd, bool wr, bool own);
/* What the handles need while the place is LOWER (F4). A file of a cached
 * class is not written there, so a card that has turned read-only does not
 * keep writers out (P9); its size is read through fd_rd. Locks as file_open_lower. */
int file_open_needed(struct clawfs *fs, struct file *f, bool own);

/* Books how much of the upper a file of `size` bytes there takes. sched.lock held. */
void file_account(struct clawfs *fs, struct file *f, off_t size);

/* Brings a clean file into the upper: as a tail, or whole, or whole and empty.
 * It is built in work/ and renamed into the tree complete, so that a crash
 * cannot leave a piece of it there. `mark`: it begins a new version. Tree lock and file lock held for writing. */
int file_raise(struct clawfs *fs, uint32_t slot, bool tail, bool empty, bool mark);
/* Begins a new version of a whole file in the upper as a fresh, empty file, and keeps the one before until it is
 * complete: a daemon that dies in between must not lose what was acknowledged (P6). Locks as file_raise. */
int file_renew(struct clawfs *fs, uint32_t slot);

/* Brings into the upper what a tail's lower file holds, so that the upper file is complete (F8): for a reader
 * that the kernel takes there itself. Tree lock, and file lock for writing. Negative errno as write(2). */
int file_fill(struct clawfs *fs, uint32_t slot);
/* Makes a whole file of a tail, for a handle that writes elsewhere than at its end. Locks as file_fill. */
int file_make_whole(struct clawfs *fs, uint32_t slot);
/* Closes the upper file, and gives back the kernel's id of it. File lock for writing. */
void file_close_upper(struct clawfs *fs, struct file *f);

/* `size` bytes from one descriptor to another. */
int file_copy_bytes(const struct lower *lower, int from, int to, off_t size);
/* Gives the upper file the owner, mode and times of the lower one. */
int file_copy_attributes(int fd, const struct stat *st);

#endif
