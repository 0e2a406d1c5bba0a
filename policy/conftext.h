/* Texts that hold options: a configuration file, and the list behind -o.
 *
 * A file is lines of UTF-8 or any other bytes but NUL:
 *   name = value    sets an option; blanks around both do not count
 *   name            the same as `name = on`
 *   # ...           to the end of the line, at its beginning or after a blank
 * A value in "..." keeps its blanks and '#'; \" and \\ are bytes within. A
 * line ends with \n or \r\n.
 *
 * A list is name[=value] between commas; "\," is a comma within. */
#ifndef CLAWFS_POLICY_CONFTEXT_H
#define CLAWFS_POLICY_CONFTEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a name and of a value, each with its NUL. A path is the longest value. */
#define CONFTEXT_NAME_MAX  64
#define CONFTEXT_VALUE_MAX 4200

struct conftext {
	const char *at, *end;
	unsigned line; /* of the entry that was read last, from 1; of a list always 0 */
};

struct conftext_entry {
	char name[CONFTEXT_NAME_MAX];
	char text[CONFTEXT_VALUE_MAX];
	const char *value; /* in `text`; NULL when the name stood alone */
};

enum conftext_result { CONFTEXT_END, CONFTEXT_ENTRY, CONFTEXT_BROKEN };

/* `text` must outlive the reading. */
void conftext_init(struct conftext *c, const char *text, size_t len);

/* The next entry of a file, of a list. CONFTEXT_BROKEN: `entry->name` holds what could be read of the
 * name, and `why` a sentence fragment with reason and remedy; the next call goes on behind it. */
enum conftext_result conftext_file_next(struct conftext *c, struct conftext_entry *entry, char *why, size_t why_size);
enum conftext_result conftext_list_next(struct conftext *c, struct conftext_entry *entry, char *why, size_t why_size);
/* The next of a list of bare values: `entry->text`, where '=' is a byte like any other. */
enum conftext_result conftext_item_next(struct conftext *c, struct conftext_entry *entry, char *why, size_t why_size);

/* Writes `value` as a file takes it, in quotes when need be. False when it does not fit or no line can hold it. */
bool conftext_quote(const char *value, char *out, size_t size);

#endif
