/* Does this piece of a log hold a line that must not wait (level error or
 * fatal)? Pure and fast: it sees every byte that is logged. */
#ifndef CLAWFS_POLICY_URGENT_H
#define CLAWFS_POLICY_URGENT_H

#include "policy/types.h"

struct policy_scan {
	uint32_t lines; /* number of '\n' */
	bool urgent;	/* some line is of level error, fatal or above */
};

/* Recognised, in any letter case, at most once a line and only as the line's
 * level, never as a word in the message: JSON members "level", "severity",
 * "lvl", "logLevelName" with a value "error", "fatal", "critical", "crit",
 * "panic", "alert", "emerg"; "level":50 or above, 60 and up (pino), any
 * blanks round the colon; and text lines whose level word stands within the
 * first 64 bytes, alone or in brackets ("2026-01-01 12:00:00 ERROR x",
 * "[error] x", "ERROR: x", "level=error"). A line that `data` cuts in two is
 * judged by the part that is here. */
struct policy_scan policy_scan(const char *data, size_t len);

#endif
