/* Damaged files, bombs, a failing card: an error or the right bytes. */
#include "fs/zview.h"
#include "tests/unit/gz.h"

#include <sys/resource.h>

/* What reading a file came to. */
struct outcome {
	bool opened, complete; /* read to its end without an error */
	int rc;
};

/* Opens `packed` and reads it in pieces; each piece that is read before an
 * error is compared when `exactly`, because some damage shows only at the end. */
static struct outcome read_through(struct bytes packed, struct bytes plain, size_t step)
{
	struct outcome o = {0};
	struct zview *view = NULL;
	const char *reason = NULL;
	uint8_t *all = malloc(plain.len + step), *buf = malloc(step);
	int fd = file_of(packed.at, packed.len);
	uint64_t off = 0;

	assert_non_null(all);
	assert_non_null(buf);
	o.rc = zview_create(&lower, fd, NULL, &view, &reason);
	if (o.rc < 0) {
		assert_int_equal(o.rc, -EIO);
		assert_non_null(reason);
		close(fd);
		goto out;
	}
	o.opened = true;
	zview_set_span(view, 100);
	ssize_t n;
	while ((n = zview_read(view, buf, step, off)) > 0) {
		assert_in_range(n, 1, step);
		if (off + (uint64_t)n <= plain.len)
			memcpy(all + off, buf, (size_t)n);
		off += (uint64_t)n;
		assert_in_range(off, 1, plain.len + 100000);
	}
	o.rc = (int)n;
	o.complete = n == 0;
	if (o.complete) {
		assert_same(all, (size_t)off, plain.at, plain.len);
		assert_true(zview_exact(view));
		assert_int_equal(zview_size(view), plain.len);
		assert_int_equal(zview_measure(view), 0);
	} else {
		assert_int_equal(n, -EIO);
		assert_non_null(zview_reason(view));
		assert_null(zview_reason(view));
		/* It stays so, without further ado. */
		assert_int_equal(zview_read(view, buf, step, off), -EIO);
		assert_int_equal(zview_measure(view), -EIO);
		assert_null(zview_reason(view));
	}
	zview_destroy(view);
out:
	free(all);
	free(buf);
	return o;
}

/* --- every place of a small file ------------------------------------------ */

static void each_truncation_is_an_error(void **state)
{
	struct bytes plain = text(700), packed[2] = {{0}};
	int fd = packed_by_us(plain, NULL);

	packed[0] = contents(fd);
	close(fd);
	append_member(&packed[1], plain.at, 300);
	size_t first = packed[1].len;
	append_member(&packed[1], plain.at + 300, 400);
	for (int i = 0; i < 2; i++) {
		for (size_t len = 0; len < packed[i].len; len++) {
			struct bytes cut = {packed[i].at, len};
			/* At the end of a member, or one byte behind, it is a shorter file. */
			bool whole = i == 1 && (len == first || len == first + 1);
			struct bytes expected = {plain.at, whole ? 300 : 700};
			for (size_t step = 1; step < 3000; step = step * 13 + 1)
				assert_int_equal(read_through(cut, expected, step).complete, whole);
		}
		assert_true(read_through(packed[i], plain, 17).complete);
		free(packed[i].at);
	}
	free(plain.at);
}

/* Also from where the inflation does not begin at the beginning. */
static void what_was_before_the_cut_stays_readable(void **state)
{
	struct bytes plain = text(2 << 20), packed = member(plain.at, plain.len);
	struct zview *view = NULL;
	const char *reason;
	uint8_t buf[4096];

	assert_int_equal(zview_create(&lower, file_of(packed.at, packed.len / 2), NULL, &view, &reason), 0);
	zview_set_span(view, 10000);
	assert_int_equal(zview_measure(view), -EIO);
	for (uint64_t off = 0; off < plain.len / 3; off += sizeof(buf)) {
		assert_int_equal(zview_read(view, buf, sizeof(buf), off), sizeof(buf));
		assert_same(buf, sizeof(buf), plain.at + off, sizeof(buf));
	}
	assert_int_equal(zview_read(view, buf, sizeof(buf), plain.len - sizeof(buf)), -EIO);
	assert_int_equal(zview_read(view, buf, 1, 5), 1);
	assert_string_equal(zview_reason(view), "the file ends too early");
	zview_destroy(view);
	free(packed.at);
	free(plain.at);
}

static void after_a_wrong_crc_nothing_of_the_member_is_given(void **state)
{
	struct bytes plain = text(5000), packed = {0};
	struct zview *view = NULL;
	const char *reason;
	uint8_t buf[4096];

	append_member(&packed, plain.at, 1000);
	append_member(&packed, plain.at + 1000, 4000);
	packed.at[packed.len - 8] ^= 1;
	assert_int_equal(zview_create(&lower, file_of(packed.at, packed.len), NULL, &view, &reason), 0);
	assert_int_equal(zview_read(view, buf, 100, 2000), 100);
	assert_int_equal(zview_read(view, buf, 100, 4900), -EIO);
	assert_string_equal(zview_reason(view), "the CRC differs");
	assert_int_equal(zview_read(view, buf, 100, 2000), -EIO);
	assert_int_equal(zview_read(view, buf, 100, 950), -EIO);
	assert_int_equal(zview_read(view, buf, 100, 850), 100);
	assert_same(buf, 100, plain.at + 850, 100);
	zview_destroy(view);
	free(packed.at);
	free(plain.at);
}

static void each_corruption_is_an_error_or_harmless(void **state)
{
	static const uint8_t flips[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff};
	struct bytes plain = text(700), packed[2] = {{0}};
	int fd = packed_by_us(plain, NULL);
	size_t harmless = 0;

	packed[0] = contents(fd);
	close(fd);
	packed[1] = member(plain.at, plain.len);
	for (int i = 0; i < 2; i++) {
		for (size_t at = 0; at < packed[i].len; at++) {
			for (size_t f = 0; f < sizeof(flips); f++) {
				packed[i].at[at] ^= flips[f];
				harmless += read_through(packed[i], plain, 1000).complete;
				read_through(packed[i], plain, 97);
				packed[i].at[at] ^= flips[f];
			}
		}
		free(packed[i].at);
	}
	/* Of the headers' 24 + 11 and 4 + 2 bytes that do not matter, most. */
	assert_in_range(harmless, 50, 9 * 60);
	free(plain.at);
}

/* --- bombs ---------------------------------------------------------------- */

static void put(struct bytes *b, uint64_t value, size_t len)
{
	uint8_t little[8];

	for (size_t i = 0; i < len; i++)
		little[i] = (uint8_t)(value >> (8 * i));
	append(b, little, len);
}

/* A member that announces `size`, as ours do, and holds `deflated`. */
static struct bytes crafted(uint64_t size, struct bytes deflated, uint32_t crc, uint64_t isize)
{
	struct bytes b = {0};

	append(&b, "\x1f\x8b\x08\x04\0\0\0\0\0\x03", 10);
	put(&b, 24, 2);
	append(&b, "CF\x08\0", 4);
	put(&b, size, 8);
	append(&b, "CL\x08\0", 4);
	put(&b, 10 + 2 + 24 + deflated.len + 8, 8);
	append(&b, deflated.at, deflated.len);
	put(&b, crc, 4);
	put(&b, isize, 4);
	return b;
}

/* `count` times 1 MiB of zeros, as small as deflate can make it; the last
 * block is missing. */
static struct bytes zeros_deflated(size_t count)
{
	uint8_t *mib = calloc(1, 1 << 20), out[4096];
	struct bytes b;
	z_stream z = {.next_in = mib, .avail_in = 1 << 20, .next_out = out, .avail_out = sizeof(out)};

	assert_non_null(mib);
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FULL_FLUSH), Z_OK);
	size_t len = sizeof(out) - z.avail_out;
	b = (struct bytes){malloc(count * len), count * len};
	assert_non_null(b.at);
	for (size_t i = 0; i < count; i++)
		memcpy(b.at + i * len, out, len);
	deflateEnd(&z);
	free(mib);
	return b;
}

static void more_than_is_announced_is_an_error(void **state)
{
	struct bytes plain = text(100000), whole = member(plain.at, plain.len);
	struct bytes deflated = {whole.at + 10, whole.len - 18};
	uint32_t crc = (uint32_t)crc32(0, plain.at, (uInt)plain.len);
	static const uint64_t sizes[] = {0, 1, 99999, 100001, 131072, UINT64_MAX - 1};
	uint8_t *buf = malloc(200000);

	assert_non_null(buf);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		/* Whatever the trailer says. */
		for (int lie = 0; lie < 2; lie++) {
			struct bytes bomb = crafted(sizes[i], deflated, crc, lie ? sizes[i] : plain.len);
			struct zview *view = NULL;
			const char *reason;
			int fd = file_of(bomb.at, bomb.len);
			int rc = zview_create(&lower, fd, NULL, &view, &reason);
			if (sizes[i] > 200000) {
				assert_int_equal(rc, -EIO);
				assert_string_equal(reason, "it announces more than deflate can hold");
				close(fd);
			} else {
				assert_int_equal(rc, 0);
				assert_int_equal(zview_size(view), sizes[i]);
				assert_int_equal(zview_exact(view), lie);
				ssize_t n = zview_read(view, buf, 200000, 0);
				assert_int_equal(n, lie && sizes[i] == 0 ? 0 : -EIO);
				assert_int_equal(zview_measure(view), -EIO);
				assert_non_null(zview_reason(view));
				zview_destroy(view);
			}
			free(bomb.at);
		}
	}
	free(buf);
	free(whole.at);
	free(plain.at);
}

/* 8 GiB in 8 MiB, honestly announced: the size is right, the end can be asked
 * for and is not waited for, and memory stays small. */
static void a_huge_bomb_can_be_stopped(void **state)
{
	struct bytes deflated = zeros_deflated(8192), bomb = crafted((uint64_t)8192 << 20, deflated, 0, 0);
	int left = 100;
	struct gzip_stop stop = {stop_after, &left};
	struct zview *view = NULL;
	const char *reason;
	struct rusage before, after;
	uint8_t buf[4096];
	uint8_t zeros[4096] = {0};

	int fd = file_of(bomb.at, bomb.len);
	getrusage(RUSAGE_SELF, &before);
	assert_int_equal(zview_create(&lower, fd, &stop, &view, &reason), 0);
	assert_int_equal(zview_size(view), (uint64_t)8192 << 20);
	assert_true(zview_exact(view));
	assert_int_equal(zview_read(view, buf, sizeof(buf), ((uint64_t)8192 << 20) - 4096), -ECANCELED);
	assert_int_equal(left, 0);
	/* It goes on when asked again, and elsewhere. */
	left = 3;
	assert_int_equal(zview_measure(view), -ECANCELED);
	left = 10;
	assert_int_equal(zview_read(view, buf, sizeof(buf), 77 << 20), sizeof(buf));
	assert_same(buf, sizeof(buf), zeros, sizeof(zeros));
	left = 10;
	assert_int_equal(zview_read(view, buf, sizeof(buf), 5), sizeof(buf));
	assert_null(zview_reason(view));
	getrusage(RUSAGE_SELF, &after);
	/* KiB. Sanitizers and valgrind take some more. */
	assert_in_range(after.ru_maxrss - before.ru_maxrss, 0, 32 << 10);
	zview_destroy(view);
	free(bomb.at);
	free(deflated.at);
}

/* One that announces little is not followed further than that. */
static void a_bomb_that_lies_ends_early(void **state)
{
	struct bytes deflated = zeros_deflated(64), bomb = crafted(3 << 20, deflated, 0, 3 << 20);
	int left = 10, to = file_of("", 0);
	struct gzip_stop stop = {stop_after, &left};
	const char *reason;

	int fd = file_of(bomb.at, bomb.len);
	assert_int_equal(gzip_inflate(&lower, fd, to, UINT64_MAX, &stop, &reason), -EIO);
	assert_string_equal(reason, "it holds more than it announces");
	assert_int_equal(lseek(to, 0, SEEK_END), 3 << 20);
	close(fd);
	close(to);
	free(bomb.at);
	free(deflated.at);
}

/* Much input without output does not keep it either: empty blocks, empty
 * members, and a header without end. */
static void much_ado_about_nothing_can_be_stopped(void **state)
{
	struct bytes blocks = {calloc(5, 1 << 20), 5 << 20}, members = {0}, name = {0};
	struct bytes empty = member("", 0);
	struct zview *view = NULL;
	const char *reason;

	assert_non_null(blocks.at);
	for (size_t i = 0; i < blocks.len; i += 5)
		memcpy(blocks.at + i, "\0\0\0\xff\xff", 5);
	append(&members, empty.at, empty.len);
	while (members.len < 4 << 20) {
		struct bytes twice = {members.at, members.len};
		members.at = malloc(2 * twice.len);
		assert_non_null(members.at);
		memcpy(members.at, twice.at, twice.len);
		memcpy(members.at + twice.len, twice.at, twice.len);
		members.len = 2 * twice.len;
		free(twice.at);
	}
	struct bytes bombs[] = {crafted(1, blocks, 0, 1), members};
	for (int i = 0; i < 2; i++) {
		int left = 2;
		struct gzip_stop stop = {stop_after, &left};
		assert_int_equal(zview_create(&lower, file_of(bombs[i].at, bombs[i].len), &stop, &view, &reason), 0);
		assert_int_equal(zview_measure(view), -ECANCELED);
		left = INT32_MAX;
		/* The first has no end, the second no content. */
		assert_int_equal(zview_measure(view), i == 0 ? -EIO : 0);
		zview_destroy(view);
		free(bombs[i].at);
	}
	append(&name, "\x1f\x8b\x08\x08\0\0\0\0\0\x03", 10);
	memset(blocks.at, 'a', blocks.len);
	append(&name, blocks.at, blocks.len);
	int fd = file_of(name.at, name.len);
	assert_int_equal(zview_create(&lower, fd, NULL, &view, &reason), -EIO);
	assert_string_equal(reason, "a header without end");
	close(fd);
	free(name.at);
	free(blocks.at);
	free(empty.at);
}

/* --- the card ------------------------------------------------------------- */

static void each_call_may_fail_and_is_made_again(void **state)
{
	struct bytes plain = text(1 << 20);
	struct gzip_result result;
	int packed = packed_by_us(plain, &result);
	static const struct {
		int error;
		size_t cap;
		int expected;
	} kinds[] = {{EIO, 0, -EIO}, {EACCES, 0, -EACCES}, {EINTR, 0, 0}, {0, 1, 0}, {0, 1000, 0}};
	uint8_t *buf = malloc(70000);

	assert_non_null(buf);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		bool happened = true;
		for (unsigned at = 1; happened; at++) {
			struct zview *view = NULL;
			const char *reason = NULL;
			unsigned errors = 0;
			no_fault();
			fault.which = CALL_PREAD | CALL_FSTAT;
			fault.at = at;
			fault.error = kinds[k].error;
			fault.cap = kinds[k].cap;
			int fd = dup(packed);
			int rc = zview_create(&lower, fd, NULL, &view, &reason);
			/* fstat cannot be interrupted. */
			if (rc < 0) {
				assert_int_equal(rc, at == 1 && kinds[k].error == EINTR ? -EINTR : kinds[k].expected);
				assert_null(reason);
				close(fd);
				continue;
			}
			zview_set_span(view, 50000);
			for (uint64_t off = 0; off < plain.len; off += 70000) {
				size_t there = plain.len - off < 70000 ? (size_t)(plain.len - off) : 70000;
				ssize_t n = zview_read(view, buf, 70000, off);
				if (n < 0) {
					assert_int_equal(n, kinds[k].expected);
					errors++;
					n = zview_read(view, buf, 70000, off);
				}
				assert_same(buf, (size_t)n, plain.at + off, there);
			}
			happened = fault.count >= at;
			assert_int_equal(errors, happened && kinds[k].expected ? 1 : 0);
			assert_null(zview_reason(view));
			zview_destroy(view);
		}
	}
	no_fault();
	free(buf);
	close(packed);
	free(plain.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_truncation_is_an_error),
		cmocka_unit_test(what_was_before_the_cut_stays_readable),
		cmocka_unit_test(after_a_wrong_crc_nothing_of_the_member_is_given),
		cmocka_unit_test(each_corruption_is_an_error_or_harmless),
		cmocka_unit_test(more_than_is_announced_is_an_error),
		cmocka_unit_test(a_huge_bomb_can_be_stopped),
		cmocka_unit_test(a_bomb_that_lies_ends_early),
		cmocka_unit_test(much_ado_about_nothing_can_be_stopped),
		cmocka_unit_test(each_call_may_fail_and_is_made_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
