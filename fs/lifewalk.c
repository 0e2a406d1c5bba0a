/* The walk over the lower that finds the logs. It reads directories as they are, beside the mount: what changes
 * meanwhile is told by who changes it, and whatever is found is looked at again before anything is done to it. */
#include "fs/fs.h"
#include "fs/gunzip.h"
#include "fs/names.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Deeper trees hold no log of an application's. */
#define DEPTH_MAX 64

struct walk {
	struct clawfs *fs;
	msec_t now;
	unsigned depth;
	size_t len;	     /* of path */
	char path[PATH_MAX]; /* of the directory, then of what is looked at */
	int dirfd;
	bool everywhere; /* a rule of the user's may name logs in any directory */
};

/* Whether what the directory holds can be a log. */
static bool may_hold_logs(struct walk *w)
{
	char probe[PATH_MAX + 8];

	if (w->everywhere)
		return true;
	snprintf(probe, sizeof(probe), "%s/x.log", w->path);
	return policy_classify(&w->fs->config.rules, probe) == CLASS_LOG;
}

/* The number that clawfs left in the header of a part; 0: none. */
static uint32_t part_of(struct walk *w, const char *name)
{
	struct gunzip_header header;
	struct gunzip g;
	uint32_t part = 0;

	if (policy_log_part(w->fs->config.log_parts, name, NULL) == 0)
		return 0;
	int fd = lower_open_own(&w->fs->lower, w->dirfd, name, O_RDONLY);
	if (fd >= 0 && gunzip_init(&g, &w->fs->lower, fd, NULL) == 0) {
		if (gunzip_peek(&g, &header) == 0 && header.part <= LOG_PART_MAX)
			part = (uint32_t)header.part;
		gunzip_fini(&g);
	}
	if (fd >= 0)
		close(fd);
	return part;
}

static void see_file(struct walk *w, const char *name)
{
	struct log_name log;
	struct stat st;
	bool packed = policy_log_unpacked(name, &log);

	if (!packed && !policy_log_is(name))
		return;
	enum log_kind kind = policy_log_kind(&w->fs->config.rules, w->path);
	if (kind == LOG_OTHER || w->fs->lower.sys->fstatat(w->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return;
	if (packed)
		w->path[strlen(w->path) - strlen(".gz")] = '\0';
	life_found(w->fs, w->path, packed, packed ? part_of(w, name) : 0, &st, w->now);
}

static int see_entry(void *arg, const char *name, uint64_t ino, unsigned char type)
{
	struct walk *w = arg;
	struct clawfs *fs = w->fs;
	struct stat st;
	size_t len = w->len;

	(void)ino;
	if ((len == 0 && strcmp(name, LOWER_TEMP_DIR) == 0) || len + 2 + strlen(name) >= sizeof(w->path))
		return 0;
	if (type == DT_UNKNOWN && fs->lower.sys->fstatat(w->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		type = (unsigned char)IFTODT(st.st_mode);
	w->len += (size_t)snprintf(w->path + len, sizeof(w->path) - len, "%s%s", len ? "/" : "", name);
	if (type == DT_REG) {
		see_file(w, name);
	} else if (type == DT_DIR && w->depth < DEPTH_MAX && may_hold_logs(w)) {
		int outer = w->dirfd;
		int dirfd = lower_open(&fs->lower, outer, name, O_RDONLY | O_DIRECTORY, 0);
		if (dirfd >= 0) {
			w->depth++;
			w->dirfd = dirfd;
			lower_list(&fs->lower, dirfd, see_entry, w);
			w->dirfd = outer;
			w->depth--;
			close(dirfd);
		}
	}
	w->len = len;
	w->path[len] = '\0';
	return 0;
}

void life_walk(struct clawfs *fs)
{
	struct walk *w = calloc(1, sizeof(*w));

	if (!w)
		return;
	w->fs = fs;
	w->now = clock_now();
	w->dirfd = fs->lower.root;
	for (unsigned i = 0; i < fs->config.rules.count; i++)
		w->everywhere |= fs->config.rules.rule[i].cls == CLASS_LOG;
	lower_list(&fs->lower, w->dirfd, see_entry, w);
	free(w);
}
