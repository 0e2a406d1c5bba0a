/* Operations on names: both sides and the tables change together, under the
 * tree lock, which every function takes itself unless it says otherwise.
 *
 * Each returns 0 or a negative errno: those of the system call of its name,
 * from the lower. What fills `node` gives the kernel one more reference on it
 * (nlookup), and `st` is what stat(2) shows.
 *
 * The lower's part comes before the upper's wherever the lower can refuse, so
 * that a refusal leaves everything as it was (P9), and a crash in between
 * leaves a state that recover.c resolves to before or after. */
#ifndef CLAWFS_NAMES_H
#define CLAWFS_NAMES_H

#include "fs/fs.h"

int fs_lookup(struct clawfs *fs, uint32_t parent, const char *name, uint32_t *node, struct stat *st);
void fs_forget(struct clawfs *fs, uint32_t node, uint64_t count);

/* open(2) with O_CREAT: creates, or opens what is there unless O_EXCL is set. `slot` is opened as by
 * file_open; `created` says that it is new. */
int fs_create(struct clawfs *fs, struct caller who, uint32_t parent, const char *name, mode_t mode, int flags,
	      msec_t now, uint32_t *node, struct stat *st, uint32_t *slot, bool *created);
/* open(2) with O_TMPFILE. */
int fs_tmpfile(struct clawfs *fs, struct caller who, uint32_t parent, mode_t mode, int flags, uint32_t *node,
	       struct stat *st, uint32_t *slot);

int fs_mknod(struct clawfs *fs, struct caller who, uint32_t parent, const char *name, mode_t mode, dev_t dev,
	     msec_t now, uint32_t *node, struct stat *st);
int fs_mkdir(struct clawfs *fs, struct caller who, uint32_t parent, const char *name, mode_t mode, uint32_t *node,
	     struct stat *st);
int fs_symlink(struct clawfs *fs, struct caller who, const char *target, uint32_t parent, const char *name,
	       uint32_t *node, struct stat *st);
int fs_link(struct clawfs *fs, uint32_t node, uint32_t parent, const char *name, msec_t now, struct stat *st);

int fs_unlink(struct clawfs *fs, struct caller who, uint32_t parent, const char *name);
int fs_rmdir(struct clawfs *fs, uint32_t parent, const char *name);
/* `flags`: RENAME_NOREPLACE, RENAME_EXCHANGE. */
int fs_rename(struct clawfs *fs, struct caller who, uint32_t parent, const char *name, uint32_t new_parent,
	      const char *new_name, unsigned flags, msec_t now);

/* --- shared by the files that implement them; tree lock held for writing -- */

/* The node of a name, entered into the tables if the lower has it. -ENOENT, -ENAMETOOLONG. */
int name_resolve(struct clawfs *fs, uint32_t parent, const char *name, uint32_t *node);
/* The kernel gets the node: one reference more, and what stat shows. */
int name_give(struct clawfs *fs, uint32_t node, struct stat *st);
/* Nothing of that name is there. */
int name_check_absent(struct clawfs *fs, uint32_t parent, const char *name);
/* Whether the mount keeps the name for itself. */
bool name_is_reserved(uint32_t parent, const char *name);
/* Enters a node for what the lower now has under a name that had none. */
int name_enter(struct clawfs *fs, uint32_t parent, const char *name, const struct stat *st, uint32_t *node);
/* The same for what is in RAM only; `type` its S_IFMT bits. */
int name_enter_upper(struct clawfs *fs, uint32_t parent, const char *name, mode_t type, uint32_t *node);
/* Keeps hold of what a nameless node may still be asked for. */
void node_anchor(struct clawfs *fs, uint32_t node);
/* The name has gone on both sides: takes it from the node, which may be an orphan then. `hidden`: the
 * lower still has it, hidden by a file in the upper. */
void name_gone(struct clawfs *fs, uint32_t node, uint32_t parent, const char *name, bool hidden);
/* unlink(2) as far as names and files go; `pid` of who asks, 0: the daemon. */
int name_unlink(struct clawfs *fs, uint32_t parent, const char *name, int32_t pid);
/* The second half of it: what becomes of the node, when that was its last name. */
void node_nameless(struct clawfs *fs, uint32_t node, bool hidden);
/* Puts a directory that is in RAM only onto the lower, and its parents, and
 * whatever in it has no reason to stay in RAM. */
int dir_materialise(struct clawfs *fs, uint32_t dir, msec_t now);
/* The second half of it, for a directory that is on the lower. */
int dir_children_materialise(struct clawfs *fs, uint32_t dir, msec_t now);
/* After a rename on the lower: the node's open files go on under the class of the new name. */
void rename_reclass(struct clawfs *fs, uint32_t node);

#endif
