/* One screen. */
#include "tools/clawfsctl/format.h"
#include "tools/clawfsctl/snapshot.h"
#include <stdio.h>
#include <string.h>

struct databases {
	unsigned wal, excluded, other, refused;
};

static void count_database(const struct snapshot_db *db, void *arg)
{
	struct databases *d = arg;

	if (db->error)
		d->refused++;
	if (strcmp(db->mode, "wal") == 0)
		d->wal++;
	else if (db->excluded)
		d->excluded++;
	else
		d->other++;
}

static void print_databases(struct snapshot *s)
{
	struct databases d = {0};

	snapshot_databases(s, count_database, &d);
	printf("  databases     %u in WAL mode", d.wal);
	if (d.excluded)
		printf(", %u excluded", d.excluded);
	if (d.other)
		printf(", %u NOT in WAL mode (see clawfsctl doctor)", d.other);
	if (d.refused)
		printf(", %u WHOSE COMMITS THE LOWER REFUSES", d.refused);
	printf("\n");
}

/* What applications wrote, and what of it reached the lower. */
static void print_traffic(struct snapshot *s, const char *label, const char *at)
{
	static const char *const fields[] = {"app_writes", "app_bytes", "lower_writes", "lower_bytes"};
	int64_t v[4];
	char path[64];

	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "$.%s.%s", at, fields[i]);
		v[i] = snapshot_number(s, path);
	}
	printf("  %-13s %lld writes of %s by applications became %lld of %s on the lower\n", label, (long long)v[0],
	       format_bytes((double)v[1]).text, (long long)v[2], format_bytes((double)v[3]).text);
}

static void print_ram(struct snapshot *s)
{
	int64_t dirty = snapshot_number(s, "$.totals.dirty_bytes");

	printf("  in RAM        %s of %s in use; ", format_bytes((double)snapshot_number(s, "$.ram_used")).text,
	       format_bytes((double)snapshot_number(s, "$.ram_max")).text);
	if (dirty)
		printf("%s not on the lower yet, the oldest for %s\n", format_bytes((double)dirty).text,
		       format_age(snapshot_number(s, "$.totals.oldest_dirty_ms")).text);
	else
		printf("everything is on the lower\n");
}

static void print_place(struct snapshot *s, const struct place *place)
{
	struct place_mount lower;

	printf("%s: clawfs %s, up for %s, pid %lld\n", place->mountpoint, snapshot_text(s, "$.version"),
	       format_age(snapshot_number(s, "$.uptime_ms")).text, (long long)snapshot_number(s, "$.pid"));
	const char *source = snapshot_text(s, "$.source");
	printf("  lower         %s", source);
	if (place_covering(source, false, &lower))
		printf(" (%s, %s)", lower.type, lower.source);
	printf("\n  upper         %s\n", snapshot_text(s, "$.upper"));
}

int ctl_status_run(const struct ctl_command *self, int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct place place;
	const char *arg;
	int status;

	int c = ctl_option(self, argc, argv, "+h", longs);
	if (c != -1)
		return c == 'h' ? CTL_OK : CTL_USAGE;
	if (!ctl_argument(self, argc, argv, &arg))
		return CTL_USAGE;
	status = place_find(self, arg, &place);
	if (status != CTL_OK)
		return status;
	struct snapshot *s = snapshot_create(self, &place, &status);
	if (!s)
		return status;
	print_place(s, &place);
	print_ram(s);
	print_traffic(s, "last minute", "last_minute");
	print_traffic(s, "since mounted", "totals");
	print_databases(s);
	printf("  passthrough   %s\n", snapshot_number(s, "$.passthrough.active") ? "on" : "off");
	int64_t error = snapshot_number(s, "$.lower_error");
	if (error)
		printf("  THE LOWER REFUSES: %s; nothing is lost, it is tried again\n", strerror((int)error));
	else
		printf("  errors        %lld\n", (long long)snapshot_number(s, "$.totals.errors"));
	snapshot_destroy(s);
	return CTL_OK;
}
