#include "fs/blockdev.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SECTOR 512 /* of these files, whatever the device's */

static ssize_t read_file(dev_t dev, const char *file, char *text, size_t size)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, text, size - 1);
	close(fd);
	if (n >= 0)
		text[n] = '\0';
	return n;
}

/* The 17 fields of a `stat` file; older kernels have 11 or 15. */
static bool read_stat(dev_t dev, const char *file, uint64_t field[17])
{
	char text[512];

	memset(field, 0, 17 * sizeof(*field));
	if (read_file(dev, file, text, sizeof(text)) <= 0)
		return false;
	int used = 0, n = 0;
	for (const char *p = text; n < 17 && sscanf(p, "%" SCNu64 "%n", &field[n], &used) == 1; p += used)
		n++;
	return n >= 11;
}

bool blockdev_read(dev_t dev, struct blockdev *c)
{
	uint64_t field[17], whole[17];
	char text[8];

	memset(c, 0, sizeof(*c));
	if (major(dev) == 0 || !read_stat(dev, "stat", field))
		return false;
	*c = (struct blockdev){
		.reads = field[0],
		.read_bytes = field[2] * SECTOR,
		.writes = field[4],
		.written_bytes = field[6] * SECTOR,
		.flushes = field[15],
	};
	if (read_file(dev, "partition", text, sizeof(text)) > 0 && read_stat(dev, "../stat", whole))
		c->flushes = whole[15];
	return true;
}

void blockdev_name(dev_t dev, char name[BLOCKDEV_NAME_MAX])
{
	char path[96], target[512];

	name[0] = '\0';
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	ssize_t n = major(dev) ? readlink(path, target, sizeof(target) - 1) : -1;
	if (n <= 0)
		return;
	target[n] = '\0';
	const char *slash = strrchr(target, '/');
	snprintf(name, BLOCKDEV_NAME_MAX, "%.*s", BLOCKDEV_NAME_MAX - 1, slash ? slash + 1 : target);
}
