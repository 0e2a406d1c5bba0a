#include "fs/fstab.h"
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* What libfuse and fusermount3 know to hand on. They refuse the other times of access, which make no difference here:
 * atime is never written (DESIGN.md section 2). */
static const char *const kernel_flags[] = {"ro",   "nosuid", "suid",	"nodev", "dev",	  "noexec",
					   "exec", "atime",  "noatime", "sync",	 "async", "dirsync"};
static const char *const ignored[] = {
	"defaults",
	"rw",
	"auto",
	"noauto",
	"user",
	"nouser",
	"users",
	"nousers",
	"owner",
	"noowner",
	"group",
	"nogroup",
	"nofail",
	"fail",
	"_netdev",
	"nobootwait",
	"relatime",
	"norelatime",
	"diratime",
	"nodiratime",
	"strictatime",
	"nostrictatime",
	"lazytime",
	"nolazytime",
	"iversion",
	"noiversion",
	"mand",
	"nomand",
	"silent",
	"loud",
	"default_permissions",
};
/* With a value. */
static const char *const ignored_valued[] = {"comment", "fsname", "subtype", "user", "helper", "uhelper"};

static bool listed(const char *const *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

#define LISTED(list, name) listed(list, sizeof(list) / sizeof(*(list)), name)

enum fstab_option fstab_option(const char *name, bool valued)
{
	/* With a value or without one: x-systemd.automount, x-systemd.idle-timeout=60, X-mount.mkdir. */
	if (strncmp(name, "x-", 2) == 0 || strncmp(name, "X-", 2) == 0 || strcmp(name, "comment") == 0)
		return FSTAB_IGNORED;
	if (valued)
		return LISTED(ignored_valued, name) ? FSTAB_IGNORED : FSTAB_UNKNOWN;
	if (LISTED(kernel_flags, name))
		return FSTAB_KERNEL;
	if (strcmp(name, "remount") == 0)
		return FSTAB_REMOUNT;
	return LISTED(ignored, name) ? FSTAB_IGNORED : FSTAB_UNKNOWN;
}

bool fstab_is_helper(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');
	const char *name = slash ? slash + 1 : argv0;

	return strcmp(name, "mount.clawfs") == 0 || strcmp(name, "mount.fuse.clawfs") == 0;
}

enum fstab_call fstab_helper_args(int argc, char **argv, char **out, int *out_count)
{
	bool fake = false;
	int count = 0, c;

	out[count++] = argv[0];
	opterr = 0;
	while ((c = getopt(argc, argv, "-:sfnvrwt:N:o:")) != -1) {
		switch (c) {
		case 1:
			out[count++] = optarg;
			break;
		case 'o':
			out[count++] = (char *)"-o";
			out[count++] = optarg;
			break;
		case 'r':
			out[count++] = (char *)"-o";
			out[count++] = (char *)"ro";
			break;
		case 'f':
			fake = true;
			break;
		case 'N':
			fprintf(stderr, "clawfs: mount -N %s: not supported; use nsenter(1)\n", optarg);
			return FSTAB_USAGE;
		case ':':
		case '?':
			fprintf(stderr, "clawfs: %s: unknown to the mount helper; see mount(8), External helpers\n",
				argv[optind - 1]);
			return FSTAB_USAGE;
		default:
			break;
		}
	}
	out[count] = NULL;
	*out_count = count;
	/* For the next to read them. */
	optind = 0;
	return fake ? FSTAB_DONE : FSTAB_RUN;
}
