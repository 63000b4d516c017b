/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"

static const char *const colour_codes[] = { "", "32", "31", "33", "2" };
_Static_assert(ARRAY_SIZE(colour_codes) == COLOUR_DIM + 1, "colour_codes");

bool cli_has_colour(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term &&
	       strcmp(term, "dumb") != 0;
}

unsigned int cli_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col ? size.ws_col : 80;
}

static size_t sequence_bytes(const unsigned char *s)
{
	size_t n = s[0] < 0xc0 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 1;
	return n;
}

/* C0, DEL, C1 and the characters that reorder a line (U+200E/F, U+202A-E, U+2066-9) */
static bool is_hostile(const unsigned char *s, size_t n)
{
	if (n == 1)
		return s[0] < 0x20 || s[0] >= 0x7f;
	if (n == 2)
		return s[0] == 0xc2 && s[1] < 0xa0;
	if (n == 3 && s[0] == 0xe2 && s[1] == 0x80)
		return s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xa8 && s[2] <= 0xae);
	return n == 3 && s[0] == 0xe2 && s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9;
}

static unsigned int count_columns(const char *text)
{
	unsigned int n = 0;

	for (; *text; text += sequence_bytes((const unsigned char *)text))
		n++;
	return n;
}

static void print_columns(const char *text, unsigned int n_columns)
{
	for (unsigned int i = 0; i < n_columns && *text; i++) {
		size_t n = sequence_bytes((const unsigned char *)text);

		if (is_hostile((const unsigned char *)text, n))
			putchar('?');
		else
			fwrite(text, 1, n, stdout);
		text += n;
	}
}

void cli_cell(const char *text, unsigned int width, enum cli_colour colour)
{
	unsigned int n = count_columns(text);
	bool is_cut = width && n > width;
	bool has_colour = colour != COLOUR_NONE && cli_has_colour();

	if (has_colour)
		printf("\033[%sm", colour_codes[colour]);
	print_columns(text, is_cut ? width - 1 : n);
	if (is_cut)
		fputs("…", stdout);
	if (has_colour)
		fputs("\033[0m", stdout);
	if (width > n)
		printf("%*s", (int)(width - n), "");
}
