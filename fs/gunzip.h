/* Reading a gzip file forward, and going on from a place it was at before.
 * Shared by fs/gzip.c (verify, inflate) and fs/zview.c.
 *
 * What a gzip file is, is what gzip(1) takes for one: members one after the
 * other make one content; zero bytes after a member end the file; so does
 * anything else that does not begin as a member does, which is said as a
 * warning. Each member's CRC-32 and length are checked when its end is
 * reached.
 *
 * A member that clawfs wrote (fs/gzip.h) has extra subfields, each of 8
 * bytes, little-endian: "CF", the length of its content, "CL", its own
 * length in the file from the first byte of the header to the last of the
 * trailer, and "CP", the number of the part, if it is one that clawfs
 * made by rotation. Gzip's own ISIZE is the length modulo 2^32 only.
 *
 * Nothing is trusted: a member that announces more than deflate can hold in
 * the file, or yields more or less than it announces, is an error; memory is
 * GUNZIP_BUFFER and zlib's state (about 40 KiB), whatever the file says.
 *
 * Not thread-safe: the caller serialises. */
#ifndef CLAWFS_GUNZIP_H
#define CLAWFS_GUNZIP_H

#include "fs/lower.h"
#include <zlib.h>

#define GUNZIP_BUFFER	  (64 << 10)  /* input */
#define GUNZIP_HEADER_MAX (256 << 10) /* bytes of a member's header; gzip(1) has no limit, we want one */
#define GUNZIP_RATIO_MAX  1032	      /* bytes out of a byte of deflate: 258 for two bits */
#define GUNZIP_POLL	  (1 << 20)   /* bytes taken and given between two questions to `stop` */
#define GUNZIP_UNKNOWN	  UINT64_MAX

/* Asked now and then by what takes long; true ends it with -ECANCELED. */
struct gzip_stop {
	bool (*asked)(void *arg);
	void *arg;
};

/* A member's header. */
struct gunzip_header {
	uint64_t size;	 /* "CF", GUNZIP_UNKNOWN without */
	uint64_t packed; /* "CL", GUNZIP_UNKNOWN without */
	uint64_t part;	 /* "CP", 0 without */
	uint32_t mtime;	 /* seconds since 1970, 0: not known */
};

/* A place in a file, with everything that is needed to go on from it. */
struct gunzip_pos {
	z_stream z;
	bool live;	 /* z has a state, to be freed with gunzip_drop */
	bool end;	 /* of the file */
	uint32_t crc;	 /* of the member so far, or of the last one */
	uint64_t in;	 /* offset in the file of the first byte not yet taken */
	uint64_t out;	 /* bytes of content before here */
	uint64_t member; /* `out` where this member begins */
	uint64_t size;	 /* what this member announces, or GUNZIP_UNKNOWN */
	unsigned members;
};

struct gunzip {
	const struct lower *lower;
	const struct gzip_stop *stop;
	int fd;
	uint64_t packed; /* length of the file when it was opened */
	struct gunzip_pos pos;
	uint64_t work; /* bytes since `stop` was asked */
	const char *reason;
	uint64_t bad_from; /* with `reason`: content from here on cannot be had or is wrong */
	bool garbage;	   /* something that is no member follows the last one */
	uint8_t *buf;
	uint64_t buf_off;
	size_t buf_len;
};

/* Reads `fd` from its beginning. `fd`, `lower` and `stop` (NULL: never) are
 * borrowed until gunzip_fini. 0, -ENOMEM, or what fstat says. After an error
 * there is nothing to finish. */
int gunzip_init(struct gunzip *g, const struct lower *lower, int fd, const struct gzip_stop *stop);
void gunzip_fini(struct gunzip *g);

/* The first member's header, without moving. 0, -EIO with `reason`, or the
 * lower's error. */
int gunzip_peek(struct gunzip *g, struct gunzip_header *header);

/* The next bytes of the content: `len` of them, or fewer at the end. Looks
 * further than the last of them: when it returns, either content follows or
 * `pos.end` is set and all that was gone through has been checked. An error loses
 * what the call had read; `pos.out` tells how far it came. Errors:
 *   -EIO        with `reason` (a static text) and `bad_from` set: the file is
 *               damaged, for good. What lies before `bad_from` was decoded, but a
 *               check failed later, or was never reached. Go elsewhere.
 *   -EIO, ...   with `reason` NULL: the lower's. May be called again.
 *   -ECANCELED  `stop` said so. May be called again.
 *   -ENOMEM     go elsewhere (gunzip_rewind, gunzip_restore), then again. */
ssize_t gunzip_read(struct gunzip *g, void *buf, size_t len);

/* Notes where it is; goes there again, any number of times. 0 or -ENOMEM:
 * then nothing is noted, or it is at the beginning. Notes are the caller's, to
 * be dropped, and about 40 KiB within a member. */
int gunzip_save(struct gunzip *g, struct gunzip_pos *note);
int gunzip_restore(struct gunzip *g, struct gunzip_pos *note);
void gunzip_rewind(struct gunzip *g);
void gunzip_drop(struct gunzip_pos *note);

#endif
