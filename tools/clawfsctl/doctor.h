/* What `clawfsctl doctor` looks at, and how it says what it found. */
#ifndef CLAWFSCTL_DOCTOR_H
#define CLAWFSCTL_DOCTOR_H

#include "tools/clawfsctl/snapshot.h"

struct doctor {
	unsigned troubles;
};

/* One line: it is well. */
void doctor_ok(struct doctor *d, const char *what, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* It works, but could be better: `remedy` says how. */
void doctor_note(struct doctor *d, const char *what, const char *remedy, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* It is to be mended, with `remedy`; counted. */
void doctor_trouble(struct doctor *d, const char *what, const char *remedy, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Kernel, libfuse, programs, swap, what earlier mounts left in RAM. */
void doctor_machine(struct doctor *d);
/* Where the lower is. `source` its path. */
void doctor_lower(struct doctor *d, const char *source);
/* What the daemon says of itself. */
void doctor_mount(struct doctor *d, struct snapshot *s);

#endif
