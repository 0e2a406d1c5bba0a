#include "fs/steer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Requests of one client that are no further apart are a burst. It is asked where the client is at the sixth (five
 * are what SQLite sends for a row), and then so often. */
#define BURST_NS  1000000
#define BURST_ASK 6
#define ASK_NS	  1000000
/* Programs that are known: opening their file takes longer than reading it. */
#define CLIENTS 8

/* Of proc_pid_stat(5); the second, the name, is the last that may hold a blank or a parenthesis. */
enum { FIELD_NAME = 2, FIELD_PROCESSOR = 39 };

struct steer {
	uint32_t client; /* of the last request */
	int64_t last;	 /* when that was read */
	int64_t asked;
	unsigned burst; /* requests in this burst */
	unsigned next;	/* whose place the next new client takes */
	struct {
		uint32_t client; /* 0: none */
		int fd;
	} known[CLIENTS];
};

struct steer *steer_create(void)
{
	return calloc(1, sizeof(struct steer));
}

static void forget(struct steer *steer, unsigned i)
{
	if (steer->known[i].client)
		close(steer->known[i].fd);
	steer->known[i].client = 0;
}

void steer_destroy(struct steer *steer)
{
	for (unsigned i = 0; steer && i < CLIENTS; i++)
		forget(steer, i);
	free(steer);
}

/* The place of the client's file among the known; -ENOENT. */
static int find(struct steer *steer, uint32_t client)
{
	char path[32];

	for (int i = 0; i < CLIENTS; i++)
		if (steer->known[i].client == client)
			return i;
	snprintf(path, sizeof(path), "/proc/%u/stat", client);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ENOENT;
	unsigned i = steer->next++ % CLIENTS;
	forget(steer, i);
	steer->known[i].client = client;
	steer->known[i].fd = fd;
	return (int)i;
}

static int parse(const char *text)
{
	const char *at = strrchr(text, ')');

	for (int field = FIELD_NAME; at && field < FIELD_PROCESSOR; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -EINVAL;
	char *end;
	long core = strtol(at + 1, &end, 10);
	return end == at + 1 || core < 0 || core > INT16_MAX ? -EINVAL : (int)core;
}

int steer_core_of(struct steer *steer, uint32_t client)
{
	char text[1024];

	/* Another time when the number is that of another thread by now. */
	for (int tries = 0; tries < 2; tries++) {
		int i = find(steer, client);
		if (i < 0)
			return i;
		ssize_t n = pread(steer->known[i].fd, text, sizeof(text) - 1, 0);
		if (n > 0) {
			text[n] = '\0';
			return parse(text);
		}
		forget(steer, (unsigned)i);
	}
	return -ENOENT;
}

int steer_astray(struct steer *steer, uint32_t client, int64_t now)
{
	if (!client)
		return -1;
	bool goes_on = client == steer->client && now - steer->last < BURST_NS;
	steer->client = client;
	steer->last = now;
	steer->burst = goes_on ? steer->burst + 1 : 1;
	if (steer->burst < BURST_ASK || now - steer->asked < ASK_NS)
		return -1;
	steer->asked = now;
	int core = steer_core_of(steer, client);
	return core == sched_getcpu() ? -1 : core;
}
