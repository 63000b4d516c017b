/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The host of an HTTP/1 request
 *
 * The target names it when it is an absolute URI or that of CONNECT; then Host
 * says nothing (RFC 9112 3.2.2). Otherwise Host does. The whole head is read
 * before anything is believed, since a second Host may stand at its end.
 *
 * Servers differ in what they forgive. What some forgive, and some refuse or
 * read otherwise (whitespace around a field name, folded lines, other spaces
 * in the request line, a second Host) is BROKEN, so that it cannot hide a name.
 * Lines may end without a carriage return, as people type them, if all do.
 *
 * Methods are case-sensitive, and all that are registered are upper-case letters and
 * hyphens (with an underscore that is what nginx takes). So bytes that begin otherwise are no
 * request, however few they are, and nobody waits for more of them.
 */

#include <string.h>
#include <strings.h>

#include "names/sniff-read.h"

#define METHOD_MAX 32U	 /* the longest registered one has 17: UPDATEREDIRECTREF */
#define VERSION_BYTES 9U /* " HTTP/1." and a digit */

/* a line without its end; a part of one */
struct text {
	const uint8_t *bytes;
	size_t n;
	bool has_return; /* before its line feed */
};

struct head {
	bool has_target; /* that names the host; target_result holds */
	int target_result;
	bool has_host;
	int host_result;
	char target_name[SNIFF_NAME_BYTES];
	char host_name[SNIFF_NAME_BYTES];
};

/* RFC 9110 5.6.2 */
static bool is_token_byte(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_method_byte(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

static size_t length_while(const struct text *text, bool (*is_part)(uint8_t c))
{
	size_t n = 0;

	while (n < text->n && is_part(text->bytes[n]))
		n++;
	return n;
}

/* what one server or another takes for a space in the request line: RFC 9112 3 */
static bool is_some_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Return: false when no line is complete */
static bool next_line(struct text *rest, struct text *ret_line)
{
	const uint8_t *end = memchr(rest->bytes, '\n', rest->n);

	if (!end)
		return false;
	*ret_line = (struct text){ rest->bytes, (size_t)(end - rest->bytes) };
	rest->n -= ret_line->n + 1;
	rest->bytes = end + 1;
	ret_line->has_return = ret_line->n && end[-1] == '\r';
	ret_line->n -= ret_line->has_return;
	return true;
}

/* a method, a space, no control characters: so begins a request line, whole or not */
static bool may_be_request(const struct text *line)
{
	size_t n = length_while(line, is_method_byte);

	if (n == 0 || n > METHOD_MAX)
		return n == 0 && line->n == 0;
	if (n < line->n && !is_some_space(line->bytes[n]))
		return false;
	for (; n < line->n; n++)
		if ((line->bytes[n] < ' ' && !is_some_space(line->bytes[n])) ||
		    line->bytes[n] == 0x7f)
			return false;
	return true;
}

static bool is_scheme_byte(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       c == '+' || c == '-' || c == '.';
}

/* scheme "://" authority, up to path, query or fragment: RFC 3986 3 */
static int read_absolute(const struct text *target, struct head *head)
{
	const uint8_t *authority;
	size_t start = 0, end;

	while (start < target->n && is_scheme_byte(target->bytes[start]))
		start++;
	if (start == 0 || target->n - start < 3 || memcmp(target->bytes + start, "://", 3) != 0)
		return SNIFF_E_MESSAGE;
	start += 3;
	for (end = start; end < target->n && !strchr("/?#", target->bytes[end]);)
		end++;
	authority = target->bytes + start;
	head->has_target = true;
	head->target_result = authority_read(authority, end - start, NULL, head->target_name);
	return head->target_result == SNIFF_E_NO_NAME ? SNIFF_E_BAD_NAME : 0;
}

static int read_target(const struct text *method, const struct text *target, struct head *head)
{
	bool has_port;

	for (size_t i = 0; i < target->n; i++)
		if (target->bytes[i] <= ' ')
			return SNIFF_E_MESSAGE;
	if (target->n == 0)
		return SNIFF_E_MESSAGE;
	if (method->n == 7 && memcmp(method->bytes, "CONNECT", 7) == 0) {
		head->has_target = true;
		head->target_result =
			authority_read(target->bytes, target->n, &has_port, head->target_name);
		return has_port && head->target_result != SNIFF_E_NO_NAME ? 0 : SNIFF_E_MESSAGE;
	}
	if (target->bytes[0] == '/' || (target->n == 1 && target->bytes[0] == '*'))
		return 0;
	return read_absolute(target, head);
}

static bool is_version(const uint8_t bytes[VERSION_BYTES])
{
	return memcmp(bytes, " HTTP/1.", VERSION_BYTES - 1) == 0 &&
	       bytes[VERSION_BYTES - 1] >= '0' && bytes[VERSION_BYTES - 1] <= '9';
}

static int read_request_line(const struct text *line, struct head *head)
{
	struct text method = { line->bytes, length_while(line, is_method_byte) }, target;
	size_t n_around = method.n + 1 + VERSION_BYTES;

	if (!may_be_request(line) || !memmem(line->bytes, line->n, "HTTP/1.", 7))
		return SNIFF_E_UNKNOWN;
	if (line->n < n_around || line->bytes[method.n] != ' ' ||
	    !is_version(line->bytes + line->n - VERSION_BYTES))
		return SNIFF_E_MESSAGE;
	target.bytes = line->bytes + method.n + 1;
	target.n = line->n - n_around;
	return read_target(&method, &target, head);
}

static struct text trim(struct text text)
{
	while (text.n && (*text.bytes == ' ' || *text.bytes == '\t')) {
		text.bytes++;
		text.n--;
	}
	while (text.n && (text.bytes[text.n - 1] == ' ' || text.bytes[text.n - 1] == '\t'))
		text.n--;
	return text;
}

/* a folded line begins with a space, which is no name */
static int read_field(const struct text *line, struct head *head)
{
	size_t n_name = length_while(line, is_token_byte);
	struct text value;

	if (n_name == 0 || n_name == line->n || line->bytes[n_name] != ':' ||
	    memchr(line->bytes, '\0', line->n) || memchr(line->bytes, '\r', line->n))
		return SNIFF_E_MESSAGE;
	if (n_name != 4 || strncasecmp((const char *)line->bytes, "host", 4) != 0)
		return 0;
	if (head->has_host)
		return SNIFF_E_TWO_NAMES;
	value = trim((struct text){ line->bytes + n_name + 1, line->n - n_name - 1 });
	head->has_host = true;
	head->host_result = authority_read(value.bytes, value.n, NULL, head->host_name);
	return 0;
}

/* a Host that is no host is refused by servers even where the target counts: RFC 9112 3.2 */
static int judge(const struct head *head, struct sniff *sniff)
{
	if (head->has_host && head->host_result == SNIFF_E_BAD_NAME)
		return SNIFF_E_BAD_NAME;
	if (head->has_target) {
		memcpy(sniff->name, head->target_name, sizeof(sniff->name));
		return head->target_result;
	}
	memcpy(sniff->name, head->host_name, sizeof(sniff->name));
	return head->has_host ? head->host_result : SNIFF_E_NO_NAME;
}

int http1_read(const uint8_t *bytes, size_t n_bytes, struct sniff *sniff)
{
	struct text rest = { bytes, n_bytes }, line;
	struct head head = { 0 };
	bool has_returns;
	int r;

	/* servers ignore empty lines before a request: RFC 9112 2.2 */
	while (rest.n && (*rest.bytes == '\r' || *rest.bytes == '\n')) {
		rest.bytes++;
		rest.n--;
	}
	if (!next_line(&rest, &line))
		return may_be_request(&rest) ? SNIFF_E_MORE : SNIFF_E_UNKNOWN;
	r = read_request_line(&line, &head);
	has_returns = line.has_return;
	while (r == 0) {
		if (!next_line(&rest, &line))
			return SNIFF_E_MORE;
		if (line.has_return != has_returns)
			return SNIFF_E_MESSAGE;
		if (line.n == 0)
			return judge(&head, sniff);
		r = read_field(&line, &head);
	}
	return r;
}
