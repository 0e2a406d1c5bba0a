#include "tools/clawfsctl/place.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- what is mounted ----------------------------------------------------- */

/* Blanks and their like are written as \040 there. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		unsigned value;
		if (*from == '\\' && sscanf(from + 1, "%3o", &value) == 1) {
			*to = (char)value;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* proc(5): id, parent, major:minor, root, mount point, options, optional fields, " - ", type, source, options. */
static bool parse_mount(const char *line, struct place_mount *m)
{
	char own[512], super[512];
	const char *rest = strstr(line, " - ");

	if (!rest || sscanf(line, "%*s %*s %u:%u %*s %4095s %511s", &m->major, &m->minor, m->at, own) != 4 ||
	    sscanf(rest + 3, "%63s %4095s %511s", m->type, m->source, super) != 3)
		return false;
	unescape(m->at);
	unescape(m->source);
	snprintf(m->options, sizeof(m->options), "%s,%s", own, super);
	return true;
}

bool place_mounts(bool (*each)(const struct place_mount *m, void *arg), void *arg)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	struct place_mount *m = malloc(sizeof(*m));
	char *line = NULL;
	size_t room = 0;
	bool ok = f && m;

	while (ok && getline(&line, &room, f) > 0)
		if (parse_mount(line, m) && !each(m, arg))
			break;
	free(line);
	free(m);
	if (f)
		fclose(f);
	return ok;
}

static bool is_clawfs(const struct place_mount *m)
{
	return strcmp(m->type, "fuse.clawfs") == 0;
}

/* Whether `path` is `dir` or below it; *rest is what follows. */
static bool is_below(const char *path, const char *dir, const char **rest)
{
	size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

	if (strncmp(path, dir, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return false;
	*rest = path + len + (path[len] == '/');
	return true;
}

struct covering {
	const char *path;
	bool skip_clawfs;
	struct place_mount *best;
	size_t len;
	bool found;
};

static bool consider(const struct place_mount *m, void *arg)
{
	struct covering *c = arg;
	const char *rest;

	/* Of several at one place the last shows. */
	if ((c->skip_clawfs && is_clawfs(m)) || !is_below(c->path, m->at, &rest) || strlen(m->at) < c->len)
		return true;
	c->len = strlen(m->at);
	*c->best = *m;
	c->found = true;
	return true;
}

bool place_covering(const char *path, bool clawfs, struct place_mount *out)
{
	struct covering c = {.path = path, .skip_clawfs = !clawfs, .best = out};

	place_mounts(consider, &c);
	return c.found && (!clawfs || is_clawfs(out));
}

/* --- which is meant ------------------------------------------------------ */

struct all {
	char (*at)[PATH_MAX];
	size_t count, room;
};

static bool collect(const struct place_mount *m, void *arg)
{
	struct all *all = arg;

	if (!is_clawfs(m))
		return true;
	for (size_t i = 0; i < all->count; i++)
		if (strcmp(all->at[i], m->at) == 0)
			return true;
	if (all->count < all->room)
		strcpy(all->at[all->count++], m->at);
	return true;
}

static bool default_dir(char *out, size_t size)
{
	const char *home = getenv("HOME");

	return home && *home && (size_t)snprintf(out, size, "%s/.secureclaw", home) < size;
}

static int choose(const struct ctl_command *self, char (*at)[PATH_MAX], size_t count, struct place *place)
{
	char home[PATH_MAX];

	place->inside[0] = '\0';
	if (count == 1) {
		strcpy(place->mountpoint, at[0]);
		return CTL_OK;
	}
	bool named = default_dir(home, sizeof(home));
	for (size_t i = 0; named && i < count; i++)
		if (strcmp(at[i], home) == 0) {
			strcpy(place->mountpoint, home);
			return CTL_OK;
		}
	if (count == 0) {
		ctl_complain(self, "no clawfs is mounted; mount one with: clawfs %s", named ? home : "DIR");
		return CTL_NO_MOUNT;
	}
	ctl_complain(self, "several clawfs are mounted (%s, %s%s); name one of them", at[0], at[1],
		     count > 2 ? ", ..." : "");
	return CTL_USAGE;
}

static int find_named(const struct ctl_command *self, const char *arg, struct place *place)
{
	struct place_mount m;
	char real[PATH_MAX];
	const char *rest = "";

	if (!realpath(arg, real)) {
		int error = errno;
		if (error == ENOTCONN)
			ctl_complain(self,
				     "%s: the daemon of this mount has died; nothing is lost, mount it again with: "
				     "clawfs %s",
				     arg, arg);
		else
			ctl_complain(self, "%s: %s; name a clawfs mount, or something in it", arg, strerror(error));
		return error == ENOTCONN ? CTL_NO_MOUNT : CTL_FAILED;
	}
	if (!place_covering(real, true, &m)) {
		ctl_complain(self, "%s: not in a clawfs mount; mount it with: clawfs %s", arg, arg);
		return CTL_NO_MOUNT;
	}
	is_below(real, m.at, &rest);
	strcpy(place->mountpoint, m.at);
	strcpy(place->inside, rest);
	return CTL_OK;
}

int place_find(const struct ctl_command *self, const char *arg, struct place *place)
{
	if (arg)
		return find_named(self, arg, place);
	struct all all = {.at = malloc(16 * PATH_MAX), .room = 16};
	int status = CTL_FAILED;
	if (!all.at || !place_mounts(collect, &all))
		ctl_complain(self, "cannot read /proc/self/mountinfo; name the directory");
	else
		status = choose(self, all.at, all.count, place);
	free(all.at);
	return status;
}

/* --- .clawfs ------------------------------------------------------------- */

static int open_control(const struct place *place, const char *file, int flags)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/.clawfs/%s", place->mountpoint, file);
	int fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The sizes of these files are not known before they are read. */
static char *read_all(int fd)
{
	size_t room = 65536, used = 0;
	char *text = malloc(room);

	while (text) {
		ssize_t n = read(fd, text + used, room - used - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			text[used] = '\0';
			if (n == 0)
				return text;
			break;
		}
		used += (size_t)n;
		if (room - used < 4096) {
			char *more = realloc(text, room * 2);
			if (!more)
				break;
			text = more;
			room *= 2;
		}
	}
	free(text);
	return NULL;
}

char *place_read(const struct ctl_command *self, const struct place *place, const char *file, int *status)
{
	int fd = open_control(place, file, O_RDONLY);
	char *text = fd < 0 ? NULL : read_all(fd);

	if (text) {
		close(fd);
		return text;
	}
	int error = fd < 0 ? -fd : errno;
	if (fd >= 0)
		close(fd);
	*status = CTL_FAILED;
	if (error == EACCES || error == EPERM) {
		ctl_complain(self,
			     "%s: only the owner of this directory may ask, and root if the mount lets root in; run it "
			     "as that user",
			     place->mountpoint);
	} else if (error == ENOTCONN) {
		ctl_complain(self,
			     "%s: the daemon of this mount has died; nothing is lost, mount it again with: clawfs %s",
			     place->mountpoint, place->mountpoint);
		*status = CTL_NO_MOUNT;
	} else if (error == ENOENT) {
		ctl_complain(self, "%s: the daemon has no .clawfs/%s; it has metrics=off, or is of another version",
			     place->mountpoint, file);
	} else {
		ctl_complain(self, "%s/.clawfs/%s: %s", place->mountpoint, file, strerror(error));
	}
	return NULL;
}

bool place_is_read_only(const struct place *place)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/.clawfs/control", place->mountpoint);
	return access(path, W_OK) < 0 && errno == EROFS;
}

int place_command(const struct place *place, const char *text)
{
	int fd = open_control(place, "control", O_WRONLY);

	if (fd < 0)
		return fd;
	int rc = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return rc;
}
