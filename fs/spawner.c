#include "fs/spawner.h"
#include "fs/fs.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The spawner only forks. */
#define SPAWN_MAX_MS 30000

/* This program, with `sock` as its HELPER_SOCK. */
static int start_program(const char *name, const char *option, int sock, pid_t *pid)
{
	char *argv[] = {(char *)name, (char *)option, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	/* dup2 onto itself would leave it close-on-exec; glibc's action clears that. */
	int rc = -posix_spawn_file_actions_adddup2(&actions, sock, HELPER_SOCK);
	if (rc == 0)
		rc = -posix_spawn(pid, "/proc/self/exe", &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

int spawner_send(int sock, const void *data, size_t size, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)data, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void spawner_init(struct spawner *s)
{
	*s = (struct spawner){.sock = -1};
	pthread_mutex_init(&s->lock, NULL);
}

void spawner_fini(struct spawner *s)
{
	pthread_mutex_destroy(&s->lock);
}

int spawner_start(struct clawfs *fs)
{
	struct spawner *s = &fs->spawner;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	int rc = start_program("clawfs-spawner", "--spawner", pair[1], &s->pid);
	close(pair[1]);
	s->sock = pair[0];
	if (rc < 0) {
		close(pair[0]);
		s->pid = 0;
	}
	return rc;
}

void spawner_end(struct clawfs *fs)
{
	struct spawner *s = &fs->spawner;

	if (!s->pid)
		return;
	close(s->sock);
	kill(s->pid, SIGKILL);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	s->pid = 0;
}

/* Lock held. */
static int ask(struct spawner *s, enum helper what, int sock, pid_t *pid)
{
	struct pollfd fd = {.fd = s->sock, .events = POLLIN};
	char which = (char)what;
	int n, rc = spawner_send(s->sock, &which, 1, sock);

	if (rc < 0)
		return rc;
	do {
		n = poll(&fd, 1, SPAWN_MAX_MS);
	} while (n < 0 && errno == EINTR);
	if (n <= 0 || recv(s->sock, pid, sizeof(*pid), MSG_DONTWAIT) != (ssize_t)sizeof(*pid))
		return -EPIPE;
	if (*pid > 0)
		return 0;
	rc = *pid;
	*pid = 0;
	return rc;
}

int spawner_make(struct clawfs *fs, enum helper what, int *sock, pid_t *pid)
{
	static const char *const names[][2] = {
		[HELPER_STEWARD] = {"clawfs-steward", "--steward"},
		[HELPER_HOLD] = {"clawfs-hold", "--hold"},
	};
	struct spawner *s = &fs->spawner;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if (s->pid) {
		pthread_mutex_lock(&s->lock);
		rc = ask(s, what, pair[1], pid);
		pthread_mutex_unlock(&s->lock);
	} else {
		rc = start_program(names[what][0], names[what][1], pair[1], pid);
	}
	close(pair[1]);
	if (rc < 0)
		close(pair[0]);
	else
		*sock = pair[0];
	return rc;
}
