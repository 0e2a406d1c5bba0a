/* What a successor makes of what a dead process left: tables, names, requests, descriptors, and the decisions that
 * were in the middle of something (P4, P6). */
#include "fs/fdset.h"
#include "fs/node.h"
#include "fs/request.h"
#include "policy/barrier.h"
#include "policy/policy.h"
#include <fcntl.h>
#include <linux/fuse.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void records_survive_and_the_freed_are_given_again(void **state)
{
	struct shm_table *t;

	assert_int_equal(shm_table_create(&t, "test", 40, 1, 1000), 0);
	uint32_t a = shm_table_alloc(t), b = shm_table_alloc(t), c = shm_table_alloc(t);
	memset(shm_table_at(t, a), 'a', 40);
	memset(shm_table_at(t, c), 'c', 40);
	shm_table_free(t, b);
	assert_int_equal(shm_table_revive(t), 0);
	assert_true(shm_table_is_live(t, a));
	assert_false(shm_table_is_live(t, b));
	assert_false(shm_table_is_live(t, 0));
	assert_int_equal(((char *)shm_table_at(t, c))[39], 'c');
	assert_int_equal(shm_table_alloc(t), b);
	assert_int_not_equal(shm_table_alloc(t), a);
	shm_table_destroy(t);
	(void)state;
}

static void names_are_joined_again_but_for_those_in_question(void **state)
{
	struct nodes ns;

	assert_int_equal(nodes_init(&ns, 1, 2), 0);
	uint32_t dir = node_new(&ns, S_IFDIR), file = node_new(&ns, S_IFREG), other = node_new(&ns, S_IFREG);
	assert_int_equal(node_name_add(&ns, dir, NODE_ROOT, "dir"), 0);
	node_set_lower(&ns, dir, 1, 10);
	assert_int_equal(node_name_add(&ns, file, dir, "file"), 0);
	assert_int_equal(node_name_add(&ns, file, dir, "second"), 0);
	node_set_lower(&ns, file, 1, 11);
	assert_int_equal(node_name_add(&ns, other, dir, "other"), 0);
	node_at(&ns, other)->flags |= NODE_UPPER;
	node_set_ino(&ns, other);
	uint64_t ino = node_at(&ns, other)->ino, next = ns.next->ino;

	struct name_drop drop[] = {{.parent = dir, .name = "second"}};
	assert_int_equal(nodes_revive(&ns, drop, 1), 0);
	nodes_list_ram(&ns);
	assert_int_equal(drop[0].node, file);
	assert_int_equal(node_find(&ns, dir, "second"), 0);
	assert_int_equal(node_find(&ns, dir, "file"), file);
	assert_int_equal(node_at(&ns, dir)->children, 2);
	assert_int_equal(node_find_lower(&ns, 1, 11), file);
	assert_true(node_in_ram(&ns, other));
	assert_false(node_in_ram(&ns, file));
	assert_int_equal(node_at(&ns, other)->ino, ino);
	assert_int_equal(ns.next->ino, next);
	for (uint32_t i = NODE_FIRST; i < shm_table_end(ns.table); i++)
		assert_null(node_check(&ns, i));
	nodes_fini(&ns);
	(void)state;
}

static void send(struct requests *all, uint32_t generation, uint64_t unique, uint32_t opcode)
{
	struct fuse_in_header head = {.len = sizeof(head), .opcode = opcode, .unique = unique};

	request_read(all, generation, &head, sizeof(head));
}

#define AGAIN ((uint64_t)1 << 63)

static void a_request_that_was_done_is_not_done_again(void **state)
{
	struct requests *all = calloc(1, sizeof(*all));
	struct fuse_out_header out = {.len = sizeof(out)};

	send(all, 1, 100, FUSE_MKDIR);
	assert_false(request_was_done());
	request_done(0, 77);
	/* The process dies before it answers; the next one is asked again. */
	requests_revive(all);
	send(all, 2, 102, FUSE_UNLINK);
	assert_false(request_was_done());
	send(all, 2, 100 | AGAIN, FUSE_MKDIR);
	assert_true(request_is_again());
	assert_true(request_was_done());
	assert_int_equal(request_current()->node, 77);
	/* A notification does not end it, its answer does. */
	out.unique = 0;
	request_answered(&out, sizeof(out));
	assert_true(request_was_done());
	out.unique = 100 | AGAIN;
	request_answered(&out, sizeof(out));
	assert_null(request_current());
	send(all, 3, 100 | AGAIN, FUSE_MKDIR);
	assert_false(request_was_done());
	/* What can be repeated has no record. */
	send(all, 3, 104, FUSE_GETATTR);
	assert_null(request_current());
	free(all);
	(void)state;
}

static void what_is_never_answered_makes_room(void **state)
{
	struct requests *all = calloc(1, sizeof(*all));

	for (uint64_t i = 0; i < REQUESTS_MAX; i++) {
		send(all, 1, 2 + 2 * i, FUSE_OPEN);
		assert_non_null(request_current());
	}
	send(all, 1, 5000, FUSE_OPEN);
	assert_null(request_current());
	send(all, 2, 5002, FUSE_OPEN);
	assert_non_null(request_current());
	assert_int_equal(request_current()->unique, 5002);
	free(all);
	(void)state;
}

static void what_was_being_flushed_waits_on_with_its_old_age(void **state)
{
	struct policy_file f;

	policy_file_init(&f, CLASS_LOG);
	policy_file_write(&f, 1000, 10, (struct policy_scan){.lines = 1});
	policy_file_flush_begin(&f, 2000);
	policy_file_write(&f, 2500, 10, (struct policy_scan){.lines = 1});
	policy_file_revive(&f);
	assert_int_equal(f.state, POLICY_DIRTY);
	assert_int_equal(f.first, 1000);
	assert_int_equal(f.lines, 2);
	assert_null(policy_file_check(&f));
	/* Who still rewrites counts again. */
	policy_file_init(&f, CLASS_STATE);
	policy_file_rewrite_begin(&f, 100);
	policy_file_revive(&f);
	assert_int_equal(f.rewriting, 0);
	policy_file_revive_rewriter(&f);
	assert_int_equal(f.rewriting, 1);
	assert_null(policy_file_check(&f));
	/* Half of an event: due at once. */
	f.first = MSEC_NEVER;
	policy_file_revive(&f);
	assert_null(policy_file_check(&f));
	assert_int_equal(f.state, POLICY_DIRTY);
	assert_int_equal(f.first, 0);
	(void)state;
}

static void nothing_of_a_database_counts_as_durable(void **state)
{
	struct policy_barrier b;

	policy_barrier_init(&b, SYNC_NORMAL);
	policy_barrier_after(&b, BARRIER_WAL_HEAD, 1);
	policy_barrier_after(&b, BARRIER_DB_WRITE, 1);
	policy_barrier_after(&b, BARRIER_WAL_FSYNC, 1000);
	uint64_t token = policy_barrier_sync_begin(&b, BARRIER_SYNC_WAL);
	(void)token;
	policy_barrier_revive(&b);
	assert_null(policy_barrier_check(&b));
	assert_int_equal(policy_barrier_before(&b, BARRIER_RENAME), BARRIER_SYNC_WAL | BARRIER_SYNC_DB);
	assert_int_equal(policy_barrier_before(&b, BARRIER_WAL_WRITE), BARRIER_SYNC_WAL);
	assert_true(policy_barrier_before(&b, BARRIER_DB_WRITE) & BARRIER_SYNC_WAL);
	/* A commit waits since it was acknowledged (P4). */
	assert_int_equal(b.asked, 1000);
	(void)state;
}

static void the_set_of_descriptors_is_what_is_open(void **state)
{
	struct fdset set;
	int fd = open("/dev/null", O_RDONLY), high = fcntl(fd, F_DUPFD, 700);

	assert_int_equal(fdset_open(&set), 0);
	assert_true(fdset_has(&set, fd));
	assert_true(fdset_has(&set, high));
	assert_false(fdset_has(&set, high + 1));
	assert_false(fdset_has(&set, -1));
	assert_false(fdset_has(&set, 1 << 20));
	for (int i = 0; i < high; i++)
		fdset_remove(&set, i);
	fdset_close(&set);
	assert_int_equal(fcntl(high, F_GETFD), -1);
	assert_int_not_equal(fcntl(fd, F_GETFD), -1);
	close(fd);
	fdset_free(&set);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_survive_and_the_freed_are_given_again),
		cmocka_unit_test(names_are_joined_again_but_for_those_in_question),
		cmocka_unit_test(a_request_that_was_done_is_not_done_again),
		cmocka_unit_test(what_is_never_answered_makes_room),
		cmocka_unit_test(what_was_being_flushed_waits_on_with_its_old_age),
		cmocka_unit_test(nothing_of_a_database_counts_as_durable),
		cmocka_unit_test(the_set_of_descriptors_is_what_is_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
