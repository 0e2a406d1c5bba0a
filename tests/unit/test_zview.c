/* A gzip file at any offset: the right bytes, sizes and times. What is
 * damaged is in test_zview_damage.c. */
#include "fs/zview.h"
#include "tests/unit/gz.h"

#include <pthread.h>

enum { LARGE = 70 << 20 };

static struct zview *view_of(int fd, uint64_t span)
{
	struct zview *view = NULL;
	const char *reason = "unset";

	assert_int_equal(zview_create(&lower, fd, NULL, &view, &reason), 0);
	assert_null(reason);
	if (span)
		zview_set_span(view, span);
	return view;
}

static struct zview *view_of_bytes(struct bytes packed)
{
	return view_of(file_of(packed.at, packed.len), 0);
}

/* Reads `len` at `off` and compares. */
static void expect(struct zview *view, struct bytes plain, uint64_t off, size_t len)
{
	uint8_t *buf = malloc(len + 1);
	size_t there = off >= plain.len ? 0 : plain.len - off < len ? (size_t)(plain.len - off) : len;

	assert_non_null(buf);
	ssize_t n = zview_read(view, buf, len, off);
	assert_int_equal(n, there);
	assert_same(buf, there, plain.at + (there ? off : 0), there);
	free(buf);
}

/* From the first byte to the last, `step` at a time. */
static void expect_all(struct zview *view, struct bytes plain, size_t step)
{
	for (uint64_t off = 0; off <= plain.len; off += step)
		expect(view, plain, off, step);
}

static void at_random(struct zview *view, struct bytes plain, unsigned times, uint32_t seed)
{
	for (unsigned i = 0; i < times; i++)
		expect(view, plain, draw(&seed) % (plain.len + 10), 1 + draw(&seed) % 20000);
}

/* --- our own files -------------------------------------------------------- */

static void sizes_are_known_at_once(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 4096, 100000, 1 << 20};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct bytes plain = text(sizes[i]);
		struct zview *view = view_of(packed_by_us(plain, NULL), 0);
		assert_int_equal(zview_size(view), sizes[i]);
		assert_true(zview_exact(view));
		assert_int_equal(zview_mtime(view), 1767225600);
		expect(view, plain, 0, sizes[i] + 100);
		expect(view, plain, sizes[i] / 2, 4096);
		expect(view, plain, sizes[i], 10);
		expect(view, plain, UINT64_MAX - 5, 10);
		assert_int_equal(zview_measure(view), 0);
		expect_all(view, plain, 8191);
		assert_int_equal(zview_size(view), sizes[i]);
		assert_null(zview_reason(view));
		zview_destroy(view);
		free(plain.at);
	}
}

static void notes_are_thinned_out_and_still_right(void **state)
{
	struct bytes plain = text(3 << 20);
	int packed = packed_by_us(plain, NULL);

	for (uint64_t span = 1; span < 1 << 20; span *= 16) {
		struct zview *view = view_of(dup(packed), span);
		/* Not from the beginning, then back, then all. */
		expect(view, plain, 2 << 20, 70000);
		expect(view, plain, 1000, 70000);
		expect_all(view, plain, 131072);
		at_random(view, plain, 200, 5);
		assert_null(zview_reason(view));
		zview_destroy(view);
	}
	close(packed);
	free(plain.at);
}

/* A file that no RAM of a small machine should hold, and what is read of it
 * goes on from a note nearby: few bytes are read from the lower. */
static void a_large_file_is_read_anywhere(void **state)
{
	size_t len = getenv("LD_PRELOAD") && strstr(getenv("LD_PRELOAD"), "valgrind") ? LARGE / 10 : LARGE;
	struct bytes plain = text(len);
	uint32_t seed = 99;
	struct gzip_result result;
	const char *reason;
	int fd = packed_by_us(plain, &result);

	assert_int_equal(gzip_verify(&lower, fd, &result, NULL, &reason), 0);
	struct zview *view = view_of(fd, 0);
	assert_int_equal(zview_size(view), len);
	expect_all(view, plain, 128 << 10);
	no_fault();
	fault.which = CALL_PREAD;
	fault.at = UINT32_MAX;
	for (int i = 0; i < 40; i++)
		expect(view, plain, draw(&seed) % len, 16384);
	/* Two spans of 2 MiB at most, at a ratio of 3 or more. */
	assert_in_range(fault.count, 1, 40 * 2 * (2 << 20) / 3 / GUNZIP_BUFFER);
	no_fault();
	zview_destroy(view);
	free(plain.at);
}

struct thread {
	struct zview *view;
	struct bytes plain;
	uint32_t seed;
	bool wrong;
	pthread_t id;
};

/* cmocka's asserts are for the main thread. */
static void *read_at_random(void *arg)
{
	struct thread *t = arg;
	uint8_t buf[5000];

	for (int i = 0; i < 300; i++) {
		size_t off = draw(&t->seed) % (t->plain.len - sizeof(buf));
		ssize_t n = zview_read(t->view, buf, sizeof(buf), off);
		t->wrong |= n != sizeof(buf) || memcmp(buf, t->plain.at + off, sizeof(buf)) != 0;
		t->wrong |= zview_size(t->view) != t->plain.len || !zview_exact(t->view);
	}
	return NULL;
}

static void threads_share_a_view(void **state)
{
	struct bytes plain = text(1 << 20);
	struct zview *view = view_of(packed_by_us(plain, NULL), 16 << 10);
	struct thread threads[4];

	for (uint32_t i = 0; i < 4; i++) {
		threads[i] = (struct thread){.view = view, .plain = plain, .seed = i + 1};
		assert_int_equal(pthread_create(&threads[i].id, NULL, read_at_random, &threads[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i].id, NULL);
		assert_false(threads[i].wrong);
	}
	zview_destroy(view);
	free(plain.at);
}

/* --- the files of others -------------------------------------------------- */

static void a_foreign_file_has_a_guessed_size_until_its_end(void **state)
{
	struct bytes plain = text(500000);
	struct bytes packed = member(plain.at, plain.len);
	struct zview *view = view_of_bytes(packed);

	assert_int_equal(zview_size(view), plain.len);
	assert_false(zview_exact(view));
	assert_int_equal(zview_mtime(view), 0);
	at_random(view, plain, 20, 3);
	assert_int_equal(zview_measure(view), 0);
	assert_true(zview_exact(view));
	assert_int_equal(zview_size(view), plain.len);
	zview_destroy(view);

	/* The read that returns the last byte knows that it is the last. */
	view = view_of_bytes(packed);
	expect(view, plain, plain.len - 1, 1);
	assert_true(zview_exact(view));
	zview_destroy(view);
	free(packed.at);
	free(plain.at);
}

/* Wherever the buffer of the input ends: before, in and behind the last symbol,
 * the trailer, the next member's header. */
static void the_end_is_seen_across_buffers(void **state)
{
	struct bytes plain = text(3000), bare = member(plain.at, plain.len);
	static char letters[2 * GUNZIP_BUFFER];

	memset(letters, 'n', sizeof(letters));
	for (int shift = -40; shift < 60; shift++) {
		struct bytes packed = {0};
		size_t name = (size_t)(GUNZIP_BUFFER + shift) - bare.len;
		append(&packed, bare.at, 10);
		packed.at[3] |= 8;
		append(&packed, letters, name - 1);
		append(&packed, "", 1);
		append(&packed, bare.at + 10, bare.len - 10);
		struct zview *view = view_of_bytes(packed);
		expect(view, plain, 2900, 100);
		assert_true(zview_exact(view));
		zview_destroy(view);
		append_member(&packed, plain.at, 0);
		view = view_of_bytes(packed);
		expect(view, plain, 2900, 100);
		assert_true(zview_exact(view));
		zview_destroy(view);
		free(packed.at);
	}
	free(bare.at);
	free(plain.at);
}

static void members_make_one_content(void **state)
{
	struct bytes plain = text(700000), packed = {0};
	static const uint8_t zeros[512];

	append_member(&packed, "", 0);
	append_member(&packed, plain.at, 300000);
	append_member(&packed, "", 0);
	append_member(&packed, plain.at + 300000, 1);
	append_member(&packed, plain.at + 300001, 399999);
	append_member(&packed, "", 0);
	/* As tapes have it: zeros after the end are nothing. */
	append(&packed, zeros, sizeof(zeros));
	for (uint64_t span = 1000; span <= 1000000; span *= 10) {
		struct zview *view = view_of(file_of(packed.at, packed.len), span);
		assert_false(zview_exact(view));
		at_random(view, plain, 100, 17);
		expect(view, plain, 299990, 20);
		expect(view, plain, 299990, 10);
		expect(view, plain, 300000, 1);
		expect_all(view, plain, 4096);
		assert_true(zview_exact(view));
		assert_int_equal(zview_size(view), plain.len);
		assert_null(zview_reason(view));
		zview_destroy(view);
	}
	free(packed.at);
	free(plain.at);
}

static void ours_with_something_behind_is_measured(void **state)
{
	struct bytes plain = text(100000);
	int fd = packed_by_us(plain, NULL);
	struct bytes packed = contents(fd), once = contents(fd);

	close(fd);
	append(&packed, once.at, once.len);
	struct bytes again = text(100000);
	append(&plain, again.at, again.len);
	struct zview *view = view_of_bytes(packed);
	assert_false(zview_exact(view));
	expect_all(view, plain, 3333);
	assert_int_equal(zview_size(view), 200000);
	zview_destroy(view);
	free(again.at);
	free(once.at);
	free(packed.at);
	free(plain.at);
}

static void what_follows_the_end_is_ignored_and_said_once(void **state)
{
	static const char *const tails[] = {"x", "\x1f", "\x1fx", "not a member", "zzzzzzzzzzzzzzzzzzzzzzzzzzzz"};
	struct bytes plain = text(5000);

	for (size_t i = 0; i < sizeof(tails) / sizeof(*tails); i++) {
		struct bytes packed = member(plain.at, plain.len);
		append(&packed, tails[i], strlen(tails[i]));
		struct zview *view = view_of_bytes(packed);
		assert_null(zview_reason(view));
		expect(view, plain, 0, 6000);
		assert_non_null(zview_reason(view));
		assert_null(zview_reason(view));
		expect(view, plain, 4000, 6000);
		assert_null(zview_reason(view));
		assert_int_equal(zview_size(view), 5000);
		zview_destroy(view);
		free(packed.at);
	}
	free(plain.at);
}

/* gzip(1) itself: from a pipe, from a file, with a name and a time. */
static void files_of_gzip_are_read(void **state)
{
	struct bytes plain = text(300000);
	char dir[] = "/tmp/clawfs-zview.XXXXXX", path[64], command[256];

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/app.log", dir);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(plain.at, 1, plain.len, file), plain.len);
	assert_int_equal(fclose(file), 0);
	snprintf(command, sizeof(command),
		 "cd %s && touch -d @1700000000 app.log && gzip <app.log >pipe.gz && cat pipe.gz pipe.gz >two.gz &&"
		 " gzip -9 app.log",
		 dir);
	assert_int_equal(system(command), 0);
	static const char *const names[] = {"app.log.gz", "pipe.gz", "two.gz"};
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		struct zview *view = view_of(open(path, O_RDONLY | O_CLOEXEC), 0);
		assert_int_equal(zview_size(view), plain.len);
		expect(view, plain, 100, 100000);
		assert_int_equal(zview_measure(view), 0);
		assert_int_equal(zview_size(view), i == 2 ? 2 * plain.len : plain.len);
		if (i == 0)
			assert_int_equal(zview_mtime(view), 1700000000);
		zview_destroy(view);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(dir), 0);
	free(plain.at);
}

/* Every optional field of the header. */
static void headers_may_have_everything(void **state)
{
	/* Flags: text, header CRC, extra, name, comment. */
	uint8_t head[] = "\x1f\x8b\x08\x1f\x01\x02\x03\x04\x00\x03"
			 "\x0d\x00"
			 "AB\x02\x00zz"
			 "CF\x01\x00q"
			 "\x00\x00"
			 "a name\0"
			 "a comment\0";
	size_t len = sizeof(head) - 1;
	uint32_t sum = (uint32_t)crc32(0, head, (uInt)len);
	struct bytes plain = text(1000), bare = member(plain.at, plain.len), packed = {0};

	append(&packed, head, len);
	append(&packed, (uint8_t[]){(uint8_t)sum, (uint8_t)(sum >> 8)}, 2);
	append(&packed, bare.at + 10, bare.len - 10);
	struct zview *view = view_of_bytes(packed);
	assert_int_equal(zview_mtime(view), 0x04030201);
	expect(view, plain, 0, 2000);
	zview_destroy(view);
	packed.at[len] ^= 1;
	struct zview *none;
	const char *reason;
	int fd = file_of(packed.at, packed.len);
	assert_int_equal(zview_create(&lower, fd, NULL, &none, &reason), -EIO);
	assert_string_equal(reason, "the checksum of the header differs");
	close(fd);
	free(packed.at);
	free(bare.at);
	free(plain.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_known_at_once),
		cmocka_unit_test(notes_are_thinned_out_and_still_right),
		cmocka_unit_test(a_large_file_is_read_anywhere),
		cmocka_unit_test(threads_share_a_view),
		cmocka_unit_test(a_foreign_file_has_a_guessed_size_until_its_end),
		cmocka_unit_test(the_end_is_seen_across_buffers),
		cmocka_unit_test(members_make_one_content),
		cmocka_unit_test(ours_with_something_behind_is_measured),
		cmocka_unit_test(what_follows_the_end_is_ignored_and_said_once),
		cmocka_unit_test(files_of_gzip_are_read),
		cmocka_unit_test(headers_may_have_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
