#include "fs/notify.h"
#include "fs/clock.h"
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EXTEND_EVERY_MS 5000
#define EXTEND_BY_MS	30000
#define EXTEND_MOST_MS	600000

struct notify {
	int socket;
	bool (*alive)(void *arg);
	void *arg;
	msec_t watchdog;      /* between two WATCHDOG=1; 0: none wanted */
	pthread_mutex_t lock; /* a leaf; guards the rest */
	pthread_cond_t changed;
	pthread_t thread;
	bool running;
	bool stop;
	msec_t stopping; /* since when; MSEC_NEVER */
};

/* Lost when nobody reads it: there is nothing better to do. */
static void say(const struct notify *n, const char *text)
{
	(void)send(n->socket, text, strlen(text), MSG_NOSIGNAL);
}

static int connect_to(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || len >= sizeof(to.sun_path))
		return -1;
	memcpy(to.sun_path, path, len);
	/* The abstract namespace. */
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

struct notify *notify_create(bool (*alive)(void *arg), void *arg)
{
	const char *path = getenv("NOTIFY_SOCKET"), *watchdog = getenv("WATCHDOG_USEC");
	int fd = path ? connect_to(path) : -1;
	struct notify *n = fd < 0 ? NULL : calloc(1, sizeof(*n));
	pthread_condattr_t attr;

	if (!n) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	n->socket = fd;
	n->alive = alive;
	n->arg = arg;
	n->watchdog = watchdog ? strtoll(watchdog, NULL, 10) / 1000 / 4 : 0;
	n->stopping = MSEC_NEVER;
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&n->changed, &attr);
	pthread_condattr_destroy(&attr);
	return n;
}

/* Says what is to be said at `now`, and returns when the next is. The lock is held, and let go meanwhile. */
static msec_t tick(struct notify *n, msec_t now)
{
	bool stopping = n->stopping != MSEC_NEVER && now - n->stopping < EXTEND_MOST_MS;
	msec_t next = n->watchdog > 0 ? now + n->watchdog : MSEC_NEVER;
	char text[64];

	pthread_mutex_unlock(&n->lock);
	/* At the end there may be no locks left to look at. */
	if (n->watchdog > 0 && (stopping || n->alive(n->arg)))
		say(n, "WATCHDOG=1");
	if (stopping) {
		snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%lld", (long long)EXTEND_BY_MS * 1000);
		say(n, text);
		next = msec_min(next, now + EXTEND_EVERY_MS);
	}
	pthread_mutex_lock(&n->lock);
	return next;
}

static void *ticker(void *arg)
{
	struct notify *n = arg;

	pthread_mutex_lock(&n->lock);
	while (!n->stop) {
		msec_t was = n->stopping;
		msec_t next = tick(n, clock_now());
		while (!n->stop && n->stopping == was && clock_now() < next) {
			/* Nothing is to be said: no timer. */
			if (next == MSEC_NEVER) {
				pthread_cond_wait(&n->changed, &n->lock);
				continue;
			}
			struct timespec until = clock_timespec(next);
			pthread_cond_timedwait(&n->changed, &n->lock, &until);
		}
	}
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

/* The lock is held. */
static void run(struct notify *n)
{
	if (!n->running)
		n->running = pthread_create(&n->thread, NULL, ticker, n) == 0;
}

static void say_state(const struct notify *n, const char *state, const char *status)
{
	char text[512];

	snprintf(text, sizeof(text), "%s\nSTATUS=%s", state, status);
	say(n, text);
}

void notify_ready(struct notify *n, const char *status)
{
	if (!n)
		return;
	say_state(n, "READY=1", status);
	pthread_mutex_lock(&n->lock);
	if (n->watchdog > 0)
		run(n);
	pthread_mutex_unlock(&n->lock);
}

void notify_stopping(struct notify *n, const char *status)
{
	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	if (n->stopping == MSEC_NEVER) {
		say_state(n, "STOPPING=1", status);
		n->stopping = clock_now();
		run(n);
		pthread_cond_signal(&n->changed);
	}
	pthread_mutex_unlock(&n->lock);
}

void notify_destroy(struct notify *n)
{
	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	n->stop = true;
	pthread_cond_signal(&n->changed);
	bool running = n->running;
	pthread_mutex_unlock(&n->lock);
	if (running)
		pthread_join(n->thread, NULL);
	pthread_cond_destroy(&n->changed);
	pthread_mutex_destroy(&n->lock);
	close(n->socket);
	free(n);
}
