/* bench/ops: see usage(). */
#include "tools/bench/ops.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/die.h"
#include "tools/bench/memory.h"
#include "tools/bench/series.h"
#include "tools/bench/trace.h"

enum { TARGETS = 8 };

static void usage(FILE *out)
{
	fprintf(out, "usage: ops setup DIR             make what the operations work on\n"
		     "       ops [options] NAME=DIR...\n"
		     "Times small operations on each of the directories, in turns; JSON on stdout.\n"
		     "  --rounds=N       turns of each operation: 20\n"
		     "  --only=TEXT      operations with TEXT in their name\n"
		     "  --tracing=DIR    where tracefs is mounted: counts the FUSE requests of each operation\n"
		     "  --bulk=ROWS      and a larger database of so many rows: 0, none\n"
		     "  --progress       what is being done, on stderr\n");
}

static void step(struct target *t, const struct op *op, struct series *series)
{
	double begin = now_ms();

	op->step(t, op);
	if (series)
		series_add(series, now_ms() - begin);
	t->done++;
}

static void measure(const struct op *op, struct target *targets, int count, int rounds, struct trace *trace)
{
	struct series series[TARGETS] = {0};

	for (int i = 0; i < count; i++) {
		series[i].name = targets[i].name;
		if (op->prepare)
			op->prepare(&targets[i], op);
		/* What was never looked at costs more the first time. */
		step(&targets[i], op, NULL);
	}
	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < count; i++) {
			/* Another one first each time. */
			struct target *t = &targets[(i + round) % count];
			for (int n = 0; n < op->batch; n++)
				step(t, op, &series[(i + round) % count]);
		}
	}
	printf("{\"name\":\"%s\",\"bytes\":%zu,\"targets\":{", op->name, op->bytes);
	for (int i = 0; i < count; i++) {
		printf(i ? "," : "");
		series_print(&series[i], stdout);
		series_free(&series[i]);
	}
	printf("},\"requests\":{");
	for (int i = 0; i < count; i++) {
		struct target *t = &targets[i];
		printf("%s\"%s\":", i ? "," : "", t->name);
		if (trace)
			trace_begin(trace);
		for (int n = 0; n < op->batch; n++)
			step(t, op, NULL);
		trace_end(trace, t->dir, op->batch, stdout);
	}
	printf("}}");
	for (int i = 0; i < count; i++) {
		if (op->finish)
			op->finish(&targets[i]);
	}
	fflush(stdout);
}

static void measure_bulk(struct target *targets, int count, int rounds, int rows)
{
	static const char *const parts[BULK_PARTS] = {"bulk inserts", "bulk index", "bulk point queries", "bulk scan"};
	double ms[BULK_PARTS];
	struct series series[BULK_PARTS][TARGETS] = {0};

	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < count; i++) {
			int turn = (i + round) % count;
			char path[OPS_PATH];
			snprintf(path, sizeof(path), "%s/bulk-%d.sqlite", targets[turn].dir, round);
			memory_bulk(path, rows, ms);
			for (int part = 0; part < BULK_PARTS; part++)
				series_add(&series[part][turn], ms[part]);
		}
	}
	for (int part = 0; part < BULK_PARTS; part++) {
		printf(",{\"name\":\"%s\",\"bytes\":0,\"rows\":%d,\"targets\":{", parts[part], rows);
		for (int i = 0; i < count; i++) {
			printf(i ? "," : "");
			series[part][i].name = targets[i].name;
			series_print(&series[part][i], stdout);
			series_free(&series[part][i]);
		}
		printf("}}");
	}
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"rounds", required_argument, NULL, 'r'},
					      {"only", required_argument, NULL, 'o'},
					      {"tracing", required_argument, NULL, 't'},
					      {"bulk", required_argument, NULL, 'b'},
					      {"progress", no_argument, NULL, 'p'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	struct target targets[TARGETS] = {0};
	struct trace *trace = NULL;
	const char *only = "";
	int c, count = 0, rounds = 20, bulk = 0, progress = 0, first = 1;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'r')
			rounds = atoi(optarg);
		else if (c == 'o')
			only = optarg;
		else if (c == 'b')
			bulk = atoi(optarg);
		else if (c == 'p')
			progress = 1;
		else if (c == 't')
			trace = trace_create(optarg);
		else {
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (argc - optind == 2 && strcmp(argv[optind], "setup") == 0) {
		targets[0].dir = argv[optind + 1];
		ops_setup(&targets[0]);
		return 0;
	}
	for (; optind < argc; optind++) {
		char *dir = strchr(argv[optind], '=');
		if (!dir || count == TARGETS)
			die(0, "\"%s\": at most %d times NAME=DIR is needed", argv[optind], TARGETS);
		*dir++ = '\0';
		targets[count++] = (struct target){.name = argv[optind], .dir = dir, .fd = -1};
	}
	if (count == 0 || rounds < 1) {
		usage(stderr);
		return 2;
	}
	printf("[");
	for (int i = 0; i < ops_count; i++) {
		if (!strstr(ops_table[i].name, only))
			continue;
		if (progress)
			fprintf(stderr, "\r\033[K%s", ops_table[i].name);
		printf(first ? "\n" : ",\n");
		first = 0;
		for (int t = 0; t < count; t++)
			targets[t].done = 0;
		measure(&ops_table[i], targets, count, rounds, trace);
	}
	if (first)
		die(0, "no operation has \"%s\" in its name; without --only all are measured", only);
	if (bulk > 0) {
		if (progress)
			fprintf(stderr, "\r\033[Kbulk SQLite");
		measure_bulk(targets, count, rounds < 3 ? rounds : 3, bulk);
	}
	printf("\n]\n");
	if (progress)
		fprintf(stderr, "\r\033[K");
	trace_destroy(trace);
	return 0;
}
