/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "list.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static const char *const error_names[] = {
	[_LIST_E_SUCCESS] = "fine",
	[LIST_E_CHARACTER] = "a character that no host name has",
	[LIST_E_NOT_ASCII] = "not ASCII: write the name in its xn-- form",
	[LIST_E_EMPTY_LABEL] = "an empty label",
	[LIST_E_LONG_LABEL] = "a label longer than 63 bytes",
	[LIST_E_LONG_NAME] = "a name longer than 253 bytes",
	[LIST_E_LONG_LINE] = "a line longer than 4096 bytes",
	[LIST_E_WORDS] = "several words, and the first is no address",
	[LIST_E_NO_NAME] = "an address without a name",
	[LIST_E_ADDRESS] = "an address other than 0.0.0.0, 127.0.0.1, :: and ::1 blocks nothing",
};
static_assert(N_ELEMENTS(error_names) == _LIST_E_N, "error_names");
static_assert(LIST_LINE_MAX == 4096, "the text of LIST_E_LONG_LINE");

/* hosts files begin with these; blocking them would cut the machine from itself */
static const char *const usual_names[] = {
	"0.0.0.0",
	"broadcasthost",
	"local",
	"localhost",
	"localhost.localdomain",
	"localhost4",
	"localhost4.localdomain4",
	"localhost6",
	"localhost6.localdomain6",
};

const char *list_strerror(enum list_error error)
{
	return (unsigned int)error < _LIST_E_N ? error_names[error] : "unknown error";
}

/* one word of a line; @text is NUL-ended and may be changed */
struct word {
	char *text;
	size_t length;
};

/* Return: whether there is a next word; ends it with NUL in place */
static int next_word(char **rest, struct word *ret_word)
{
	char *start = *rest + strspn(*rest, " \t\r\v\f");
	size_t length = strcspn(start, " \t\r\v\f");

	if (length == 0)
		return 0;
	*rest = start + length + (start[length] != '\0');
	start[length] = '\0';
	*ret_word = (struct word){ .text = start, .length = length };
	return 1;
}

static int is_usual(const char *name)
{
	if (strncmp(name, "ip6-", 4) == 0 && !strchr(name, '.'))
		return 1;
	for (size_t i = 0; i < N_ELEMENTS(usual_names); i++)
		if (strcmp(name, usual_names[i]) == 0)
			return 1;
	return 0;
}

/* Return: 1 for an address that blocks, 0 for another one, -1 for no address */
static int read_address(const char *text)
{
	char copy[INET6_ADDRSTRLEN + 1];
	size_t length = strcspn(text, "%"); /* fe80::1%lo0 in hosts files of macOS */
	struct in6_addr in6;
	struct in_addr in;

	if (length >= sizeof(copy))
		return -1;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (inet_pton(AF_INET, copy, &in) == 1)
		return in.s_addr == htonl(INADDR_ANY) || in.s_addr == htonl(INADDR_LOOPBACK);
	if (inet_pton(AF_INET6, copy, &in6) == 1)
		return IN6_IS_ADDR_UNSPECIFIED(&in6) || IN6_IS_ADDR_LOOPBACK(&in6);
	return -1;
}

static enum list_error check_character(char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')
		return _LIST_E_SUCCESS;
	return (unsigned char)c >= 0x80 ? LIST_E_NOT_ASCII : LIST_E_CHARACTER;
}

static enum list_error check_name(const struct word *name)
{
	size_t n_label = 0;

	for (size_t i = 0; i < name->length; i++) {
		enum list_error error;

		if (name->text[i] == '.') {
			if (n_label == 0)
				return LIST_E_EMPTY_LABEL;
			n_label = 0;
			continue;
		}
		error = check_character(name->text[i]);
		if (error)
			return error;
		if (++n_label > NAMES_LABEL_MAX)
			return LIST_E_LONG_LABEL;
	}
	if (n_label == 0)
		return LIST_E_EMPTY_LABEL;
	return name->length > NAMES_LENGTH_MAX ? LIST_E_LONG_NAME : _LIST_E_SUCCESS;
}

/* lower case, no final dot: the one form that is compared */
static void normalise(struct word *name)
{
	for (size_t i = 0; i < name->length; i++)
		if (name->text[i] >= 'A' && name->text[i] <= 'Z')
			name->text[i] = (char)(name->text[i] + ('a' - 'A'));
	if (name->length > 1 && name->text[name->length - 1] == '.')
		name->text[--name->length] = '\0';
}

/* Return: enum list_error, or a negative errno of names_add() */
static int add_name(struct list_parser *parser, const struct word *name)
{
	int r = (int)check_name(name);

	if (r)
		return r;
	r = names_add(parser->names, name->text, name->length, parser->list, parser->line);
	if (r == 0)
		parser->report.n_names++;
	return r;
}

/* the names behind an address; one bad name does not cost the good ones beside it */
static int read_hosts(struct list_parser *parser, int is_blocking, char *rest)
{
	enum list_error error = LIST_E_NO_NAME;
	struct word name;
	int r;

	for (size_t n = 0; next_word(&rest, &name); n++) {
		if (n == 0)
			error = _LIST_E_SUCCESS;
		normalise(&name);
		if (is_usual(name.text))
			continue;
		r = is_blocking ? add_name(parser, &name) : LIST_E_ADDRESS;
		if (r < 0)
			return r;
		if (r && !error)
			error = (enum list_error)r;
	}
	return (int)error;
}

/* Return: 0, enum list_error, or a negative errno of names_add() */
static int read_line(struct list_parser *parser, char *text)
{
	struct word first, second;
	char *rest = text;
	int is_blocking;

	if (!next_word(&rest, &first))
		return 0;
	is_blocking = read_address(first.text);
	if (is_blocking >= 0)
		return read_hosts(parser, is_blocking, rest);
	if (next_word(&rest, &second))
		return LIST_E_WORDS;
	normalise(&first);
	return add_name(parser, &first);
}

static void note_bad(struct list_parser *parser, enum list_error error, const char *original)
{
	struct list_report *report = &parser->report;
	struct list_bad *bad;
	size_t n = 0;

	if (report->n_bad++ >= LIST_BAD_KEPT)
		return;
	bad = &report->bad[report->n_bad - 1];
	bad->line = parser->line;
	bad->error = error;
	for (; original[n] && n < sizeof(bad->text) - 1; n++)
		bad->text[n] = original[n] >= ' ' && original[n] <= '~' ? original[n] : '?';
	bad->text[n] = '\0';
}

/* byte order mark in front and comment behind are no part of a line. Return: its text, NUL-ended */
static char *trim_line(struct list_parser *parser, enum list_error *ret_error)
{
	char *text = parser->text;
	size_t n = parser->n_line;
	char *comment;

	if (parser->line == 1 && n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		n -= 3;
	}
	comment = memchr(text, '#', n);
	if (comment)
		n = (size_t)(comment - text);
	text[n] = '\0';
	*ret_error = _LIST_E_SUCCESS;
	if (strlen(text) < n)
		*ret_error = LIST_E_CHARACTER;
	if (parser->is_long && !comment)
		*ret_error = LIST_E_LONG_LINE;
	return text;
}

static int end_line(struct list_parser *parser)
{
	char original[LIST_BAD_TEXT] = "";
	enum list_error error;
	char *text;
	int r;

	parser->line++;
	text = trim_line(parser, &error);
	/* reading cuts the text into words: keep its beginning for people */
	memcpy(original, text, strnlen(text, sizeof(original) - 1));
	r = error ? (int)error : read_line(parser, text);
	parser->n_line = 0;
	parser->is_long = 0;
	if (r < 0)
		return r;
	if (r > 0)
		note_bad(parser, (enum list_error)r, original);
	return 0;
}

void list_parser_init(struct list_parser *parser, struct names *names, uint16_t list)
{
	parser->names = names;
	parser->report = (struct list_report){ 0 };
	parser->line = 0;
	parser->list = list;
	parser->is_long = 0;
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

int list_read(struct names *names, int fd, uint16_t list, struct list_report *ret_report)
{
	struct list_parser parser;
	char bytes[65536];
	off_t offset = 0;
	int r;

	list_parser_init(&parser, names, list);
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
