/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <idn2.h>

#include "builder.h"
#include "forms.h"
#include "pattern.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

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

int form_next_word(char **rest, struct form_word *ret_word)
{
	char *start = *rest + strspn(*rest, " \t\r\v\f");
	size_t length = strcspn(start, " \t\r\v\f");

	if (length == 0)
		return 0;
	*rest = start + length + (start[length] != '\0');
	start[length] = '\0';
	*ret_word = (struct form_word){ .text = start, .length = length };
	return 1;
}

static int is_usual(const char *name)
{
	if (!strchr("0bil", name[0]))
		return 0;
	if (strncmp(name, "ip6-", 4) == 0 && !strchr(name, '.'))
		return 1;
	for (size_t i = 0; i < N_ELEMENTS(usual_names); i++)
		if (strcmp(name, usual_names[i]) == 0)
			return 1;
	return 0;
}

int form_is_nowhere(const char *text)
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

/* ---- names ---- */

static enum list_error check_name(const char *name)
{
	size_t n_label = 0, length = strlen(name);
	struct in_addr address;

	for (size_t i = 0; i < length; i++) {
		char c = name[i];

		if (c == '.') {
			if (n_label == 0)
				return LIST_E_LABEL;
			n_label = 0;
			continue;
		}
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return LIST_E_CHARACTER;
		if (++n_label > NAME_LABEL_MAX)
			return LIST_E_LONG;
	}
	if (n_label == 0)
		return LIST_E_LABEL;
	/* no host has it for a name: it would block nothing, and look as if it did */
	if (name[length - 1] <= '9' && inet_pton(AF_INET, name, &address) == 1)
		return LIST_E_NO_NAME;
	return length > NAME_LENGTH_MAX ? LIST_E_LONG : _LIST_E_SUCCESS;
}

/* lower case, no final dot: the one form that is compared */
static void normalise(char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < length; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] + ('a' - 'A'));
	if (length > 1 && name[length - 1] == '.')
		name[length - 1] = '\0';
}

static int count(struct list_parser *parser, unsigned int flags, int r)
{
	if (r == 0 && flags & TABLE_ALLOW)
		parser->report.n_exceptions++;
	else if (r == 0)
		parser->report.n_names++;
	return r;
}

static int add_plain(struct list_parser *parser, const char *name, unsigned int flags)
{
	struct builder_entry entry = { .name = name, .flags = flags, .line = parser->line };
	int r = (int)check_name(name);

	return r ? r : count(parser, flags, builder_add(parser->builder, &entry));
}

/* as DNS has it: bücher.example → xn--bcher-kva.example */
static int add_foreign(struct list_parser *parser, const char *name, unsigned int flags)
{
	char *ascii = NULL;
	int r;

	if (strchr(name, '*'))
		return LIST_E_WILDCARD;
	r = idn2_to_ascii_8z(name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (r != IDN2_OK)
		return r == IDN2_MALLOC ? -ENOMEM : LIST_E_IDN;
	normalise(ascii);
	r = add_plain(parser, ascii, flags);
	idn2_free(ascii);
	return r > 0 ? LIST_E_IDN : r;
}

static int add_pattern(struct list_parser *parser, const char *text, unsigned int flags)
{
	struct builder_entry entry = { .name = pattern_end(text),
				       .pattern = text,
				       .flags = flags | TABLE_PATTERN,
				       .line = parser->line };
	int r;

	if (!entry.name)
		return LIST_E_WILDCARD;
	if (strlen(text) > NAME_LENGTH_MAX)
		return LIST_E_LONG;
	if (!pattern_check(text, strlen(text)))
		return LIST_E_CHARACTER;
	r = (int)check_name(entry.name);
	return r ? r : count(parser, flags, builder_add(parser->builder, &entry));
}

static int is_ascii(const char *text)
{
	while (*text && !(*text & 0x80))
		text++;
	return !*text;
}

int form_add_name(struct list_parser *parser, char *text, unsigned int flags)
{
	normalise(text);
	if (is_usual(text))
		return 0;
	if (text[0] == '*' && text[1] == '.' && !strchr(text + 1, '*')) {
		flags = (flags & ~(unsigned int)TABLE_SELF) | TABLE_BELOW;
		text += 2;
	}
	if (!is_ascii(text))
		return add_foreign(parser, text, flags);
	return strchr(text, '*') ? add_pattern(parser, text, flags)
				 : add_plain(parser, text, flags);
}

/* ---- lines ---- */

/* the names behind an address; one bad name does not cost the good ones beside it */
static int read_hosts(struct list_parser *parser, int is_blocking, char *rest)
{
	int error = LIST_E_NO_NAME;
	struct form_word name;

	for (size_t n = 0; form_next_word(&rest, &name); n++) {
		int r = 0;

		if (n == 0)
			error = 0;
		normalise(name.text);
		if (is_blocking)
			r = form_add_name(parser, name.text, FORM_REACH_DOMAIN);
		else if (!is_usual(name.text))
			r = LIST_E_ADDRESS;
		if (r < 0)
			return r;
		if (!error)
			error = r;
	}
	return error;
}

/* one name, or a wildcard, which is of a whole host */
static int read_domain(struct list_parser *parser, char *text)
{
	unsigned int flags = strchr(text, '*') ? TABLE_SELF : FORM_REACH_DOMAIN;

	if (strpbrk(text, "^$/"))
		return LIST_E_URL;
	return form_add_name(parser, text, flags);
}

/* "[Adblock Plus 2.0]" */
static int is_title(const char *text)
{
	size_t n = strlen(text);

	return n > 1 && text[0] == '[' && text[n - 1] == ']';
}

static void trim_end(char *text)
{
	size_t n = strlen(text);

	while (n && strchr(" \t\r\v\f", text[n - 1]))
		text[--n] = '\0';
}

static int begins_with_address(const char *text)
{
	char word[INET6_ADDRSTRLEN + 16] = "";
	size_t n = strcspn(text, " \t\r\v\f");

	if (n >= sizeof(word))
		return 0;
	memcpy(word, text, n);
	return form_is_nowhere(word) >= 0;
}

/* what only a name can be made of; letters that no IPv4 address has count double */
static const uint8_t plain[256] = {
	['.'] = 1, ['-'] = 1, ['_'] = 1, ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1,
	['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1, ['a'] = 3, ['b'] = 3, ['c'] = 3,
	['d'] = 3, ['e'] = 3, ['f'] = 3, ['g'] = 3, ['h'] = 3, ['i'] = 3, ['j'] = 3, ['k'] = 3,
	['l'] = 3, ['m'] = 3, ['n'] = 3, ['o'] = 3, ['p'] = 3, ['q'] = 3, ['r'] = 3, ['s'] = 3,
	['t'] = 3, ['u'] = 3, ['v'] = 3, ['w'] = 3, ['x'] = 3, ['y'] = 3, ['z'] = 3,
};

int line_is_plain(const char *text, size_t length)
{
	unsigned int any = 0, all = 1;

	for (size_t i = 0; i < length; i++) {
		any |= plain[(unsigned char)text[i]];
		all &= plain[(unsigned char)text[i]];
	}
	return all && any == 3 && text[length - 1] != '.';
}

int line_read_plain(struct list_parser *parser, const char *text)
{
	return is_usual(text) ? 0 : add_plain(parser, text, FORM_REACH_DOMAIN);
}

int line_read(struct list_parser *parser, char *text)
{
	char *start = text + strspn(text, " \t\r\v\f"), *rest = start;
	struct form_word first, second;

	trim_end(start);
	if (parser->is_in_parentheses) {
		parser->is_in_parentheses = !strchr(start, ')');
		return 0;
	}
	if (!*start || *start == '!' || *start == ';' || is_title(start))
		return 0;
	if (adblock_is(start))
		return adblock_read(parser, start);
	if (dnsmasq_is(start))
		return dnsmasq_read(parser, start);
	if (begins_with_address(start)) {
		(void)form_next_word(&rest, &first);
		return read_hosts(parser, form_is_nowhere(first.text), rest);
	}
	if (zone_is(text))
		return zone_read(parser, text);
	(void)form_next_word(&rest, &first);
	if (form_next_word(&rest, &second) && second.text[0] != ';')
		return LIST_E_WORDS;
	return read_domain(parser, first.text);
}
