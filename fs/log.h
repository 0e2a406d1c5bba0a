/* The daemon's own log: one line a message, to stderr, to a file or to
 * syslog. Thread-safe. Never logs file contents. */
#ifndef CLAWFS_LOG_H
#define CLAWFS_LOG_H

#include <stdbool.h>

struct log;

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Starts on stderr. NULL without memory. */
struct log *log_create(bool debug);
void log_destroy(struct log *log);

/* Sends what follows to `path` (created 0600, appended to), or to syslog when
 * `path` is NULL. 0 or a negative errno; then the log stays where it was. */
/* Whether no connection to syslog is kept between two lines: for a process that shares its descriptors with another,
 * which may close it. */
void log_set_transient(struct log *log, bool on);
int log_redirect(struct log *log, const char *path);

void log_write(struct log *log, enum log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define log_error(log, ...) log_write(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(log, ...)  log_write(log, LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(log, ...)  log_write(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_write(log, LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
