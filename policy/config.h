/* Every option of clawfs in one table: name, unit, range, default, one line
 * of help. The command line, --help, the README's table, configuration files
 * and the environment all go by this table (fs/layers.h). */
#ifndef CLAWFS_POLICY_CONFIG_H
#define CLAWFS_POLICY_CONFIG_H

#include "policy/classify.h"
#include "policy/logname.h"

enum policy_passthrough { PASSTHROUGH_AUTO, PASSTHROUGH_OFF };

/* The smallest log_rotate_bytes but 0. */
#define LOG_ROTATE_MIN ((int64_t)4096)

struct policy_config {
	int profile; /* enum policy_profile */
	/* classes that are held in RAM; off: handled as through */
	bool log_buffer, append_buffer, session_buffer, state_buffer;
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
	int64_t cache_ms;      /* the kernel's copies of names and attributes are valid for */
	/* speed */
	int passthrough; /* enum policy_passthrough */
	struct policy_rules rules;
	/* databases */
	bool sqlite_wal;	      /* they are put into WAL mode */
	int sqlite_sync;	      /* enum policy_sync */
	int64_t sqlite_sync_ms;	      /* fsync of a WAL acknowledged -> done, with sqlite_sync=normal */
	int64_t sqlite_checkpoint_ms; /* between the steward's checkpoints; 0: none */
	int64_t sqlite_wal_limit;     /* bytes; a larger WAL is truncated; 0: never */
	int64_t sqlite_cache;	      /* bytes of a page cache of the steward's, at most */
	struct policy_globs sqlite_exclude;
	/* monitoring */
	int64_t metrics_window_ms; /* rates are over so long */
	bool metrics;
	/* the mount */
	bool allow_other;
	char logfile[4096]; /* "": syslog */
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
	bool live;    /* a number or a switch that may change while it is mounted */
	bool guarded; /* says where the daemon writes, or whom it lets in: not from a file that others may write */
};

/* Bytes of the longest value as text, with its NUL. */
#define POLICY_TEXT_MAX 4200
/* More than there are options; the unit test checks. */
#define POLICY_OPTIONS_MAX 64

/* The table, terminated by a NULL name. */
const struct policy_option *policy_options(void);

/* NULL when there is none of that name. */
const struct policy_option *policy_option_find(const char *name);

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

/* --- one option of a configuration --------------------------------------- */

/* How many values it has: of lists (rule, sqlite_exclude) the entries, of a path that is not set 0; else 1. */
unsigned policy_option_count(const struct policy_config *config, const struct policy_option *option);
/* The value `index`, in words that policy_config_set takes. False when it does not fit. */
bool policy_option_text(const struct policy_config *config, const struct policy_option *option, unsigned index,
			char *out, size_t size);
bool policy_option_same(const struct policy_config *a, const struct policy_config *b,
			const struct policy_option *option);
void policy_option_copy(struct policy_config *to, const struct policy_config *from, const struct policy_option *option);
/* Of a list: the last entry becomes the one at `index`. */
void policy_option_rotate(struct policy_config *config, const struct policy_option *option, unsigned index);

/* The nearest option's name, as policy/nearest.h says, or NULL. */
const char *policy_option_suggest(const char *name);

#endif
