/* The start of a session as the shim sees it go by: what the kernel offers, and what is added to libfuse's reply. */
#include "fs/passthrough.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define KILLPRIV_V2 (1u << 28)
#define INIT_EXT    (1u << 30)
#define PASSTHROUGH (1u << 5) /* of the second word */

enum { INIT = 26, LOOKUP = 1 };

/* struct fuse_in_header and struct fuse_init_in, as words. */
static uint32_t request[26], reply[16], before[16];
static struct passthrough p;

static int setup(void **state)
{
	memset(&p, 0, sizeof(p));
	memset(request, 0, sizeof(request));
	for (unsigned i = 0; i < 16; i++)
		reply[i] = before[i] = i < 12 ? 0x100 + i : 0;
	reply[8] = before[8] = reply[9] = before[9] = 0;
	return 0;
}

static void offer(uint32_t opcode, uint32_t flags, uint32_t flags2, size_t len)
{
	request[0] = (uint32_t)len;
	request[1] = opcode;
	request[10] = 7;
	request[11] = 45;
	request[13] = flags;
	request[14] = flags2;
	passthrough_saw_request(&p, request, len);
}

/* Words 3, 8 and 9 as given, all others as libfuse made them. */
static void assert_reply(uint32_t flags, uint32_t flags2, uint32_t depth)
{
	before[3] |= flags;
	before[8] = flags2;
	before[9] = depth;
	assert_memory_equal(reply, before, sizeof(reply));
}

static void test_all(void **state)
{
	offer(INIT, KILLPRIV_V2 | INIT_EXT, PASSTHROUGH, 104);
	passthrough_complete_init(&p, reply, sizeof(reply), true);
	assert_reply(KILLPRIV_V2 | INIT_EXT, PASSTHROUGH, 1);
	assert_true(p.active);
}

static void test_not_wanted(void **state)
{
	offer(INIT, KILLPRIV_V2 | INIT_EXT, PASSTHROUGH, 104);
	passthrough_complete_init(&p, reply, sizeof(reply), false);
	assert_reply(KILLPRIV_V2, 0, 0);
	assert_false(p.active);
}

/* Flags of the second word count only with INIT_EXT, and only when they are there. */
static void test_older_kernels(void **state)
{
	offer(INIT, KILLPRIV_V2, PASSTHROUGH, 104);
	passthrough_complete_init(&p, reply, sizeof(reply), true);
	assert_reply(KILLPRIV_V2, 0, 0);
	setup(NULL);
	offer(INIT, KILLPRIV_V2 | INIT_EXT, PASSTHROUGH, 56);
	passthrough_complete_init(&p, reply, sizeof(reply), true);
	assert_reply(KILLPRIV_V2, 0, 0);
	setup(NULL);
	offer(INIT, 0, 0, 104);
	passthrough_complete_init(&p, reply, sizeof(reply), true);
	assert_reply(0, 0, 0);
	assert_false(p.active);
}

/* Other messages, before and after, are left alone. */
static void test_others(void **state)
{
	offer(LOOKUP, KILLPRIV_V2 | INIT_EXT, PASSTHROUGH, 104);
	offer(INIT, KILLPRIV_V2 | INIT_EXT, PASSTHROUGH, 40);
	assert_int_equal(p.offered, 0);
	offer(INIT, KILLPRIV_V2 | INIT_EXT, PASSTHROUGH, 104);
	passthrough_complete_init(&p, reply, 24, true);
	assert_false(p.answered);
	assert_reply(0, 0, 0);
	passthrough_complete_init(&p, reply, sizeof(reply), true);
	assert_reply(KILLPRIV_V2 | INIT_EXT, PASSTHROUGH, 1);
	setup(NULL);
	p.answered = true;
	offer(INIT, KILLPRIV_V2 | INIT_EXT, PASSTHROUGH, 104);
	assert_int_equal(p.offered, 0);
	passthrough_complete_init(&p, reply, sizeof(reply), true);
	assert_reply(0, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_all, setup),
		cmocka_unit_test_setup(test_not_wanted, setup),
		cmocka_unit_test_setup(test_older_kernels, setup),
		cmocka_unit_test_setup(test_others, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
