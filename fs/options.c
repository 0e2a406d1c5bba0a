#include "fs/options.h"
#include "fs/fstab.h"
#include "policy/conftext.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* None of ours (layers.h). */
static bool is_foreign(const char *name, const char *value)
{
	enum fstab_option kind = fstab_option(name, value != NULL);

	return kind == FSTAB_KERNEL || kind == FSTAB_IGNORED;
}

/* The words an option takes, joined by bars. */
static void join_words(const char *const *words, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; words[i] && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "|" : "", words[i]);
}

static void print_rules(const char *title, enum policy_profile profile)
{
	printf("\n%s\n", title);
	for (const struct policy_rule *r = policy_default_rules(profile); r->glob[0]; r++)
		printf("  %s:%s\n", policy_class_name(r->cls), r->glob);
}

static void print_help(const struct policy_config *defaults)
{
	static const char *const units[] = {
		[OPTION_MS] = "MS",	[OPTION_COUNT] = "N",	      [OPTION_BYTES] = "SIZE", [OPTION_BOOL] = "on|off",
		[OPTION_PATH] = "PATH", [OPTION_RULE] = "CLASS:GLOB", [OPTION_GLOB] = "GLOB",
	};

	printf("usage: clawfs [SOURCE] MOUNTPOINT [-o OPTION[,OPTION...]] [-f] [-d] [-h] [-V]\n"
	       "       clawfs --show-config [DIR] [-o OPTION[,OPTION...]]\n\n"
	       "Mounts SOURCE, or the directory MOUNTPOINT itself, with logs and session files\n"
	       "held in RAM and flushed on intervals. Unmount with umount(8) or fusermount3 -u.\n\n"
	       "  -f  stay in the foreground, log to stderr\n"
	       "  -d  also log details (implies -f)\n"
	       "  -h  this help\n"
	       "  -V  versions\n"
	       "  --show-config  all options, and which layer has set each: a default, DIR/secureclaw.json,\n"
	       "                 /etc/clawfs.conf, ~/.config/clawfs.conf, the environment, -o (later wins)\n\n"
	       "Options (sizes take K, M, G; times are in milliseconds; in brackets the default):\n");
	for (const struct policy_option *o = policy_options(); o->name; o++) {
		char left[64], words[48], value[POLICY_TEXT_MAX], def[32] = "";
		if (o->type == OPTION_WORD)
			join_words(o->words, words, sizeof(words));
		snprintf(left, sizeof(left), "%s=%s", o->name, o->type == OPTION_WORD ? words : units[o->type]);
		if (o->type != OPTION_PATH && policy_option_count(defaults, o) &&
		    policy_option_text(defaults, o, 0, value, sizeof(value)))
			snprintf(def, sizeof(def), " (%.28s)", value);
		printf("  %-26s %s%s\n", left, o->help, def);
	}
	print_rules("Classes by default, first match wins:", PROFILE_SECURECLAW);
	print_rules("Classes with profile=generic:", PROFILE_GENERIC);
}

/* --- layers -------------------------------------------------------------- */

static void say(void *arg, enum layers_word word, const char *line)
{
	(void)arg;
	fprintf(stderr, "clawfs: %s%s\n", word == LAYERS_WARNING ? "warning: " : "", line);
}

bool options_load(struct options *opt, const char *dir)
{
	opt->layers.name = dir;
	opt->layers.lower = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	unsigned errors = layers_read(&opt->layers, &opt->settings, say, NULL);
	if (opt->layers.lower >= 0)
		close(opt->layers.lower);
	opt->layers.lower = -1;
	/* What nobody can write needs no other mode. */
	if (opt->read_only)
		opt->settings.config.sqlite_wal = false;
	return errors == 0 && layers_check(&opt->layers, &opt->settings, say, NULL);
}

/* What mount(8) says to every file system. */
static bool take_flag(struct options *opt, const char *name, bool valued)
{
	size_t used = strlen(opt->mount_flags);

	switch (fstab_option(name, valued)) {
	case FSTAB_KERNEL:
		snprintf(opt->mount_flags + used, sizeof(opt->mount_flags) - used, ",%s", name);
		opt->read_only |= strcmp(name, "ro") == 0;
		return true;
	case FSTAB_REMOUNT:
		fprintf(stderr,
			"clawfs: option remount: a mount's options cannot be changed while it serves; unmount it and "
			"mount it again\n");
		return false;
	default:
		return true;
	}
}

/* One list of -o: kept for the layers, its flags for the kernel picked out. */
static bool take_list(struct options *opt, const char *list)
{
	struct conftext c;
	struct conftext_entry entry = {.value = NULL};
	enum conftext_result result;
	char why[200];

	if (opt->layers.list_count == LISTS_MAX) {
		fprintf(stderr, "clawfs: more than %d times -o; put commas between the options\n", LISTS_MAX);
		return false;
	}
	opt->layers.lists[opt->layers.list_count++] = list;
	conftext_init(&c, list, strlen(list));
	while ((result = conftext_list_next(&c, &entry, why, sizeof(why))) != CONFTEXT_END)
		if (result == CONFTEXT_ENTRY && !take_flag(opt, entry.name, entry.value != NULL))
			return false;
	return true;
}

/* Whether -o alone can be used: before anything is looked at on a disk. */
static bool lists_are_good(const struct options *opt)
{
	struct settings *scratch = malloc(sizeof(*scratch));
	struct layers alone = opt->layers;

	alone.system_path = "";
	alone.user_path[0] = '\0';
	alone.environment = NULL;
	if (!scratch) {
		fprintf(stderr, "clawfs: out of memory\n");
		return false;
	}
	bool good = layers_read(&alone, scratch, say, NULL) == 0;
	free(scratch);
	return good;
}

static void print_line(void *arg, const char *line)
{
	fputs(line, arg);
}

/* --- the command line ---------------------------------------------------- */

static enum options_result show_config(struct options *opt, const char *dir)
{
	bool good = options_load(opt, dir ? dir : "");

	layers_show(&opt->layers, &opt->settings, print_line, stdout);
	return good ? OPTIONS_DONE : OPTIONS_USAGE;
}

enum options_result options_parse(struct options *opt, int argc, char **argv)
{
	static const struct option words[] = {{"show-config", no_argument, NULL, 'C'},
					      {"help", no_argument, NULL, 'h'},
					      {"version", no_argument, NULL, 'V'},
					      {NULL, 0, NULL, 0}};
	const char *positional[2] = {NULL, NULL};
	bool show = false;
	int count = 0, c;

	memset(opt, 0, sizeof(*opt));
	layers_init(&opt->layers);
	opt->layers.is_foreign = is_foreign;
	opterr = 0;
	/* The leading '-' hands over positional arguments in their place. */
	while ((c = getopt_long(argc, argv, "-:o:fdhV", words, NULL)) != -1) {
		switch (c) {
		case 'o':
			if (!take_list(opt, optarg))
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
			policy_config_init(&opt->settings.config);
			print_help(&opt->settings.config);
			return OPTIONS_DONE;
		case 'V':
			printf("clawfs " CLAWFS_VERSION "\n");
			return OPTIONS_DONE;
		case 'C':
			show = true;
			break;
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
	if (show && count < 2 && optind == argc)
		return show_config(opt, positional[0]);
	if (count == 0 || optind < argc || show) {
		fprintf(stderr, "clawfs: %s; usage: clawfs [SOURCE] MOUNTPOINT [-o options], see clawfs -h\n",
			count ? "too many arguments" : "no mount point given");
		return OPTIONS_USAGE;
	}
	opt->source = positional[0];
	opt->mountpoint = positional[count - 1];
	return lists_are_good(opt) ? OPTIONS_RUN : OPTIONS_USAGE;
}
