/* Rotation: X.log grew to log_rotate_bytes; its bytes become X.N.log, and X.log
 * goes on with what was written since. When: policy/life.h; names: policy/logname.h.
 *
 * It happens when a flush has brought the log to the lower up to a line end. The lower's file is renamed, which
 * changes no byte of it; what waits in RAM is moved to the beginning of a fresh upper file. So each line is in exactly
 * one part, and on the lower each part is complete before the next begins.
 *
 * To the applications the inode stays X.log: who has it open goes on in it, as after copytruncate of logrotate(8), but
 * without the hole and without the loss. The offsets of their descriptors do not know of it:
 *   - O_APPEND writes where the daemon sees the end;
 *   - a writer without O_APPEND goes on where it was, less what was cut off (file->cut);
 *   - readers are answered by the daemon and not from pages (file_is_direct), because the kernel, which has the
 * writers' offsets, takes the log for longer than it is until it next asks for the size. A log that somebody reads from
 * pages all the same, who opened it under another name, is not rotated meanwhile.
 *
 * A log that the kernel writes itself (FILE_IO_UPPER) keeps its upper file: its writers are kept out for an instant
 * (hold.h), what waits is copied to the beginning, which the lower has, and one truncation makes it the new log. Who
 * has it mapped sees it cut, as with copytruncate. When its writers outlived the mount before this one they cannot be
 * kept out, and it is not rotated until they have ended.
 *
 * Who follows the log (`tail -F`) sees that it has become shorter, and begins at its beginning. So it misses no line
 * and sees none twice if it had read just what was cut off: where somebody follows, the flush that makes a log large
 * enough ends there, and the log is cut if nobody has read on meanwhile; at twice the size it is cut in any case.
 *
 * Between the two renames, on the lower and in the upper, a crash is completed by recover.c, or by the successor: an
 * intent says how much was cut off (upper.h). In place, what had not come to the truncation is taken back, because the
 * writers may not be out any more. A power cut in between finds all that was flushed in the part. */
#ifndef CLAWFS_ROTATE_H
#define CLAWFS_ROTATE_H

#include "policy/types.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct clawfs;
struct handle;
struct upper_intent;

/* Whether a file of that name may be rotated or compressed at all. Tree lock held. */
bool rotate_applies(struct clawfs *fs, uint32_t parent, const char *name);

/* A read through the handle went up to `off`. No lock held. */
void rotate_saw_read(struct clawfs *fs, struct handle *h, off_t off);
/* Where a flush of [from, to) is to end; the file is open on `fd`. Tree lock and file lock held. */
off_t rotate_flush_to(struct clawfs *fs, uint32_t slot, int fd, off_t from, off_t to);

/* A flush of the log has ended well and left `size` bytes of it on the lower. Rotates it if it is due. The caller has a
 * reference on the file, and no lock. */
void rotate_consider(struct clawfs *fs, uint32_t slot, off_t size);

/* The writers of the node's file are out (hold.h): rotates it if it is due. No lock held. 0, or a negative errno:
 * -EAGAIN when it is not. */
int rotate_held(struct clawfs *fs, uint32_t node);

/* After a crash, of an intent that is `in_place`: whether the rotation stands; if not, it was taken back. `moved`: the
 * lower's part was done. */
bool rotate_settle(struct clawfs *fs, const struct upper_intent *intent, bool moved);
/* The upper's part of any other that was interrupted behind the lower's. */
void rotate_complete(struct clawfs *fs, const struct upper_intent *intent);
/* In a successor (takeover.h), before it looks at files: completes it, and the tables' part. */
void rotate_takeover(struct clawfs *fs);

#endif
