/* Numbers for people. */
#ifndef CLAWFSCTL_FORMAT_H
#define CLAWFSCTL_FORMAT_H

#include <stddef.h>
#include <stdint.h>

struct format {
	char text[32];
};

/* "12 B", "3.4 KiB", "1.2 GiB". */
struct format format_bytes(double bytes);
/* Milliseconds as "250 ms", "4.2 s", "3 min 20 s", "2 d 3 h". */
struct format format_age(int64_t ms);
/* "1 file", "3 files". */
struct format format_count(uint64_t count, const char *one, const char *many);

#endif
