#include "fs/gunzip.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC0 = 0x1f, MAGIC1 = 0x8b, FIXED = 10, TRAILER = 8 };
enum flag { FLAG_HCRC = 2, FLAG_EXTRA = 4, FLAG_NAME = 8, FLAG_COMMENT = 16, FLAG_RESERVED = 0xe0 };

static int damaged(struct gunzip *g, uint64_t from, const char *reason)
{
	g->reason = reason;
	g->bad_from = from;
	return -EIO;
}

/* --- input ---------------------------------------------------------------- */

static bool stopped(struct gunzip *g, uint64_t work)
{
	g->work += work;
	if (g->work < GUNZIP_POLL)
		return false;
	g->work = 0;
	return g->stop && g->stop->asked && g->stop->asked(g->stop->arg);
}

/* Brings the file's bytes from `off` on into the buffer, where bytes_at finds
 * them: how many there are, 0 at the end of the file. */
static ssize_t fetch(struct gunzip *g, uint64_t off)
{
	if (off < g->buf_off || off >= g->buf_off + g->buf_len) {
		if (off > INT64_MAX - GUNZIP_BUFFER)
			return 0;
		g->buf_len = 0;
		ssize_t n = lower_pread(g->lower, g->fd, g->buf, GUNZIP_BUFFER, (off_t)off);
		if (n <= 0)
			return n;
		g->buf_off = off;
		g->buf_len = (size_t)n;
		if (stopped(g, (uint64_t)n))
			return -ECANCELED;
	}
	return (ssize_t)(g->buf_len - (off - g->buf_off));
}

static uint8_t *bytes_at(const struct gunzip *g, uint64_t off)
{
	return g->buf + (off - g->buf_off);
}

/* The bytes at `off` into `to`; -EIO with a reason when the file ends first. */
static int take(struct gunzip *g, uint64_t *off, uint8_t *to, size_t len)
{
	while (len > 0) {
		ssize_t n = fetch(g, *off);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return damaged(g, g->pos.out, "the file ends too early");
		size_t some = (size_t)n < len ? (size_t)n : len;
		memcpy(to, bytes_at(g, *off), some);
		to += some;
		*off += some;
		len -= some;
	}
	return 0;
}

static uint64_t little(const uint8_t *p, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = bytes; i > 0; i--)
		value = value << 8 | p[i - 1];
	return value;
}

/* --- header --------------------------------------------------------------- */

/* A header being read: `off` is where, `crc` over what was. */
struct cursor {
	uint64_t begin, off;
	uint32_t crc;
};

static int next(struct gunzip *g, struct cursor *c, uint8_t *to, size_t len)
{
	if (c->off - c->begin + len > GUNZIP_HEADER_MAX)
		return damaged(g, g->pos.out, "a header without end");
	int rc = take(g, &c->off, to, len);
	if (rc == 0)
		c->crc = (uint32_t)crc32(c->crc, to, (uInt)len);
	return rc;
}

/* Subfields that do not fill the field are ignored, as by gzip(1). */
static int read_extra(struct gunzip *g, struct cursor *c, struct gunzip_header *h)
{
	uint8_t head[4], value[8];
	int rc = next(g, c, head, 2);
	size_t left = (size_t)little(head, 2);

	while (rc == 0 && left >= sizeof(head)) {
		rc = next(g, c, head, sizeof(head));
		left -= sizeof(head);
		size_t len = (size_t)little(head + 2, 2);
		if (rc < 0 || len > left)
			break;
		uint64_t *known = head[0] != 'C'   ? NULL
				  : head[1] == 'F' ? &h->size
				  : head[1] == 'L' ? &h->packed
				  : head[1] == 'P' ? &h->part
						   : NULL;
		if (known && len == sizeof(value)) {
			rc = next(g, c, value, len);
			*known = little(value, len);
			left -= len;
			continue;
		}
		for (; rc == 0 && len > 0; len--, left--)
			rc = next(g, c, head, 1);
	}
	for (; rc == 0 && left > 0; left--)
		rc = next(g, c, head, 1);
	return rc;
}

static int skip_text(struct gunzip *g, struct cursor *c)
{
	uint8_t byte;
	int rc;

	do {
		rc = next(g, c, &byte, 1);
	} while (rc == 0 && byte);
	return rc;
}

/* The header at `pos.in`; `end` is where it ends. */
static int read_header(struct gunzip *g, struct gunzip_header *h, uint64_t *end)
{
	struct cursor c = {.begin = g->pos.in, .off = g->pos.in};
	uint8_t fixed[FIXED], sum[2];

	*h = (struct gunzip_header){.size = GUNZIP_UNKNOWN, .packed = GUNZIP_UNKNOWN};
	int rc = next(g, &c, fixed, sizeof(fixed));
	if (rc < 0)
		return rc;
	unsigned flags = fixed[3];
	if (fixed[0] != MAGIC0 || fixed[1] != MAGIC1)
		return damaged(g, g->pos.out, "not a gzip file");
	if (fixed[2] != Z_DEFLATED || flags & FLAG_RESERVED)
		return damaged(g, g->pos.out, "a kind of gzip file that is not known");
	h->mtime = (uint32_t)little(fixed + 4, 4);
	if (flags & FLAG_EXTRA)
		rc = read_extra(g, &c, h);
	if (rc == 0 && flags & FLAG_NAME)
		rc = skip_text(g, &c);
	if (rc == 0 && flags & FLAG_COMMENT)
		rc = skip_text(g, &c);
	if (rc == 0 && flags & FLAG_HCRC) {
		uint32_t crc = c.crc;
		rc = next(g, &c, sum, sizeof(sum));
		if (rc == 0 && little(sum, sizeof(sum)) != (crc & 0xffff))
			return damaged(g, g->pos.out, "the checksum of the header differs");
	}
	if (rc < 0)
		return rc;
	if (h->size != GUNZIP_UNKNOWN && h->size / GUNZIP_RATIO_MAX > g->packed)
		return damaged(g, g->pos.out, "it announces more than deflate can hold");
	*end = c.off;
	return 0;
}

/* --- members -------------------------------------------------------------- */

static int begin_member(struct gunzip *g)
{
	struct gunzip_header header;
	struct gunzip_pos *p = &g->pos;
	uint64_t end = 0;
	int rc = read_header(g, &header, &end);

	if (rc < 0)
		return rc;
	p->z = (z_stream){0};
	if (inflateInit2(&p->z, -MAX_WBITS) != Z_OK)
		return -ENOMEM;
	p->live = true;
	p->in = end;
	p->member = p->out;
	p->size = header.size;
	p->crc = (uint32_t)crc32(0, NULL, 0);
	p->members++;
	return 0;
}

/* What follows a member: 1 another, 0 nothing, or an error. */
static int look_further(struct gunzip *g)
{
	uint8_t magic[2];
	ssize_t n = fetch(g, g->pos.in);

	if (n <= 0)
		return (int)n;
	magic[0] = *bytes_at(g, g->pos.in);
	if (magic[0] == 0)
		return 0;
	n = fetch(g, g->pos.in + 1);
	if (n < 0)
		return (int)n;
	magic[1] = n > 0 ? *bytes_at(g, g->pos.in + 1) : 0;
	if (magic[0] == MAGIC0 && magic[1] == MAGIC1)
		return 1;
	g->garbage = true;
	return 0;
}

/* Behind the last deflate block. */
static int end_member(struct gunzip *g)
{
	struct gunzip_pos *p = &g->pos;
	uint8_t trailer[TRAILER];
	uint64_t off = p->in, size = p->out - p->member;
	int rc = take(g, &off, trailer, sizeof(trailer));

	if (rc < 0)
		return rc;
	if (little(trailer, 4) != p->crc)
		return damaged(g, p->member, "the CRC differs");
	if (little(trailer + 4, 4) != (size & UINT32_MAX))
		return damaged(g, p->member, "the length differs");
	if (p->size != GUNZIP_UNKNOWN && p->size != size)
		return damaged(g, p->member, "it holds less than it announces");
	inflateEnd(&p->z);
	p->live = false;
	p->in = off;
	return 0;
}

/* --- content -------------------------------------------------------------- */

enum state { GOES_ON, FULL, ENDED };

/* Inflates into `buf` what can be had at once: how much. `state` becomes FULL
 * when more content needs more room, ENDED behind the last block. */
static ssize_t inflate_some(struct gunzip *g, uint8_t *buf, size_t len, enum state *state)
{
	struct gunzip_pos *p = &g->pos;
	ssize_t n = fetch(g, p->in);

	if (n < 0)
		return n;
	/* At the end of the file zlib may still hold some. */
	p->z.next_in = n > 0 ? bytes_at(g, p->in) : g->buf;
	p->z.avail_in = (uInt)n;
	p->z.next_out = buf;
	p->z.avail_out = (uInt)len;
	int z = inflate(&p->z, Z_NO_FLUSH);
	size_t given = len - p->z.avail_out;
	p->in += (size_t)n - p->z.avail_in;
	p->crc = (uint32_t)crc32(p->crc, buf, (uInt)given);
	p->out += given;
	*state = z == Z_STREAM_END ? ENDED : p->z.avail_out == 0 && p->z.avail_in > 0 ? FULL : GOES_ON;
	if (z == Z_MEM_ERROR)
		return -ENOMEM;
	if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
		return damaged(g, p->out, "the compressed data is corrupt");
	/* Nothing taken, nothing given, no end: the input is at its end. */
	if (*state == GOES_ON && given == 0 && p->z.avail_in == (uInt)n)
		return damaged(g, p->out, "the file ends too early");
	if (p->size != GUNZIP_UNKNOWN && p->out - p->member > p->size)
		return damaged(g, p->member, "it holds more than it announces");
	return (ssize_t)given;
}

/* To where the next content is: 1, or the end of the file: 0. */
static int enter_member(struct gunzip *g)
{
	int rc = g->pos.members ? look_further(g) : 1;

	if (rc == 0)
		g->pos.end = true;
	return rc > 0 ? begin_member(g) : rc;
}

ssize_t gunzip_read(struct gunzip *g, void *buf, size_t len)
{
	size_t done = 0;

	while (!g->pos.end) {
		enum state state = GOES_ON;
		uint8_t none;
		size_t some = len - done < GUNZIP_POLL ? len - done : GUNZIP_POLL;
		int rc = 0;
		if (stopped(g, 0))
			return -ECANCELED;
		if (!g->pos.live) {
			rc = enter_member(g);
		} else {
			ssize_t n = inflate_some(g, some ? (uint8_t *)buf + done : &none, some, &state);
			if (n < 0)
				return n;
			done += (size_t)n;
			g->work += (uint64_t)n;
			if (state == ENDED)
				rc = end_member(g);
			else if (state == FULL && done == len)
				break;
		}
		if (rc < 0)
			return rc;
	}
	return (ssize_t)done;
}

/* --- places --------------------------------------------------------------- */

int gunzip_init(struct gunzip *g, const struct lower *lower, int fd, const struct gzip_stop *stop)
{
	struct stat st;

	if (lower->sys->fstat(fd, &st) < 0)
		return -errno;
	*g = (struct gunzip){.lower = lower, .stop = stop, .fd = fd, .packed = (uint64_t)st.st_size};
	g->pos.size = GUNZIP_UNKNOWN;
	g->buf = malloc(GUNZIP_BUFFER);
	return g->buf ? 0 : -ENOMEM;
}

void gunzip_fini(struct gunzip *g)
{
	gunzip_drop(&g->pos);
	free(g->buf);
	g->buf = NULL;
}

int gunzip_peek(struct gunzip *g, struct gunzip_header *header)
{
	struct gunzip_pos here = g->pos;
	uint64_t end;

	g->pos = (struct gunzip_pos){.size = GUNZIP_UNKNOWN};
	int rc = read_header(g, header, &end);
	g->pos = here;
	return rc;
}

/* zlib's states point back at their z_stream: they are copied, never moved. */
static int copy(struct gunzip_pos *to, struct gunzip_pos *from)
{
	*to = *from;
	to->live = false;
	if (from->live && inflateCopy(&to->z, &from->z) != Z_OK)
		return -ENOMEM;
	to->live = from->live;
	return 0;
}

int gunzip_save(struct gunzip *g, struct gunzip_pos *note)
{
	return copy(note, &g->pos);
}

int gunzip_restore(struct gunzip *g, struct gunzip_pos *note)
{
	gunzip_drop(&g->pos);
	int rc = copy(&g->pos, note);
	if (rc < 0)
		gunzip_rewind(g);
	return rc;
}

void gunzip_rewind(struct gunzip *g)
{
	gunzip_drop(&g->pos);
	g->pos = (struct gunzip_pos){.size = GUNZIP_UNKNOWN};
}

void gunzip_drop(struct gunzip_pos *note)
{
	if (note->live)
		inflateEnd(&note->z);
	note->live = false;
}
