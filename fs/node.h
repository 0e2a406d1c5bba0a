/* Names and nodes: what the kernel knows, and what the upper holds.
 *
 * A node is one inode of the mount; its index is the FUSE node id. A name
 * joins a directory node and a string to a node; a hard-linked file has
 * several. Files are reached by the descriptor of their directory and their
 * name, so only directories keep descriptors open, and a node can be served
 * by a process that did not create it.
 *
 * Everything here is guarded by `struct clawfs`'s tree lock: functions that
 * change want it for writing, the others for reading; nlookup is atomic.
 *
 * Where a node's bytes are (flags), for a node that has a name:
 *
 *   LOWER OWN UPPER
 *     1    1    0    on the lower alone
 *     1    1    1    on the lower, and changes of it in the upper
 *     1    0    1    in the upper; the lower still has another file of this name, which
 *                    an atomic replace in the application has ended (its save is not flushed yet)
 *     0    0    1    in RAM only: on its parent's list `ram_head`
 *   OWN implies LOWER; a node has LOWER or UPPER or both, unless it is VIRTUAL, or PACKED: then neither side has its
 *   name, the lower has its content as X.log.gz beside it (view.h), and it is on no list.
 *   An orphan (no name left) has none of them; its descriptors hold it. */
#ifndef CLAWFS_NODE_H
#define CLAWFS_NODE_H

#include "fs/lowernames.h"
#include "fs/shm.h"
#include "policy/types.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#define NODE_ROOT     1u /* FUSE_ROOT_ID */
#define NODE_CTL_DIR  2u /* .clawfs */
#define NODE_CTL_LAST 11u
#define NODE_FIRST    16u

#define NODE_NAMES 4

enum node_flags {
	NODE_LOWER = 1u << 0,	  /* the lower has an entry at the node's name */
	NODE_OWN = 1u << 1,	  /* ... and it is this very file: dev and lower_ino are its */
	NODE_UPPER = 1u << 2,	  /* the upper has an entry at the node's name */
	NODE_ORPHAN = 1u << 3,	  /* its last name is gone */
	NODE_VIRTUAL = 1u << 4,	  /* below .clawfs */
	NODE_TIMES = 1u << 5,	  /* `mtime` is to be set on the lower: identical content was saved */
	NODE_DIRTIME = 1u << 6,	  /* directory: mtime and ctime here are what the mount shows */
	NODE_FOREIGN = 1u << 8,	  /* ino is not the one that the lower gave */
	NODE_PACKED = 1u << 9,	  /* a log of which the lower has the .gz */
	NODE_MEASURED = 1u << 10, /* ... and view_size is its length */
	NODE_DAMAGED = 1u << 11,  /* ... and that it is damaged was said; set atomically */
};

struct node {
	uint64_t ino;	    /* st_ino; the same as long as the mount lives */
	uint64_t lower_ino; /* with OWN; with MEASURED, of the .gz */
	uint64_t view_size; /* with MEASURED */
	uint64_t dev;
	uint64_t nlookup; /* references the kernel holds; atomic */
	uint64_t lineage; /* a file and those that replace it by rename share it (see epoch.c) */
	uint32_t flags;
	uint32_t type;	   /* S_IFMT bits */
	uint32_t name;	   /* first name; 0 for the root and orphans */
	uint32_t children; /* names below this directory */
	uint32_t file;	   /* content state (file.h), 0 none; guarded by the attach lock */
	uint32_t by_lower; /* hash chain of dev, lower_ino */
	uint32_t by_ino;   /* hash chain of FOREIGN nodes' ino */
	uint32_t ram_head; /* directory: first child in RAM only */
	uint32_t ram_next, ram_prev;
	uint32_t ram_dirs;	      /* directory: how many of them are directories */
	uint32_t mirror;	      /* directory on the lower that also exists in the upper; atomic */
	uint32_t db;		      /* database (db.h), 0 none; atomic */
	int32_t lower_fd;	      /* directory: O_PATH on the lower; orphan: what is left of it; -1 */
	int32_t upper_fd;	      /* directory: O_PATH in the upper; -1 */
	struct timespec mtime, ctime; /* with MEASURED: ctime of the .gz */
};

struct name {
	uint32_t parent;
	uint32_t node;
	uint32_t hash_next;
	uint32_t sibling; /* next name of the same node */
	uint16_t len;
	char text[];
};

/* The next of each; never given twice while the mount lives. */
struct node_numbers {
	uint64_t ino, lineage;
};

struct nodes {
	struct shm_table *table;
	struct shm_table *names[NODE_NAMES]; /* by length */
	uint32_t *name_hash, *lower_hash, *ino_hash;
	struct node_numbers *next; /* in the table's memory */
	unsigned dirfds;	   /* descriptors of directories that are open */
	struct lowernames *lower;  /* process memory */
};

/* 0 or -ENOMEM. The root node exists afterwards. */
int nodes_init(struct nodes *ns, dev_t dev, ino_t ino);
void nodes_fini(struct nodes *ns);

struct node *node_at(const struct nodes *ns, uint32_t index);
struct name *name_at(const struct nodes *ns, uint32_t ref);

/* The node of that name, or 0. */
uint32_t node_find(const struct nodes *ns, uint32_t parent, const char *name);
/* The node whose own lower file is that, or 0. */
uint32_t node_find_lower(const struct nodes *ns, uint64_t dev, uint64_t ino);

/* A fresh node without a name, type set, no flags; 0 without memory. */
uint32_t node_new(struct nodes *ns, mode_t type);

/* Joins and parts. -ENOMEM. node_name_add wants that the name is free. */
int node_name_add(struct nodes *ns, uint32_t node, uint32_t parent, const char *name);
void node_name_remove(struct nodes *ns, uint32_t node, uint32_t parent, const char *name);
/* Moves one name of the node; cannot fail for lack of memory when the length class is the same; -ENOMEM. */
int node_name_move(struct nodes *ns, uint32_t node, uint32_t parent, const char *name, uint32_t new_parent,
		   const char *new_name);

/* Says which lower file the node is: sets LOWER and OWN, takes it off the
 * RAM list, gives it a number for st_ino when it has none (the lower's, unless
 * another node shows that already). */
void node_set_lower(struct nodes *ns, uint32_t node, uint64_t dev, uint64_t ino);
/* The lower file is this node's no more (replaced or unlinked): clears OWN. */
void node_unset_own(struct nodes *ns, uint32_t node);
/* A number of our own, for a file that is not on the lower. */
void node_set_ino(struct nodes *ns, uint32_t node);
uint64_t node_new_lineage(struct nodes *ns);
/* The node leaves its lower file, which goes on under another name, but keeps its number for st_ino. */
void node_leave_lower(struct nodes *ns, uint32_t node);

/* The parent's list of children in RAM only. */
void node_ram_add(struct nodes *ns, uint32_t node);
void node_ram_remove(struct nodes *ns, uint32_t node);
bool node_in_ram(const struct nodes *ns, uint32_t node);

/* Closes a descriptor that the node owns; the record says so before. */
void node_close_fd(struct nodes *ns, int32_t *fd);

/* The parent of the node's first name; 0 for orphans and the root. */
uint32_t node_parent(const struct nodes *ns, uint32_t node);

/* The path from the root, without leading slash ("" for the root). -ENAMETOOLONG; -ENOENT for orphans. */
int node_path(const struct nodes *ns, uint32_t node, char *buf, size_t size);
/* The same of a name below `parent`. */
int node_child_path(const struct nodes *ns, uint32_t parent, const char *name, char *buf, size_t size);

/* Whether `dir` is `node` or below it. */
bool node_is_below(const struct nodes *ns, uint32_t node, uint32_t dir);

/* Frees the node, and parents that only it held, when neither the kernel nor
 * the upper nor anything open needs it. */
void node_reap(struct nodes *ns, uint32_t node);

/* The same; what the nodes had open is the caller's to close, when it holds no lock (what does not fit is closed at
 * once): the last descriptor of a file that was unlinked frees its blocks, and that waits for the card. */
#define LATE_FDS 8
struct late_fds {
	int fd[LATE_FDS];
	unsigned count;
};
void node_reap_late(struct nodes *ns, uint32_t node, struct late_fds *late);

/* A name that a change of names was about when its process died. */
struct name_drop {
	uint32_t parent;
	const char *name;
	uint32_t node; /* out: whose it was; 0 nobody's */
};

/* In a successor process, before threads: takes the names for what is known, but for those of `drop`, and makes chains,
 * lists, counts and free records anew. 0 or -ENOMEM. noderevive.c */
int nodes_revive(struct nodes *ns, struct name_drop *drop, unsigned drops);
/* Makes the lists of children in RAM only anew, from the flags. */
void nodes_list_ram(struct nodes *ns);

/* Names the first rule of the table above that the node breaks, or NULL. */
const char *node_check(const struct nodes *ns, uint32_t node);

#endif
