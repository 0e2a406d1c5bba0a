/* Applying a rescue (P9): exact, twice, not over what is newer, and never outside the directory whatever it says. */
#include "fs/pax.h"
#include "fs/rescue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>

static char base[64], lower[128], why[512];
static struct pax_entry entry;
static int tar;

/* What was said, one letter a file: A applied, T there, R refused. */
static char said[64];

static void hear(void *arg, const char *path, enum rescue_outcome outcome, const char *reason)
{
	(void)arg;
	(void)path;
	size_t len = strlen(said);
	said[len] = "ATR"[outcome];
	said[len + 1] = '\0';
	assert_int_equal(outcome == RESCUE_REFUSED, reason[0] != '\0');
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	(void)state;
	strcpy(base, "/tmp/clawfs-rescue.XXXXXX");
	assert_non_null(mkdtemp(base));
	snprintf(lower, sizeof(lower), "%s/lower", base);
	assert_int_equal(mkdir(lower, 0755), 0);
	tar = memfd_create("rescue", 0);
	assert_true(tar >= 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(tar);
	return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void add(const char *path, const char *data, int64_t sec)
{
	memset(&entry, 0, sizeof(entry));
	snprintf(entry.path, sizeof(entry.path), "%s", path);
	entry.dir = !data;
	entry.mode = data ? 0604 : 0705;
	entry.uid = geteuid();
	entry.gid = getegid();
	entry.size = data ? (int64_t)strlen(data) : 0;
	entry.mtime = (struct timespec){.tv_sec = sec, .tv_nsec = 42};
	assert_int_equal(pax_header(tar, &entry), 0);
	assert_int_equal(pax_write(tar, data ? data : "", (size_t)entry.size), 0);
	assert_int_equal(pax_pad(tar, entry.size), 0);
}

static void add_readme(void)
{
	add("README", "text\n", 1);
}

static int apply(bool force)
{
	said[0] = why[0] = '\0';
	int rc = rescue_apply(tar, lower, force, hear, NULL, why, sizeof(why));
	assert_int_equal(rc < 0, why[0] != '\0');
	return rc;
}

static const char *at(const char *name)
{
	static char path[4][512];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", lower, name);
	return path[turn];
}

static void make(const char *name, const char *data, int64_t sec)
{
	const struct timespec times[2] = {{.tv_sec = sec}, {.tv_sec = sec}};
	int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, strlen(data)), strlen(data));
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static void expect(const char *name, const char *data)
{
	char buf[4096];
	int fd = open(at(name), O_RDONLY | O_NOFOLLOW);

	assert_true(fd >= 0);
	ssize_t n = read(fd, buf, sizeof(buf));
	close(fd);
	assert_int_equal(n, strlen(data));
	assert_memory_equal(buf, data, strlen(data));
}

static void expect_nothing_left(const char *dir)
{
	assert_int_equal(access(at(dir), F_OK), 0);
	char temp[256];
	snprintf(temp, sizeof(temp), "%s/.clawfs-replace-rescue", dir);
	assert_int_equal(access(at(temp), F_OK), -1);
}

static void applies(void **state)
{
	struct stat st;

	(void)state;
	make("state.json", "old", 100);
	make("app.log", "one\ntwo\nthr", 100);
	make("part.log", "one\n", 100);
	add_readme();
	add("files/new", NULL, 300);
	add("files/new/deep", NULL, 300);
	add("files/new/deep/a.json", "fresh", 200);
	add("files/state.json", "newer", 200);
	add("tails/8/app.log", "three\nfour\n", 200);
	add("tails/4/part.log", "two\n", 200);
	add("tails/0/new/first.log", "first\n", 200);
	pax_end(tar);
	assert_int_equal(apply(false), 0);
	assert_string_equal(said, "AAAAA");
	expect("new/deep/a.json", "fresh");
	expect("state.json", "newer");
	expect("app.log", "one\ntwo\nthree\nfour\n");
	expect("part.log", "one\ntwo\n");
	expect("new/first.log", "first\n");
	expect_nothing_left("new");
	assert_int_equal(stat(at("state.json"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
	assert_int_equal(st.st_mtim.tv_sec, 200);
	assert_int_equal(st.st_mtim.tv_nsec, 42);
	assert_int_equal(stat(at("new/deep"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0705);
	assert_int_equal(stat(at("app.log"), &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 200);
	/* Once more: all is there. */
	assert_int_equal(apply(false), 0);
	assert_string_equal(said, "TTTTT");
	expect("app.log", "one\ntwo\nthree\nfour\n");
}

static void leaves_what_is_newer(void **state)
{
	(void)state;
	make("state.json", "the newest", 500);
	make("on.log", "one\nother\n", 500);
	make("short.log", "on", 100);
	make("ahead.log", "one\ntwo\nthree\n", 500);
	assert_int_equal(mkdir(at("dir.json"), 0755), 0);
	assert_int_equal(mkfifo(at("fifo.json"), 0644), 0);
	assert_int_equal(mkfifo(at("fifo.log"), 0644), 0);
	assert_int_equal(mkdir(at("dir.log"), 0755), 0);
	add_readme();
	add("files/state.json", "older", 200);
	add("tails/4/on.log", "two\n", 200);
	add("tails/4/short.log", "two\n", 200);
	add("tails/4/none.log", "two\n", 200);
	add("tails/4/ahead.log", "two\n", 200);
	add("files/dir.json", "x", 200);
	add("files/fifo.json", "x", 200);
	add("tails/0/fifo.log", "x", 200);
	add("tails/0/dir.log", "x", 200);
	pax_end(tar);
	assert_int_equal(apply(false), 8);
	assert_string_equal(said, "RRRRTRRRR");
	expect("state.json", "the newest");
	expect("on.log", "one\nother\n");
	expect("short.log", "on");
	expect("ahead.log", "one\ntwo\nthree\n");
	assert_int_equal(access(at("none.log"), F_OK), -1);
	assert_int_equal(apply(true), 7);
	assert_string_equal(said, "ARRRTRRRR");
	expect("state.json", "older");
}

/* P10: a link in the way is not followed, be it the file or a directory. */
static void follows_no_link(void **state)
{
	char outside[128], victim[160];

	(void)state;
	snprintf(outside, sizeof(outside), "%s/outside", base);
	snprintf(victim, sizeof(victim), "%s/victim", outside);
	assert_int_equal(mkdir(outside, 0755), 0);
	int fd = open(victim, O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, "safe", 4), 4);
	close(fd);
	assert_int_equal(symlink(outside, at("dir")), 0);
	assert_int_equal(symlink(victim, at("victim")), 0);
	assert_int_equal(symlink(victim, at("victim.log")), 0);
	assert_int_equal(symlink("/proc/self/cwd", at("magic")), 0);
	add_readme();
	add("files/dir/victim", "broken", 2000000000);
	add("files/victim", "broken", 2000000000);
	add("tails/4/victim.log", "broken", 2000000000);
	add("files/magic/x", "broken", 2000000000);
	add("files/dir/sub", NULL, 5);
	pax_end(tar);
	assert_int_equal(apply(true), 5);
	assert_string_equal(said, "RRRRR");
	char buf[16];
	fd = open(victim, O_RDONLY);
	assert_int_equal(read(fd, buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "safe", 4);
	close(fd);
	snprintf(victim, sizeof(victim), "%s/sub", outside);
	assert_int_equal(access(victim, F_OK), -1);
}

static void foreign_paths(void **state)
{
	static const char *const paths[] = {
		"/etc/x",  "files/../x", "files/",     "files//x",     "files/./x",	   "files/a/..",
		"other/x", "tails/x",	 "tails/x/y",  "tails//y",     "tails/5/../../x",  "tails/5/",
		"x",	   "files/a//b", "tails/-1/x", "tails/5/a/..", "README/../files/x"};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		assert_int_equal(ftruncate(tar, 0), 0);
		lseek(tar, 0, SEEK_SET);
		add_readme();
		add("files/good", "x", 5);
		add(paths[i], "x", 5);
		pax_end(tar);
		assert_int_equal(apply(true), -EBADMSG);
		/* Nor is what comes before it applied. */
		assert_string_equal(said, "");
		assert_int_equal(access(at("good"), F_OK), -1);
	}
}

static void torn_changes_nothing(void **state)
{
	(void)state;
	add_readme();
	add("files/good", "x", 5);
	assert_int_equal(apply(true), -EBADMSG);
	assert_int_equal(access(at("good"), F_OK), -1);
	assert_int_equal(ftruncate(tar, 0), 0);
	assert_int_equal(apply(true), -EBADMSG);
}

static void locked_is_busy(void **state)
{
	int fd = open(lower, O_RDONLY | O_DIRECTORY);

	(void)state;
	add_readme();
	pax_end(tar);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	assert_int_equal(apply(false), -EBUSY);
	close(fd);
	assert_int_equal(apply(false), 0);
	assert_int_equal(rescue_apply(tar, "/nonexistent", false, hear, NULL, why, sizeof(why)), -ENOENT);
}

static void finds_the_newest(void **state)
{
	static const char *const names[] = {"home-pi-.claw-20250101T000000Z.tar", "home-pi-.claw-20260101T000000Z.tar",
					    "home-pi-.claw-20270101T000000Z.tar.part",
					    "home-pi-.claw-x-20280101T000000Z.tar", "home-pi-.claw-readme.tar"};
	char path[512];

	(void)state;
	assert_int_equal(rescue_find(lower, "/home/pi/.claw", path, sizeof(path)), -ENOENT);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		make(names[i], "", 5);
	assert_int_equal(rescue_find(lower, "/home/pi/.claw", path, sizeof(path)), 0);
	assert_string_equal(path, at(names[1]));
	assert_int_equal(rescue_find(lower, "/home/pi/.claw-x", path, sizeof(path)), 0);
	assert_string_equal(path, at(names[3]));
	assert_int_equal(rescue_find("/nonexistent", "/home/pi/.claw", path, sizeof(path)), -ENOENT);
}

/* What is named must be usable when the mount begins: not only when all depends on it. */
static void prepares(void **state)
{
	char dir[4096];

	(void)state;
	dir[0] = '\0';
	assert_int_equal(rescue_prepare(dir, sizeof(dir), why, sizeof(why)), 0);
	assert_int_equal(strncmp(dir, "/var/tmp/clawfs-rescue", 22), 0);
	snprintf(dir, sizeof(dir), "%s/none/rescue", base);
	assert_int_equal(rescue_prepare(dir, sizeof(dir), why, sizeof(why)), -ENOENT);
	snprintf(dir, sizeof(dir), "%s/rescue", base);
	assert_int_equal(rescue_prepare(dir, sizeof(dir), why, sizeof(why)), 0);
	assert_int_equal(access(dir, F_OK), -1);
	assert_int_equal(chmod(lower, 0755), 0);
	snprintf(dir, sizeof(dir), "%s", lower);
	assert_int_equal(rescue_prepare(dir, sizeof(dir), why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "0755"));
	assert_int_equal(chmod(lower, 0700), 0);
	assert_int_equal(chdir(base), 0);
	snprintf(dir, sizeof(dir), "lower");
	assert_int_equal(rescue_prepare(dir, sizeof(dir), why, sizeof(why)), 0);
	assert_string_equal(dir, lower);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(chmod(lower, 0755), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(applies),
		TEST(leaves_what_is_newer),
		TEST(follows_no_link),
		TEST(foreign_paths),
		TEST(torn_changes_nothing),
		TEST(locked_is_busy),
		TEST(finds_the_newest),
		TEST(prepares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
