/* A tar archive in the POSIX pax format (POSIX.1-2008, pax "Extended
 * Interchange Format"), as much of it as a rescue needs: regular files and
 * directories with owner, mode and times to the nanosecond. Any tar(1) reads
 * what is written here.
 *
 * Of its own, not libarchive's: on Debian 12 that brings libxml2 and ICU, 12
 * libraries in all, into a daemon that wants 3 MiB.
 *
 * Functions return 0 or a negative errno: what read(2) or write(2) has;
 * -EBADMSG for what is no such archive. No locks, no threads. */
#ifndef CLAWFS_PAX_H
#define CLAWFS_PAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define PAX_PATH_MAX 8192

struct pax_entry {
	char path[PAX_PATH_MAX]; /* without a leading slash; a directory's without a trailing one */
	bool dir;
	mode_t mode; /* the lower 12 bits */
	uid_t uid;
	gid_t gid;
	int64_t size; /* bytes of data; 0 for a directory */
	struct timespec mtime;
};

/* --- writing -------------------------------------------------------------- */

/* Begins an entry. `size` bytes of pax_write and one pax_pad follow. */
int pax_header(int fd, const struct pax_entry *entry);
int pax_write(int fd, const void *buf, size_t len);
/* Fills the last block of `size` bytes of data. */
int pax_pad(int fd, int64_t size);
/* The archive's end. */
int pax_end(int fd);

/* --- reading -------------------------------------------------------------- */

struct pax_reader {
	int fd;
	int64_t left; /* of the current entry's data */
	int64_t pad;  /* after it */
};

/* Reads from where `fd` is. */
void pax_reader_init(struct pax_reader *reader, int fd);
/* The next entry, after what is left of the last: 1; 0 at the end, which must be marked (a torn archive is -EBADMSG).
 * Links and special files are -EBADMSG too: a rescue has none. */
int pax_next(struct pax_reader *reader, struct pax_entry *entry);
/* At most `len` bytes of the entry's data; 0 after the last. */
ssize_t pax_read(struct pax_reader *reader, void *buf, size_t len);

#endif
