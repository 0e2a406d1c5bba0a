/* Every option of clawfs in one table: name, unit, range, default, one line
 * of help. The command line, --help, the README's table and later layers
 * (configuration files, environment) all read this table. */
#ifndef CLAWFS_POLICY_CONFIG_H
#define CLAWFS_POLICY_CONFIG_H

#include "policy/classify.h"
#include "policy/logname.h"

enum policy_passthrough { PASSTHROUGH_AUTO, PASSTHROUGH_OFF };

/* The smallest log_rotate_bytes but 0. */
#define LOG_ROTATE_MIN ((int64_t)4096)

struct policy_config {
	/* class log */
	int64_t log_flush_ms;	  /* first unflushed line -> due */
	int64_t log_lines;	  /* as many lines -> due now; 0: no such bound */
	int64_t log_bytes;	  /* as many bytes -> due now; 0: no such bound; of class append too */
	bool log_urgent;	  /* a line of level error or fatal -> due now */
	int64_t log_rotate_bytes; /* a log of this size is rotated; 0: never */
	int64_t log_rotate_keep;  /* rotated parts of one log; 0: no bound */
	int64_t log_gzip_age_ms;  /* last write -> compressed */
	int64_t log_keep_days;	  /* last write -> deleted, if compressed; 0: never */
	int64_t log_keep_bytes;	  /* compressed logs together; 0: no bound */
	int log_parts;		  /* enum policy_parts */
	bool log_gzip;
	/* class append */
	int64_t append_flush_ms;
	/* class snapshot */
	int64_t session_debounce_ms; /* last change -> due */
	int64_t session_max_ms;	     /* first change -> due, whatever came after */
	/* class state */
	int64_t state_flush_ms; /* first change -> due */
	/* a snapshot or state file whose writer truncated it and still has it
	 * open is held back, so that no half-rewritten version is flushed; at
	 * most this long after the first change */
	int64_t rewrite_max_ms;
	/* flusher */
	int64_t epoch_reach_ms; /* files due within this much join an epoch */
	int64_t retry_ms;	/* first retry after a failed flush; doubles */
	int64_t retry_max_ms;	/* ... up to this */
	/* RAM */
	int64_t ram_max;       /* bytes in the upper */
	int64_t file_max;      /* bytes of one file held whole; 0: half of ram_max */
	char upper[4096];      /* where the upper is; "" chooses */
	char rescue_dir[4096]; /* where what the card refuses to the end is saved; "" chooses */
	/* speed */
	int passthrough; /* enum policy_passthrough */
	struct policy_rules rules;
	/* databases */
	bool sqlite_wal;	      /* they are put into WAL mode */
	int sqlite_sync;	      /* enum policy_sync */
	int64_t sqlite_sync_ms;	      /* fsync of a WAL acknowledged -> done, with sqlite_sync=normal */
	int64_t sqlite_checkpoint_ms; /* between the steward's checkpoints; 0: none */
	int64_t sqlite_wal_limit;     /* bytes; a larger WAL is truncated; 0: never */
	struct policy_globs sqlite_exclude;
};

enum policy_option_type {
	OPTION_MS,
	OPTION_COUNT,
	OPTION_BYTES,
	OPTION_BOOL,
	OPTION_PATH,
	OPTION_RULE,
	OPTION_WORD,
	OPTION_GLOB
};

struct policy_option {
	const char *name;
	size_t offset; /* of the field in struct policy_config */
	enum policy_option_type type;
	int64_t min, max; /* of numbers; inclusive. Of words the first and the last index */
	int64_t def;	  /* of numbers, booleans and words */
	const char *help; /* one line, no final stop */
	/* OPTION_WORD: the words, NULL after the last; the field is an int, the index of one. Else NULL. */
	const char *const *words;
};

/* The table, terminated by a NULL name. */
const struct policy_option *policy_options(void);

/* Fills in every default. */
void policy_config_init(struct policy_config *config);

/* Sets one option from text ("log_flush_ms", "5000"). Sizes take K, M, G
 * (powers of 1024, either letter case); milliseconds are plain numbers;
 * booleans on/off/yes/no/true/false/1/0; `value` NULL means the name stood
 * alone, which only booleans allow; words are as in the table. `rule` adds to the rules.
 * 0; -ENOENT unknown name; -EINVAL / -ERANGE bad value. On error `why` holds
 * one sentence fragment with reason and remedy ("not a number of
 * milliseconds", "must be from 10 to 3600000", "unknown; did you mean
 * log_lines?") and the configuration is unchanged. */
int policy_config_set(struct policy_config *config, const char *name, const char *value, char *why, size_t why_size);

/* Checks what no single option can (session_debounce_ms <= session_max_ms,
 * retry_ms <= retry_max_ms, file_max <= ram_max, ...) and resolves zeros that
 * mean "derived". 0 or -EINVAL with `why` naming the options. */
int policy_config_check(struct policy_config *config, char *why, size_t why_size);

/* The nearest known option name within edit distance 3 and half the length of
 * `name` (or "ro" would suggest "rule"), or NULL. */
const char *policy_option_suggest(const char *name);

#endif
