#include "tools/clawfsctl/frame.h"
#include "policy/types.h"
#include "tools/clawfsctl/format.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As many samples as a minute has at the shortest delay that makes sense to keep. */
#define SAMPLES	  64
#define MINUTE_MS INT64_C(60000)
#define BAR	  30
/* Databases that are shown. */
#define DATABASES 8

enum { APP_WRITES, APP_BYTES, LOWER_WRITES, LOWER_BYTES, FIELDS };
static const char *const fields[FIELDS] = {"app_writes", "app_bytes", "lower_writes", "lower_bytes"};

struct sample {
	int64_t at; /* uptime, ms */
	int64_t class[CLASS_COUNT][FIELDS];
	int64_t device_writes, device_bytes; /* everybody's on that device; -1: not known */
};

struct frame {
	double delay;
	struct sample samples[SAMPLES];
	unsigned count; /* taken; the last is at (count - 1) % SAMPLES */
};

struct frame *frame_create(double delay)
{
	struct frame *frame = calloc(1, sizeof(*frame));

	if (frame)
		frame->delay = delay;
	return frame;
}

void frame_destroy(struct frame *frame)
{
	free(frame);
}

/* Writes and sectors written (kernel, Documentation/block/stat.rst: fields 5 and 7). */
static void read_device(const struct place_mount *lower, struct sample *sample)
{
	long long writes, sectors;
	char path[64];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/stat", lower->major, lower->minor);
	FILE *f = fopen(path, "re");
	if (f && fscanf(f, "%*s %*s %*s %*s %lld %*s %lld", &writes, &sectors) == 2) {
		sample->device_writes = writes;
		sample->device_bytes = sectors * 512;
	}
	if (f)
		fclose(f);
}

static void take(struct snapshot *s, const char *set, int64_t class[CLASS_COUNT][FIELDS])
{
	char path[96];

	for (int c = 0; c < CLASS_COUNT; c++)
		for (int i = 0; i < FIELDS; i++) {
			snprintf(path, sizeof(path), "$.classes.%s.%s%s", policy_class_name(c), set, fields[i]);
			class[c][i] = snapshot_number(s, path);
		}
}

/* The oldest sample of the last minute; NULL with one sample only, or after a new mount. */
static const struct sample *base_of(const struct frame *frame)
{
	const struct sample *last = &frame->samples[(frame->count - 1) % SAMPLES];
	unsigned kept = frame->count < SAMPLES ? frame->count : SAMPLES;

	for (unsigned back = kept - 1; back > 0; back--) {
		const struct sample *old = &frame->samples[(frame->count - 1 - back) % SAMPLES];
		if (old->at < last->at && last->at - old->at <= MINUTE_MS)
			return old;
	}
	return NULL;
}

/* --- printing ------------------------------------------------------------ */

static void print_bar(double share)
{
	int filled = share >= 1 ? BAR : (int)(share * BAR + 0.5);

	putchar('[');
	for (int i = 0; i < BAR; i++)
		putchar(i < filled ? '#' : '.');
	putchar(']');
}

static void print_head(const struct frame *frame, const struct place *place, struct snapshot *s)
{
	int64_t used = snapshot_number(s, "$.ram_used"), most = snapshot_number(s, "$.ram_max");
	int64_t dirty = snapshot_number(s, "$.totals.dirty_bytes"), error = snapshot_number(s, "$.lower_error");

	printf("clawfs %s on %s, up for %s", snapshot_text(s, "$.version"), place->mountpoint,
	       format_age(snapshot_number(s, "$.uptime_ms")).text);
	if (frame->delay > 0)
		printf(", every %g s, q quits", frame->delay);
	printf("\n\nRAM     ");
	print_bar(most > 0 ? (double)used / (double)most : 0);
	printf(" %s of %s\n", format_bytes((double)used).text, format_bytes((double)most).text);
	printf("waits   %s in %s, the oldest for %s\n", format_bytes((double)dirty).text,
	       format_count((uint64_t)snapshot_number(s, "$.totals.files"), "file", "files").text,
	       format_age(snapshot_number(s, "$.totals.oldest_dirty_ms")).text);
	if (error)
		printf("THE LOWER REFUSES: %s; nothing is lost, it is tried again\n", strerror((int)error));
}

static void print_class(const char *name, const double rate[FIELDS])
{
	printf("%-9s %10.1f %12s %10.1f %12s", name, rate[APP_WRITES], format_bytes(rate[APP_BYTES]).text,
	       rate[LOWER_WRITES], format_bytes(rate[LOWER_BYTES]).text);
	if (rate[APP_WRITES] > 0 && rate[LOWER_WRITES] <= rate[APP_WRITES])
		printf(" %8.1f %%", 100 * (1 - rate[LOWER_WRITES] / rate[APP_WRITES]));
	putchar('\n');
}

static void print_classes(const struct sample *now, const struct sample *base, int64_t minute[CLASS_COUNT][FIELDS])
{
	double sum[FIELDS] = {0};

	printf("\n%-9s %10s %12s %10s %12s %10s\n", "a minute", "app writes", "bytes", "to lower", "bytes", "spared");
	for (int c = 0; c < CLASS_COUNT; c++) {
		double rate[FIELDS];
		for (int i = 0; i < FIELDS; i++) {
			rate[i] = base ? (double)(now->class[c][i] - base->class[c][i]) * (double)MINUTE_MS /
						  (double)(now->at - base->at)
				       : (double)minute[c][i];
			sum[i] += rate[i];
		}
		print_class(policy_class_name(c), rate);
	}
	print_class("total", sum);
}

static void print_device(const struct place_mount *lower, const struct sample *now, const struct sample *base)
{
	if (now->device_writes < 0)
		return;
	printf("\ndevice    %s (%s, all that is written there)", lower->source, lower->type);
	if (base && base->device_writes >= 0) {
		double per_minute = (double)MINUTE_MS / (double)(now->at - base->at);
		printf(": %.1f writes, %s a minute", (double)(now->device_writes - base->device_writes) * per_minute,
		       format_bytes((double)(now->device_bytes - base->device_bytes) * per_minute).text);
	}
	putchar('\n');
}

static void print_database(const struct snapshot_db *db, void *arg)
{
	unsigned *count = arg;

	if (*count == 0)
		printf("\n%-9s %12s %10s %10s %10s  %s\n", "database", "WAL", "syncs", "done", "spared", "path");
	if ((*count)++ < DATABASES)
		printf("%-9s %12s %10lld %10lld %10lld  %s\n", db->mode, format_bytes((double)db->wal_bytes).text,
		       (long long)db->asked, (long long)db->done, (long long)db->elided, db->path);
}

void frame_show(struct frame *frame, const struct place *place, struct snapshot *s)
{
	int64_t minute[CLASS_COUNT][FIELDS];
	struct place_mount lower;
	unsigned databases = 0;

	/* A mount made anew counts from nothing. */
	int64_t uptime = snapshot_number(s, "$.uptime_ms");
	if (frame->count && frame->samples[(frame->count - 1) % SAMPLES].at > uptime)
		frame->count = 0;
	struct sample *now = &frame->samples[frame->count++ % SAMPLES];
	*now = (struct sample){.at = uptime, .device_writes = -1, .device_bytes = -1};
	take(s, "", now->class);
	take(s, "last_minute.", minute);
	bool known = place_covering(snapshot_text(s, "$.source"), false, &lower);
	if (known)
		read_device(&lower, now);
	const struct sample *base = base_of(frame);

	print_head(frame, place, s);
	print_classes(now, base, minute);
	if (known)
		print_device(&lower, now, base);
	snapshot_databases(s, print_database, &databases);
	if (databases > DATABASES)
		printf("%u more: clawfsctl stats\n", databases - DATABASES);
}
