/* A scanner of tokens with a stack that is one number deep: how many keys of the path the objects around the present
 * place have matched, and how deep that place is. Arrays count as levels in which no key matches. */
#include "policy/jsonpos.h"

#include <stdbool.h>
#include <string.h>

struct scan {
	const char *at, *end;
	unsigned line;
};

/* The first byte of what begins at `from`, behind white space and comments; false at the end. */
static bool skip_space(struct scan *s)
{
	while (s->at < s->end) {
		size_t left = (size_t)(s->end - s->at);
		if (*s->at == '\n') {
			s->line++;
			s->at++;
		} else if (left > 1 && s->at[0] == '/' && s->at[1] == '/') {
			while (s->at < s->end && *s->at != '\n')
				s->at++;
		} else if (left > 1 && s->at[0] == '/' && s->at[1] == '*') {
			for (s->at += 2; s->at < s->end && !(s->at[0] == '*' && s->end - s->at > 1 && s->at[1] == '/');
			     s->at++)
				s->line += *s->at == '\n';
			s->at += s->end - s->at > 1 ? 2 : s->end - s->at;
		} else if (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == ',') {
			s->at++;
		} else {
			return true;
		}
	}
	return false;
}

static bool is_mark(char c)
{
	return strchr("{}[]:,\"' \t\r\n/", c) != NULL;
}

/* A string, a number or a bare word. */
static void read_word(struct scan *s, const char **word, size_t *len)
{
	char quote = *s->at;

	if (quote != '"' && quote != '\'') {
		*word = s->at++;
		while (s->at < s->end && !is_mark(*s->at))
			s->at++;
		*len = (size_t)(s->at - *word);
		return;
	}
	*word = ++s->at;
	while (s->at < s->end && *s->at != quote) {
		if (*s->at == '\\' && s->end - s->at > 1)
			s->at++;
		s->line += *s->at == '\n';
		s->at++;
	}
	*len = (size_t)(s->at - *word);
	if (s->at < s->end)
		s->at++;
}

static bool is_word(const char *word, size_t len, const char *key)
{
	return strlen(key) == len && memcmp(word, key, len) == 0;
}

unsigned policy_json_line(const char *text, size_t len, const char *const *path, unsigned depth)
{
	struct scan s = {.at = text, .end = text + len, .line = 1};
	unsigned level = 0, matched = 0;
	const char *word;
	size_t word_len;

	while (skip_space(&s)) {
		char c = *s.at;
		if (c == '{' || c == '[') {
			level++;
			s.at++;
		} else if (c == '}' || c == ']') {
			if (level > 0)
				level--;
			/* The object whose key had matched has ended. */
			if (matched >= level)
				matched = level > 0 ? level - 1 : 0;
			s.at++;
		} else if (c == ':') {
			s.at++;
		} else {
			unsigned line = s.line;
			read_word(&s, &word, &word_len);
			if (!skip_space(&s) || *s.at != ':')
				continue;
			if (level != matched + 1 || !is_word(word, word_len, path[matched]))
				continue;
			if (++matched == depth)
				return line;
			/* Only an object holds the next key; a value of another kind ends the match. */
			s.at++;
			if (!skip_space(&s) || *s.at != '{')
				matched--;
		}
	}
	return 0;
}
