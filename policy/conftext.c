#include "policy/conftext.h"

#include <stdio.h>
#include <string.h>

void conftext_init(struct conftext *c, const char *text, size_t len)
{
	*c = (struct conftext){.at = text, .end = text + len};
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* --- one piece of text into a buffer ------------------------------------- */

struct out {
	char *text;
	size_t size, used;
	bool overflow;
};

static void out_add(struct out *out, char c)
{
	if (out->used + 1 < out->size)
		out->text[out->used++] = c;
	else
		out->overflow = true;
}

static void out_end(struct out *out)
{
	out->text[out->used] = '\0';
}

static enum conftext_result broken(char *why, size_t why_size, const char *text)
{
	snprintf(why, why_size, "%s", text);
	return CONFTEXT_BROKEN;
}

/* --- a file -------------------------------------------------------------- */

/* From the opening quote; the offset behind the closing one in `*at`. */
static const char *read_quoted(const char **at, const char *end, struct out *value)
{
	const char *p = *at + 1;

	for (; p < end && *p != '"'; p++) {
		if (*p == '\\' && p + 1 < end && (p[1] == '"' || p[1] == '\\'))
			p++;
		out_add(value, *p);
	}
	if (p == end)
		return "the quotes are not closed; write \\\" for one within";
	for (p++; p < end && is_blank(*p); p++)
		;
	if (p < end && *p != '#')
		return "something follows the closing quotes; put all of the value into them";
	*at = p;
	return NULL;
}

static void read_plain(const char *at, const char *end, struct out *value)
{
	const char *last = at;
	const char *p;

	for (p = at; p < end && !(*p == '#' && (p == at || is_blank(p[-1]))); p++)
		if (!is_blank(*p))
			last = p + 1;
	for (p = at; p < last; p++)
		out_add(value, *p);
}

/* The line [at, end) holds more than blanks and a comment. */
static enum conftext_result read_line(const char *at, const char *end, struct conftext_entry *entry, char *why,
				      size_t why_size)
{
	struct out name = {.text = entry->name, .size = sizeof(entry->name)};
	struct out value = {.text = entry->text, .size = sizeof(entry->text)};
	const char *fault = NULL;

	while (at < end && !is_blank(*at) && *at != '=')
		out_add(&name, *at++);
	out_end(&name);
	while (at < end && is_blank(*at))
		at++;
	entry->value = NULL;
	if (at < end && *at == '=') {
		for (at++; at < end && is_blank(*at); at++)
			;
		if (at < end && *at == '"')
			fault = read_quoted(&at, end, &value);
		else
			read_plain(at, end, &value);
		entry->value = entry->text;
	} else if (at < end && *at != '#') {
		fault = "no '=' behind the name; write name = value";
	}
	out_end(&value);
	if (memchr(entry->name, '\0', name.used) || (entry->value && memchr(entry->text, '\0', value.used)))
		fault = "a NUL byte; this is not a text file";
	else if (!name.used)
		fault = "no name before the '='; write name = value";
	else if (name.overflow)
		fault = "unknown; no option has so long a name";
	else if (value.overflow)
		fault = "the value is too long";
	return fault ? broken(why, why_size, fault) : CONFTEXT_ENTRY;
}

enum conftext_result conftext_file_next(struct conftext *c, struct conftext_entry *entry, char *why, size_t why_size)
{
	while (c->at < c->end) {
		const char *at = c->at;
		const char *newline = memchr(at, '\n', (size_t)(c->end - at));
		const char *end = newline ? newline : c->end;

		c->at = newline ? newline + 1 : c->end;
		c->line++;
		if (end > at && end[-1] == '\r')
			end--;
		while (at < end && is_blank(*at))
			at++;
		if (at < end && *at != '#')
			return read_line(at, end, entry, why, why_size);
	}
	return CONFTEXT_END;
}

bool conftext_quote(const char *value, char *out, size_t size)
{
	struct out quoted = {.text = out, .size = size};
	size_t len = strlen(value);
	bool plain = len > 0 && *value != '"' && !is_blank(value[len - 1]);

	for (const char *p = value; *p; p++) {
		if (*p == '\n' || *p == '\r')
			return false;
		plain &= *p != '#' && !(p == value && is_blank(*p));
	}
	if (plain) {
		for (; *value; value++)
			out_add(&quoted, *value);
	} else {
		out_add(&quoted, '"');
		for (; *value; value++) {
			if (*value == '"' || *value == '\\')
				out_add(&quoted, '\\');
			out_add(&quoted, *value);
		}
		out_add(&quoted, '"');
	}
	out_end(&quoted);
	return !quoted.overflow;
}

/* --- a list -------------------------------------------------------------- */

/* To the next comma, into `name` up to the first '=' and then into `value`; all into `value` when `name` is NULL.
 * False at the end. */
static bool read_piece(struct conftext *c, struct out *name, struct out *value, bool *has_value)
{
	while (c->at < c->end && *c->at == ',')
		c->at++;
	if (c->at == c->end)
		return false;
	*has_value = !name;
	for (; c->at < c->end && *c->at != ','; c->at++) {
		if (*c->at == '=' && !*has_value) {
			*has_value = true;
			continue;
		}
		if (*c->at == '\\' && c->at + 1 < c->end && c->at[1] == ',')
			c->at++;
		out_add(*has_value ? value : name, *c->at);
	}
	if (name)
		out_end(name);
	out_end(value);
	return true;
}

enum conftext_result conftext_list_next(struct conftext *c, struct conftext_entry *entry, char *why, size_t why_size)
{
	struct out name = {.text = entry->name, .size = sizeof(entry->name)};
	struct out value = {.text = entry->text, .size = sizeof(entry->text)};
	bool has_value;

	if (!read_piece(c, &name, &value, &has_value))
		return CONFTEXT_END;
	entry->value = has_value ? entry->text : NULL;
	if (!name.used)
		return broken(why, why_size, "no name before the '='; write name=value");
	if (value.overflow)
		return broken(why, why_size, "the value is too long");
	if (name.overflow)
		return broken(why, why_size, "unknown; no option has so long a name");
	return CONFTEXT_ENTRY;
}

enum conftext_result conftext_item_next(struct conftext *c, struct conftext_entry *entry, char *why, size_t why_size)
{
	struct out value = {.text = entry->text, .size = sizeof(entry->text)};
	bool has_value;

	if (!read_piece(c, NULL, &value, &has_value))
		return CONFTEXT_END;
	entry->name[0] = '\0';
	entry->value = entry->text;
	return value.overflow ? broken(why, why_size, "a value is too long") : CONFTEXT_ENTRY;
}
