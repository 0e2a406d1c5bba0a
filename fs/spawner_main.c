#include "fs/hold.h"
#include "fs/sandbox.h"
#include "fs/spawner.h"
#include "fs/steward.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The descriptor that comes along; -1 without one, -2 at the end. */
static int receive(int sock, enum helper *what)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char which;
	struct iovec iov = {&which, 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	int fd = -1;
	ssize_t n;

	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n != 1)
		return -2;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	*what = which == HELPER_HOLD ? HELPER_HOLD : HELPER_STEWARD;
	return fd;
}

int helper_main(enum helper what, int sock)
{
	return what == HELPER_HOLD ? hold_main(sock) : steward_child_main(sock);
}

int spawner_main(int sock)
{
	enum helper what;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sandbox_begin(SANDBOX_SPAWNER, "clawfs-spawner", sock) < 0)
		return 1;
	for (int fd; (fd = receive(sock, &what)) != -2;) {
		pid_t pid = fd < 0 ? -EBADF : (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (pid == 0) {
			if (dup2(fd, HELPER_SOCK) < 0)
				return 1;
			return helper_main(what, HELPER_SOCK);
		}
		pid = pid < 0 && fd >= 0 ? -errno : pid;
		if (fd >= 0)
			close(fd);
		if (send(sock, &pid, sizeof(pid), MSG_NOSIGNAL) < 0)
			return 1;
	}
	return 0;
}
