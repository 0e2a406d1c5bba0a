/* X.log where only X.log.gz is: the view (node flag PACKED).
 *
 * A name of kind LOG_PLAIN that neither side has, beside an X.log.gz on the lower, is a node of its own: it is found by
 * lookup, not by readdir; shows the content's length, and the times, mode and owner of the .gz; and reads as the
 * content (fs/zview.h). What changes it (open for writing, truncation, chmod, utimens, rename, link, setxattr) brings
 * the log back to life first: inflated to a temporary file, synced, renamed to X.log, and the .gz unlinked. A crash in
 * between leaves what is in pack.h: both, until the next look.
 *
 * The length of a .gz that clawfs wrote stands in its header. One of another's making is inflated once, when it is
 * first asked for (and again after it changed), up to VIEW_FOREIGN_MAX. One that is longer cannot be opened by the
 * log's name (EIO); one that is damaged shows the length that it claims, and EIO when it is read as far as that; the
 * log says why, once.
 *
 * The kernel is told to keep neither name nor attributes of a view: what its .gz does is not done to it. */
#ifndef CLAWFS_VIEW_H
#define CLAWFS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct clawfs;
struct file;

#define VIEW_FOREIGN_MAX ((uint64_t)512 << 20)

/* Not an error of any call: the caller is to give up its locks, call view_measure or view_revive, and try again. */
#define VIEW_AGAIN EREMCHG

/* --- tree lock held ------------------------------------------------------ */

bool view_is(struct clawfs *fs, uint32_t node);
/* A view whose .gz has gone: it is nothing any more. */
bool view_is_stale(struct clawfs *fs, uint32_t node);
/* What stat(2) shows; -VIEW_AGAIN when its length must be asked for first. */
int view_stat(struct clawfs *fs, uint32_t node, struct stat *st);
/* The lower has no `name`: the node of its view, entered, if there is one. -ENOENT. For writing. */
int view_resolve(struct clawfs *fs, uint32_t parent, const char *name, uint32_t *node);
/* The node's lower file is gone and X.log.gz is there. For writing. */
void view_become(struct clawfs *fs, uint32_t node);
/* The view that exists because of `name`, an X.log.gz; 0: none is known. */
uint32_t view_of(struct clawfs *fs, uint32_t parent, const char *name);
/* Keeps hold of its .gz for who has it open nameless. For writing. */
void view_anchor(struct clawfs *fs, uint32_t node);
/* Removes what the view shows: its .gz, and then itself. For writing. */
int view_unlink(struct clawfs *fs, uint32_t node);
/* Makes the view ready to be read; file lock held for writing. -VIEW_AGAIN when it is to be `written`. */
int view_open(struct clawfs *fs, uint32_t slot, bool written);

/* --- file lock held ------------------------------------------------------ */

ssize_t view_read(struct clawfs *fs, uint32_t slot, void *buf, size_t len, off_t off);
/* The length, and a descriptor that is the view's; -1 when it is not open. */
int view_fstat(struct clawfs *fs, uint32_t slot, struct stat *st);
void view_close(struct clawfs *fs, uint32_t slot);

/* In a successor (takeover.h): views and logs are what the lower says. */
void view_takeover(struct clawfs *fs);

/* --- no lock held -------------------------------------------------------- */

int view_measure(struct clawfs *fs, uint32_t node);
/* 0 also when it is no view any more. */
int view_revive(struct clawfs *fs, uint32_t node);
/* Says in the log, once for each damaged file, what a read came upon. */
void view_complain(struct clawfs *fs, uint32_t slot);

#endif
