/* bench/load: see usage(). */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench/die.h"
#include "tools/bench/load.h"
#include "tools/bench/scale.h"

static void usage(FILE *out)
{
	fprintf(out,
		"usage: load setup DIR [options]         make a data directory as the load finds it\n"
		"       load run DIR ACKS [options]      the load; latencies as JSON on stdout\n"
		"       load check DIR ACKS CUT [options] what DIR lacks of what was acknowledged by CUT, ms of\n"
		"                                        CLOCK_MONOTONIC, as JSON; exit status 3 if anything\n"
		"       load grow DIR FACTOR [options]    add old files, so many times (scale.h)\n"
		"       load resave DIR FACTOR COUNT MS [options] save one of them unchanged, so often\n"
		"       load idle SECONDS [options]      do nothing, and watch\n"
		"       load now                         ms of CLOCK_MONOTONIC\n"
		"ACKS is a directory that takes down when each operation was acknowledged.\n"
		"The same options for all three:\n"
		"  --seed=N               1\n"
		"  --seconds=N            60\n"
		"  --log=N                log lines a minute: 1250\n"
		"  --line-min=BYTES, --line-max=BYTES of a log line: 150, 400\n"
		"  --save=N               session saves a minute: 300\n"
		"  --store=BYTES          of sessions.json: 123000\n"
		"  --insert=N, --query=N  a minute, of the database: 125, 125\n"
		"  --rows=N               chunks that are in it beforehand: 2000\n"
		"  --transcript=N         transcript lines a minute: 100\n"
		"For run, and --watch also for resave and idle:\n"
		"  --buffering=none|writes|synced  what the application does itself: none\n"
		"  --watch=PID            its CPU and memory, and of all below it, into the JSON; may be given again\n"
		"  --progress=TEXT        a line on stderr that begins so\n");
}

static double number(const char *name, const char *text, double min, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (*text == '\0' || *end != '\0' || !(value >= min && value <= max))
		die(0, "--%s=%s: a number from %g to %g is needed", name, text, min, max);
	return value;
}

struct options {
	struct plan plan;
	const char *progress;
	int watch[16], watches;
};

static enum buffering buffering_of(const char *text)
{
	static const char *const names[] = {"none", "writes", "synced"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(text, names[i]) == 0)
			return (enum buffering)i;
	die(0, "--buffering=%s: none, writes or synced is needed", text);
}

static void set_option(struct options *o, const char *name, const char *value)
{
	struct plan *p = &o->plan;

	for (enum stream s = 0; s < STREAMS; s++) {
		if (strcmp(name, stream_names[s]) == 0) {
			p->a_minute[s] = number(name, value, 0, 1e6);
			return;
		}
	}
	if (strcmp(name, "seed") == 0)
		p->seed = (uint64_t)number(name, value, 0, 1e9);
	else if (strcmp(name, "seconds") == 0)
		p->seconds = number(name, value, 1, 86400);
	else if (strcmp(name, "line-min") == 0)
		p->line_min = (size_t)number(name, value, 100, CONTENT_LINE_MAX);
	else if (strcmp(name, "line-max") == 0)
		p->line_max = (size_t)number(name, value, 100, CONTENT_LINE_MAX);
	else if (strcmp(name, "store") == 0)
		p->store_size = (size_t)number(name, value, 2000, 1e8);
	else if (strcmp(name, "rows") == 0)
		p->rows = (int)number(name, value, 1, 1e6);
	else if (strcmp(name, "buffering") == 0)
		p->buffering = buffering_of(value);
	else if (strcmp(name, "progress") == 0)
		o->progress = value;
	else if (o->watches < 16)
		o->watch[o->watches++] = (int)number(name, value, 1, 1e9);
	else
		die(0, "--watch=%s: sixteen are watched already", value);
}

int main(int argc, char **argv)
{
	struct options o = {
		.plan = {.seed = 1,
			 .seconds = 60,
			 .a_minute = {1250, 300, 125, 125, 100},
			 .line_min = 150,
			 .line_max = 400,
			 .store_size = 123000,
			 .rows = 2000},
	};
	static const char *const names[] = {"seed",	  "seconds",   "log",	   "line-min", "line-max",
					    "save",	  "store",     "insert",   "query",    "rows",
					    "transcript", "buffering", "progress", "watch"};
	enum { NAMES = sizeof(names) / sizeof(*names) };
	struct option longs[NAMES + 2] = {0};
	int c, index;

	for (int i = 0; i < NAMES; i++)
		longs[i] = (struct option){names[i], required_argument, NULL, 1};
	longs[NAMES] = (struct option){"help", no_argument, NULL, 'h'};
	while ((c = getopt_long(argc, argv, "h", longs, &index)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c != 1) {
			usage(stderr);
			return 2;
		}
		set_option(&o, names[index], optarg);
	}
	if (o.plan.line_max < o.plan.line_min)
		die(0, "--line-max is smaller than --line-min");
	argv += optind;
	argc -= optind;
	if (argc == 1 && strcmp(argv[0], "now") == 0) {
		printf("%.3f\n", now_ms());
		return 0;
	}
	if (argc == 2 && strcmp(argv[0], "setup") == 0) {
		load_setup(&o.plan, argv[1]);
		return 0;
	}
	if (argc == 3 && strcmp(argv[0], "grow") == 0) {
		scale_setup(&o.plan, argv[1], (int)number("FACTOR", argv[2], 1, 999));
		return 0;
	}
	if (argc == 5 && strcmp(argv[0], "resave") == 0) {
		scale_resave(&o.plan, argv[1], (int)number("FACTOR", argv[2], 1, 999),
			     (int)number("COUNT", argv[3], 1, 1e6), number("MS", argv[4], 0, 1e9),
			     watch_create(o.watch, o.watches), stdout);
		return 0;
	}
	if (argc == 2 && strcmp(argv[0], "idle") == 0) {
		scale_idle(number("SECONDS", argv[1], 0, 86400), watch_create(o.watch, o.watches), stdout);
		return 0;
	}
	if (argc == 3 && strcmp(argv[0], "run") == 0) {
		load_run(&o.plan, argv[1], argv[2], o.progress, watch_create(o.watch, o.watches), stdout);
		return 0;
	}
	if (argc == 4 && strcmp(argv[0], "check") == 0)
		return load_check(&o.plan, argv[1], argv[2], number("CUT", argv[3], 0, 1e18), stdout) ? 0 : 3;
	usage(stderr);
	return 2;
}
