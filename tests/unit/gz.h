/* What test_gzip.c and test_zview.c share: a lower whose calls can be made to
 * fail, files in memory, texts. */
#ifndef CLAWFS_TESTS_GZ_H
#define CLAWFS_TESTS_GZ_H

#include "fs/gzip.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct bytes {
	uint8_t *at;
	size_t len;
};

/* --- calls that fail ------------------------------------------------------ */

enum call { CALL_PREAD = 1, CALL_PWRITE = 2, CALL_FSTAT = 4 };

/* Call number `at` (from 1) of those in `which` does `cap` bytes only, or
 * fails with `error`; and all after it, if it is to last. */
static struct {
	unsigned which, at, count;
	int error;
	size_t cap;
	bool lasts;
} fault;

static bool faulty(unsigned call)
{
	if (!(fault.which & call) || !fault.at)
		return false;
	fault.count++;
	return fault.count == fault.at || (fault.lasts && fault.count > fault.at);
}

static ssize_t test_pread(int fd, void *buf, size_t len, off_t off)
{
	if (!faulty(CALL_PREAD))
		return pread(fd, buf, len, off);
	if (!fault.error)
		return pread(fd, buf, len < fault.cap ? len : fault.cap, off);
	errno = fault.error;
	return -1;
}

static ssize_t test_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	if (!faulty(CALL_PWRITE))
		return pwrite(fd, buf, len, off);
	if (!fault.error)
		return pwrite(fd, buf, len < fault.cap ? len : fault.cap, off);
	errno = fault.error;
	return -1;
}

static int test_fstat(int fd, struct stat *st)
{
	if (!faulty(CALL_FSTAT) || !fault.error)
		return fstat(fd, st);
	errno = fault.error;
	return -1;
}

/* Every other call of the table is missing: using one would crash. */
static const struct lower_calls test_calls = {.pread = test_pread, .pwrite = test_pwrite, .fstat = test_fstat};
static const struct lower lower = {.root = -1, .temp = -1, .sys = &test_calls};

#define no_fault() memset(&fault, 0, sizeof(fault))

/* --- files ---------------------------------------------------------------- */

static inline int file_of(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, (const char *)data + done, len - done, (off_t)done);
		assert_true(n > 0);
		done += (size_t)n;
	}
	return fd;
}

static inline struct bytes contents(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	struct bytes b = {malloc((size_t)st.st_size + 1), (size_t)st.st_size};
	assert_non_null(b.at);
	for (size_t done = 0; done < b.len;) {
		ssize_t n = pread(fd, b.at + done, b.len - done, (off_t)done);
		assert_true(n > 0);
		done += (size_t)n;
	}
	return b;
}

/* memcmp: assert_memory_equal is slow. */
static inline void assert_same(const void *a, size_t a_len, const void *b, size_t b_len)
{
	assert_int_equal(a_len, b_len);
	if (a_len > 0)
		assert_int_equal(memcmp(a, b, a_len), 0);
}

/* --- texts ---------------------------------------------------------------- */

static inline uint32_t draw(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Lines of a log, cut at `len`. */
static inline struct bytes text(size_t len)
{
	static const char *const words[] = {"gateway",	"session", "heartbeat", "connected", "token",
					    "delivery", "channel", "retry",	"telegram",  "agent"};
	struct bytes b = {malloc(len + 256), len};
	uint32_t seed = 2463534242u;

	assert_non_null(b.at);
	for (size_t at = 0, n = 0; at < len; n++)
		at += (size_t)sprintf((char *)b.at + at,
				      "{\"n\":%zu,\"level\":\"info\",\"subsystem\":\"%s\",\"msg\":\"%s %s %08x\"}\n", n,
				      words[draw(&seed) % 10], words[draw(&seed) % 10], words[draw(&seed) % 10],
				      draw(&seed));
	return b;
}

/* --- gzip files ----------------------------------------------------------- */

/* Compresses with gzip_write; the descriptor of the gzip file. */
static inline int packed_by_us(struct bytes plain, struct gzip_result *result)
{
	struct gzip_result unused;
	int source = file_of(plain.at, plain.len), to = file_of("", 0);

	assert_int_equal(
		gzip_write(&lower,
			   &(struct gzip_source){
				   .fd = source, .size = plain.len, .name = "gateway.log", .mtime = 1767225600},
			   to, NULL, result ? result : &unused),
		0);
	close(source);
	return to;
}

/* One member as others write it: no extra field, fast. */
static inline struct bytes member(const void *data, size_t len)
{
	z_stream z = {0};
	struct bytes b;

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	b.len = deflateBound(&z, len) + 32;
	b.at = malloc(b.len);
	assert_non_null(b.at);
	z.next_in = (uint8_t *)(uintptr_t)data;
	z.avail_in = (uInt)len;
	z.next_out = b.at;
	z.avail_out = (uInt)b.len;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	b.len = z.total_out;
	deflateEnd(&z);
	return b;
}

static inline void append(struct bytes *to, const void *data, size_t len)
{
	to->at = realloc(to->at, to->len + len + 1);
	assert_non_null(to->at);
	if (len > 0)
		memcpy(to->at + to->len, data, len);
	to->len += len;
}

static inline void append_member(struct bytes *to, const void *data, size_t len)
{
	struct bytes m = member(data, len);

	append(to, m.at, m.len);
	free(m.at);
}

/* Says "stop" when it is asked for the `left`th time. */
static inline bool stop_after(void *left)
{
	return --*(int *)left <= 0;
}

#endif
