/* The tar archive of a rescue: what is written is read back, tar(1) and this reader agree, damage is refused. */
#include "fs/pax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>

static struct pax_entry in, out;

static int archive(void)
{
	int fd = memfd_create("archive", 0);

	assert_true(fd >= 0);
	return fd;
}

static void put(int fd, const char *path, const char *data, struct timespec mtime, uid_t uid)
{
	memset(&in, 0, sizeof(in));
	snprintf(in.path, sizeof(in.path), "%s", path);
	in.dir = !data;
	in.mode = data ? 0640 : 0750;
	in.uid = uid;
	in.gid = 7;
	in.size = data ? (int64_t)strlen(data) : 0;
	in.mtime = mtime;
	assert_int_equal(pax_header(fd, &in), 0);
	if (data) {
		assert_int_equal(pax_write(fd, data, strlen(data)), 0);
		assert_int_equal(pax_pad(fd, in.size), 0);
	}
}

static void expect(struct pax_reader *r, const char *path, const char *data, struct timespec mtime, uid_t uid)
{
	char buf[4096];

	assert_int_equal(pax_next(r, &out), 1);
	assert_string_equal(out.path, path);
	assert_int_equal(out.dir, !data);
	assert_int_equal(out.mode, data ? 0640 : 0750);
	assert_int_equal(out.uid, uid);
	assert_int_equal(out.gid, 7);
	assert_int_equal(out.mtime.tv_sec, mtime.tv_sec);
	assert_int_equal(out.mtime.tv_nsec, mtime.tv_nsec);
	if (!data)
		return;
	assert_int_equal(out.size, strlen(data));
	assert_int_equal(pax_read(r, buf, sizeof(buf)), strlen(data));
	assert_memory_equal(buf, data, strlen(data));
	assert_int_equal(pax_read(r, buf, sizeof(buf)), 0);
}

static void round_trip(void **state)
{
	struct pax_reader r;
	char deep[3000] = "files", block[513];
	int fd = archive();

	(void)state;
	while (strlen(deep) < 2900)
		strcat(deep, "/a directory with a longish name");
	memset(block, 'x', 512);
	block[512] = '\0';
	const struct timespec times[] = {{1700000000, 123456789}, {0, 0},	{-1, 500000000}, {-2, 999999999},
					 {253402300799, 1},	  {-1000000, 0}};
	put(fd, "files", NULL, times[0], 0);
	put(fd, "files/a", "", times[1], 65534);
	put(fd, "files/b", "one byte more than nothing", times[2], 2097151);
	put(fd, "files/c", block, times[3], 2097152);
	put(fd, deep, "deep\n", times[4], 4294967294U);
	put(fd, "files/\xc3\xbc \"odd\" name\nwith a newline", "x", times[5], 1);
	assert_int_equal(pax_end(fd), 0);
	lseek(fd, 0, SEEK_SET);
	pax_reader_init(&r, fd);
	expect(&r, "files", NULL, times[0], 0);
	expect(&r, "files/a", "", times[1], 65534);
	expect(&r, "files/b", "one byte more than nothing", times[2], 2097151);
	expect(&r, "files/c", block, times[3], 2097152);
	expect(&r, deep, "deep\n", times[4], 4294967294U);
	expect(&r, "files/\xc3\xbc \"odd\" name\nwith a newline", "x", times[5], 1);
	assert_int_equal(pax_next(&r, &out), 0);
	close(fd);
}

/* Data that nobody reads is passed over. */
static void skips_data(void **state)
{
	const struct timespec t = {5, 0};
	struct pax_reader r;
	int fd = archive();

	(void)state;
	put(fd, "a", "some data", t, 0);
	put(fd, "b", "other data", t, 0);
	pax_end(fd);
	lseek(fd, 0, SEEK_SET);
	pax_reader_init(&r, fd);
	assert_int_equal(pax_next(&r, &out), 1);
	expect(&r, "b", "other data", t, 0);
	close(fd);
}

static int read_all(int fd)
{
	struct pax_reader r;
	int rc;

	lseek(fd, 0, SEEK_SET);
	pax_reader_init(&r, fd);
	while ((rc = pax_next(&r, &out)) > 0)
		;
	return rc;
}

/* Cut anywhere, or with any byte of a header changed, it is no archive; and nothing else happens. */
static void damage_is_refused(void **state)
{
	const struct timespec t = {5, 0};
	int fd = archive(), cut = archive();
	char *bytes, byte;

	(void)state;
	put(fd, "files/name", "data", t, 3000000);
	pax_end(fd);
	off_t size = lseek(fd, 0, SEEK_CUR);
	assert_int_equal(read_all(fd), 0);
	bytes = malloc((size_t)size);
	assert_non_null(bytes);
	assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
	for (off_t len = 0; len < size; len += len < 2048 ? 7 : 100) {
		assert_int_equal(ftruncate(cut, 0), 0);
		assert_int_equal(pwrite(cut, bytes, (size_t)len, 0), len);
		assert_int_equal(read_all(cut), -EBADMSG);
	}
	/* The two header blocks; of their unused ends, too, the sum knows. */
	for (off_t at = 0; at < 2048 - 512; at++) {
		/* What follows the sum's end says nothing. */
		if ((at >= 512 && at < 1024) || at % 512 == 155)
			continue;
		assert_int_equal(pwrite(cut, bytes, (size_t)size, 0), size);
		byte = (char)(bytes[at] ^ 0x15);
		assert_int_equal(pwrite(cut, &byte, 1, at), 1);
		assert_true(read_all(cut) < 0);
	}
	free(bytes);
	close(fd);
	close(cut);
}

/* Our own bytes into the extended header of a file, the sums right. */
static int with_records(const char *records, size_t len)
{
	const struct timespec t = {5, 0};
	int fd = archive();
	char block[512] = {0};

	put(fd, "x", "data", t, 0);
	pax_end(fd);
	memcpy(block, records, len);
	assert_int_equal(pwrite(fd, block, sizeof(block), 512), 512);
	/* The header says 27 bytes: "27 mtime=5.000000000\n" and so on; say `len`. */
	char header[512];
	assert_int_equal(pread(fd, header, 512, 0), 512);
	snprintf(header + 124, 12, "%011lo", (unsigned long)len);
	memset(header + 148, ' ', 8);
	unsigned sum = 0;
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)header[i];
	snprintf(header + 148, 8, "%06o", sum);
	assert_int_equal(pwrite(fd, header, 512, 0), 512);
	int rc = read_all(fd);
	close(fd);
	return rc;
}

#define RECORDS(text) with_records(text, sizeof(text) - 1)

static void hostile_records(void **state)
{
	(void)state;
	assert_int_equal(RECORDS("9 path=b\n"), 0);
	assert_int_equal(RECORDS("18 unknown=whatever\n"), -EBADMSG);
	assert_int_equal(RECORDS("20 unknown=whatever\n"), 0);
	assert_int_equal(RECORDS("9 path=b"), -EBADMSG);
	assert_int_equal(RECORDS("10 path=\0b\n"), -EBADMSG);
	assert_int_equal(RECORDS("0 path=b\n"), -EBADMSG);
	assert_int_equal(RECORDS("4 =\n"), -EBADMSG);
	assert_int_equal(RECORDS("99999999999999999999 path=b\n"), -EBADMSG);
	assert_int_equal(RECORDS("9 pathsb\n"), -EBADMSG);
	assert_int_equal(RECORDS("30 size=99999999999999999999\n"), -EBADMSG);
	assert_int_equal(RECORDS("29 size=9999999999999999999\n"), -EBADMSG);
	assert_int_equal(RECORDS("11 size=-1\n"), -EBADMSG);
	assert_int_equal(RECORDS("16 mtime=5.0000x\n"), -EBADMSG);
	assert_int_equal(RECORDS("18 uid=4294967295\n"), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(skips_data),
		cmocka_unit_test(damage_is_refused),
		cmocka_unit_test(hostile_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
