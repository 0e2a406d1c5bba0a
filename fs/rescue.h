/* What a card refuses to the end: the files that only RAM has, saved as a tar
 * at unmount (P9), and put onto a card later.
 *
 *   NAME-YYYYMMDDTHHMMSSZ.tar    NAME: the lower's path, "/" written as "-"; the time is UTC.
 *                                Mode 0600, in a directory of mode 0700 (P10)
 *   README                       which lower, when, and how to apply it by hand
 *   files/PATH                   a directory that leads to a file, or a whole file: it replaces PATH
 *   tails/N/PATH                 the end of a log: its bytes from offset N on. What comes before them is on the card,
 * and only there. So the log is cut to N bytes, or has just N, and these are appended
 *
 * A tail is no sparse file at its own offset: a person who unpacks the archive over the directory, as one does, would
 * get zeros for the log's head. Volatile files are not saved: they are RAM's (DESIGN.md section 2). */
#ifndef CLAWFS_RESCUE_H
#define CLAWFS_RESCUE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <time.h>

struct clawfs;

/* --- saving --------------------------------------------------------------- */

/* Where rescues go when the option rescue_dir is not given. */
void rescue_default_dir(char *path, size_t size);

/* Judges the option when the mount begins, not when all depends on it: `dir` (of `size` bytes) "" becomes the default;
 * another becomes absolute, because the daemon leaves the directory it is relative to, and must be there or be one that
 * can be made, private. Leaves nothing behind. 0; or a negative errno with thing, reason and remedy in `why`. */
int rescue_prepare(char *dir, size_t size, char *why, size_t why_size);

struct rescue_saved {
	char path[4096]; /* of the archive; "" when there was nothing to save */
	unsigned files;
	long long bytes;
};

/* Saves all that is dirty, as it is in RAM; the directory is made if need be. Complete under its name or not there at
 * all, and synced. Nothing in the upper changes. 0; or a negative errno with the reason and the remedy in `why`.
 * After the last request and the flusher's end: nobody else changes anything. Takes the tree lock. `now` is wall-clock
 * time, for the name. */
int rescue_save(struct clawfs *fs, const char *dir, time_t now, struct rescue_saved *saved, char *why, size_t why_size);

/* --- applying ------------------------------------------------------------- */

/* The newest rescue in `dir` of the lower at the absolute path `lower`: its path. 0; -ENOENT: none; as opendir(3). */
int rescue_find(const char *dir, const char *lower, char *path, size_t size);

enum rescue_outcome {
	RESCUE_APPLIED,
	RESCUE_THERE,  /* the card has it already */
	RESCUE_REFUSED /* `why` says why, and what to do; the card is as it was */
};

/* Told of each file; `path` is from the lower's root. */
typedef void rescue_said_fn(void *arg, const char *path, enum rescue_outcome outcome, const char *why);

/* Puts what the archive open on `tar` (a regular file, from its beginning) has onto the directory `dir`, each file
 * complete and synced before the next. First the whole archive is read: a damaged one changes nothing. No link is
 * followed and nothing outside `dir` is touched, whatever the archive says.
 *   whole file  replaces PATH, unless the card's was changed later (by mtime): `force` replaces that too
 *   tail        is appended when the card's log has what comes before it, and nothing else after
 * Applying one twice does nothing the second time.
 * How many files were refused; or a negative errno, with a sentence in `why`: -EBADMSG for what is no such archive,
 * -EBUSY for a directory that is mounted by clawfs, any of the card. */
int rescue_apply(int tar, const char *dir, bool force, rescue_said_fn *said, void *arg, char *why, size_t why_size);

#endif
