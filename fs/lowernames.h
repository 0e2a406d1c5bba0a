/* Which names a directory on the lower has, so that one it has not need not be asked of the card.
 *
 * Each save makes a temporary file of a name that never was before. Whether the lower has that name was asked twice a
 * save, with the tree lock held; and the kernel lets nobody look into a directory on the card while a rename in it
 * waits for the card's journal. Names come to the lower through the mount alone. So a directory in which several
 * look-ups found nothing is read once; from then on each name that comes to it is added. None is taken out: a name too
 * many costs a look at the lower. Names are kept as hashes of 32 bits.
 *
 * Only where names are what their bytes are: where the lower takes "a" for "A", nothing is kept.
 *
 * Process memory: a successor begins with nothing. A leaf lock of its own. */
#ifndef CLAWFS_LOWERNAMES_H
#define CLAWFS_LOWERNAMES_H

#include "fs/lower.h"
#include <stdbool.h>
#include <stdint.h>

struct lowernames;

/* NULL without memory. */
struct lowernames *lowernames_create(void);
void lowernames_destroy(struct lowernames *names);

/* The directory's node is free, and its number may be another's. */
void lowernames_forget(struct lowernames *names, uint32_t dir);
/* The lower has that name, or will have it in a moment. */
void lowernames_add(struct lowernames *names, uint32_t dir, const char *name);

/* Whether it is known that the lower has no such name. Tree lock held, and the name is not in the tables: those of
 * files that a flush is bringing to the lower are. */
bool lowernames_lacks(struct lowernames *names, uint32_t dir, const char *name);
/* A look-up on the lower found nothing. True: the directory is worth being read now, by the caller. Tree lock held. */
bool lowernames_missed(struct lowernames *names, uint32_t dir);
/* Reads it, `fd` of any kind. No lock held: names that are made meanwhile are added, too. */
void lowernames_read(struct lowernames *names, const struct lower *lower, uint32_t dir, int fd);

#endif
