/* The upper: a private tree on tmpfs that mirrors the mount and holds exactly
 * what is not yet on the lower. It survives the daemon (P6).
 *
 * Below the upper's own directory:
 *   tree/   the mirror: a whole file, or a log's tail at its own offsets
 *           after a hole; directories as needed to hold them, and directories
 *           that exist in RAM only
 *   work/   files under construction and files on their way out; means
 *           nothing after a crash
 *   before/ while a file of tree/ is being rewritten, under its inode number: its last complete version, or
 *           a symlink when that is on the lower; for a log's tail, a symlink after a sync that failed
 *   intent  a directory rename, or the rotation of a log, in progress (upper_intent_*)
 *   lower   device, inode and file system (fsid) of the lower it belongs to
 *
 * Mode 0700, the daemon's own (P10), locked with flock(2) while it is used. */
#ifndef CLAWFS_UPPER_H
#define CLAWFS_UPPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct lower;

struct upper {
	char path[4096];
	int dir;    /* the upper's own directory */
	int tree;   /* O_PATH of tree/ */
	int work;   /* O_PATH of work/ */
	int before; /* O_PATH of before/ */
	uint64_t next_work;
	bool kept;  /* the directory was there before: it stays */
	bool based; /* it lies in a directory of ours that holds several */
};

/* Finds or makes the upper for the lower. `path` ""
 * chooses /run/clawfs (root, where /run is RAM) or /dev/shm/clawfs-UID, and
 * below it a directory named by the lower's device, inode and file system, so that the next mount of
 * the same lower finds it, and that of another card in the same slot does not (P10); otherwise `path` itself is the
 * directory. 0, or a negative errno with the reason and the remedy in `why`: not a RAM file system, not ours, not
 * creatable. */
int upper_open(struct upper *upper, const char *path, const struct lower *lower, char *why, size_t why_size);

/* Closes; when `remove`, first removes the tree with all that is in it, and
 * the directory unless it was there before. */
void upper_close(struct upper *upper, bool remove);

/* Empties work/: what a process that died had under construction or on its way out means nothing. */
void upper_empty_work(struct upper *upper);

/* Whether an earlier mount left something in tree/. */
bool upper_is_dirty(const struct upper *upper);

/* A name in work/ that nobody uses. */
struct upper_work {
	char text[24];
};
struct upper_work upper_work_name(struct upper *upper);

/* Moves the file of that name out of the tree, to a name from upper_work_name, and removes what was moved; work/ is
 * emptied at the next mount. 0 or a negative errno. */
int upper_hide(struct upper *upper, int dirfd, const char *name, const struct upper_work *hidden);
void upper_discard(struct upper *upper, const struct upper_work *hidden);

/* Marks the upper file with inode `ino`, about to be put in the place of `name`, as being rewritten: keeps
 * what is there now (`kept`), or says that the lower has it. 0 or a negative errno. */
int upper_mark(struct upper *upper, uint64_t ino, int dirfd, const char *name, bool kept);
void upper_unmark(struct upper *upper, uint64_t ino);
/* After a crash: puts the version before back in the place of the marked file. 1 when it did, 2 when the
 * lower has that version, 0 when `ino` is not marked, or a negative errno. */
int upper_restore(struct upper *upper, uint64_t ino, int dirfd, const char *name);
/* Marks the upper file with inode `ino`, the tail of a log, after a sync of the lower that failed: `flushed` is where
 * what is known to be on the card ends, whatever the lower's size says. upper_unmark takes it back. 0 or a negative
 * errno. */
int upper_mark_tail(struct upper *upper, uint64_t ino, off_t flushed);
/* After a crash: that offset, or -ENOENT when there is no such mark. */
off_t upper_tail_mark(struct upper *upper, uint64_t ino);
/* The version before of the marked file: a descriptor to read it from; -ELOOP when the lower has it, -ENOENT when
 * `ino` is not marked. */
int upper_open_before(struct upper *upper, uint64_t ino);
/* Removes all marks but those of tails. */
void upper_unmark_rewrites(struct upper *upper);

/* A directory that exists on both sides is being renamed: announced before
 * the first side moves, taken back after the second, so that the next mount
 * can complete it. The numbers tell which sides have moved. */
struct upper_intent {
	char from[4096], to[4096]; /* paths from the root */
	uint64_t lower_ino;	   /* of `from` on the lower, before */
	uint64_t upper_ino;	   /* of `from` in the upper, before */
	bool exchange;
	/* Not 0: no rename, but the first so many bytes of the log `from` become its part `to`; the numbers are the
	 * log's own. */
	uint64_t cut;
	uint64_t cut_after; /* what file->cut is then (file.h) */
	bool in_place;	    /* the log keeps its upper file (rotate.h) */
};
/* 0 or a negative errno. */
int upper_intent_set(struct upper *upper, const struct upper_intent *intent);
void upper_intent_clear(struct upper *upper);
/* True when there is a complete one. */
bool upper_intent_get(struct upper *upper, struct upper_intent *intent);

#endif
