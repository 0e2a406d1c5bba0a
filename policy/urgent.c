/* Finding the level of a log line without understanding the line. A miss costs
 * up to log_flush_ms of that line at a power cut (P4 holds without us); a false
 * alarm costs a flush a second at most. So: simple, linear, and quiet in doubt. */
#include "policy/urgent.h"

#include <string.h>

#define TEXT_HEAD  64 /* a text line's level stands within so many bytes */
#define PINO_ERROR 50

static const char *const urgent_words[] = {"error", "fatal", "critical", "crit", "panic", "alert", "emerg", NULL};
static const char *const calm_words[] = {"trace", "debug", "verbose", "info", "notice", "warn", "warning", NULL};
static const char *const level_keys[] = {"level", "severity", "lvl", "logLevelName", NULL};

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool same_word(const char *text, size_t len, const char *word)
{
	size_t i;

	for (i = 0; i < len && word[i]; i++) {
		if (lower(text[i]) != lower(word[i]))
			return false;
	}
	return i == len && !word[i];
}

static bool in_list(const char *text, size_t len, const char *const *list)
{
	for (; *list; list++) {
		if (same_word(text, len, *list))
			return true;
	}
	return false;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

/* --- JSON lines --------------------------------------------------------- */

/* The closing quote of the string whose content starts at `p`, or NULL. */
static const char *string_end(const char *p, const char *end)
{
	const char *quote = p, *back;

	while ((quote = memchr(quote, '"', (size_t)(end - quote)))) {
		for (back = quote; back > p && back[-1] == '\\'; back--)
			;
		if ((quote - back) % 2 == 0)
			break;
		quote++;
	}
	return quote;
}

/* A level is a member of the line's own object. tslog keeps it one deeper, in
 * "_meta", under a name that nothing else has. */
static bool is_level_key(const char *key, size_t len, unsigned depth)
{
	return (depth == 1 && in_list(key, len, level_keys)) || (depth == 2 && same_word(key, len, "logLevelName"));
}

static bool is_urgent_value(const char *key, size_t key_len, const char *value, const char *end)
{
	const char *close;
	unsigned number = 0;

	if (value < end && *value == '"') {
		close = string_end(value + 1, end);
		return close && in_list(value + 1, (size_t)(close - value - 1), urgent_words);
	}
	if (!same_word(key, key_len, "level"))
		return false;
	for (; value < end && is_digit(*value) && number < PINO_ERROR; value++)
		number = number * 10 + (unsigned)(*value - '0');
	return number >= PINO_ERROR;
}

static bool is_urgent_json(const char *p, const char *end)
{
	unsigned depth = 0;
	const char *key, *close;

	while (p < end) {
		switch (*p++) {
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (depth > 0)
				depth--;
			break;
		case '"':
			key = p;
			close = string_end(key, end);
			if (!close)
				return false;
			p = skip_blanks(close + 1, end);
			if (p == end || *p != ':')
				break;
			p = skip_blanks(p + 1, end);
			if (is_level_key(key, (size_t)(close - key), depth) &&
			    is_urgent_value(key, (size_t)(close - key), p, end))
				return true;
			break;
		default:
			break;
		}
	}
	return false;
}

/* --- text lines --------------------------------------------------------- */

/* How far into a text line we are, which says what still counts as its level. */
enum progress {
	AT_HEAD,    /* only times, numbers, brackets, key=value so far: a bare word counts */
	AT_NAME,    /* one word, as a program's name: only "[error]" counts */
	AT_TAG,	    /* one word and a colon: "error:" counts too */
	AT_MESSAGE, /* the message: nothing counts */
};

struct word {
	const char *start;
	const char *end;
	char before; /* the nearest that is not blank, '\0' at the line's start */
	char after;  /* likewise */
	bool inside; /* between brackets */
};

static bool is_open(char c)
{
	return c == '[' || c == '(' || c == '<' || c == '{';
}

static bool is_close(char c)
{
	return c == ']' || c == ')' || c == '>' || c == '}';
}

/* '-', '.', '/' and '_' belong to words: "error-handler" is no level. */
static bool is_word_byte(char c)
{
	return !is_blank(c) && !is_open(c) && !is_close(c) && c != ':' && c != '=' && c != ',' && c != ';' &&
	       c != '|' && c != '"' && c != '\'';
}

static bool is_separator(const struct word *w)
{
	return w->end - w->start == 1 && *w->start == '-';
}

/* The next word at or after *p; false at the line's end. `inside` and `before`
 * of `w` go on from the word before it. */
static bool next_word(const char **p, const char *end, struct word *w)
{
	while (*p < end && !is_word_byte(**p)) {
		if (!is_blank(**p))
			w->before = **p;
		if (is_open(**p))
			w->inside = true;
		else if (is_close(**p))
			w->inside = false;
		++*p;
	}
	w->start = *p;
	while (*p < end && is_word_byte(**p))
		++*p;
	w->end = *p;
	*p = skip_blanks(*p, end);
	w->after = (char)(*p < end ? **p : '\0');
	return w->start < w->end;
}

static bool counts_as_level(const struct word *w, enum progress at, bool after_level_key)
{
	bool alone_in_brackets = w->inside && is_open(w->before) && is_close(w->after);

	if (w->before == '=' || after_level_key)
		return after_level_key;
	if (w->before == '"' || w->before == '\'')
		return false;
	if (w->inside && !alone_in_brackets)
		return false;
	return at == AT_HEAD || (at != AT_MESSAGE && alone_in_brackets) || (at == AT_TAG && w->after == ':');
}

/* syslog's "Jan  1 12:00:00 host app[123]: " ends the head wherever it is. */
static bool is_syslog_tag(const struct word *w, const char *end)
{
	size_t i = 1, len = (size_t)(end - w->end);

	if (len == 0 || w->end[0] != '[')
		return false;
	while (i < len && is_digit(w->end[i]))
		i++;
	return i + 1 < len && w->end[i] == ']' && w->end[i + 1] == ':';
}

/* Where the line is after a word that is not its level. */
static enum progress advance(const struct word *w, const char *end, enum progress at, bool between_separators)
{
	bool starts_with_letter =
		(lower(*w->start) >= 'a' && lower(*w->start) <= 'z') || (unsigned char)*w->start >= 0x80;

	if (w->inside || !starts_with_letter || w->before == '=' || w->after == '=')
		return at;
	if (is_syslog_tag(w, end))
		return AT_HEAD;
	if (at == AT_HEAD && between_separators)
		return at;
	if (at != AT_HEAD)
		return AT_MESSAGE;
	return w->after == ':' ? AT_TAG : AT_NAME;
}

static bool is_urgent_text(const char *p, const char *end)
{
	struct word w = {.before = '\0'};
	enum progress at = AT_HEAD;
	bool level_key = false; /* the last word was one, with '=' behind it */
	bool separated = false; /* the last word was a lone '-' */
	const char *limit = end - p > TEXT_HEAD ? p + TEXT_HEAD : end;

	while (next_word(&p, end, &w) && w.end <= limit) {
		size_t len = (size_t)(w.end - w.start);

		if (counts_as_level(&w, at, level_key)) {
			if (in_list(w.start, len, urgent_words))
				return true;
			if (in_list(w.start, len, calm_words))
				return false;
		}
		at = advance(&w, end, at, (separated || w.before == '|') && (w.after == '-' || w.after == '|'));
		level_key = w.after == '=' && in_list(w.start, len, level_keys);
		separated = is_separator(&w);
		w.before = w.end[-1];
	}
	return false;
}

static bool is_urgent_line(const char *p, const char *end)
{
	p = skip_blanks(p, end);
	if (p < end && *p == '{')
		return is_urgent_json(p, end);
	return is_urgent_text(p, end);
}

struct policy_scan policy_scan(const char *data, size_t len)
{
	struct policy_scan scan = {.lines = 0, .urgent = false};
	const char *p = data, *end, *newline;

	if (len == 0)
		return scan;
	end = data + len;
	while (p < end) {
		newline = memchr(p, '\n', (size_t)(end - p));
		if (!scan.urgent)
			scan.urgent = is_urgent_line(p, newline ? newline : end);
		if (!newline)
			break;
		if (scan.lines < UINT32_MAX)
			scan.lines++;
		p = newline + 1;
	}
	return scan;
}
