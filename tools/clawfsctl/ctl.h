/* clawfsctl: what people and scripts ask of a running mount.
 *
 * Each subcommand is one row of the table in main.c and one function that
 * parses its own arguments. All print results on stdout, and of what is wrong
 * one line on stderr that names the thing, the reason and the remedy. */
#ifndef CLAWFSCTL_CTL_H
#define CLAWFSCTL_CTL_H

#include <getopt.h>
#include <stdbool.h>

/* Exit statuses; clawfsctl(1) documents them. */
enum ctl_status {
	CTL_OK = 0,
	CTL_FAILED = 1,	   /* it could not be done */
	CTL_USAGE = 2,	   /* it was asked wrongly */
	CTL_NO_MOUNT = 3,  /* no clawfs serves that directory */
	CTL_UNFLUSHED = 4, /* the lower refuses: what is in RAM stays there */
	CTL_TROUBLE = 5,   /* doctor found something to mend */
};

struct ctl_command {
	const char *name;
	const char *args;    /* for the usage line */
	const char *summary; /* one line */
	const char *options; /* for --help: one line each, "" without any */
	/* argv[0] is the subcommand's name. An enum ctl_status. */
	int (*run)(const struct ctl_command *self, int argc, char **argv);
};

int ctl_status_run(const struct ctl_command *self, int argc, char **argv);
int ctl_top_run(const struct ctl_command *self, int argc, char **argv);
int ctl_stats_run(const struct ctl_command *self, int argc, char **argv);
int ctl_flush_run(const struct ctl_command *self, int argc, char **argv);
int ctl_umount_run(const struct ctl_command *self, int argc, char **argv);
int ctl_ls_run(const struct ctl_command *self, int argc, char **argv);
int ctl_config_run(const struct ctl_command *self, int argc, char **argv);
int ctl_recover_run(const struct ctl_command *self, int argc, char **argv);
int ctl_doctor_run(const struct ctl_command *self, int argc, char **argv);

/* What umount(8) calls as umount.clawfs or umount.fuse.clawfs: DIR [-nlfvr] [-t TYPE]. Its exit statuses. */
int ctl_umount_helper(const struct ctl_command *self, int argc, char **argv);

/* The next option of the subcommand as getopt_long(3) gives it; -1 after the last, '?' when usage is to be
 * refused (the line is printed) and 'h' when help was asked for (printed). */
int ctl_option(const struct ctl_command *self, int argc, char **argv, const char *shorts, const struct option *longs);
/* The one argument that may follow the options, or NULL in `arg`. False with the line printed when there are more. */
bool ctl_argument(const struct ctl_command *self, int argc, char **argv, const char **arg);
/* Prints "clawfsctl NAME: ..." and a newline on stderr. */
void ctl_complain(const struct ctl_command *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
