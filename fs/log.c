#include "fs/log.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

struct log {
	bool debug;
	bool syslog;
	bool transient; /* closes it after each line */
	int fd;		/* when not syslog */
	bool stamped;	/* a file: lines begin with the time */
};

static const struct {
	int priority;
	const char *word;
} levels[] = {
	[LOG_LEVEL_ERROR] = {LOG_ERR, "error: "},
	[LOG_LEVEL_WARN] = {LOG_WARNING, "warning: "},
	[LOG_LEVEL_INFO] = {LOG_INFO, ""},
	[LOG_LEVEL_DEBUG] = {LOG_DEBUG, "debug: "},
};

struct log *log_create(bool debug)
{
	struct log *log = calloc(1, sizeof(*log));

	if (log) {
		log->debug = debug;
		log->fd = STDERR_FILENO;
	}
	return log;
}

void log_destroy(struct log *log)
{
	if (!log)
		return;
	if (log->fd != STDERR_FILENO && log->fd >= 0)
		close(log->fd);
	if (log->syslog)
		closelog();
	free(log);
}

int log_redirect(struct log *log, const char *path)
{
	if (!path) {
		openlog("clawfs", LOG_PID, LOG_DAEMON);
		log->syslog = true;
		return 0;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	log->fd = fd;
	log->stamped = true;
	return 0;
}

void log_set_transient(struct log *log, bool on)
{
	log->transient = on;
	if (log->syslog)
		closelog();
}

void log_write(struct log *log, enum log_level level, const char *format, ...)
{
	if (level == LOG_LEVEL_DEBUG && !log->debug)
		return;

	char line[1024];
	size_t used = 0;
	va_list args;

	if (log->stamped) {
		time_t now = time(NULL);
		struct tm tm;
		used = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S%z ", localtime_r(&now, &tm));
	}
	if (!log->syslog)
		used += (size_t)snprintf(line + used, sizeof(line) - used, "clawfs: %s", levels[level].word);
	va_start(args, format);
	int n = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	if (n < 0)
		return;
	used += (size_t)n;
	if (used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	/* A file name with a newline must not forge a second line. */
	for (size_t i = 0; i < used; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = '?';
	if (log->syslog) {
		line[used] = '\0';
		syslog(levels[level].priority, "%s", line);
		if (log->transient)
			closelog();
		return;
	}
	line[used] = '\n';
	/* One write a line, so that lines of several threads do not mix. There
	 * is nobody to tell when it fails. */
	if (write(log->fd, line, used + 1) < 0)
		return;
}
