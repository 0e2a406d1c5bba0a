/* Files whose name is gone while they are open: made, written, unlinked, written again, read back, closed. Their
 * descriptors go on working when a worker is replaced; with the mount they are gone. */
#include "load.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PHASES = 8, PART = 3000 };

static void gone_drop(struct actor *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

static int gone_step(struct actor *a, uint32_t n)
{
	static const char *const names[] = {"logs/gone.log", "gone.json", "workspace/gone.bin", "gone.tmp"};
	uint32_t life = n / PHASES, phase = n % PHASES;
	const char *path = below(a->root, names[life % 4]);
	char part[PART], there[PHASES * PART];

	if (a->doubt)
		gone_drop(a);
	if (phase == 0) {
		/* What an earlier life left that was cut short. */
		if (unlink(path) < 0 && errno != ENOENT)
			return failed(a, "unlink of what was left");
		a->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		return a->fd < 0 ? failed(a, "open of a file to be unlinked") : 0;
	}
	/* Its life was cut short. */
	if (a->fd < 0)
		return 0;
	if (phase == 3)
		return unlink(path) < 0 ? failed(a, "unlink of an open file") : 0;
	fill(part, PART, mix(a->seed, life, phase));
	if (phase < PHASES - 1) {
		int rc = put(a->fd, part, PART);
		if (rc < 0)
			errno = -rc;
		return rc < 0 ? failed(a, "write to a file without a name") : 0;
	}
	ssize_t have = pread(a->fd, there, sizeof(there), 0);
	int rc = have < 0 ? failed(a, "read of a file without a name") : 0;
	for (uint32_t p = 1, at = 0; rc == 0 && p < PHASES - 1; p++) {
		if (p == 3)
			continue;
		fill(part, PART, mix(a->seed, life, p));
		if (at + PART > (size_t)have || memcmp(there + at, part, PART) != 0) {
			errno = EBADMSG;
			rc = failed(a, "content of a file without a name");
		}
		at += PART;
	}
	gone_drop(a);
	return rc;
}

static int gone_check(struct actor *a, const char *root, enum judge judge, uint32_t min, uint32_t max,
		      struct verdict *v)
{
	/* What is wrong is seen by the step that reads it back. */
	v->found = max;
	return 0;
}

const struct actor_kind kind_gone = {.name = "gone",
				     .path = "logs/gone.log",
				     .pause_us = 4000,
				     .kill_only = true,
				     .step = gone_step,
				     .check = gone_check,
				     .drop = gone_drop};
