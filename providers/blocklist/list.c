/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "forms.h"

static void note_bad(struct list_parser *parser, enum list_error error, const char *original)
{
	struct list_report *report = &parser->report;
	struct list_bad *bad;
	size_t n = 0;

	report->n_of[error]++;
	if (report->n_bad++ >= LIST_BAD_KEPT)
		return;
	bad = &report->bad[report->n_bad - 1];
	bad->line = parser->line;
	bad->error = error;
	for (; original[n] && n < sizeof(bad->text) - 1; n++)
		bad->text[n] = original[n] >= ' ' && original[n] <= '~' ? original[n] : '?';
	bad->text[n] = '\0';
}

/* "##" and its like between a name and a selector, or in front of one, is a rule of AdBlock. Behind a
 * slash it is dnsmasq's. Return: the comment, NULL, or @text when the line is such a rule */
static char *find_comment(char *text, int *ret_is_cosmetic)
{
	char *hash = text;

	*ret_is_cosmetic = 0;
	while ((hash = strchr(hash, '#'))) {
		int is_first = hash == text || hash[-1] == ' ' || hash[-1] == '\t';

		if (is_first && !(hash[1] == '#' && hash[2] && !strchr("# \t\r", hash[2])))
			return hash;
		if (hash[1] && strchr("#@?$%", hash[1])) {
			*ret_is_cosmetic = 1;
			return NULL;
		}
		if (is_first || hash[-1] != '/')
			return hash;
		hash++;
	}
	return NULL;
}

/* byte order mark in front and comment behind are no part of a line. Return: its text, NUL-ended */
static char *trim_line(struct list_parser *parser, enum list_error *ret_error)
{
	char *text = parser->text;
	size_t n = parser->n_line;
	int is_cosmetic;
	char *comment;

	if (parser->line == 1 && n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		n -= 3;
	}
	text[n] = '\0';
	comment = find_comment(text, &is_cosmetic);
	*ret_error = is_cosmetic ? LIST_E_COSMETIC : _LIST_E_SUCCESS;
	if (comment)
		*comment = '\0';
	else if (strlen(text) < n)
		*ret_error = LIST_E_CHARACTER;
	if (parser->is_long && !comment)
		*ret_error = LIST_E_LONG;
	return text;
}

/* most lines of most lists, for which all that other lines may be need not be tried */
static int is_plain(const struct list_parser *parser)
{
	return !parser->is_long && !parser->is_in_parentheses &&
	       line_is_plain(parser->text, parser->n_line);
}

static int read_plain(struct list_parser *parser)
{
	parser->text[parser->n_line] = '\0';
	return line_read_plain(parser, parser->text);
}

/* Return: enum list_error, or a negative errno; @ret_original: a line that is in error */
static int read_any(struct list_parser *parser, char ret_original[LIST_BAD_TEXT])
{
	enum list_error error;
	char *text = trim_line(parser, &error);
	size_t n = strnlen(text, LIST_BAD_TEXT - 1);

	/* reading cuts the text into words: keep its beginning for people */
	memcpy(ret_original, text, n);
	ret_original[n] = '\0';
	return error ? (int)error : line_read(parser, text);
}

static int end_line(struct list_parser *parser)
{
	char original[LIST_BAD_TEXT];
	const char *text = original;
	int r;

	parser->line++;
	parser->report.n_lines = parser->line;
	if (is_plain(parser)) {
		r = read_plain(parser);
		text = parser->text;
	} else {
		r = read_any(parser, original);
	}
	parser->n_line = 0;
	parser->is_long = 0;
	if (r < 0)
		return r;
	if (r > 0)
		note_bad(parser, (enum list_error)r, text);
	return 0;
}

void list_parser_init(struct list_parser *parser, struct builder *builder)
{
	parser->builder = builder;
	memset(&parser->report, 0, sizeof(parser->report));
	parser->line = 0;
	parser->is_long = 0;
	parser->is_in_parentheses = 0;
	parser->origin[0] = '\0';
	parser->n_line = 0;
}

/* room for the NUL that ends the text is kept */
static void collect(struct list_parser *parser, const char *bytes, size_t n_bytes)
{
	size_t room = sizeof(parser->text) - 1 - parser->n_line;

	if (n_bytes > room) {
		parser->is_long = 1;
		n_bytes = room;
	}
	memcpy(parser->text + parser->n_line, bytes, n_bytes);
	parser->n_line += n_bytes;
}

int list_parser_feed(struct list_parser *parser, const char *bytes, size_t n_bytes)
{
	while (n_bytes > 0) {
		const char *end = memchr(bytes, '\n', n_bytes);
		size_t n = end ? (size_t)(end - bytes) : n_bytes;
		int r;

		collect(parser, bytes, n);
		if (!end)
			return 0;
		r = end_line(parser);
		if (r)
			return r;
		bytes += n + 1;
		n_bytes -= n + 1;
	}
	return 0;
}

int list_parser_end(struct list_parser *parser)
{
	return parser->n_line || parser->is_long ? end_line(parser) : 0;
}

int list_read(struct builder *builder, int fd, struct list_report *ret_report)
{
	struct list_parser parser;
	char bytes[16384];
	off_t offset = 0;
	int r;

	list_parser_init(&parser, builder);
	for (;;) {
		ssize_t n = pread(fd, bytes, sizeof(bytes), offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		r = list_parser_feed(&parser, bytes, (size_t)n);
		if (r)
			return r;
		offset += n;
	}
	r = list_parser_end(&parser);
	if (r)
		return r;
	*ret_report = parser.report;
	return 0;
}
