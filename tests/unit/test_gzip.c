/* A log becomes a gzip file and a log again, whatever the card does. */
#include "tests/unit/gz.h"

/* --- round trips ---------------------------------------------------------- */

static void round_trip(size_t len)
{
	struct bytes plain = text(len), back;
	struct gzip_result result;
	const char *reason = "unset";
	int packed = packed_by_us(plain, &result), to = file_of("", 0);

	assert_int_equal(result.size, len);
	assert_int_equal(result.crc, crc32(0, plain.at, (uInt)len));
	assert_int_equal(result.packed, lseek(packed, 0, SEEK_END));
	assert_int_equal(gzip_verify(&lower, packed, &result, NULL, &reason), 0);
	assert_null(reason);
	assert_int_equal(gzip_inflate(&lower, packed, to, len, NULL, &reason), 0);
	back = contents(to);
	assert_same(back.at, back.len, plain.at, plain.len);
	free(back.at);
	free(plain.at);
	close(packed);
	close(to);
}

static void what_went_in_comes_out(void **state)
{
	static const size_t sizes[] = {
		0, 1, 2, 100, 65535, 65536, GZIP_CHUNK - 1, GZIP_CHUNK, GZIP_CHUNK + 1, 1 << 20, (5 << 20) + 3};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		round_trip(sizes[i]);
}

static void what_does_not_compress_comes_out_too(void **state)
{
	struct bytes plain = {malloc(3 << 20), 3 << 20}, back;
	const char *reason;
	uint32_t seed = 7;

	for (size_t i = 0; i < plain.len; i++)
		plain.at[i] = (uint8_t)(draw(&seed) >> 9);
	int packed = packed_by_us(plain, NULL), to = file_of("", 0);
	assert_int_equal(gzip_inflate(&lower, packed, to, UINT64_MAX, NULL, &reason), 0);
	back = contents(to);
	assert_same(back.at, back.len, plain.at, plain.len);
	free(back.at);
	free(plain.at);
	close(packed);
	close(to);
}

static void zlib_reads_the_header_and_the_content(void **state)
{
	struct bytes plain = text(10000);
	struct gzip_result result;
	int fd = packed_by_us(plain, &result);
	struct bytes packed = contents(fd);
	uint8_t extra[64], name[64], out[10001];
	gz_header header = {.extra = extra, .extra_max = sizeof(extra), .name = name, .name_max = sizeof(name)};
	z_stream z = {.next_in = packed.at, .avail_in = (uInt)packed.len, .next_out = out, .avail_out = sizeof(out)};
	const uint8_t expected[] = {'C',
				    'F',
				    8,
				    0,
				    0x10,
				    0x27,
				    0,
				    0,
				    0,
				    0,
				    0,
				    0,
				    'C',
				    'L',
				    8,
				    0,
				    (uint8_t)result.packed,
				    (uint8_t)(result.packed >> 8),
				    0,
				    0,
				    0,
				    0,
				    0,
				    0};

	assert_int_equal(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
	assert_int_equal(inflateGetHeader(&z, &header), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_same(out, z.total_out, plain.at, plain.len);
	assert_string_equal((char *)name, "gateway.log");
	assert_int_equal(header.time, 1767225600);
	assert_int_equal(header.os, 3);
	assert_same(extra, header.extra_len, expected, sizeof(expected));
	inflateEnd(&z);
	free(packed.at);
	free(plain.at);
	close(fd);
}

static void gzip_accepts_it(void **state)
{
	struct bytes plain = text(100000);
	char command[64];
	int fd = packed_by_us(plain, NULL);

	snprintf(command, sizeof(command), "gzip -t </proc/%d/fd/%d", (int)getpid(), fd);
	assert_int_equal(system(command), 0);
	free(plain.at);
	close(fd);
}

/* --- the source ----------------------------------------------------------- */

static void what_is_appended_meanwhile_is_left_out(void **state)
{
	struct bytes plain = text(300000), back;
	int source = file_of(plain.at, plain.len), to = file_of("", 0), again = file_of("", 0);
	struct gzip_source from = {.fd = source, .size = 280001, .mtime = -1};
	struct gzip_result result;
	const char *reason;

	assert_int_equal(gzip_write(&lower, &from, to, NULL, &result), 0);
	assert_int_equal(result.size, 280001);
	assert_int_equal(gzip_verify(&lower, to, &result, NULL, &reason), 0);
	assert_int_equal(gzip_inflate(&lower, to, again, UINT64_MAX, NULL, &reason), 0);
	back = contents(again);
	assert_same(back.at, back.len, plain.at, 280001);
	free(back.at);
	free(plain.at);
	close(source);
	close(to);
	close(again);
}

static void a_source_that_shrank_is_an_error(void **state)
{
	struct bytes plain = text(300000);
	int source = file_of(plain.at, plain.len), to = file_of("", 0);
	struct gzip_result result;

	assert_int_equal(gzip_write(&lower, &(struct gzip_source){.fd = source, .size = 300001}, to, NULL, &result),
			 -ESTALE);
	free(plain.at);
	close(source);
	close(to);
}

/* --- verify --------------------------------------------------------------- */

static void verify_finds_each_changed_byte(void **state)
{
	struct bytes plain = text(3000), back;
	struct gzip_result result;
	int fd = packed_by_us(plain, &result);
	struct bytes good = contents(fd);
	const char *reason;
	size_t unnoticed = 0;

	for (size_t i = 0; i < good.len; i++) {
		/* mtime, level and system, and the name are said, not promised. */
		bool harmless = (i >= 4 && i < 10) || (i >= 36 && i < 36 + strlen("gateway.log"));
		uint8_t bad = good.at[i] ^ 0x10;
		assert_int_equal(pwrite(fd, &bad, 1, (off_t)i), 1);
		int rc = gzip_verify(&lower, fd, &result, NULL, &reason);
		if (rc == 0) {
			int to = file_of("", 0);
			assert_int_equal(gzip_inflate(&lower, fd, to, UINT64_MAX, NULL, &reason), 0);
			back = contents(to);
			assert_same(back.at, back.len, plain.at, plain.len);
			free(back.at);
			close(to);
			unnoticed += !harmless;
		} else {
			assert_int_equal(rc, -EIO);
			assert_non_null(reason);
		}
		assert_int_equal(pwrite(fd, &good.at[i], 1, (off_t)i), 1);
	}
	/* Deflate's last byte has bits that mean nothing; the flag "text" neither. */
	assert_in_range(unnoticed, 0, 2);
	assert_int_equal(gzip_verify(&lower, fd, &result, NULL, &reason), 0);
	free(good.at);
	free(plain.at);
	close(fd);
}

static void verify_finds_what_is_missing_or_too_much(void **state)
{
	struct bytes plain = text(3000);
	struct gzip_result result, other;
	int fd = packed_by_us(plain, &result);
	struct bytes good = contents(fd);
	const char *reason;

	for (size_t len = 0; len < good.len; len++) {
		int cut = file_of(good.at, len);
		assert_int_equal(gzip_verify(&lower, cut, &result, NULL, &reason), -EIO);
		/* Nor when the sizes are said to be these. */
		other = (struct gzip_result){.size = result.size, .packed = len, .crc = result.crc};
		assert_int_equal(gzip_verify(&lower, cut, &other, NULL, &reason), -EIO);
		assert_non_null(reason);
		close(cut);
	}
	struct bytes again = contents(fd);
	append(&good, again.at, again.len);
	free(again.at);
	int twice = file_of(good.at, good.len);
	assert_int_equal(gzip_verify(&lower, twice, &result, NULL, &reason), -EIO);
	close(twice);
	/* The right file of another content. */
	other = result;
	other.crc ^= 1;
	assert_int_equal(gzip_verify(&lower, fd, &other, NULL, &reason), -EIO);
	assert_string_equal(reason, "the CRC is not that of what was read");
	free(good.at);
	free(plain.at);
	close(fd);
}

/* --- inflate -------------------------------------------------------------- */

static void all_members_come_out(void **state)
{
	struct bytes plain = text(200000), packed = {0}, back;
	int to = file_of("", 0);
	const char *reason;

	append_member(&packed, plain.at, 70000);
	append_member(&packed, "", 0);
	append_member(&packed, plain.at + 70000, 130000);
	append(&packed, "garbage", 7);
	int fd = file_of(packed.at, packed.len);
	assert_int_equal(gzip_inflate(&lower, fd, to, UINT64_MAX, NULL, &reason), 0);
	back = contents(to);
	assert_same(back.at, back.len, plain.at, plain.len);
	assert_int_equal(gzip_inflate(&lower, fd, to, plain.len - 1, NULL, &reason), -EFBIG);
	free(packed.at);
	free(back.at);
	free(plain.at);
	close(fd);
	close(to);
}

static void what_is_no_gzip_file_is_refused(void **state)
{
	static const char *const texts[] = {"", "\x1f", "\x1f\x8b", "plain text, no gzip at all",
					    "\x1f\x8b\x09xxxxxxxxxxxx"};
	int to = file_of("", 0);
	const char *reason;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		int fd = file_of(texts[i], strlen(texts[i]));
		assert_int_equal(gzip_inflate(&lower, fd, to, UINT64_MAX, NULL, &reason), -EIO);
		assert_non_null(reason);
		close(fd);
	}
	close(to);
}

/* --- stop ----------------------------------------------------------------- */

static void stop_is_asked_between_chunks(void **state)
{
	struct bytes plain = text(4 << 20);
	struct gzip_result result;
	int source = file_of(plain.at, plain.len), to = file_of("", 0), packed = packed_by_us(plain, &result);
	const struct gzip_source from = {.fd = source, .size = plain.len};
	const char *reason;
	struct gzip_result unused;

	for (int n = 1; n <= (4 << 20) / GZIP_CHUNK; n += 5) {
		int left = n;
		struct gzip_stop stop = {stop_after, &left};
		assert_int_equal(gzip_write(&lower, &from, to, &stop, &unused), -ECANCELED);
	}
	for (int n = 1; n <= 4; n++) {
		int left = n;
		struct gzip_stop stop = {stop_after, &left};
		assert_int_equal(gzip_verify(&lower, packed, &result, &stop, &reason), -ECANCELED);
		left = n;
		assert_int_equal(gzip_inflate(&lower, packed, to, UINT64_MAX, &stop, &reason), -ECANCELED);
		assert_null(reason);
	}
	free(plain.at);
	close(source);
	close(to);
	close(packed);
}

/* --- the card ------------------------------------------------------------- */

struct attempt {
	struct bytes plain, packed;
};

/* All three, with the fault that was set: 0 only if everything is right. */
static int attempt(const struct attempt *a)
{
	int source = file_of(a->plain.at, a->plain.len), packed = file_of("", 0), to = file_of("", 0);
	struct gzip_result result;
	const char *reason = NULL;
	int rc = gzip_write(
		&lower,
		&(struct gzip_source){.fd = source, .size = a->plain.len, .name = "gateway.log", .mtime = 1767225600},
		packed, NULL, &result);

	if (rc == 0)
		rc = gzip_verify(&lower, packed, &result, NULL, &reason);
	if (rc == 0)
		rc = gzip_inflate(&lower, packed, to, UINT64_MAX, NULL, &reason);
	/* The card's errors are not the file's. */
	assert_null(reason);
	if (rc == 0) {
		struct bytes back = contents(to), file = contents(packed);
		assert_same(back.at, back.len, a->plain.at, a->plain.len);
		assert_same(file.at, file.len, a->packed.at, a->packed.len);
		free(back.at);
		free(file.at);
	}
	close(source);
	close(packed);
	close(to);
	return rc;
}

/* Makes each call fail in its turn; the number of calls there are. */
static unsigned each_call(const struct attempt *a, unsigned which, int error, size_t cap, bool lasts, int expected)
{
	for (unsigned at = 1;; at++) {
		no_fault();
		fault.which = which;
		fault.at = at;
		fault.error = error;
		fault.cap = cap;
		fault.lasts = lasts;
		int rc = attempt(a);
		bool happened = fault.count >= at;
		no_fault();
		assert_int_equal(rc, happened ? expected : 0);
		if (!happened)
			return at - 1;
	}
}

static void each_call_may_fail(void **state)
{
	struct attempt a = {.plain = text(300001)};
	int fd = packed_by_us(a.plain, NULL);

	a.packed = contents(fd);
	close(fd);
	assert_true(each_call(&a, CALL_PREAD, EIO, 0, false, -EIO) >= 6);
	assert_true(each_call(&a, CALL_PWRITE, EIO, 0, false, -EIO) >= 4);
	each_call(&a, CALL_PWRITE, ENOSPC, 0, true, -ENOSPC);
	assert_int_equal(each_call(&a, CALL_FSTAT, EIO, 0, false, -EIO), 2);
	each_call(&a, CALL_PREAD | CALL_PWRITE, EINTR, 0, false, 0);
	each_call(&a, CALL_PREAD | CALL_PWRITE, 0, 1, false, 0);
	each_call(&a, CALL_PREAD | CALL_PWRITE, 0, 4096, false, 0);
	free(a.plain.at);
	free(a.packed.at);
}

static void all_calls_may_be_short(void **state)
{
	struct attempt a = {.plain = text(30000)};
	int fd = packed_by_us(a.plain, NULL);

	a.packed = contents(fd);
	close(fd);
	fault.which = CALL_PREAD | CALL_PWRITE;
	fault.at = 1;
	fault.lasts = true;
	for (fault.cap = 1; fault.cap < 8; fault.cap++)
		assert_int_equal(attempt(&a), 0);
	no_fault();
	free(a.plain.at);
	free(a.packed.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_went_in_comes_out),
		cmocka_unit_test(what_does_not_compress_comes_out_too),
		cmocka_unit_test(zlib_reads_the_header_and_the_content),
		cmocka_unit_test(gzip_accepts_it),
		cmocka_unit_test(what_is_appended_meanwhile_is_left_out),
		cmocka_unit_test(a_source_that_shrank_is_an_error),
		cmocka_unit_test(verify_finds_each_changed_byte),
		cmocka_unit_test(verify_finds_what_is_missing_or_too_much),
		cmocka_unit_test(all_members_come_out),
		cmocka_unit_test(what_is_no_gzip_file_is_refused),
		cmocka_unit_test(stop_is_asked_between_chunks),
		cmocka_unit_test(each_call_may_fail),
		cmocka_unit_test(all_calls_may_be_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
