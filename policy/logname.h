/* The names in the life of a log.
 *
 *   name             is                      in its life
 *   X.log            a log                   rotated, compressed; never deleted
 *   X.N.log          a part of X.log         compressed at once, if clawfs made it (below)
 *   X.log.gz         X.log, compressed       deleted when its time has come
 *   X.N.log.gz       a part, compressed      likewise, and counted by log_rotate_keep
 * with "-N" in place of ".N" where log_parts=dash.
 *
 * What has a life (policy_log_kind):
 *   - the class decides: X.log has one if its path is of class log; X.log.gz if X.log beside it would be of
 *     class log, and no rule of the user's own says another class for X.log.gz itself.
 *   - X is not empty, and the name ends in ".log", in lower case. Anything else of class log (in logs/ all is,
 *     whatever its name) is flushed as a log but neither rotated, compressed nor deleted: "*.log.gz" would not
 *     find it afterwards, and logs/gateway.pid or logs/dump.tar.gz are not text that grows. logs/X.gz is
 *     nothing either, logs/X.log.gz is X.log's.
 *   - a name that leads to one beyond LOG_NAME_MAX bytes has none from there on: what could not be called
 *     X.log.gz is not compressed, and what could not be called X.N.log.gz is not rotated, because such a part
 *     could never be compressed, and so never go.
 *   - each next name must be of class log again (a rule may name "gateway.log" alone, or call "*-1.log"
 *     something else): a step that would lead out of the class is not made.
 *
 * A number N of a part is 1 to LOG_PART_MAX, in decimal, without sign or leading zero. So X.0.log, X.007.log,
 * X.20260101.log (a date), X.1700000000.log (a time) are logs like any other. The next part has the highest
 * number seen plus one, over plain and compressed names alike, and numbers are never used again while a
 * higher one exists: among the parts of a log the number is the order of age, whatever the clocks said.
 *
 * An application may call a log of its own X.1.log. The name alone therefore makes nothing a part: `made`, an
 * argument wherever it matters, says that clawfs itself made the file by rotation (it did so in this run, or
 * left a note in the gzip header). Without it X.1.log is an ordinary log: compressed when idle, and not
 * counted by log_rotate_keep. Its number is counted when the next part is named, in any case. */
#ifndef CLAWFS_POLICY_LOGNAME_H
#define CLAWFS_POLICY_LOGNAME_H

#include "policy/classify.h"

#define LOG_NAME_MAX 255     /* NAME_MAX */
#define LOG_PART_MAX 999999U /* 6 digits: no date and no time of seconds, and 10 TB of parts of 10 MiB */

/* How parts are named: log_parts. */
enum policy_parts {
	PARTS_DOT,  /* NAME.N.log */
	PARTS_DASH, /* NAME-N.log */
	PARTS_COUNT
};

struct log_name {
	char text[LOG_NAME_MAX + 1];
};

/* --- names: one component of a path ------------------------------------- */

/* X.log, with X not empty and without '/', not longer than LOG_NAME_MAX. */
bool policy_log_is(const char *name);

/* X.log -> X.log.gz, and back. False, and nothing written, when `name` is not
 * of that form or the other name is too long. */
bool policy_log_packed(const char *name, struct log_name *packed);
bool policy_log_unpacked(const char *name, struct log_name *log);

/* N, if `name` is X.N.log or X.N.log.gz; X.log into `log`, which may be NULL.
 * 0 for every other name. */
uint32_t policy_log_part(enum policy_parts parts, const char *name, struct log_name *log);

/* Folds one name of the directory into the highest number of a part of `log`
 * (begin with 0). */
void policy_log_seen(enum policy_parts parts, const char *log, const char *name, uint32_t *highest);

/* The name of the part after number `highest`. False when `log` is not X.log,
 * the numbers are used up, or the part could not be compressed under its name.
 * Renaming must not replace: who finds the name taken after all folds it in
 * and asks again. */
bool policy_log_next(enum policy_parts parts, const char *log, uint32_t highest, struct log_name *part);

/* --- paths, relative to the mount --------------------------------------- */

enum log_kind {
	LOG_OTHER,  /* has no such life */
	LOG_PLAIN,  /* X.log */
	LOG_PACKED, /* X.log.gz */
};

enum log_kind policy_log_kind(const struct policy_rules *rules, const char *path);

/* May X.log become X.log.gz? */
bool policy_log_may_pack(const struct policy_rules *rules, const char *path);

/* May X.log's bytes become `part`, in the same directory? */
bool policy_log_may_rotate(const struct policy_rules *rules, const char *path, const struct log_name *part);

/* May retention delete it: X.log.gz; or X.N.log that clawfs made. Never X.log
 * that is not such a part: it is live. */
bool policy_log_may_delete(const struct policy_rules *rules, enum policy_parts parts, const char *path, bool made);

#endif
