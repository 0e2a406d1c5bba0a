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

/* One more than the highest index ever handed out. */
uint32_t shm_table_end(struct shm_table *table);

#endif
