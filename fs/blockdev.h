/* What the block device below the lower has done by its own count: the truth beside our counters, which see neither
 * the file system's metadata nor what other programs write.
 * Source: /sys/dev/block/MAJOR:MINOR/stat (Documentation/admin-guide/iostats.rst, block/stat.rst). */
#ifndef CLAWFS_BLOCKDEV_H
#define CLAWFS_BLOCKDEV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BLOCKDEV_NAME_MAX 64

/* Since the machine was switched on, or the device came; of the partition, when it is one, but for `flushes`, which
 * the kernel counts for the whole device only (since Linux 5.5; 0 before). */
struct blockdev {
	uint64_t reads, read_bytes;
	uint64_t writes, written_bytes;
	uint64_t flushes;
};

/* False where there is no such count: the file system has no block device of its own (btrfs, overlayfs, tmpfs,
 * network), or there is no /sys. Does not wait for the device. */
bool blockdev_read(dev_t dev, struct blockdev *counters);

/* The kernel's name of it ("mmcblk0p2"); "" where it has none. */
void blockdev_name(dev_t dev, char name[BLOCKDEV_NAME_MAX]);

#endif
