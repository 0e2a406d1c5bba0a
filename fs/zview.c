/* Notes stand at fixed places: note `i` at (i + 1) * span. When one is wanted
 * beyond the last, every second is dropped and the span doubles. */
#include "fs/zview.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SKIP_BUFFER = 64 << 10 };

struct zview {
	uint64_t size; /* atomic; before `exact` */
	bool exact;    /* atomic */
	uint32_t mtime;
	int fd;

	pthread_mutex_t lock; /* what follows */
	struct gunzip g;
	uint64_t span;
	struct gunzip_pos *notes[ZVIEW_NOTES]; /* NULL: not taken */
	bool checked;			       /* the end was reached and all was right */
	uint64_t bad_from;		       /* GUNZIP_UNKNOWN: no damage found */
	const char *reason;		       /* not yet told */
	bool told;
	uint8_t skipped[SKIP_BUFFER];
};

/* --- notes ---------------------------------------------------------------- */

static void drop(struct gunzip_pos **note)
{
	if (*note)
		gunzip_drop(*note);
	free(*note);
	*note = NULL;
}

static void thin(struct zview *v)
{
	for (size_t i = 0; i < ZVIEW_NOTES; i += 2) {
		drop(&v->notes[i]);
		v->notes[i / 2] = v->notes[i + 1];
		v->notes[i + 1] = NULL;
	}
	v->span *= 2;
}

/* Without memory there is a note less. */
static void take_note(struct zview *v)
{
	uint64_t out = v->g.pos.out;

	while (out / v->span > ZVIEW_NOTES)
		thin(v);
	if (out == 0 || out % v->span != 0 || v->notes[out / v->span - 1])
		return;
	struct gunzip_pos *note = malloc(sizeof(*note));
	if (!note)
		return;
	if (gunzip_save(&v->g, note) < 0)
		free(note);
	else
		v->notes[out / v->span - 1] = note;
}

/* Goes to the nearest place at or before `off`. */
static int seek(struct zview *v, uint64_t off)
{
	uint64_t out = v->g.pos.out;
	uint64_t i = off / v->span < ZVIEW_NOTES ? off / v->span : ZVIEW_NOTES;

	while (i > 0 && !v->notes[i - 1])
		i--;
	if (out <= off && (i == 0 || out >= i * v->span))
		return 0;
	if (i > 0)
		return gunzip_restore(&v->g, v->notes[i - 1]);
	gunzip_rewind(&v->g);
	return 0;
}

/* --- reading -------------------------------------------------------------- */

static void tell(struct zview *v, const char *reason)
{
	if (!v->told)
		v->reason = reason;
	v->told = true;
}

static int found_damage(struct zview *v, uint64_t from, const char *reason)
{
	if (from < v->bad_from)
		v->bad_from = from;
	tell(v, reason);
	/* It cannot go on from here. */
	gunzip_rewind(&v->g);
	return -EIO;
}

static void found_end(struct zview *v)
{
	if (v->g.garbage)
		tell(v, "ignored what follows the end");
	v->checked = true;
	__atomic_store_n(&v->size, v->g.pos.out, __ATOMIC_RELAXED);
	__atomic_store_n(&v->exact, true, __ATOMIC_RELEASE);
}

/* The next `len` bytes, but not past the next note: fewer, 0 at the end. */
static ssize_t advance(struct zview *v, void *buf, size_t len)
{
	struct gunzip *g = &v->g;
	uint64_t left = v->span - g->pos.out % v->span;
	ssize_t n = gunzip_read(g, buf, left < len ? (size_t)left : len);

	if (n < 0 && g->reason) {
		const char *reason = g->reason;
		g->reason = NULL;
		return found_damage(v, g->bad_from, reason);
	}
	if (n == -ENOMEM)
		gunzip_rewind(g);
	if (n < 0)
		return n;
	/* Content follows, or this is the end. */
	if (v->exact && (g->pos.end ? g->pos.out != v->size : g->pos.out >= v->size))
		return found_damage(v, 0, "the content is not as long as the file announces");
	take_note(v);
	if (g->pos.end)
		found_end(v);
	return n;
}

/* To `off`; 0 there, 1 when the end comes first. */
static int skip(struct zview *v, uint64_t off)
{
	int rc = seek(v, off);

	while (rc == 0 && v->g.pos.out < off) {
		uint64_t left = off - v->g.pos.out;
		ssize_t n = advance(v, v->skipped, left < SKIP_BUFFER ? (size_t)left : SKIP_BUFFER);
		rc = n < 0 ? (int)n : n == 0;
	}
	return rc;
}

static ssize_t read_locked(struct zview *v, uint8_t *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	if (v->exact && off >= v->size)
		return 0;
	if (v->exact && len > v->size - off)
		len = (size_t)(v->size - off);
	if (len > UINT64_MAX - off)
		len = (size_t)(UINT64_MAX - off);
	/* Also what ends there: it would be the last that is seen of the file. */
	if (off + len >= v->bad_from)
		return -EIO;
	int rc = skip(v, off);
	while (rc == 0 && done < len) {
		ssize_t n = advance(v, buf + done, len - done);
		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return rc < 0 ? rc : (ssize_t)done;
}

ssize_t zview_read(struct zview *v, void *buf, size_t len, uint64_t off)
{
	if (len == 0)
		return 0;
	pthread_mutex_lock(&v->lock);
	ssize_t n = read_locked(v, buf, len, off);
	pthread_mutex_unlock(&v->lock);
	return n;
}

int zview_measure(struct zview *v)
{
	pthread_mutex_lock(&v->lock);
	int rc = v->checked ? 1 : v->bad_from != GUNZIP_UNKNOWN ? -EIO : skip(v, UINT64_MAX);
	pthread_mutex_unlock(&v->lock);
	return rc < 0 ? rc : 0;
}

/* --- the rest ------------------------------------------------------------- */

/* What the file says about itself. */
static int read_sizes(struct zview *v)
{
	struct gunzip_header header;
	uint8_t last[4] = {0};
	uint64_t packed = v->g.packed;
	int rc = gunzip_peek(&v->g, &header);

	if (rc < 0)
		return rc;
	ssize_t n = packed < sizeof(last) ? 0 : lower_pread(v->g.lower, v->fd, last, sizeof(last), (off_t)packed - 4);
	if (n < 0)
		return (int)n;
	uint32_t isize = last[0] | (uint32_t)last[1] << 8 | (uint32_t)last[2] << 16 | (uint32_t)last[3] << 24;
	if (header.size != GUNZIP_UNKNOWN) {
		v->size = header.size;
		v->exact = header.packed == packed && (uint32_t)header.size == isize;
	} else if (isize / GUNZIP_RATIO_MAX <= packed) {
		v->size = isize;
	}
	v->mtime = header.mtime;
	return 0;
}

int zview_create(const struct lower *lower, int fd, const struct gzip_stop *stop, struct zview **view,
		 const char **reason)
{
	struct zview *v = calloc(1, sizeof(*v));

	*reason = NULL;
	if (!v)
		return -ENOMEM;
	v->fd = fd;
	v->span = ZVIEW_SPAN;
	v->bad_from = GUNZIP_UNKNOWN;
	int rc = gunzip_init(&v->g, lower, fd, stop);
	if (rc == 0) {
		rc = read_sizes(v);
		*reason = rc < 0 ? v->g.reason : NULL;
		if (rc < 0)
			gunzip_fini(&v->g);
	}
	if (rc < 0) {
		free(v);
		return rc;
	}
	pthread_mutex_init(&v->lock, NULL);
	*view = v;
	return 0;
}

void zview_destroy(struct zview *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < ZVIEW_NOTES; i++)
		drop(&v->notes[i]);
	gunzip_fini(&v->g);
	pthread_mutex_destroy(&v->lock);
	close(v->fd);
	free(v);
}

uint64_t zview_size(const struct zview *v)
{
	return __atomic_load_n(&v->size, __ATOMIC_RELAXED);
}

bool zview_exact(const struct zview *v)
{
	return __atomic_load_n(&v->exact, __ATOMIC_ACQUIRE);
}

uint32_t zview_mtime(const struct zview *v)
{
	return v->mtime;
}

const char *zview_reason(struct zview *v)
{
	pthread_mutex_lock(&v->lock);
	const char *reason = v->reason;
	v->reason = NULL;
	pthread_mutex_unlock(&v->lock);
	return reason;
}

void zview_set_span(struct zview *v, uint64_t span)
{
	v->span = span;
}
