/* What a service manager hears (fs/notify.h), at a socket of its kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/clock.h"
#include "fs/notify.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Generous: the machine may be busy. */
#define WAIT_MS 60000

static int listen_at(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	memcpy(at.sun_path, path, len);
	if (path[0] == '@')
		at.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
			 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	return fd;
}

/* The next message, or "" after `ms`. */
static const char *hear(int fd, int ms)
{
	static char text[1024];
	struct pollfd p = {.fd = fd, .events = POLLIN};

	text[0] = '\0';
	if (poll(&p, 1, ms) == 1) {
		ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
		assert_true(n > 0);
		text[n] = '\0';
	}
	return text;
}

static int socket_setup(void **state)
{
	static char path[64];

	snprintf(path, sizeof(path), "@clawfs-test-%d", (int)getpid());
	*state = path;
	unsetenv("WATCHDOG_USEC");
	return 0;
}

static bool alive(void *arg)
{
	return __atomic_load_n((bool *)arg, __ATOMIC_SEQ_CST);
}

static void without_a_manager_nothing_happens(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_null(notify_create(alive, NULL));
	notify_ready(NULL, "x");
	notify_stopping(NULL, "x");
	notify_destroy(NULL);
	/* Nor with one that is not there, or at no such place. */
	setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
	assert_null(notify_create(alive, NULL));
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_null(notify_create(alive, NULL));
}

static void ready_and_stopping_are_said_once(void **state)
{
	int fd = listen_at(*state);
	struct notify *n = notify_create(alive, NULL);

	assert_non_null(n);
	notify_ready(n, "A is mounted on B");
	assert_string_equal(hear(fd, WAIT_MS), "READY=1\nSTATUS=A is mounted on B");
	/* No watchdog is wanted: silence. */
	assert_string_equal(hear(fd, 200), "");
	notify_stopping(n, "flushing");
	notify_stopping(n, "flushing");
	assert_string_equal(hear(fd, WAIT_MS), "STOPPING=1\nSTATUS=flushing");
	assert_string_equal(hear(fd, WAIT_MS), "EXTEND_TIMEOUT_USEC=30000000");
	/* Again and again, as long as it takes. */
	assert_string_equal(hear(fd, WAIT_MS), "EXTEND_TIMEOUT_USEC=30000000");
	notify_destroy(n);
	assert_string_equal(hear(fd, 0), "");
	close(fd);
}

static void the_watchdog_hears_who_is_alive(void **state)
{
	int fd = listen_at(*state);
	bool well = true;

	setenv("WATCHDOG_USEC", "400000", 1);
	struct notify *n = notify_create(alive, &well);
	assert_non_null(n);
	notify_ready(n, "x");
	assert_string_equal(hear(fd, WAIT_MS), "READY=1\nSTATUS=x");
	for (int i = 0; i < 3; i++)
		assert_string_equal(hear(fd, WAIT_MS), "WATCHDOG=1");
	/* What hangs falls silent. */
	__atomic_store_n(&well, false, __ATOMIC_SEQ_CST);
	while (*hear(fd, 500))
		;
	assert_string_equal(hear(fd, 1000), "");
	/* At the end its locks are not asked for: the flush has its own bound. */
	notify_stopping(n, "flushing");
	assert_string_equal(hear(fd, WAIT_MS), "STOPPING=1\nSTATUS=flushing");
	assert_string_equal(hear(fd, WAIT_MS), "WATCHDOG=1");
	assert_string_equal(hear(fd, WAIT_MS), "EXTEND_TIMEOUT_USEC=30000000");
	notify_destroy(n);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_manager_nothing_happens),
		cmocka_unit_test_setup(ready_and_stopping_are_said_once, socket_setup),
		cmocka_unit_test_setup(the_watchdog_hears_who_is_alive, socket_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
