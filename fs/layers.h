/* Where an option's value comes from. Later layers win:
 *   1 defaults        the table's; allow_other: on for root
 *   2 JSON            secureclaw.json (profile openclaw: openclaw.json) in the lower: memory.store.sqlite, and then
 *                     the section `clawfs`
 *   3 system          /etc/clawfs.conf
 *   4 user            ~/.config/clawfs.conf
 *   5 environment     SECURECLAW_*, and then CLAWFS_<OPTION>
 *   6 command         -o
 * Of the options that are lists (rule, sqlite_exclude) every layer adds its entries in front of those of the layers
 * before it.
 *
 * What is wrong is named with its place and goes to `say`, one line each, and the rest is read all the same. Errors
 * are what a person has written and we cannot use (an unknown name, a bad value). Warnings are layers that cannot be
 * read at all: they are as if absent. A file that somebody else may write cannot set what is `guarded` in the table:
 * root's daemon opens no log for the owner of the directory it serves (P10).
 *
 * Nothing here keeps state; the strings of the inputs must outlive it. */
#ifndef CLAWFS_LAYERS_H
#define CLAWFS_LAYERS_H

#include "policy/alias.h"
#include "policy/config.h"

enum layer { LAYER_DEFAULT, LAYER_JSON, LAYER_SYSTEM, LAYER_USER, LAYER_ENVIRONMENT, LAYER_COMMAND, LAYER_COUNT };

/* Which place set a value. */
struct origin {
	enum layer layer;
	unsigned line;			  /* of files, from 1; 0: not known */
	const struct policy_alias *alias; /* LAYER_ENVIRONMENT: the variable; NULL: CLAWFS_<OPTION> */
};

#define LISTS_MAX 32 /* uses of -o */

struct layers {
	const char *system_path;
	char user_path[4096]; /* "": there is no home */
	char *const *environment;
	const char *lists[LISTS_MAX]; /* of -o, in their order */
	unsigned list_count;
	/* Whether it is none of ours, but what mount(8) gives to every file system; NULL: never. */
	bool (*is_foreign)(const char *name, const char *value);
	int lower;	  /* the directory that holds the JSON file; -1: none */
	const char *name; /* of that directory, for messages */
	bool is_root;
};

struct settings {
	struct policy_config config;
	struct origin origin[POLICY_OPTIONS_MAX]; /* by place in the table; of lists unused */
	struct origin rules[POLICY_RULES_MAX];	  /* by place in config.rules */
	struct origin excluded[POLICY_GLOBS_MAX]; /* by place in config.sqlite_exclude */
	bool broken[POLICY_OPTIONS_MAX];	  /* some layer tried to set it and could not */
};

enum layers_word { LAYERS_WARNING, LAYERS_ERROR };
typedef void layers_say_fn(void *arg, enum layers_word word, const char *line);

/* Fills in where the layers of this process are: the paths, the environment, whether it is root. */
void layers_init(struct layers *layers);

/* Reads all layers. How many errors were said; then `settings` hold what could be used. */
unsigned layers_read(const struct layers *layers, struct settings *settings, layers_say_fn *say, void *arg);

/* policy_config_check, with the places in what is said. False when it is broken. */
bool layers_check(const struct layers *layers, struct settings *settings, layers_say_fn *say, void *arg);

/* The JSON file's name that goes with a profile; "": none. */
const char *layers_json_name(enum policy_profile profile);
/* "default", "/etc/clawfs.conf:3", "SECURECLAW_DB_WAL_MODE", "-o"; of the option that has the value. */
void layers_origin_text(const struct layers *layers, const struct settings *settings, const struct origin *origin,
			const struct policy_option *option, char *out, size_t size);
/* Which origin the value `index` of the option has. */
const struct origin *layers_origin(const struct settings *settings, const struct policy_option *option, unsigned index);

/* All options, as a configuration file that says the same, each value with its origin in a comment. `line` gets one
 * at a time, with its end. layers_show.c */
typedef void layers_line_fn(void *arg, const char *line);
void layers_show(const struct layers *layers, const struct settings *settings, layers_line_fn *line, void *arg);

/* --- for the layers themselves ------------------------------------------- */

struct layers_run {
	const struct layers *layers;
	struct settings *settings;
	layers_say_fn *say;
	void *arg;
	unsigned errors;
	unsigned rules, excluded; /* entries that the present layer has added */
	bool guard;		  /* the present layer may be written by others */
};

/* Sets one option from the present layer; an error is said with its place. `shown`: the name there, when it is not
 * the option's. */
void layers_set(struct layers_run *run, const struct origin *origin, const char *shown, const char *name,
		const char *value);
void layers_error(struct layers_run *run, const struct origin *origin, const char *shown, const char *why);
void layers_warning(struct layers_run *run, const char *path, const char *why);
/* The present layer ends, another begins. */
void layers_begin(struct layers_run *run, bool guard);

/* A path, a key or a value may hold any byte, and a message is one line. */
void layers_make_printable(char *text);

/* The text of a file of at most `max` bytes, NUL-terminated, to be freed; its length. NULL with *why: "" for a file
 * that is not there. `guard`: others than root and we may write it, or the directory it lies in when `dir_counts`. */
char *layers_slurp(int dirfd, const char *path, size_t max, bool dir_counts, size_t *len, bool *guard,
		   const char **why);

/* The JSON layer. layers_json.c */
void layers_json(struct layers_run *run);

#endif
