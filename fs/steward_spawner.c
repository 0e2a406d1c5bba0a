/* A small program without threads or secrets, which makes stewards of itself (steward.h). */
#include "fs/sandbox.h"
#include "fs/steward.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The descriptor that comes along; -1 without one, -2 at the end. */
static int receive(int sock)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char go;
	struct iovec iov = {&go, 1};
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
	return fd;
}

int steward_spawner_main(int sock)
{
	close_range((unsigned)sock + 1, ~0U, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "clawfs-spawner");
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* What it says goes where the daemon's errors go. */
	if (sandbox_enter(SANDBOX_SPAWNER) < 0) {
		perror("clawfs-spawner: cannot be confined");
		return 1;
	}
	for (int fd; (fd = receive(sock)) != -2;) {
		/* A sibling: whom it serves waits for it, and hears of its death. */
		pid_t pid = fd < 0 ? -EBADF : (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (pid == 0) {
			if (dup2(fd, STEWARD_SOCK) < 0)
				return 1;
			return steward_child_main(STEWARD_SOCK);
		}
		pid = pid < 0 && fd >= 0 ? -errno : pid;
		if (fd >= 0)
			close(fd);
		if (send(sock, &pid, sizeof(pid), MSG_NOSIGNAL) < 0)
			return 1;
	}
	return 0;
}
