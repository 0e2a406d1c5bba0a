/* Bringing to a directory, without mounting it, what a daemon has left in RAM, or saved as a tar. */
#include "fs/offline.h"
#include "fs/rescue.h"
#include "tools/clawfsctl/format.h"
#include "tools/clawfsctl/place.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct wishes {
	const char *upper, *rescue;
	bool force;
};

/* A tar that a daemon has saved of this directory: worth a word when nothing else was found. */
static void point_at_rescue(const char *dir)
{
	char where[PATH_MAX], found[PATH_MAX], real[PATH_MAX];

	rescue_default_dir(where, sizeof(where));
	if (realpath(dir, real) && rescue_find(where, real, found, sizeof(found)) == 0)
		printf("%s: a rescue of it is there; apply it with: clawfsctl recover --rescue=%s %s\n", dir, found,
		       dir);
}

static int apply_upper(const struct ctl_command *self, const char *dir, const char *upper)
{
	struct offline_done done;
	struct stat st;
	char why[5000];

	if (*upper && stat(upper, &st) < 0) {
		ctl_complain(self, "%s: %s; name the upper of a mount that did not end", upper, strerror(errno));
		return CTL_FAILED;
	}
	int rc = offline_recover(dir, upper, &done, why, sizeof(why));
	if (rc < 0) {
		ctl_complain(self, "%s", why);
		return done.upper[0] ? CTL_UNFLUSHED : CTL_FAILED;
	}
	if (done.left_out) {
		ctl_complain(self, "%s: %u entries could not be recovered; they stay in %s", dir, done.left_out,
			     done.upper);
		return CTL_FAILED;
	}
	if (done.files) {
		printf("%s: recovered %s, %s, from %s\n", dir, format_count(done.files, "file", "files").text,
		       format_bytes((double)done.bytes).text, done.upper);
		return CTL_OK;
	}
	printf("%s: nothing to recover in %s\n", dir, done.upper);
	point_at_rescue(dir);
	return CTL_OK;
}

struct tally {
	unsigned applied, there, refused;
};

static void tell(void *arg, const char *path, enum rescue_outcome outcome, const char *why)
{
	struct tally *tally = arg;

	switch (outcome) {
	case RESCUE_APPLIED:
		tally->applied++;
		printf("recovered  %s\n", path);
		break;
	case RESCUE_THERE:
		tally->there++;
		printf("is there   %s\n", path);
		break;
	case RESCUE_REFUSED:
		tally->refused++;
		printf("LEFT OUT   %s: %s\n", path, why);
		break;
	}
}

static int apply_rescue(const struct ctl_command *self, const char *dir, const struct wishes *wishes)
{
	struct tally tally = {0};
	char why[512] = "";
	int fd = open(wishes->rescue, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		ctl_complain(self, "%s: %s; name a tar from rescue_dir", wishes->rescue, strerror(errno));
		return CTL_FAILED;
	}
	int rc = rescue_apply(fd, dir, wishes->force, tell, &tally, why, sizeof(why));
	close(fd);
	if (rc < 0) {
		ctl_complain(self, "%s: %s", wishes->rescue, why[0] ? why : strerror(-rc));
		return CTL_FAILED;
	}
	printf("%s: %s recovered from %s, %u there already\n", dir, format_count(tally.applied, "file", "files").text,
	       wishes->rescue, tally.there);
	if (!rc)
		return CTL_OK;
	ctl_complain(self, "%s: %s left out, as said above", dir,
		     format_count((uint64_t)rc, "file was", "files were").text);
	return CTL_FAILED;
}

int ctl_recover_run(const struct ctl_command *self, int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
					      {"upper", required_argument, NULL, 'u'},
					      {"rescue", required_argument, NULL, 'r'},
					      {"force", no_argument, NULL, 'f'},
					      {0}};
	struct wishes wishes = {.upper = ""};
	struct place_mount m;
	char real[PATH_MAX];
	const char *dir;
	int c;

	while ((c = ctl_option(self, argc, argv, ":h", longs)) != -1) {
		if (c == 'u')
			wishes.upper = optarg;
		else if (c == 'r')
			wishes.rescue = optarg;
		else if (c == 'f')
			wishes.force = true;
		else
			return c == 'h' ? CTL_OK : CTL_USAGE;
	}
	if (!ctl_argument(self, argc, argv, &dir))
		return CTL_USAGE;
	if (!dir || (*wishes.upper && wishes.rescue)) {
		ctl_complain(self, "%s; usage: clawfsctl recover %s",
			     dir ? "--upper and --rescue are two ways, take one" : "no directory given", self->args);
		return CTL_USAGE;
	}
	if (realpath(dir, real) && place_covering(real, true, &m)) {
		ctl_complain(self, "%s: is mounted by clawfs; unmount it with: clawfsctl umount %s", dir, m.at);
		return CTL_FAILED;
	}
	return wishes.rescue ? apply_rescue(self, dir, &wishes) : apply_upper(self, dir, wishes.upper);
}
