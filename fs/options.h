/* The command line. */
#ifndef CLAWFS_OPTIONS_H
#define CLAWFS_OPTIONS_H

#include "policy/config.h"

struct options {
	const char *source; /* as given; the mountpoint when absent */
	const char *mountpoint;
	bool foreground;
	bool debug;
	bool allow_other;
	bool allow_other_set;
	char logfile[4096];
	char mount_flags[512]; /* for the kernel: ",nosuid,..." */
	struct policy_config config;
};

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_USAGE };

/* Parses. OPTIONS_DONE: -h or -V was answered on stdout. OPTIONS_USAGE: one
 * line with the thing, the reason and the remedy went to stderr. */
enum options_result options_parse(struct options *options, int argc, char **argv);

#endif
