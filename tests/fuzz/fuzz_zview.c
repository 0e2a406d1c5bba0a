/* Files that nobody meant to be read, read through a view.
 *
 * An input is: a byte of flags, a byte with the span, a byte with the number of
 * reads (modulo 16), five bytes for each (three of offset, two of length), and the
 * rest, which is the file; with FLAG_WRAP it is deflate data only, and gets a header and
 * a trailer that are right for it, so that also what no mutation finds, a
 * right CRC, is tried.
 *
 * zlib's own reader says what is in the file. A view may give an error where
 * zlib gives bytes (it never gives others), and only when zlib finds the file
 * complete may it find it complete. */
#include "fs/zview.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FLAG_WRAP = 1, FLAG_OURS = 2, FLAG_LIE = 4, FLAG_MEASURE = 8, FLAG_GARBAGE = 16 };
enum { REFERENCE_MAX = 8 << 20, READ_MAX = 1 << 16 };

struct reference {
	uint8_t *bytes;
	size_t len;
	size_t taken; /* of the file */
	bool complete;
};

static struct reference ref;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define check(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

/* Inflates with zlib: gzip members, or one raw stream. */
static void inflate_reference(const uint8_t *file, size_t len, bool raw)
{
	z_stream z = {.next_in = (uint8_t *)(uintptr_t)file, .avail_in = (uInt)len};
	int rc;

	ref.len = ref.taken = 0;
	ref.complete = false;
	check(inflateInit2(&z, raw ? -MAX_WBITS : MAX_WBITS + 16) == Z_OK);
	for (;;) {
		z.next_out = ref.bytes + ref.len;
		z.avail_out = (uInt)(REFERENCE_MAX - ref.len);
		rc = inflate(&z, Z_NO_FLUSH);
		ref.len = REFERENCE_MAX - z.avail_out;
		/* Another member? Zeros, garbage and the end are none. */
		if (rc != Z_STREAM_END || raw || z.avail_in < 2 || z.next_in[0] != 0x1f || z.next_in[1] != 0x8b)
			break;
		check(inflateReset(&z) == Z_OK);
	}
	ref.complete = rc == Z_STREAM_END;
	ref.taken = len - z.avail_in;
	check(ref.len < REFERENCE_MAX);
	inflateEnd(&z);
}

static void put(uint8_t *to, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

/* A header, the deflate data as far as it goes, and a trailer. */
static uint8_t *wrap(const uint8_t *data, size_t *size, unsigned flags)
{
	uint8_t *file = malloc(*size + 64);
	size_t at = 10;

	check(file);
	inflate_reference(data, *size, true);
	memcpy(file, "\x1f\x8b\x08\0\0\0\0\0\0\x03", 10);
	if (flags & FLAG_OURS) {
		file[3] = 4;
		put(file + at, 24, 2);
		memcpy(file + at + 2, "CF\x08", 4);
		put(file + at + 6, flags & FLAG_LIE ? ref.len / 2 : ref.len, 8);
		memcpy(file + at + 14, "CL\x08", 4);
		put(file + at + 18, 10 + 26 + ref.taken + 8, 8);
		at += 26;
	}
	memcpy(file + at, data, ref.taken);
	at += ref.taken;
	put(file + at, crc32(0, ref.bytes, (uInt)ref.len), 4);
	put(file + at + 4, flags & FLAG_LIE ? ref.len / 2 : ref.len, 4);
	at += 8;
	if (flags & FLAG_GARBAGE)
		file[at++] = 'x';
	*size = at;
	return file;
}

static bool never(void *arg)
{
	return false;
}

static void read_view(struct zview *view, const uint8_t *reads, unsigned count, unsigned flags)
{
	static uint8_t buf[READ_MAX];
	bool end = false;

	if (flags & FLAG_MEASURE)
		end = zview_measure(view) == 0;
	for (unsigned i = 0; i < count; i++, reads += 5) {
		uint64_t off = reads[0] | (uint64_t)reads[1] << 8 | (uint64_t)reads[2] << 16;
		size_t len = reads[3] | (size_t)reads[4] << 8;
		ssize_t n = zview_read(view, buf, len, off);
		check(n <= (ssize_t)len);
		if (n <= 0)
			continue;
		check(off + (uint64_t)n <= ref.len);
		check(memcmp(buf, ref.bytes + off, (size_t)n) == 0);
		/* Whoever sees the end, sees a whole file; and the last byte is not seen without the end. */
		end |= (size_t)n < len || (ref.complete && off + (uint64_t)n == ref.len);
	}
	if (end) {
		check(ref.complete);
		check(zview_exact(view));
		check(zview_size(view) == ref.len);
	}
	check((zview_measure(view) == 0) <= ref.complete);
	zview_reason(view);
	check(!zview_reason(view));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gzip_stop stop = {never, NULL};
	struct lower lower = {.root = -1, .temp = -1, .sys = lower_calls_default()};
	struct zview *view = NULL;
	const char *reason = NULL;

	if (!ref.bytes)
		ref.bytes = malloc(REFERENCE_MAX);
	if (size < 3 || size > 4096)
		return 0;
	unsigned flags = data[0], count = data[2] & 15;
	uint64_t span = (uint64_t)1 << (data[1] & 15);
	const uint8_t *reads = data + 3;
	if (size < 3 + 5 * (size_t)count)
		return 0;
	size_t len = size - 3 - 5 * (size_t)count;
	uint8_t *wrapped = flags & FLAG_WRAP ? wrap(reads + 5 * (size_t)count, &len, flags) : NULL;
	const uint8_t *file = wrapped ? wrapped : reads + 5 * (size_t)count;
	inflate_reference(file, len, false);

	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	check(fd >= 0 && pwrite(fd, file, len, 0) == (ssize_t)len);
	if (zview_create(&lower, fd, &stop, &view, &reason) == 0) {
		zview_set_span(view, span);
		read_view(view, reads, count, flags);
		zview_destroy(view);
	} else {
		check(reason);
		close(fd);
	}
	free(wrapped);
	return 0;
}
