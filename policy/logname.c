/* Names are taken apart from their ends: a stem, a part's number, ".log",
 * ".gz". */
#include "policy/logname.h"

#include <stdio.h>
#include <string.h>

#define LOG_END	    ".log"
#define PACKED_END  ".gz"
#define LEN(text)   (sizeof(text) - 1)
#define PART_DIGITS 6
#define PATH_BYTES  4096

/* A path is not longer than PATH_BYTES with its NUL; then a sibling's is not
 * longer than this. */
struct path_text {
	char text[PATH_BYTES + LOG_NAME_MAX];
};

static bool ends_in(const char *name, size_t len, const char *end)
{
	size_t end_len = strlen(end);

	return len > end_len && memcmp(name + len - end_len, end, end_len) == 0;
}

/* X.log, of `len` bytes. */
static bool is_log(const char *name, size_t len)
{
	return len <= LOG_NAME_MAX && ends_in(name, len, LOG_END) && !memchr(name, '/', len);
}

/* The length of X.log within X.log.gz; 0 when it is not that. */
static size_t packed_log(const char *name, size_t len)
{
	if (len > LOG_NAME_MAX || !ends_in(name, len, PACKED_END) || !is_log(name, len - LEN(PACKED_END)))
		return 0;
	return len - LEN(PACKED_END);
}

bool policy_log_is(const char *name)
{
	return is_log(name, strlen(name));
}

bool policy_log_packed(const char *name, struct log_name *packed)
{
	size_t len = strlen(name);

	if (!is_log(name, len) || len + LEN(PACKED_END) > LOG_NAME_MAX)
		return false;
	memcpy(packed->text, name, len);
	memcpy(packed->text + len, PACKED_END, sizeof(PACKED_END));
	return true;
}

bool policy_log_unpacked(const char *name, struct log_name *log)
{
	size_t len = packed_log(name, strlen(name));

	if (len == 0)
		return false;
	memcpy(log->text, name, len);
	log->text[len] = '\0';
	return true;
}

/* --- parts -------------------------------------------------------------- */

static char separator(enum policy_parts parts)
{
	return parts == PARTS_DASH ? '-' : '.';
}

/* The number that name[0..len) ends in, behind a separator and a stem; where
 * the stem ends into *stem. 0: none. */
static uint32_t trailing_number(enum policy_parts parts, const char *name, size_t len, size_t *stem)
{
	size_t at = len;
	uint32_t number = 0;

	while (at > 0 && len - at < PART_DIGITS && name[at - 1] >= '0' && name[at - 1] <= '9')
		at--;
	/* A seventh digit stands where the separator must. */
	if (at == len || name[at] == '0' || at < 2 || name[at - 1] != separator(parts))
		return 0;
	*stem = at - 1;
	for (; at < len; at++)
		number = number * 10 + (uint32_t)(name[at] - '0');
	return number;
}

uint32_t policy_log_part(enum policy_parts parts, const char *name, struct log_name *log)
{
	size_t whole = strlen(name), len = packed_log(name, whole), stem = 0;
	uint32_t number;

	if (len == 0)
		len = whole;
	if (!is_log(name, len))
		return 0;
	number = trailing_number(parts, name, len - LEN(LOG_END), &stem);
	if (number && log) {
		memcpy(log->text, name, stem);
		memcpy(log->text + stem, LOG_END, sizeof(LOG_END));
	}
	return number;
}

void policy_log_seen(enum policy_parts parts, const char *log, const char *name, uint32_t *highest)
{
	struct log_name of;
	uint32_t number = policy_log_part(parts, name, &of);

	if (number > *highest && strcmp(of.text, log) == 0)
		*highest = number;
}

bool policy_log_next(enum policy_parts parts, const char *log, uint32_t highest, struct log_name *part)
{
	char end[1 + PART_DIGITS + sizeof(LOG_END)];
	size_t len = strlen(log), stem = len - LEN(LOG_END);
	int end_len;

	if (!is_log(log, len) || highest >= LOG_PART_MAX)
		return false;
	end_len = snprintf(end, sizeof(end), "%c%u%s", separator(parts), highest + 1, LOG_END);
	if (end_len < 0 || stem + (size_t)end_len + LEN(PACKED_END) > LOG_NAME_MAX)
		return false;
	memcpy(part->text, log, stem);
	memcpy(part->text + stem, end, (size_t)end_len + 1);
	return true;
}

/* --- paths -------------------------------------------------------------- */

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The path of `name` beside `path`. */
static bool beside(const char *path, const char *name, struct path_text *out)
{
	size_t dir = (size_t)(base_of(path) - path);

	if (dir >= PATH_BYTES)
		return false;
	memcpy(out->text, path, dir);
	memcpy(out->text + dir, name, strlen(name) + 1);
	return true;
}

static enum log_kind packed_kind(const struct policy_rules *rules, const char *path, const struct log_name *log)
{
	enum policy_class own;
	struct path_text inner;

	if (!beside(path, log->text, &inner) || policy_classify(rules, inner.text) != CLASS_LOG)
		return LOG_OTHER;
	return policy_classify_own(rules, path, &own) && own != CLASS_LOG ? LOG_OTHER : LOG_PACKED;
}

enum log_kind policy_log_kind(const struct policy_rules *rules, const char *path)
{
	const char *name = base_of(path);
	struct log_name log;

	if (policy_log_unpacked(name, &log))
		return packed_kind(rules, path, &log);
	return policy_log_is(name) && policy_classify(rules, path) == CLASS_LOG ? LOG_PLAIN : LOG_OTHER;
}

bool policy_log_may_pack(const struct policy_rules *rules, const char *path)
{
	struct log_name packed;
	struct path_text sibling;

	return policy_log_kind(rules, path) == LOG_PLAIN && policy_log_packed(base_of(path), &packed) &&
	       beside(path, packed.text, &sibling) && policy_log_kind(rules, sibling.text) == LOG_PACKED;
}

bool policy_log_may_rotate(const struct policy_rules *rules, const char *path, const struct log_name *part)
{
	struct path_text sibling;

	return policy_log_kind(rules, path) == LOG_PLAIN && beside(path, part->text, &sibling) &&
	       policy_log_may_pack(rules, sibling.text);
}

bool policy_log_may_delete(const struct policy_rules *rules, enum policy_parts parts, const char *path, bool made)
{
	switch (policy_log_kind(rules, path)) {
	case LOG_PACKED:
		return true;
	case LOG_PLAIN:
		return made && policy_log_part(parts, base_of(path), NULL) != 0;
	default:
		return false;
	}
}
