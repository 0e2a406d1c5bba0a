#include "tools/clawfsctl/ctl.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ctl_command commands[] = {
	{"status", "[DIR]", "one screen: what is mounted, what waits in RAM, what it spared", "", ctl_status_run},
	{"top", "[--once] [--delay=S] [DIR]", "the same, live",
	 "  --once     one frame, then end\n  --delay=S  seconds between frames (2)\n", ctl_top_run},
	{"stats", "[--json | --prometheus] [DIR]", "all counters",
	 "  --json        as JSON\n  --prometheus  as OpenMetrics text, with latencies as histograms\n", ctl_stats_run},
	{"flush", "[PATH]", "bring everything, or a file, or all below a directory, to the lower now", "",
	 ctl_flush_run},
	{"umount", "[--force] [DIR]", "flush, unmount, and wait until everything is on the lower",
	 "  --force  unmount although the lower refuses the flush or programs use the mount\n", ctl_umount_run},
	{"ls", "[--dirty] [DIR]", "the files that are held in RAM",
	 "  --dirty  only those of which the lower misses something\n", ctl_ls_run},
	{"config", "[DIR]", "what is configured, and which layer says so", "", ctl_config_run},
	{"doctor", "[DIR]", "look for what is wrong, and say how to mend it", "", ctl_doctor_run},
	{"recover", "[--upper=DIR | --rescue=FILE] [--force] DIR",
	 "bring to DIR, which is not mounted, what a daemon left in RAM or saved",
	 "  --upper=DIR    what is in RAM lies there; without it, where a mount of DIR would look\n"
	 "  --rescue=FILE  a tar from rescue_dir\n"
	 "  --force        of a tar, replace even what was changed later\n",
	 ctl_recover_run},
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

static const char statuses[] = "Exit status: 0 done, 1 failed, 2 usage, 3 no clawfs mount there, 4 the lower refuses\n"
			       "the flush (nothing is lost), 5 doctor found something to mend.\n";

static void print_help(void)
{
	printf("usage: clawfsctl COMMAND [ARGUMENTS]\n\n"
	       "Looks at a clawfs mount and gives it orders. DIR is the mount, or anything in it;\n"
	       "without it, the only clawfs mount there is, or ~/.secureclaw.\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-8s %-30s %s\n", commands[i].name, commands[i].args, commands[i].summary);
	printf("\n  clawfsctl COMMAND --help  about one of them\n"
	       "  clawfsctl --version       the version\n\n%s",
	       statuses);
}

void ctl_complain(const struct ctl_command *self, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "clawfsctl %s: ", self->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

int ctl_option(const struct ctl_command *self, int argc, char **argv, const char *shorts, const struct option *longs)
{
	opterr = 0;
	int c = getopt_long(argc, argv, shorts, longs, NULL);
	if (c == 'h') {
		printf("usage: clawfsctl %s %s\n\n  %s\n\n%s  --help  this help\n\n%s", self->name, self->args,
		       self->summary, self->options, statuses);
		return c;
	}
	if (c == '?' || c == ':') {
		ctl_complain(self, "%s: %s; see clawfsctl %s --help", argv[optind - 1],
			     c == '?' ? "unknown option" : "needs a value", self->name);
		return '?';
	}
	return c;
}

bool ctl_argument(const struct ctl_command *self, int argc, char **argv, const char **arg)
{
	*arg = optind < argc ? argv[optind] : NULL;
	if (optind + 1 < argc) {
		ctl_complain(self, "%s: one argument too many; usage: clawfsctl %s %s", argv[optind + 1], self->name,
			     self->args);
		return false;
	}
	if (*arg && !**arg) {
		ctl_complain(self, "the argument is empty; name a directory");
		return false;
	}
	return true;
}

static const struct ctl_command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

static bool is_umount_helper(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');
	const char *name = slash ? slash + 1 : argv0;

	return strcmp(name, "umount.clawfs") == 0 || strcmp(name, "umount.fuse.clawfs") == 0;
}

int main(int argc, char **argv)
{
	if (argc > 0 && is_umount_helper(argv[0]))
		return ctl_umount_helper(find_command("umount"), argc, argv);
	if (argc < 2) {
		fprintf(stderr, "clawfsctl: no command given; see clawfsctl --help\n");
		return CTL_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		print_help();
		return CTL_OK;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("clawfsctl " CLAWFS_VERSION "\n");
		return CTL_OK;
	}
	const struct ctl_command *command = find_command(argv[1]);
	if (!command) {
		fprintf(stderr, "clawfsctl: %s: unknown command; see clawfsctl --help\n", argv[1]);
		return CTL_USAGE;
	}
	int status = command->run(command, argc - 1, argv + 1);
	/* A full disk or a closed pipe behind stdout. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == CTL_OK) {
		perror("clawfsctl: standard output");
		status = CTL_FAILED;
	}
	return status;
}
