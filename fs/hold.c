#include "fs/hold.h"
#include "fs/fs.h"
#include "fs/rotate.h"
#include "fs/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What the process is told. */
struct hold_request {
	uint64_t dev; /* the mount's */
	char root[4096], path[4096];
};

void holds_init(struct holds *h)
{
	*h = (struct holds){0};
	pthread_mutex_init(&h->lock, NULL);
}

void holds_fini(struct holds *h)
{
	for (int i = 0; i < HOLDS_MAX; i++) {
		if (h->pid[i] > 0 && waitpid(h->pid[i], NULL, WNOHANG) == 0)
			kill(h->pid[i], SIGKILL);
	}
	pthread_mutex_destroy(&h->lock);
}

/* A place for one more; the others' processes are reaped on the way. Lock held. */
static pid_t *find_place(struct holds *h)
{
	pid_t *place = NULL;

	for (int i = 0; i < HOLDS_MAX; i++) {
		if (h->pid[i] && waitpid(h->pid[i], NULL, WNOHANG) != 0)
			h->pid[i] = 0;
		if (!h->pid[i])
			place = &h->pid[i];
	}
	return place;
}

int hold_ask(struct clawfs *fs, const char *path)
{
	struct holds *h = &fs->holds;
	struct hold_request request = {.dev = fs->mount_dev};
	int sock = -1, rc = -EAGAIN;

	snprintf(request.root, sizeof(request.root), "%s", fs->mountpoint);
	snprintf(request.path, sizeof(request.path), "%s", path);
	pthread_mutex_lock(&h->lock);
	pid_t *place = find_place(h);
	if (place)
		rc = spawner_make(fs, HELPER_HOLD, &sock, place);
	pthread_mutex_unlock(&h->lock);
	if (rc < 0)
		return rc;
	rc = spawner_send(sock, &request, sizeof(request), -1);
	close(sock);
	return rc;
}

int hold_serve(struct clawfs *fs, uint32_t node)
{
	int rc = rotate_held(fs, node);

	/* The kernel has a meaning of its own for EAGAIN here. */
	return rc == -EAGAIN || rc == -EALREADY ? -EBUSY : rc;
}

/* --- the process --------------------------------------------------------- */

/* The file, if it is on the mount; its name may be another's by now. */
static int open_on_mount(const struct hold_request *r)
{
	struct stat st;
	int root = open(r->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool there = root >= 0 && fstat(root, &st) == 0 && st.st_dev == r->dev;
	int fd = there ? openat(root, r->path, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;

	if (root >= 0)
		close(root);
	if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_dev != r->dev || !S_ISREG(st.st_mode))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int hold_main(int sock)
{
	static struct hold_request request;

	if (sandbox_begin(SANDBOX_HOLD, "clawfs-hold", sock) < 0)
		return 1;
	if (recv(sock, &request, sizeof(request), 0) != (ssize_t)sizeof(request))
		return 1;
	close(sock);
	request.root[sizeof(request.root) - 1] = request.path[sizeof(request.path) - 1] = '\0';
	int fd = open_on_mount(&request);
	if (fd < 0)
		return 0;
	/* That it fails is how it always ends. */
	struct lower_fdpath path = lower_fdpath(fd);
	return setxattr(path.text, HOLD_ATTRIBUTE, "", 0, 0) < 0 && errno == EPERM;
}
