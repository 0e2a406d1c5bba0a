/* A file of class `through`: blocks are written at random places, every eighth is synced. Each sector tells which
 * operation wrote it, so that what a power cut left is judged sector by sector. */
#include "load.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 256, SECTORS = 8, SECTOR = 512, BLOCK = SECTORS * SECTOR, SYNC_EVERY = 8 };

static uint32_t block_of(const struct actor *a, uint32_t n)
{
	return (uint32_t)(mix(a->seed, 1, n) % BLOCKS);
}

static void sector_text(const struct actor *a, uint32_t n, uint32_t block, uint32_t sector, char *to)
{
	snprintf(to, 40, "%010u %06u %02u ", n, block, sector);
	fill(to + 21, SECTOR - 21, mix(a->seed, 2, (uint64_t)n << 4 | sector));
}

static void data_drop(struct actor *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

static int data_step(struct actor *a, uint32_t n)
{
	char block[BLOCK];
	uint32_t b = block_of(a, n);

	if (a->doubt)
		data_drop(a);
	if (a->fd < 0)
		a->fd = open(below(a->root, a->kind->path), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (a->fd < 0)
		return failed(a, "open of the data");
	for (uint32_t s = 0; s < SECTORS; s++)
		sector_text(a, n, b, s, block + s * SECTOR);
	ssize_t done = pwrite(a->fd, block, BLOCK, (off_t)b * BLOCK);
	if (done >= 0 && done < BLOCK)
		errno = EIO;
	if (done < BLOCK)
		return failed(a, "pwrite of the data");
	if (n % SYNC_EVERY == 0 && fdatasync(a->fd) < 0)
		return failed(a, "fdatasync of the data");
	return 0;
}

static int data_check(struct actor *a, const char *root, enum judge judge, uint32_t min, uint32_t max,
		      struct verdict *v)
{
	const char *path = below(root, a->kind->path);
	char *data, sector[SECTOR];
	uint32_t last[BLOCKS] = {0};
	ssize_t size = slurp(path, &data);

	if (size < 0 && !(errno == ENOENT && min == 0))
		return wrong(v, "%s: %s", path, strerror(errno));
	if (judge == JUDGE_CUT)
		min -= min % SYNC_EVERY;
	for (uint32_t n = 1; n <= min; n++)
		last[block_of(a, n)] = n;
	v->found = min;
	for (uint32_t b = 0; b < BLOCKS; b++) {
		for (uint32_t s = 0; s < SECTORS; s++) {
			off_t at = (off_t)b * BLOCK + (off_t)s * SECTOR;
			uint32_t n = 0;
			bool there = at + SECTOR <= (off_t)size && sscanf(data + at, "%10u", &n) == 1;
			bool may = !there ? last[b] == 0 : n == last[b] || (n > min && n <= max && block_of(a, n) == b);
			if (there && may && n) {
				sector_text(a, n, b, s, sector);
				may = memcmp(sector, data + at, SECTOR) == 0;
			}
			if (!may) {
				free(data);
				return wrong(
					v,
					"%s: sector %u of block %u is of operation %u, expected %u or one of %u to %u",
					path, s, b, n, last[b], min + 1, max);
			}
			if (n > v->found)
				v->found = n;
		}
	}
	free(data);
	return 0;
}

const struct actor_kind kind_data = {.name = "data",
				     .path = "workspace/data.bin",
				     .pause_us = 5000,
				     .step = data_step,
				     .check = data_check,
				     .drop = data_drop};
