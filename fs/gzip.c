#include "fs/gzip.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The extra field: CF, CL and, of a part, CP, each with two bytes of name, two of length and eight of value. */
enum { SUBFIELD = 12, EXTRA_MAX = 3 * SUBFIELD };
/* Where it begins in the file: after the fixed header and its own length. */
enum { EXTRA_OFFSET = 10 + 2 };
enum { OS_UNIX = 3, MEMORY_LEVEL = 8, NAME_SIZE = 256 };

static void put_subfield(uint8_t *to, char second, uint64_t value)
{
	to[0] = 'C';
	to[1] = (uint8_t)second;
	to[2] = 8;
	to[3] = 0;
	for (int i = 0; i < 8; i++)
		to[4 + i] = (uint8_t)(value >> (8 * i));
}

/* --- write ---------------------------------------------------------------- */

struct writer {
	const struct lower *lower;
	int to;
	uint64_t off;
	z_stream z;
	uint8_t out[GZIP_CHUNK];
	uint8_t in[GZIP_CHUNK];
	uint8_t extra[EXTRA_MAX];
	uint8_t name[NAME_SIZE];
	gz_header header;
};

/* Compresses and writes what z has as input; with Z_FINISH all of it. */
static int deflate_input(struct writer *w, int flush)
{
	int z;

	do {
		w->z.next_out = w->out;
		w->z.avail_out = sizeof(w->out);
		z = deflate(&w->z, flush);
		if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
			return -EIO;
		size_t len = sizeof(w->out) - w->z.avail_out;
		int rc = lower_pwrite(w->lower, w->to, w->out, len, (off_t)w->off);
		if (rc < 0)
			return rc;
		w->off += len;
	} while (w->z.avail_out == 0 && z != Z_STREAM_END);
	return 0;
}

static int deflate_source(struct writer *w, const struct gzip_source *source, const struct gzip_stop *stop)
{
	uint64_t off = 0;

	do {
		if (stop && stop->asked && stop->asked(stop->arg))
			return -ECANCELED;
		size_t len = source->size - off < sizeof(w->in) ? (size_t)(source->size - off) : sizeof(w->in);
		ssize_t n = lower_pread(w->lower, source->fd, w->in, len, (off_t)off);
		if (n < 0)
			return (int)n;
		if ((size_t)n < len)
			return -ESTALE;
		off += len;
		w->z.next_in = w->in;
		w->z.avail_in = (uInt)len;
		int rc = deflate_input(w, off == source->size ? Z_FINISH : Z_NO_FLUSH);
		if (rc < 0)
			return rc;
	} while (off < source->size);
	return 0;
}

static int write_file(struct writer *w, const struct gzip_source *source, const struct gzip_stop *stop)
{
	put_subfield(w->extra, 'F', source->size);
	put_subfield(w->extra + SUBFIELD, 'L', 0);
	w->header.extra = w->extra;
	w->header.extra_len = 2 * SUBFIELD;
	if (source->part) {
		put_subfield(w->extra + w->header.extra_len, 'P', source->part);
		w->header.extra_len += SUBFIELD;
	}
	w->header.os = OS_UNIX;
	if (source->mtime > 0 && source->mtime <= UINT32_MAX)
		w->header.time = (uLong)source->mtime;
	if (source->name && source->name[0] && strlen(source->name) < sizeof(w->name)) {
		memcpy(w->name, source->name, strlen(source->name) + 1);
		w->header.name = w->name;
	}
	if (deflateSetHeader(&w->z, &w->header) != Z_OK)
		return -EIO;
	int rc = deflate_source(w, source, stop);
	if (rc < 0)
		return rc;
	/* Only now known. */
	put_subfield(w->extra + SUBFIELD, 'L', w->off);
	return lower_pwrite(w->lower, w->to, w->extra, w->header.extra_len, EXTRA_OFFSET);
}

int gzip_write(const struct lower *lower, const struct gzip_source *source, int to, const struct gzip_stop *stop,
	       struct gzip_result *result)
{
	struct writer *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return -ENOMEM;
	w->lower = lower;
	w->to = to;
	/* 16: gzip's header and trailer. */
	if (deflateInit2(&w->z, GZIP_LEVEL, Z_DEFLATED, MAX_WBITS + 16, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(w);
		return -ENOMEM;
	}
	rc = write_file(w, source, stop);
	*result = (struct gzip_result){.size = source->size, .packed = w->off, .crc = (uint32_t)w->z.adler};
	deflateEnd(&w->z);
	free(w);
	return rc;
}

/* --- read ----------------------------------------------------------------- */

struct reader {
	struct gunzip g;
	uint8_t out[GZIP_CHUNK];
};

static int reader_open(struct reader **reader, const struct lower *lower, int fd, const struct gzip_stop *stop)
{
	struct reader *r = malloc(sizeof(*r));

	if (!r)
		return -ENOMEM;
	int rc = gunzip_init(&r->g, lower, fd, stop);
	if (rc < 0) {
		free(r);
		return rc;
	}
	*reader = r;
	return 0;
}

static int reader_close(struct reader *r, int rc, const char **reason)
{
	*reason = rc == -EIO ? r->g.reason : NULL;
	gunzip_fini(&r->g);
	free(r);
	return rc;
}

static int verify(struct gunzip *g, uint8_t *buf, const struct gzip_result *expected)
{
	struct gunzip_header header;
	ssize_t n = gunzip_peek(g, &header);

	if (n < 0)
		return (int)n;
	if (header.size != expected->size || header.packed != expected->packed)
		g->reason = "the header does not have the sizes";
	else if (g->packed != expected->packed)
		g->reason = "the file has not the length that was written";
	if (g->reason)
		return -EIO;
	do {
		n = gunzip_read(g, buf, GZIP_CHUNK);
	} while (n > 0);
	if (n < 0)
		return (int)n;
	if (g->pos.members != 1 || g->pos.in != g->packed)
		g->reason = "something follows";
	else if (g->pos.out != expected->size)
		g->reason = "the length is not that of what was read";
	else if (g->pos.crc != expected->crc)
		g->reason = "the CRC is not that of what was read";
	return g->reason ? -EIO : 0;
}

int gzip_verify(const struct lower *lower, int fd, const struct gzip_result *expected, const struct gzip_stop *stop,
		const char **reason)
{
	struct reader *r = NULL;
	int rc = reader_open(&r, lower, fd, stop);

	*reason = NULL;
	if (rc < 0)
		return rc;
	return reader_close(r, verify(&r->g, r->out, expected), reason);
}

static int inflate_to(struct reader *r, int to, uint64_t limit)
{
	uint64_t off = 0;

	for (;;) {
		ssize_t n = gunzip_read(&r->g, r->out, sizeof(r->out));
		if (n <= 0)
			return (int)n;
		if ((uint64_t)n > limit - off)
			return -EFBIG;
		int rc = lower_pwrite(r->g.lower, to, r->out, (size_t)n, (off_t)off);
		if (rc < 0)
			return rc;
		off += (uint64_t)n;
	}
}

int gzip_inflate(const struct lower *lower, int from, int to, uint64_t limit, const struct gzip_stop *stop,
		 const char **reason)
{
	struct reader *r = NULL;
	int rc = reader_open(&r, lower, from, stop);

	*reason = NULL;
	if (rc < 0)
		return rc;
	return reader_close(r, inflate_to(r, to, limit), reason);
}
