#include "fs/fdset.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int add(struct fdset *set, int fd)
{
	if (fd / 8 >= set->size / 8) {
		int size = (fd / 8 + 1) * 16;
		uint8_t *bits = realloc(set->bits, (size_t)size / 8);
		if (!bits)
			return -ENOMEM;
		memset(bits + set->size / 8, 0, (size_t)(size - set->size) / 8);
		set->bits = bits;
		set->size = size;
	}
	set->bits[fd / 8] |= (uint8_t)(1u << fd % 8);
	return 0;
}

int fdset_open(struct fdset *set)
{
	DIR *dir = opendir("/proc/self/fd");
	int rc = 0;

	*set = (struct fdset){0};
	if (!dir)
		return -errno;
	for (struct dirent *e; rc == 0 && (e = readdir(dir));)
		if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(dir))
			rc = add(set, atoi(e->d_name));
	closedir(dir);
	return rc;
}

void fdset_free(struct fdset *set)
{
	free(set->bits);
	*set = (struct fdset){0};
}

bool fdset_has(const struct fdset *set, int fd)
{
	return fd >= 0 && fd < set->size && set->bits[fd / 8] >> fd % 8 & 1;
}

void fdset_remove(struct fdset *set, int fd)
{
	if (fd >= 0 && fd < set->size)
		set->bits[fd / 8] &= (uint8_t) ~(1u << fd % 8);
}

void fdset_close(const struct fdset *set)
{
	for (int fd = 0; fd < set->size; fd++)
		if (fdset_has(set, fd))
			close(fd);
}
