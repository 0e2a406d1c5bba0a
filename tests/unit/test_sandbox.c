/* What a confined process can do and cannot. Each question is asked by a process of its own. */
#include "fs/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The sanitizers' builds have none, and valgrind does not run with one. */
static bool has_list(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return false;
#else
	const char *preload = getenv("LD_PRELOAD");

	return !preload || !strstr(preload, "vgpreload");
#endif
}

typedef int ask_fn(void);

/* The errno that `ask` got, 0 for success, in a process of that role; -SIGNAL when it died. */
static int in(enum sandbox_role role, ask_fn *ask)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_enter(role) < 0)
			_exit(99);
		int rc = ask();
		_exit(rc < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int ask_exec(void)
{
	char *argv[] = {(char *)"true", NULL};

	return execv("/bin/true", argv);
}

static int ask_exec_fd(void)
{
	int fd = open("/bin/true", O_PATH);
	char *argv[] = {(char *)"true", NULL};

	return fexecve(fd, argv, argv + 1);
}

static int ask_ptrace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int ask_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static int ask_mount(void)
{
	return mount("none", "/mnt", "tmpfs", 0, NULL);
}

static int ask_setuid(void)
{
	return (int)syscall(SYS_setuid, 0);
}

static int ask_bpf(void)
{
	return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int ask_open_handle(void)
{
	return open_by_handle_at(AT_FDCWD, NULL, O_RDONLY);
}

static int ask_inet(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int ask_unix_stream(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int ask_unix_datagram(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int ask_fork(void)
{
	return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static int ask_executable(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static int ask_make_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? -1 : mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static int ask_terminal(void)
{
	char c = 0;

	/* TIOCSTI would type into somebody's shell. */
	return (int)syscall(SYS_ioctl, 0, 0x5412, &c);
}

static int ask_new_filter(void)
{
	return (int)syscall(SYS_seccomp, 1, 0, NULL);
}

static void *nothing(void *arg)
{
	return arg;
}

static int ask_thread(void)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, nothing, NULL);

	errno = rc;
	return rc ? -1 : pthread_join(thread, NULL);
}

/* What the daemon does all day. */
static int ask_files(void)
{
	char dir[] = "/tmp/clawfs-sandbox.XXXXXX";
	const struct timespec times[2] = {{0}, {0}};
	char byte = 1;

	if (!mkdtemp(dir))
		return -1;
	int d = open(dir, O_RDONLY | O_DIRECTORY);
	int fd = openat(d, "a", O_RDWR | O_CREAT | O_EXCL, 0600);
	int rc = pwrite(fd, &byte, 1, 0) == 1 && fsync(fd) == 0 && futimens(fd, times) == 0 && fchmod(fd, 0640) == 0 &&
				 renameat2(d, "a", d, "b", RENAME_NOREPLACE) == 0 && mkdirat(d, "c", 0700) == 0 &&
				 unlinkat(d, "c", AT_REMOVEDIR) == 0 && unlinkat(d, "b", 0) == 0
			 ? 0
			 : -1;
	return rc < 0 ? rc : rmdir(dir);
}

static int ask_steward_files(void)
{
	char byte = 1;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1073741824, .l_len = 1};
	int fd = open("/tmp/clawfs-sandbox-steward", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return pwrite(fd, &byte, 1, 0) == 1 && fcntl(fd, F_SETLK, &lock) == 0 && fdatasync(fd) == 0 &&
			       ftruncate(fd, 0) == 0 && unlink("/tmp/clawfs-sandbox-steward") == 0
		       ? 0
		       : -1;
}

static int ask_rename(void)
{
	return (int)syscall(SYS_renameat2, AT_FDCWD, "/nonexistent-a", AT_FDCWD, "/nonexistent-b", 0);
}

static int ask_kill(void)
{
	return (int)syscall(SYS_kill, 1, 0);
}

static void attacks_end_the_process(void **state)
{
	static ask_fn *const attacks[] = {ask_exec,  ask_exec_fd, ask_ptrace, ask_namespace,
					  ask_mount, ask_setuid,  ask_bpf,    ask_open_handle};

	(void)state;
	if (!has_list())
		skip();
	for (size_t i = 0; i < sizeof(attacks) / sizeof(*attacks); i++)
		for (int role = SANDBOX_WORKER; role <= SANDBOX_STEWARD; role++)
			assert_int_equal(in(role, attacks[i]), -SIGSYS);
	assert_int_equal(in(SANDBOX_WORKER, ask_new_filter), -SIGSYS);
	assert_int_equal(in(SANDBOX_STEWARD, ask_new_filter), -SIGSYS);
}

static void the_rest_is_refused(void **state)
{
	static ask_fn *const refused[] = {ask_inet,	  ask_unix_stream,     ask_fork,
					  ask_executable, ask_make_executable, ask_terminal};

	(void)state;
	if (!has_list())
		skip();
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		for (int role = SANDBOX_WORKER; role <= SANDBOX_STEWARD; role++)
			assert_int_equal(in(role, refused[i]), ENOSYS);
	/* The steward less than the worker. */
	static ask_fn *const of_worker[] = {ask_thread, ask_unix_datagram, ask_rename, ask_kill};
	for (size_t i = 0; i < sizeof(of_worker) / sizeof(*of_worker); i++) {
		int got = in(SANDBOX_STEWARD, of_worker[i]);
		assert_true(got == ENOSYS || got == EAGAIN);
	}
}

static void the_work_is_done(void **state)
{
	(void)state;
	if (!has_list())
		skip();
	assert_int_equal(in(SANDBOX_WORKER, ask_thread), 0);
	assert_int_equal(in(SANDBOX_WORKER, ask_files), 0);
	assert_int_equal(in(SANDBOX_WORKER, ask_unix_datagram), 0);
	assert_int_equal(in(SANDBOX_WORKER, ask_rename), ENOENT);
	assert_int_equal(in(SANDBOX_STEWARD, ask_steward_files), 0);
}

/* Other threads than the one that calls. */
static pthread_barrier_t barrier;
static int other;

static void *other_thread(void *arg)
{
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	other = ask_inet() < 0 ? errno : 0;
	return arg;
}

static void all_threads(void **state)
{
	int status;

	(void)state;
	if (!has_list())
		skip();
	pid_t pid = fork();
	if (pid == 0) {
		pthread_t thread;
		pthread_barrier_init(&barrier, NULL, 2);
		pthread_create(&thread, NULL, other_thread, NULL);
		pthread_barrier_wait(&barrier);
		if (sandbox_enter(SANDBOX_WORKER) < 0)
			_exit(99);
		pthread_barrier_wait(&barrier);
		pthread_join(thread, NULL);
		_exit(other);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), ENOSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attacks_end_the_process),
		cmocka_unit_test(the_rest_is_refused),
		cmocka_unit_test(the_work_is_done),
		cmocka_unit_test(all_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
