/* A gzip file seen as its content, at any offset.
 *
 * Opening reads the header and the last four bytes. The first reading
 * inflates from the beginning and notes, at each multiple of a span, where it
 * is (with the 32 KiB of content that deflate refers back to, the CRC so far,
 * and zlib's state); reading elsewhere goes on from the nearest note before
 * it. The span is ZVIEW_SPAN, and doubles as often as ZVIEW_NOTES notes do not
 * suffice: so a view holds ZVIEW_NOTES * 40 KiB = 1.9 MiB for notes, 128 KiB
 * for buffers and 40 KiB for zlib, however large the file.
 *
 * Which bytes are promised. Deflate has no checksum of its own: what is read
 * before the end of a member (most files have one) is what the file decodes to,
 * and if the file is damaged it can be wrong. But no read that reaches the end of
 * the content succeeds unless every member's CRC and length were right, and
 * once one was found wrong, all reads from where that member begins fail. So:
 * whoever reads from the first byte to the last without an error has the right
 * bytes; and after zview_measure has returned 0, everybody has, as long as the
 * medium gives the same bytes again. Where deflate's data itself is broken or ends
 * too early, what lies before stays readable, as with zcat.
 *
 * Thread-safe: one lock inside, held while inflating, so that readers of
 * one view wait for each other. zview_size, zview_exact, zview_mtime never wait. */
#ifndef CLAWFS_ZVIEW_H
#define CLAWFS_ZVIEW_H

#include "fs/gunzip.h"

#define ZVIEW_SPAN  (1 << 20) /* bytes of content */
#define ZVIEW_NOTES 48

struct zview;

/* Makes a view of `fd`, a regular file open for reading. On success `fd` is
 * the view's, which closes it; on an error it is still the caller's. `lower` and
 * `stop` (NULL: never) are borrowed until zview_destroy; `stop` is asked at
 * each MiB of work, in the thread that reads, with the view locked. -EIO with
 * `*reason` (a static text for the log) when there is no gzip file or it
 * announces more than deflate can hold; else `*reason` is NULL: -ENOMEM, or the
 * lower's error. */
int zview_create(const struct lower *lower, int fd, const struct gzip_stop *stop, struct zview **view,
		 const char **reason);
/* No other thread may be in the view. NULL is allowed. */
void zview_destroy(struct zview *view);

/* The length of the content. Of a file that clawfs wrote and nobody has
 * changed the length of, this is exact at once. Of others it is a guess (the
 * last four bytes, if they can be it: the length modulo 4 GiB of the last
 * member) until the end was reached by reading or by zview_measure. Measure before a
 * guess is shown to anybody who would stop reading there, as the kernel does. */
uint64_t zview_size(const struct zview *view);
bool zview_exact(const struct zview *view);

/* Inflates to the end: afterwards zview_size is exact, and the whole file was
 * checked. 0, or as zview_read. Does nothing when that is known. */
int zview_measure(struct zview *view);

/* The time in the header, seconds since 1970; 0: none. */
uint32_t zview_mtime(const struct zview *view);

/* Reads `len` bytes at `off`, all of them, or those before the end of the
 * content (0 at and beyond it), or a negative errno:
 *   -EIO        the file is damaged there (see above); zview_reason says why.
 *   -ECANCELED  `stop` said so.
 *   -ENOMEM, and the lower's errors.
 * All but damage may be tried again. Never fewer bytes because of an error:
 * FUSE takes a short read for the end of the file. */
ssize_t zview_read(struct zview *view, void *buf, size_t len, uint64_t off);

/* What is wrong with the file, to be logged: the first call after it was found
 * has the text (static), further ones NULL. Also for what is not an error: something that
 * is not gzip's after the end, which is ignored as gzip(1) does. */
const char *zview_reason(struct zview *view);

/* For tests and fuzzing: a smaller span. Before anything else. */
void zview_set_span(struct zview *view, uint64_t span);

#endif
