#include "fs/shared.h"
#include <sys/mman.h>

struct shared *shared_create(void)
{
	void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void shared_destroy(struct shared *shared)
{
	if (shared)
		munmap(shared, sizeof(*shared));
}
