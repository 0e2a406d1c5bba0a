/* What a directory on the lower has not is known once it was read, and true whatever comes to it. */
#include "fs/lowernames.h"
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { DIR_NODE = 7, SAME_PLACE = DIR_NODE + 64 };

struct world {
	struct lowernames *names;
	struct lower lower;
	char path[32];
};

static struct lower_calls calls;
static int looked;

static int count_fstatat(int dirfd, const char *name, struct stat *st, int flags)
{
	looked++;
	return fstatat(dirfd, name, st, flags);
}

/* As a file system that takes "a" for "A". */
static int fold_fstatat(int dirfd, const char *name, struct stat *st, int flags)
{
	(void)name;
	return fstatat(dirfd, ".", st, flags);
}

static void make(const struct world *w, const char *name)
{
	int fd = openat(w->lower.root, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	calls = *lower_calls_default();
	calls.fstatat = count_fstatat;
	looked = 0;
	strcpy(w->path, "/tmp/lowernames.XXXXXX");
	assert_non_null(mkdtemp(w->path));
	assert_int_equal(lower_init(&w->lower, w->path, &calls), 0);
	w->names = lowernames_create();
	assert_non_null(w->names);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	DIR *dir = opendir(w->path);

	for (struct dirent *e; (e = readdir(dir));)
		unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	rmdir(w->path);
	lower_fini(&w->lower);
	lowernames_destroy(w->names);
	free(w);
	return 0;
}

/* As many look-ups as it takes; how many that was. */
static int miss_until_read(struct world *w, uint32_t dir)
{
	for (int i = 1; i < 1000; i++) {
		if (lowernames_missed(w->names, dir)) {
			lowernames_read(w->names, &w->lower, dir, w->lower.root);
			return i;
		}
	}
	return 0;
}

static void knows_what_is_not_there(void **state)
{
	struct world *w = *state;

	make(w, "sessions.json");
	make(w, "1");
	assert_false(lowernames_lacks(w->names, DIR_NODE, "new.tmp"));
	assert_int_equal(miss_until_read(w, DIR_NODE), 3);
	assert_true(lowernames_lacks(w->names, DIR_NODE, "new.tmp"));
	assert_false(lowernames_lacks(w->names, DIR_NODE, "sessions.json"));
	assert_false(lowernames_lacks(w->names, DIR_NODE, "1"));
	assert_false(lowernames_lacks(w->names, SAME_PLACE, "new.tmp"));
}

static void learns_what_comes(void **state)
{
	struct world *w = *state;
	char name[32];

	make(w, "a");
	miss_until_read(w, DIR_NODE);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		lowernames_add(w->names, DIR_NODE, name);
	}
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		assert_false(lowernames_lacks(w->names, DIR_NODE, name));
	}
	assert_true(lowernames_lacks(w->names, DIR_NODE, "file-5000"));
}

/* Between the decision to read and the reading: on the lower too late to be read. */
static void learns_while_it_reads(void **state)
{
	struct world *w = *state;

	make(w, "a");
	while (!lowernames_missed(w->names, DIR_NODE))
		;
	assert_false(lowernames_missed(w->names, DIR_NODE));
	lowernames_add(w->names, DIR_NODE, "late");
	assert_false(lowernames_lacks(w->names, DIR_NODE, "absent"));
	lowernames_read(w->names, &w->lower, DIR_NODE, w->lower.root);
	assert_false(lowernames_lacks(w->names, DIR_NODE, "late"));
	assert_true(lowernames_lacks(w->names, DIR_NODE, "absent"));
}

static void forgets(void **state)
{
	struct world *w = *state;

	make(w, "a");
	miss_until_read(w, DIR_NODE);
	lowernames_forget(w->names, SAME_PLACE);
	assert_true(lowernames_lacks(w->names, DIR_NODE, "b"));
	lowernames_forget(w->names, DIR_NODE);
	assert_false(lowernames_lacks(w->names, DIR_NODE, "b"));
	/* One that was forgotten while it was read stays so. */
	while (!lowernames_missed(w->names, DIR_NODE))
		;
	lowernames_forget(w->names, DIR_NODE);
	lowernames_read(w->names, &w->lower, DIR_NODE, w->lower.root);
	assert_false(lowernames_lacks(w->names, DIR_NODE, "b"));
}

/* Two directories that share a place: the one that is asked more gets it, and neither answers for the other. */
static void gives_a_place_away(void **state)
{
	struct world *w = *state;

	make(w, "a");
	miss_until_read(w, DIR_NODE);
	for (int i = 0; i < 100; i++) {
		assert_false(lowernames_missed(w->names, DIR_NODE));
		assert_true(lowernames_lacks(w->names, DIR_NODE, "b"));
	}
	assert_int_equal(miss_until_read(w, SAME_PLACE), 3);
	assert_true(lowernames_lacks(w->names, SAME_PLACE, "b"));
	assert_false(lowernames_lacks(w->names, DIR_NODE, "b"));
}

/* Where the lower takes one name for another, or nothing tells whether it does, nothing is known. */
static void keeps_nothing_that_may_be_wrong(void **state)
{
	struct world *w = *state;

	make(w, "123");
	assert_int_equal(miss_until_read(w, DIR_NODE), 3);
	assert_false(lowernames_lacks(w->names, DIR_NODE, "b"));
	assert_int_equal(looked, 0);
	make(w, "a");
	calls.fstatat = fold_fstatat;
	/* It is not read each time. */
	assert_int_equal(miss_until_read(w, DIR_NODE), 6);
	assert_false(lowernames_lacks(w->names, DIR_NODE, "b"));
	calls.fstatat = count_fstatat;
	assert_int_equal(miss_until_read(w, DIR_NODE), 12);
	assert_int_equal(looked, 1);
	assert_true(lowernames_lacks(w->names, DIR_NODE, "b"));
}

/* A directory that cannot be read. */
static void survives_a_failure(void **state)
{
	struct world *w = *state;

	while (!lowernames_missed(w->names, DIR_NODE))
		;
	lowernames_read(w->names, &w->lower, DIR_NODE, -1);
	assert_false(lowernames_lacks(w->names, DIR_NODE, "b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(knows_what_is_not_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(learns_what_comes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(learns_while_it_reads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(forgets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(gives_a_place_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_nothing_that_may_be_wrong, set_up, tear_down),
		cmocka_unit_test_setup_teardown(survives_a_failure, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
