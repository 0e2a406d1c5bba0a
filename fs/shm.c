#include "fs/shm.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GROW_BYTES ((size_t)256 << 10)

/* At the start of the shared memory: what a successor needs to go on. */
struct shm_head {
	uint32_t end;  /* first index never handed out */
	uint32_t free; /* head of the list of freed records; 0 none */
	uint64_t words[SHM_WORDS];
};

/* Before each record. */
struct shm_mark {
	uint32_t live;
	uint32_t next; /* on the list of freed records */
};

struct shm_table {
	pthread_mutex_t lock; /* guards head and mapped; a leaf */
	int fd;
	size_t stride; /* a record and its mark */
	uint32_t first, max;
	size_t reserved;
	size_t mapped;
	char *base;
	struct shm_head *head;
};

#define HEAD_BYTES 64
_Static_assert(sizeof(struct shm_head) <= HEAD_BYTES, "fits");

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static int table_grow(struct shm_table *t, size_t need)
{
	size_t size = round_up(need, GROW_BYTES);

	if (size <= t->mapped)
		return 0;
	if (size > t->reserved)
		return -ENOMEM;
	if (ftruncate(t->fd, (off_t)size) < 0)
		return -errno;
	void *p = mmap(t->base + t->mapped, size - t->mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, t->fd,
		       (off_t)t->mapped);
	if (p == MAP_FAILED)
		return -errno;
	t->mapped = size;
	return 0;
}

int shm_table_create(struct shm_table **table, const char *name, size_t record, uint32_t first, uint32_t max)
{
	struct shm_table *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	t->stride = sizeof(struct shm_mark) + round_up(record, 8);
	t->first = first;
	t->max = max;
	t->reserved = round_up(HEAD_BYTES + t->stride * max, GROW_BYTES);
	t->fd = memfd_create(name, MFD_CLOEXEC);
	if (t->fd < 0) {
		rc = -errno;
		goto err_free;
	}
	/* PROT_NONE without reserve costs address space only, also under
	 * vm.overcommit_memory=2. */
	t->base = mmap(NULL, t->reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->base == MAP_FAILED) {
		rc = -errno;
		goto err_close;
	}
	rc = table_grow(t, HEAD_BYTES + t->stride * first);
	if (rc < 0)
		goto err_unmap;
	t->head = (struct shm_head *)t->base;
	t->head->end = first;
	*table = t;
	return 0;

err_unmap:
	munmap(t->base, t->reserved);
err_close:
	close(t->fd);
err_free:
	pthread_mutex_destroy(&t->lock);
	free(t);
	return rc;
}

void shm_table_destroy(struct shm_table *t)
{
	if (!t)
		return;
	munmap(t->base, t->reserved);
	close(t->fd);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static struct shm_mark *mark_at(const struct shm_table *t, uint32_t index)
{
	return (struct shm_mark *)(t->base + HEAD_BYTES + t->stride * index);
}

void *shm_table_at(const struct shm_table *t, uint32_t index)
{
	return mark_at(t, index) + 1;
}

bool shm_table_is_live(const struct shm_table *t, uint32_t index)
{
	return index > 0 && (index < t->first || (index < t->head->end && mark_at(t, index)->live));
}

uint64_t *shm_table_words(const struct shm_table *t)
{
	return t->head->words;
}

uint32_t shm_table_alloc(struct shm_table *t)
{
	uint32_t index = 0;

	pthread_mutex_lock(&t->lock);
	if (t->head->free) {
		index = t->head->free;
		t->head->free = mark_at(t, index)->next;
	} else if (t->head->end < t->max && table_grow(t, HEAD_BYTES + t->stride * (t->head->end + 1)) == 0) {
		index = t->head->end++;
	}
	if (index) {
		memset(shm_table_at(t, index), 0, t->stride - sizeof(struct shm_mark));
		__atomic_store_n(&mark_at(t, index)->live, 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&t->lock);
	return index;
}

void shm_table_free(struct shm_table *t, uint32_t index)
{
	pthread_mutex_lock(&t->lock);
	assert(index > 0 && index < t->head->end);
	__atomic_store_n(&mark_at(t, index)->live, 0, __ATOMIC_RELEASE);
	mark_at(t, index)->next = t->head->free;
	t->head->free = index;
	pthread_mutex_unlock(&t->lock);
}

uint32_t shm_table_end(struct shm_table *t)
{
	pthread_mutex_lock(&t->lock);
	uint32_t end = t->head->end;
	pthread_mutex_unlock(&t->lock);
	return end;
}

int shm_table_revive(struct shm_table *t)
{
	pthread_mutex_init(&t->lock, NULL);
	/* It may have grown after this process was forked. */
	int rc = table_grow(t, HEAD_BYTES + t->stride * t->head->end);
	t->head->free = 0;
	for (uint32_t i = t->head->end; rc == 0 && i-- > t->first;) {
		struct shm_mark *m = mark_at(t, i);
		if (m->live)
			continue;
		m->next = t->head->free;
		t->head->free = i;
	}
	return rc;
}
