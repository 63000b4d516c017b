/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Rules of AdBlock
 *
 *	[@@] || name [^ [|]] [$modifier,…]	the name and all below it
 *	[@@] | name ^ …				this very name
 *
 * Everything before a host name ends, or behind it, is about addresses on the web;
 * and so is a rule that is anchored nowhere. ||name without ^ is taken as if it had
 * one: it then blocks less than it says, never more.
 */

#include <string.h>

#include "forms.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

enum { FOR_BLOCKS = 1, FOR_EXCEPTIONS = 2 };

/* those that hold for a host as a whole. $document as an exception is about what is on the page,
 * which comes from other hosts */
static const struct {
	const char *name;
	unsigned int where, flags;
} modifiers[] = {
	{ "important", FOR_BLOCKS | FOR_EXCEPTIONS, TABLE_IMPORTANT },
	{ "all", FOR_BLOCKS, 0 },
	{ "document", FOR_BLOCKS, 0 },
	{ "doc", FOR_BLOCKS, 0 },
};

int adblock_is(const char *text)
{
	size_t n = strlen(text);

	if (strncmp(text, "@@", 2) == 0 || text[0] == '|' || strstr(text, "://"))
		return 1;
	return text[0] == '/' && n > 1;
}

static int read_modifiers(char *text, unsigned int *flags)
{
	unsigned int where = *flags & TABLE_ALLOW ? FOR_EXCEPTIONS : FOR_BLOCKS;
	char *rest = text, *word;

	while ((word = strsep(&rest, ","))) {
		size_t i = 0;

		while (i < N_ELEMENTS(modifiers) && strcmp(modifiers[i].name, word) != 0)
			i++;
		if (i == N_ELEMENTS(modifiers) || !(modifiers[i].where & where))
			return LIST_E_MODIFIER;
		*flags |= modifiers[i].flags;
	}
	return 0;
}

static int read_pattern(struct list_parser *parser, char *text, unsigned int flags)
{
	char *end = text + strcspn(text, "^");

	if (strpbrk(text, "/:?=&,"))
		return LIST_E_URL;
	if (*end == '^' && end[1] && strcmp(end + 1, "|") != 0)
		return LIST_E_URL;
	if (*end != '^' && end > text && end[-1] == '|')
		end--;
	*end = '\0';
	return strchr(text, '|') ? LIST_E_URL : form_add_name(parser, text, flags);
}

int adblock_read(struct list_parser *parser, char *text)
{
	unsigned int flags = 0;
	char *dollar;
	int r;

	if (strncmp(text, "@@", 2) == 0) {
		flags |= TABLE_ALLOW;
		text += 2;
	}
	if (text[0] == '/')
		return strrchr(text + 1, '/') ? LIST_E_REGEX : LIST_E_URL;
	dollar = strrchr(text, '$');
	if (dollar) {
		*dollar = '\0';
		r = read_modifiers(dollar + 1, &flags);
		if (r)
			return strpbrk(text, "/:") ? LIST_E_URL : r;
	}
	if (strncmp(text, "||", 2) == 0)
		return read_pattern(parser, text + 2, flags | FORM_REACH_DOMAIN);
	if (text[0] == '|')
		return read_pattern(parser, text + 1, flags | TABLE_SELF);
	return LIST_E_URL;
}
