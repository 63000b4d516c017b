/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Lines of dnsmasq
 *
 *	address=/name/…/[answer]	blocked when the answer is none, "#" or an address that
 *					leads nowhere; the names and all below them
 *	server=/name/…/  local=/name/…/	answered from here, which knows none: blocked
 *
 * server=/name/#, which takes a name out of a larger one, is a setting: the most exact
 * name decides in dnsmasq, and an exception would be more than that.
 */

#include <string.h>

#include "forms.h"

int dnsmasq_is(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz-");

	return n > 0 && text[n] == '=';
}

static int is_block(const char *key, const char *value)
{
	if (!*value)
		return 1;
	return strcmp(key, "address") == 0 &&
	       (strcmp(value, "#") == 0 || form_is_nowhere(value) == 1);
}

int dnsmasq_read(struct list_parser *parser, char *text)
{
	char *key = strsep(&text, "="), *value, *name;
	int error = LIST_E_SETTING;

	if (strcmp(key, "address") != 0 && strcmp(key, "server") != 0 && strcmp(key, "local") != 0)
		return LIST_E_SETTING;
	value = strrchr(text, '/');
	if (text[0] != '/' || value == text)
		return LIST_E_SETTING;
	*value++ = '\0';
	if (!is_block(key, value))
		return form_is_nowhere(value) == 0 && strcmp(key, "address") == 0 ? LIST_E_ADDRESS
										  : LIST_E_SETTING;
	for (text++; (name = strsep(&text, "/"));) {
		int r = form_add_name(parser, name + (name[0] == '.'), FORM_REACH_DOMAIN);

		if (r < 0)
			return r;
		if (error == LIST_E_SETTING || !error)
			error = r;
	}
	return error;
}
