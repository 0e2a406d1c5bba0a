#include "tools/clawfsctl/flush.h"
#include "tools/clawfsctl/format.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static int complain(const struct ctl_command *self, const struct place *place, int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		ctl_complain(self,
			     "%s: only the owner of this directory may flush, and root if the mount lets root in; run "
			     "it as that user",
			     place->mountpoint);
		return CTL_FAILED;
	case ENOTCONN:
		ctl_complain(self,
			     "%s: the daemon of this mount has died; nothing is lost, mount it again with: clawfs %s",
			     place->mountpoint, place->mountpoint);
		return CTL_NO_MOUNT;
	default:
		ctl_complain(self,
			     "%s: cannot flush: the lower says: %s; nothing is lost while the machine is on, mend that "
			     "and flush again",
			     place->mountpoint, strerror(error));
		return CTL_UNFLUSHED;
	}
}

int flush_place(const struct ctl_command *self, const struct place *place, bool quiet)
{
	char command[PATH_MAX + 16] = "flush";
	int status;

	if (place_is_read_only(place)) {
		if (!quiet)
			printf("%s: mounted read-only, nothing to flush\n", place->mountpoint);
		return CTL_OK;
	}
	struct snapshot *before = snapshot_create(self, place, &status);
	if (!before)
		return status;
	int64_t writes = snapshot_number(before, "$.totals.lower_writes");
	int64_t bytes = snapshot_number(before, "$.totals.lower_bytes");
	snapshot_destroy(before);

	if (place->inside[0])
		snprintf(command, sizeof(command), "flush %s", place->inside);
	int64_t start = now_ms();
	int rc = place_command(place, command);
	if (rc < 0)
		return complain(self, place, -rc);
	struct snapshot *after = snapshot_create(self, place, &status);
	if (!after)
		return status;
	writes = snapshot_number(after, "$.totals.lower_writes") - writes;
	bytes = snapshot_number(after, "$.totals.lower_bytes") - bytes;
	snapshot_destroy(after);
	if (!quiet)
		printf("%s%s%s: flushed %s, %s, in %s\n", place->mountpoint, place->inside[0] ? "/" : "", place->inside,
		       format_count((uint64_t)writes, "file", "files").text, format_bytes((double)bytes).text,
		       format_age(now_ms() - start).text);
	return CTL_OK;
}

int ctl_flush_run(const struct ctl_command *self, int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct place place;
	const char *arg;

	int c = ctl_option(self, argc, argv, "h", longs);
	if (c != -1)
		return c == 'h' ? CTL_OK : CTL_USAGE;
	if (!ctl_argument(self, argc, argv, &arg))
		return CTL_USAGE;
	int status = place_find(self, arg, &place);
	return status == CTL_OK ? flush_place(self, &place, false) : status;
}
