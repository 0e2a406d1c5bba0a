/* What node.c, nodelife.c and noderevive.c share. For nobody else. */
#ifndef CLAWFS_NODEIMPL_H
#define CLAWFS_NODEIMPL_H

#include "fs/node.h"

#define HASH_BITS 16
#define HASH_SIZE (1u << HASH_BITS)

/* A name's reference: which table in the upper four bits, index below. */
#define REF_SHIFT 28
#define REF_MASK  ((1u << REF_SHIFT) - 1)

/* Puts a name into its chains. */
void name_link(struct nodes *ns, uint32_t ref);
/* Puts a node with OWN, and one whose `ino` the lower did not give, into theirs; the second sets FOREIGN. */
void node_hash_lower(struct nodes *ns, uint32_t node);
void node_make_foreign(struct nodes *ns, uint32_t node);
/* Takes it from the second. */
void node_unhash_ino(struct nodes *ns, uint32_t node);

#endif
