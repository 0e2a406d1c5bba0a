/* The command line. */
#ifndef CLAWFS_OPTIONS_H
#define CLAWFS_OPTIONS_H

#include "fs/layers.h"

struct options {
	const char *source; /* as given; the mountpoint when absent */
	const char *mountpoint;
	bool foreground;
	bool debug;
	bool read_only;
	char mount_flags[512]; /* for the kernel: ",nosuid,..." */
	struct layers layers;
	struct settings settings;
};

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_USAGE };

/* Parses. OPTIONS_DONE: -h, -V or --show-config was answered on stdout. OPTIONS_USAGE: a line with the thing, the
 * reason and the remedy went to stderr. What -o says has been judged alone; options_load reads the other layers. */
enum options_result options_parse(struct options *options, int argc, char **argv);

/* Reads all layers into options->settings; `dir` may hold the JSON file. False: what is wrong went to stderr, a line
 * each. Layers that cannot be read are told there too, and make no difference. */
bool options_load(struct options *options, const char *dir);

#endif
