/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "names/sniff-read.h"

#define LABEL_MAX 63U

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
	return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f');
}

static bool is_host_byte(uint8_t c)
{
	return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '_';
}

/* 2130706433, 0x7f.1 and 127.0.0.1 all lead to the same place: WHATWG URL 3.5 */
static bool is_number(const uint8_t *label, size_t n)
{
	bool has_prefix = n >= 2 && label[0] == '0' && lower(label[1]) == 'x';

	for (size_t i = has_prefix ? 2 : 0; i < n; i++)
		if (has_prefix ? !is_hex(label[i]) : !is_digit(label[i]))
			return false;
	return true;
}

/* two colons at least, which a port has not; a zone may follow: fe80::1%eth0 */
static bool looks_like_ipv6(const uint8_t *text, size_t n)
{
	const uint8_t *zone = memchr(text, '%', n);
	size_t n_address = zone ? (size_t)(zone - text) : n, n_colons = 0;

	for (size_t i = 0; i < n_address; i++) {
		n_colons += text[i] == ':';
		if (!is_hex(text[i]) && text[i] != ':' && text[i] != '.')
			return false;
	}
	return n_colons >= 2;
}

static int check_labels(const uint8_t *text, size_t n)
{
	size_t start = 0;

	for (size_t i = 0; i <= n; i++) {
		if (i < n && text[i] != '.') {
			if (!is_host_byte(text[i]))
				return SNIFF_E_BAD_NAME;
			continue;
		}
		if (i == start || i - start > LABEL_MAX)
			return SNIFF_E_BAD_NAME;
		if (i == n && is_number(text + start, i - start))
			return SNIFF_E_ADDRESS;
		start = i + 1;
	}
	return 0;
}

int host_read(const uint8_t *text, size_t n_text, char ret_name[SNIFF_NAME_BYTES])
{
	size_t n = n_text;
	int r;

	if (looks_like_ipv6(text, n))
		return SNIFF_E_ADDRESS;
	if (n > 0 && text[n - 1] == '.')
		n--;
	if (n >= SNIFF_NAME_BYTES)
		return SNIFF_E_BAD_NAME;
	r = check_labels(text, n);
	if (r)
		return r;
	for (size_t i = 0; i < n; i++)
		ret_name[i] = (char)lower(text[i]);
	ret_name[n] = '\0';
	return 0;
}

int authority_read(const uint8_t *text, size_t n_text, bool *ret_has_port,
		   char ret_name[SNIFF_NAME_BYTES])
{
	const uint8_t *bracket = n_text && *text == '[' ? memchr(text, ']', n_text) : NULL;
	size_t n_host = bracket ? (size_t)(bracket + 1 - text) : 0;

	while (!bracket && n_host < n_text && text[n_host] != ':')
		n_host++;
	if (ret_has_port)
		*ret_has_port = n_text - n_host > 1;
	if (n_host < n_text && text[n_host] != ':')
		return SNIFF_E_BAD_NAME;
	for (size_t i = n_host + 1; i < n_text; i++)
		if (!is_digit(text[i]))
			return SNIFF_E_BAD_NAME;
	if (bracket)
		return looks_like_ipv6(text + 1, n_host - 2) ? SNIFF_E_ADDRESS : SNIFF_E_BAD_NAME;
	return n_host ? host_read(text, n_host, ret_name) : SNIFF_E_NO_NAME;
}
