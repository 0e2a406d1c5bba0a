/* A log becomes a gzip file, and one becomes a log again.
 *
 * The caller opens, names, syncs and renames (and sets priorities and times);
 * here are only the bytes, between two descriptors and through the lower's
 * calls. The order that loses nothing:
 *
 *   gzip_write to a temporary file, fdatasync, gzip_verify, rename, sync of the directory, unlink of the log
 *
 * gzip_verify reads what the kernel gives it: to have the card asked and not
 * the page cache, drop the file's pages (POSIX_FADV_DONTNEED) after the
 * fdatasync.
 *
 * Memory: two buffers of GZIP_CHUNK and zlib's state, 270 KiB when writing
 * and 40 KiB when reading, freed on return. Functions return 0 or a negative
 * errno, keep nothing, take no lock, and may run at the same time on
 * different files. Descriptors are borrowed; their file offsets are neither
 * used nor changed. */
#ifndef CLAWFS_GZIP_H
#define CLAWFS_GZIP_H

#include "fs/gunzip.h"

#define GZIP_CHUNK (256 << 10) /* bytes; `stop` is asked before each */
#define GZIP_LEVEL 9

struct gzip_source {
	int fd;
	uint64_t size;	  /* bytes to take, from the first on; what is appended meanwhile is left out */
	const char *name; /* of the log, without directories, for the header (FNAME); NULL or "": none */
	uint32_t part;	  /* its number, if clawfs made it by rotation, for the header; 0: none */
	int64_t mtime;	  /* of the log, seconds since 1970, for the header, which cannot hold one before 1970 or after
			     2106 */
};

struct gzip_result {
	uint64_t size;	 /* of the content */
	uint64_t packed; /* of the gzip file */
	uint32_t crc;	 /* of the content */
};

/* Compresses `source` into `to`, an empty file open for writing, as one
 * member with clawfs's subfields (fs/gunzip.h). On an error, `to` holds
 * something to be thrown away. -ECANCELED when `stop` says so, -ESTALE when
 * the source has become shorter than `size`, -ENOMEM, and what the lower has
 * for reading and writing (-ENOSPC, -EIO, ...). */
int gzip_write(const struct lower *lower, const struct gzip_source *source, int to, const struct gzip_stop *stop,
	       struct gzip_result *result);

/* Inflates `fd` and compares: one member with nothing behind it, the sizes and
 * the CRC that `expected` has. 0, or -EIO and in `*reason` what differs (a
 * static text, NULL with every other error); -ECANCELED, -ENOMEM, or the
 * lower's error. */
int gzip_verify(const struct lower *lower, int fd, const struct gzip_result *expected, const struct gzip_stop *stop,
		const char **reason);

/* Writes the whole content of `from`, any gzip file, to `to`, an empty file.
 * 0: complete and checked. -EIO and in `*reason` what is wrong with `from`,
 * -EFBIG when the content is longer than `limit` bytes (UINT64_MAX: no limit),
 * otherwise as gzip_write. */
int gzip_inflate(const struct lower *lower, int from, int to, uint64_t limit, const struct gzip_stop *stop,
		 const char **reason);

#endif
