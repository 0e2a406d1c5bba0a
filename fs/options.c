#include "fs/options.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What mount(8) and fstab(5) say to every file system. Those for the kernel
 * are handed on; the others were for mount(8). */
static const char *const kernel_flags[] = {"nosuid", "suid",  "nodev",	 "dev",	       "noexec",
					   "exec",   "atime", "noatime", "nodiratime", "relatime"};
static const char *const ignored[] = {"defaults", "rw",	   "auto",  "noauto", "user",	 "nouser",
				      "users",	  "owner", "group", "nofail", "_netdev", "default_permissions"};

static bool listed(const char *const *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

/* The words an option takes, joined by bars. */
static void join_words(const char *const *words, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; words[i] && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "|" : "", words[i]);
}

static void print_help(void)
{
	static const char *const units[] = {
		[OPTION_MS] = "MS",    [OPTION_COUNT] = "N",	     [OPTION_BYTES] = "SIZE", [OPTION_BOOL] = "on|off",
		[OPTION_PATH] = "DIR", [OPTION_RULE] = "CLASS:GLOB", [OPTION_GLOB] = "GLOB",
	};

	printf("usage: clawfs [SOURCE] MOUNTPOINT [-o OPTION[,OPTION...]] [-f] [-d] [-h] [-V]\n\n"
	       "Mounts SOURCE, or the directory MOUNTPOINT itself, with logs and session files\n"
	       "held in RAM and flushed on intervals. Unmount with umount(8) or fusermount3 -u.\n\n"
	       "  -f  stay in the foreground, log to stderr\n"
	       "  -d  also log details (implies -f)\n"
	       "  -h  this help\n"
	       "  -V  versions\n\n"
	       "Options (sizes take K, M, G; times are in milliseconds):\n");
	for (const struct policy_option *o = policy_options(); o->name; o++) {
		char left[64], words[32], def[32] = "";
		if (o->type == OPTION_WORD)
			join_words(o->words, words, sizeof(words));
		snprintf(left, sizeof(left), "%s=%s", o->name, o->type == OPTION_WORD ? words : units[o->type]);
		if (o->type == OPTION_BOOL)
			snprintf(def, sizeof(def), " (%s)", o->def ? "on" : "off");
		else if (o->type == OPTION_WORD)
			snprintf(def, sizeof(def), " (%s)", o->words[o->def]);
		else if (o->type == OPTION_MS || o->type == OPTION_COUNT)
			snprintf(def, sizeof(def), " (%lld)", (long long)o->def);
		else if (o->type == OPTION_BYTES && o->def)
			snprintf(def, sizeof(def), " (%lldK)", (long long)o->def >> 10);
		printf("  %-26s %s%s\n", left, o->help, def);
	}
	printf("  %-26s %s\n", "allow_other", "let other users in; permissions are checked as ever (default for root)");
	printf("  %-26s %s\n", "noallow_other", "let nobody else in, not even root");
	printf("  %-26s %s\n", "logfile=PATH", "the daemon's own log; syslog without it");
	printf("\nClasses by default, first match wins:\n");
	for (const struct policy_rule *r = policy_default_rules(); r->glob[0]; r++)
		printf("  %s:%s\n", policy_class_name(r->cls), r->glob);
}

/* One option, NUL-terminated, writable. 0 or -1 with the line printed. */
static int set_option(struct options *opt, char *text)
{
	char why[256];
	char *value = strchr(text, '=');

	if (value)
		*value++ = '\0';
	if (strcmp(text, "allow_other") == 0 || strcmp(text, "noallow_other") == 0) {
		opt->allow_other = text[0] == 'a';
		opt->allow_other_set = true;
		return 0;
	}
	if (strcmp(text, "logfile") == 0 && value && *value) {
		if (strlen(value) >= sizeof(opt->logfile)) {
			fprintf(stderr, "clawfs: option logfile: the path is too long; use a shorter one\n");
			return -1;
		}
		strcpy(opt->logfile, value);
		return 0;
	}
	if (!value && listed(kernel_flags, sizeof(kernel_flags) / sizeof(*kernel_flags), text)) {
		size_t used = strlen(opt->mount_flags);
		snprintf(opt->mount_flags + used, sizeof(opt->mount_flags) - used, ",%s", text);
		return 0;
	}
	if (strncmp(text, "x-", 2) == 0 || strcmp(text, "comment") == 0 || strcmp(text, "fsname") == 0 ||
	    strcmp(text, "subtype") == 0 || (!value && listed(ignored, sizeof(ignored) / sizeof(*ignored), text)))
		return 0;
	if (policy_config_set(&opt->config, text, value, why, sizeof(why)) < 0) {
		fprintf(stderr, "clawfs: option %s%s%s: %s\n", text, value ? "=" : "", value ? value : "", why);
		return -1;
	}
	return 0;
}

/* A comma ends an option; "\," is a comma in one. */
static int set_options(struct options *opt, char *list)
{
	while (*list) {
		char *out = list, *in = list;
		while (*in && *in != ',') {
			if (in[0] == '\\' && in[1] == ',')
				in++;
			*out++ = *in++;
		}
		char *next = *in ? in + 1 : in;
		*out = '\0';
		if (*list && set_option(opt, list) < 0)
			return -1;
		list = next;
	}
	return 0;
}

enum options_result options_parse(struct options *opt, int argc, char **argv)
{
	const char *positional[2];
	int count = 0, c;
	char why[256];

	memset(opt, 0, sizeof(*opt));
	policy_config_init(&opt->config);
	opterr = 0;
	/* The leading '-' hands over positional arguments in their place. */
	while ((c = getopt(argc, argv, "-:o:fdhV")) != -1) {
		switch (c) {
		case 'o':
			if (set_options(opt, optarg) < 0)
				return OPTIONS_USAGE;
			break;
		case 'd':
			opt->debug = true;
			opt->foreground = true;
			break;
		case 'f':
			opt->foreground = true;
			break;
		case 'h':
			print_help();
			return OPTIONS_DONE;
		case 'V':
			printf("clawfs " CLAWFS_VERSION "\n");
			return OPTIONS_DONE;
		case 1:
			if (count == 2) {
				fprintf(stderr,
					"clawfs: \"%s\": too many arguments; at most SOURCE and MOUNTPOINT, see clawfs "
					"-h\n",
					optarg);
				return OPTIONS_USAGE;
			}
			positional[count++] = optarg;
			break;
		case ':':
			fprintf(stderr, "clawfs: -%c: needs a value; see clawfs -h\n", optopt);
			return OPTIONS_USAGE;
		default:
			fprintf(stderr, "clawfs: %s: unknown option; see clawfs -h\n", argv[optind - 1]);
			return OPTIONS_USAGE;
		}
	}
	/* What follows "--". */
	for (; optind < argc && count < 2; optind++)
		positional[count++] = argv[optind];
	if (count == 0 || optind < argc) {
		fprintf(stderr, "clawfs: %s; usage: clawfs [SOURCE] MOUNTPOINT [-o options], see clawfs -h\n",
			count ? "too many arguments" : "no mount point given");
		return OPTIONS_USAGE;
	}
	opt->source = positional[0];
	opt->mountpoint = positional[count - 1];
	if (!opt->allow_other_set)
		opt->allow_other = geteuid() == 0;
	if (policy_config_check(&opt->config, why, sizeof(why)) < 0) {
		fprintf(stderr, "clawfs: %s\n", why);
		return OPTIONS_USAGE;
	}
	return OPTIONS_RUN;
}
