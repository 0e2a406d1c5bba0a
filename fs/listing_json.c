/* Text for JSON. */
#include "fs/listing.h"

/* The length of the UTF-8 sequence that `text` begins with (RFC 3629); 0: none. */
static size_t utf8_length(const unsigned char *text)
{
	static const struct {
		unsigned char mask, lead, low, high; /* of the first byte; range of the second */
		size_t len;
	} forms[] = {{0xff, 0xe0, 0xa0, 0xbf, 3}, {0xff, 0xed, 0x80, 0x9f, 3}, {0xff, 0xf0, 0x90, 0xbf, 4},
		     {0xff, 0xf4, 0x80, 0x8f, 4}, {0xe0, 0xc0, 0x80, 0xbf, 2}, {0xf0, 0xe0, 0x80, 0xbf, 3},
		     {0xf8, 0xf0, 0x80, 0xbf, 4}};

	if (text[0] < 0x80)
		return 1;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		if ((text[0] & forms[i].mask) != forms[i].lead)
			continue;
		if (text[1] < forms[i].low || text[1] > forms[i].high)
			return 0;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((text[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

void listing_json_string(struct listing *list, const char *text)
{
	listing_text(list, "\"");
	while (*text) {
		unsigned char c = (unsigned char)*text;
		size_t len = utf8_length((const unsigned char *)text);
		if (c == '"' || c == '\\')
			listing_text(list, "\\%c", c);
		else if (c < ' ' || len == 0)
			/* Names are bytes; what is no UTF-8 is shown by its value. */
			listing_text(list, "\\u%04x", c);
		else
			listing_text(list, "%.*s", (int)len, text);
		text += len ? len : 1;
	}
	listing_text(list, "\"");
}
