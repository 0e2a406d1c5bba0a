#include "fs/mount.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

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

/* Whether a clawfs is mounted exactly at `path` (proc(5), mountinfo: field 5
 * is the mount point, the type follows " - "). */
static bool find_clawfs_mount(const char *path, dev_t *dev)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	/* The last of several that cover each other is the one that shows. */
	while (f && getline(&line, &room, f) > 0) {
		char at[PATH_MAX];
		unsigned major, minor;
		const char *type = strstr(line, " - ");
		if (!type || sscanf(line, "%*s %*s %u:%u %*s %4095s", &major, &minor, at) != 3)
			continue;
		unescape(at);
		if (strcmp(at, path) == 0) {
			found = strncmp(type, " - fuse.clawfs ", 15) == 0;
			*dev = makedev(major, minor);
		}
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

static bool is_clawfs_mount(const char *path)
{
	dev_t dev;

	return find_clawfs_mount(path, &dev);
}

static const char *find_fusermount(void)
{
	static const char *const paths[] = {"/usr/bin/fusermount3", "/bin/fusermount3", "/usr/local/bin/fusermount3"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return NULL;
}

/* A daemon that was killed leaves a mount that answers ENOTCONN. */
static void detach_dead(const char *path)
{
	if (umount2(path, MNT_DETACH) == 0)
		return;
	const char *tool = find_fusermount();
	pid_t pid;
	if (!tool)
		return;
	char *argv[] = {(char *)tool, (char *)"-u", (char *)"-z", (char *)"-q", (char *)path, NULL};
	if (posix_spawn(&pid, tool, NULL, NULL, argv, environ) == 0)
		waitpid(pid, NULL, 0);
}

void mount_detach(struct clawfs *fs)
{
	dev_t dev;

	if (find_clawfs_mount(fs->mountpoint, &dev) && dev == fs->mount_dev)
		detach_dead(fs->mountpoint);
}

/* What stat(2) shows may be remembered by the kernel; statfs(2) asks. */
static bool is_dead(const char *path)
{
	struct statvfs st;

	return statvfs(path, &st) < 0 && errno == ENOTCONN;
}

static int resolve(const char *path, char *out, const char *what)
{
	struct stat st;

	/* Several dead mounts may lie on each other. */
	for (int i = 0; i < 8 && is_dead(path); i++)
		detach_dead(path);
	char *real = realpath(path, NULL);
	if (!real || stat(real, &st) < 0) {
		fprintf(stderr, "clawfs: %s %s: %s; name an existing directory\n", what, path, strerror(errno));
		free(real);
		return -1;
	}
	if (!S_ISDIR(st.st_mode) || strlen(real) >= PATH_MAX) {
		fprintf(stderr, "clawfs: %s %s: not a directory; name an existing directory\n", what, path);
		free(real);
		return -1;
	}
	strcpy(out, real);
	free(real);
	return 0;
}

static bool user_may_allow_other(void)
{
	FILE *f = fopen("/etc/fuse.conf", "re");
	char line[256];
	bool allowed = false;

	while (f && fgets(line, sizeof(line), f)) {
		char word[64];
		allowed |= sscanf(line, " %63s", word) == 1 && strcmp(word, "user_allow_other") == 0;
	}
	if (f)
		fclose(f);
	return allowed;
}

int mount_resolve(struct clawfs *fs, const struct options *opt)
{
	if (resolve(opt->mountpoint, fs->mountpoint, "mount point") < 0)
		return -1;
	if (is_clawfs_mount(fs->mountpoint)) {
		fprintf(stderr, "clawfs: %s: already mounted by clawfs; unmount it first\n", fs->mountpoint);
		return -1;
	}
	if (resolve(opt->source, fs->source, "source") < 0)
		return -1;
	if (is_clawfs_mount(fs->source)) {
		fprintf(stderr, "clawfs: source %s: is itself a clawfs mount; name the directory below it\n",
			fs->source);
		return -1;
	}
	return 0;
}

int mount_check(const struct options *opt)
{
	if (access("/dev/fuse", F_OK) < 0) {
		fprintf(stderr, "clawfs: /dev/fuse: %s; load the kernel module with: modprobe fuse\n", strerror(errno));
		return -1;
	}
	if (geteuid() == 0)
		return 0;
	if (!find_fusermount()) {
		fprintf(stderr, "clawfs: fusermount3: not found; install the package fuse3\n");
		return -1;
	}
	if (opt->settings.config.allow_other && !user_may_allow_other()) {
		fprintf(stderr,
			"clawfs: option allow_other: not permitted to you; add user_allow_other to /etc/fuse.conf\n");
		return -1;
	}
	return 0;
}

int mount_args(struct fuse_args *args, const struct clawfs *fs, const struct options *opt)
{
	/* Every byte may need its escape. */
	char *text = malloc(2 * sizeof(fs->source) + sizeof(opt->mount_flags) + 128);

	if (!text)
		return -ENOMEM;
	char *p = text + sprintf(text, "default_permissions,subtype=clawfs%s%s,fsname=",
				 opt->settings.config.allow_other ? ",allow_other" : "", opt->mount_flags);
	for (const char *s = fs->source; *s; s++) {
		if (*s == ',' || *s == '\\')
			*p++ = '\\';
		*p++ = *s;
	}
	*p = '\0';
	int rc = fuse_opt_add_arg(args, "clawfs") || fuse_opt_add_arg(args, "-o") || fuse_opt_add_arg(args, text);
	free(text);
	return rc ? -ENOMEM : 0;
}

int mount_attach(struct clawfs *fs, char *why, size_t why_size)
{
	/* libfuse and fusermount3 print lines of their own; ours names thing,
	 * reason and remedy once. Theirs are caught, for the reason. */
	int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	int caught = memfd_create("clawfs-stderr", MFD_CLOEXEC);
	char text[400] = "";

	if (saved >= 0 && caught >= 0)
		dup2(caught, STDERR_FILENO);
	int rc = fuse_session_mount(fs->session, fs->mountpoint);
	if (saved >= 0) {
		dup2(saved, STDERR_FILENO);
		close(saved);
	}
	if (caught >= 0) {
		ssize_t n = pread(caught, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = '\0';
		close(caught);
	}
	if (rc == 0) {
		rc = device_install(fs);
		if (!find_clawfs_mount(fs->mountpoint, &fs->mount_dev))
			fs->mount_dev = 0;
		if (rc == 0)
			return 0;
		fuse_session_unmount(fs->session);
		snprintf(text, sizeof(text), "%s", strerror(-rc));
	}
	text[strcspn(text, "\n")] = '\0';
	snprintf(why, why_size, "cannot mount: %s; check that you own the directory and may use /dev/fuse",
		 text[0] ? text : "the kernel refused");
	return -1;
}
