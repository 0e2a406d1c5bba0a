#include "fs/pax.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 512, RECORDS_MAX = 64 << 10 };

/* The ustar header block (POSIX, pax, table 4-14). */
struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], chksum[8], typeflag, linkname[100];
	char magic[6], version[2], uname[32], gname[32], devmajor[8], devminor[8], prefix[155], unused[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "one block");

static int64_t padding(int64_t size)
{
	return (BLOCK - size % BLOCK) % BLOCK;
}

/* --- writing -------------------------------------------------------------- */

int pax_write(int fd, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int pax_pad(int fd, int64_t size)
{
	static const char zeros[BLOCK];

	return pax_write(fd, zeros, (size_t)padding(size));
}

int pax_end(int fd)
{
	static const char zeros[2 * BLOCK];

	return pax_write(fd, zeros, sizeof(zeros));
}

/* What does not fit is 0 here and right in the extended header. */
static void put_octal(char *field, size_t size, uint64_t value)
{
	if (value >> (3 * (size - 1)))
		value = 0;
	snprintf(field, size, "%0*llo", (int)size - 1, (unsigned long long)value);
}

static int put_block(int fd, const char *path, char type, int64_t size, const struct pax_entry *e)
{
	struct ustar h = {0};
	size_t len = strlen(path);
	unsigned sum = 0;

	memcpy(h.name, path, len < sizeof(h.name) ? len : sizeof(h.name));
	put_octal(h.mode, sizeof(h.mode), e->mode & 07777);
	put_octal(h.uid, sizeof(h.uid), e->uid);
	put_octal(h.gid, sizeof(h.gid), e->gid);
	put_octal(h.size, sizeof(h.size), (uint64_t)size);
	put_octal(h.mtime, sizeof(h.mtime), e->mtime.tv_sec < 0 ? 0 : (uint64_t)e->mtime.tv_sec);
	h.typeflag = type;
	memcpy(h.magic, "ustar", 6);
	memcpy(h.version, "00", 2);
	/* The sum counts its own field as blanks. */
	memset(h.chksum, ' ', sizeof(h.chksum));
	for (size_t i = 0; i < BLOCK; i++)
		sum += ((const unsigned char *)&h)[i];
	snprintf(h.chksum, sizeof(h.chksum), "%06o", sum);
	return pax_write(fd, &h, sizeof(h));
}

/* One record "LENGTH KEY=VALUE\n"; its length counts its own digits. */
static size_t put_record(char *to, const char *key, const char *value)
{
	size_t len = strlen(key) + strlen(value) + 4, power = 10;

	for (; len >= power; power *= 10)
		len++;
	return (size_t)sprintf(to, "%zu %s=%s\n", len, key, value);
}

/* A time may lie before 1970; the fraction counts up from its second, the text down from zero. */
static void time_text(char *text, size_t size, struct timespec t)
{
	long long sec = t.tv_sec;
	long nsec = t.tv_nsec;
	bool below = sec < 0 && nsec > 0;

	if (below) {
		sec++;
		nsec = 1000000000 - nsec;
	}
	snprintf(text, size, "%s%lld.%09ld", below && sec == 0 ? "-" : "", sec, nsec);
}

int pax_header(int fd, const struct pax_entry *e)
{
	char *records = malloc(PAX_PATH_MAX + 256);
	char text[64];
	size_t len = 0;
	int rc;

	if (!records)
		return -ENOMEM;
	if (strlen(e->path) > sizeof(((struct ustar *)0)->name))
		len += put_record(records, "path", e->path);
	time_text(text, sizeof(text), e->mtime);
	len += put_record(records + len, "mtime", text);
	snprintf(text, sizeof(text), "%lld", (long long)e->size);
	if (e->size >> 33)
		len += put_record(records + len, "size", text);
	snprintf(text, sizeof(text), "%u", (unsigned)e->uid);
	if (e->uid >> 21)
		len += put_record(records + len, "uid", text);
	snprintf(text, sizeof(text), "%u", (unsigned)e->gid);
	if (e->gid >> 21)
		len += put_record(records + len, "gid", text);
	rc = put_block(fd, "PaxHeaders/rescue", 'x', (int64_t)len, e);
	if (rc == 0)
		rc = pax_write(fd, records, len);
	if (rc == 0)
		rc = pax_pad(fd, (int64_t)len);
	if (rc == 0)
		rc = put_block(fd, e->path, e->dir ? '5' : '0', e->dir ? 0 : e->size, e);
	free(records);
	return rc;
}

/* --- reading -------------------------------------------------------------- */

void pax_reader_init(struct pax_reader *r, int fd)
{
	*r = (struct pax_reader){.fd = fd};
}

/* All of it: 0; -EBADMSG when the archive ends before. */
static int read_full(int fd, void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, (char *)buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		done += (size_t)n;
	}
	return 0;
}

static int skip(struct pax_reader *r, int64_t len)
{
	char buf[4096];
	int rc = 0;

	while (rc == 0 && len > 0) {
		size_t n = len < (int64_t)sizeof(buf) ? (size_t)len : sizeof(buf);
		rc = read_full(r->fd, buf, n);
		len -= (int64_t)n;
	}
	return rc;
}

/* Digits, then a blank, a NUL or the field's end. */
static int get_octal(const char *field, size_t size, int64_t *value)
{
	size_t i = 0;

	for (*value = 0; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		*value = *value * 8 + (field[i] - '0');
	return i > 0 && (i == size || field[i] == ' ' || field[i] == '\0') ? 0 : -EBADMSG;
}

static int get_decimal(const char *text, int64_t max, int64_t *value)
{
	*value = 0;
	if (!*text)
		return -EBADMSG;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || *value > (max - (*text - '0')) / 10)
			return -EBADMSG;
		*value = *value * 10 + (*text - '0');
	}
	return 0;
}

static int get_time(char *text, struct timespec *t)
{
	bool negative = *text == '-';
	char *point = strchr(text, '.');
	int64_t sec, unit = 100000000;
	long nsec = 0;

	if (point)
		*point++ = '\0';
	if (get_decimal(text + negative, INT64_MAX - 1, &sec) < 0)
		return -EBADMSG;
	for (; point && *point; point++, unit /= 10) {
		if (*point < '0' || *point > '9')
			return -EBADMSG;
		nsec += (long)((*point - '0') * unit);
	}
	if (negative) {
		sec = -sec - (nsec > 0);
		nsec = nsec > 0 ? 1000000000 - nsec : 0;
	}
	*t = (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = nsec};
	return 0;
}

/* Fields of an extended header, for the entry that follows it. */
struct records {
	bool has_path, has_mtime, has_size, has_uid, has_gid;
};

static int take_record(const char *key, char *value, struct pax_entry *e, struct records *has)
{
	int64_t number;
	int rc = 0;

	if (strcmp(key, "path") == 0) {
		if (strlen(value) >= sizeof(e->path))
			return -EBADMSG;
		strcpy(e->path, value);
		has->has_path = true;
	} else if (strcmp(key, "mtime") == 0) {
		rc = get_time(value, &e->mtime);
		has->has_mtime = true;
	} else if (strcmp(key, "size") == 0) {
		rc = get_decimal(value, INT64_MAX / 2, &e->size);
		has->has_size = true;
	} else if (strcmp(key, "uid") == 0) {
		rc = get_decimal(value, UINT32_MAX - 1, &number);
		e->uid = (uid_t)number;
		has->has_uid = true;
	} else if (strcmp(key, "gid") == 0) {
		rc = get_decimal(value, UINT32_MAX - 1, &number);
		e->gid = (gid_t)number;
		has->has_gid = true;
	}
	return rc;
}

static int take_records(char *text, size_t len, struct pax_entry *e, struct records *has)
{
	while (len > 0) {
		size_t size = 0, digits = 0;
		while (digits < len && digits < 7 && text[digits] >= '0' && text[digits] <= '9')
			size = size * 10 + (size_t)(text[digits++] - '0');
		if (digits == 0 || size > len || size < digits + 4 || text[digits] != ' ' || text[size - 1] != '\n')
			return -EBADMSG;
		char *key = text + digits + 1;
		text[size - 1] = '\0';
		char *value = strchr(key, '=');
		/* A NUL within would make two names of one. */
		if (!value || strlen(key) != size - digits - 2)
			return -EBADMSG;
		*value++ = '\0';
		int rc = take_record(key, value, e, has);
		if (rc < 0)
			return rc;
		text += size;
		len -= size;
	}
	return 0;
}

static int read_records(struct pax_reader *r, int64_t size, struct pax_entry *e, struct records *has)
{
	if (size > RECORDS_MAX)
		return -EBADMSG;
	char *text = malloc((size_t)size + 1);
	if (!text)
		return -ENOMEM;
	int rc = read_full(r->fd, text, (size_t)size);
	if (rc == 0)
		rc = skip(r, padding(size));
	if (rc == 0)
		rc = take_records(text, (size_t)size, e, has);
	free(text);
	return rc;
}

/* 1, 0 for a block of zeros, or negative. */
static int read_block(struct pax_reader *r, struct ustar *h)
{
	unsigned sum = 0, zero = 0;
	int64_t said;
	int rc = read_full(r->fd, h, sizeof(*h));

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < BLOCK; i++) {
		bool own = i >= offsetof(struct ustar, chksum) && i < offsetof(struct ustar, typeflag);
		sum += own ? ' ' : ((const unsigned char *)h)[i];
		zero |= ((const unsigned char *)h)[i];
	}
	if (!zero)
		return 0;
	if (memcmp(h->magic, "ustar", 5) != 0 || get_octal(h->chksum, sizeof(h->chksum), &said) < 0 || said != sum)
		return -EBADMSG;
	return 1;
}

static int take_block(const struct ustar *h, struct pax_entry *e, const struct records *has)
{
	int64_t mode, uid, gid, size, mtime;

	if (get_octal(h->mode, sizeof(h->mode), &mode) < 0 || get_octal(h->uid, sizeof(h->uid), &uid) < 0 ||
	    get_octal(h->gid, sizeof(h->gid), &gid) < 0 || get_octal(h->size, sizeof(h->size), &size) < 0 ||
	    get_octal(h->mtime, sizeof(h->mtime), &mtime) < 0)
		return -EBADMSG;
	if (!has->has_path) {
		int prefix = (int)strnlen(h->prefix, sizeof(h->prefix)), name = (int)strnlen(h->name, sizeof(h->name));
		snprintf(e->path, sizeof(e->path), "%.*s%s%.*s", prefix, h->prefix, prefix ? "/" : "", name, h->name);
	}
	size_t len = strlen(e->path);
	while (len > 1 && e->path[len - 1] == '/')
		e->path[--len] = '\0';
	if (!has->has_mtime)
		e->mtime = (struct timespec){.tv_sec = (time_t)mtime};
	if (!has->has_size)
		e->size = size;
	if (!has->has_uid)
		e->uid = (uid_t)uid;
	if (!has->has_gid)
		e->gid = (gid_t)gid;
	e->mode = (mode_t)mode & 07777;
	e->dir = h->typeflag == '5';
	if (e->dir)
		e->size = 0;
	return len > 0 ? 0 : -EBADMSG;
}

int pax_next(struct pax_reader *r, struct pax_entry *e)
{
	struct records has = {0};
	struct ustar h = {0};
	int rc = skip(r, r->left + r->pad);

	r->left = r->pad = 0;
	while (rc == 0) {
		int64_t size;
		rc = read_block(r, &h);
		/* Two blocks of zeros; tar(1) pads them further. */
		if (rc == 0)
			return read_block(r, &h) == 0 ? 0 : -EBADMSG;
		if (rc < 0)
			return rc;
		if (h.typeflag == '0' || h.typeflag == '\0' || h.typeflag == '5')
			break;
		rc = get_octal(h.size, sizeof(h.size), &size);
		if (rc == 0 && h.typeflag == 'x')
			rc = read_records(r, size, e, &has);
		else if (rc == 0 && h.typeflag == 'g')
			rc = skip(r, size + padding(size));
		else
			rc = -EBADMSG;
	}
	if (rc < 0)
		return rc;
	rc = take_block(&h, e, &has);
	if (rc < 0)
		return rc;
	r->left = e->size;
	r->pad = padding(e->size);
	return 1;
}

ssize_t pax_read(struct pax_reader *r, void *buf, size_t len)
{
	if ((int64_t)len > r->left)
		len = (size_t)r->left;
	int rc = read_full(r->fd, buf, len);
	if (rc < 0)
		return rc;
	r->left -= (int64_t)len;
	return (ssize_t)len;
}
