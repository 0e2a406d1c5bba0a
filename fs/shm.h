/* Tables of fixed-size records in shared memory, addressed by index.
 *
 * What the kernel is given (node ids, file handles) are such indexes, never
 * pointers, so that a successor process which inherits the memory can serve
 * them (DESIGN.md section 5). A record holds no pointer either.
 *
 * The table is a memfd that grows; its address range is reserved at creation,
 * so a record never moves and shm_table_at needs no lock. Index 0 is no
 * record. */
#ifndef CLAWFS_SHM_H
#define CLAWFS_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shm_table;

/* A table of at most `max` records of `record` bytes; indexes below `first`
 * are never handed out by shm_table_alloc but may be used with shm_table_at.
 * 0; -ENOMEM; -EMFILE. */
int shm_table_create(struct shm_table **table, const char *name, size_t record, uint32_t first, uint32_t max);
void shm_table_destroy(struct shm_table *table);

/* A zeroed record, or 0 when the table or the memory is full. Takes the
 * table's own lock, a leaf. */
uint32_t shm_table_alloc(struct shm_table *table);
void shm_table_free(struct shm_table *table, uint32_t index);

/* The record's address; valid until it is freed. */
void *shm_table_at(const struct shm_table *table, uint32_t index);

/* Whether the record is handed out; one that is being handed out or freed by a process that died there may be either.
 */
bool shm_table_is_live(const struct shm_table *table, uint32_t index);

/* Words of the table's user that live as long as the table; zero at first. */
#define SHM_WORDS 4
uint64_t *shm_table_words(const struct shm_table *table);

/* In a successor process, before threads: maps what the table has grown by, makes lock and free list anew.
 * 0 or -ENOMEM. */
int shm_table_revive(struct shm_table *table);

/* One more than the highest index ever handed out. */
uint32_t shm_table_end(struct shm_table *table);

#endif
