/* A configuration as text. */
#include "fs/layers.h"
#include "policy/conftext.h"
#include <stdio.h>
#include <string.h>

#define COMMENT_COLUMN 40

static void show_value(const struct layers *layers, const struct settings *settings, const struct policy_option *option,
		       unsigned index, layers_line_fn *line, void *arg)
{
	char value[POLICY_TEXT_MAX], quoted[2 * POLICY_TEXT_MAX], origin[4400], left[2 * POLICY_TEXT_MAX + 64],
		out[sizeof(left) + sizeof(origin) + 8];

	policy_option_text(&settings->config, option, index, value, sizeof(value));
	layers_origin_text(layers, settings, layers_origin(settings, option, index), option, origin, sizeof(origin));
	layers_make_printable(origin);
	if (!conftext_quote(value, quoted, sizeof(quoted))) {
		snprintf(out, sizeof(out), "# %s cannot be written in a file  # %s\n", option->name, origin);
	} else {
		snprintf(left, sizeof(left), "%s = %s", option->name, quoted);
		snprintf(out, sizeof(out), "%-*s # %s\n", COMMENT_COLUMN, left, origin);
	}
	line(arg, out);
}

void layers_show(const struct layers *layers, const struct settings *settings, layers_line_fn *line, void *arg)
{
	char out[128];

	for (const struct policy_option *o = policy_options(); o->name; o++) {
		unsigned count = policy_option_count(&settings->config, o);
		for (unsigned i = 0; i < count; i++)
			show_value(layers, settings, o, i, line, arg);
		if (!count) {
			snprintf(out, sizeof(out), "# %s =", o->name);
			char text[sizeof(out) + 16];
			snprintf(text, sizeof(text), "%-*s # default\n", COMMENT_COLUMN, out);
			line(arg, text);
		}
	}
}
