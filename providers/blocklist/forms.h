/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The forms of a line
 *
 * Each reader gets a line without comment, NUL-ended, and may change it. It returns
 * 0, enum list_error, or a negative errno of builder_add().
 */

#include <stddef.h>

#include "list.h"
#include "table.h"

#define FORM_REACH_DOMAIN (TABLE_SELF | TABLE_BELOW)

/** struct form_word - one word of a line; NUL-ended in place */
struct form_word {
	char *text;
	size_t length;
};

/** form_next_word() - Return: whether there is one; @rest goes behind it */
int form_next_word(char **rest, struct form_word *ret_word);

/** form_is_nowhere() - is it an address that blocks? Return: 1; 0: another one; -1: no address */
int form_is_nowhere(const char *text);

/**
 * form_add_name() - a name, or a wildcard, as it was written
 * @flags: of the entry; the reach is narrowed where a "*." is in front
 *
 * The names that every hosts file has are passed over.
 */
int form_add_name(struct list_parser *parser, char *text, unsigned int flags);

int line_read(struct list_parser *parser, char *text);

/** line_is_plain() - is all of the line one name, as most are? Lower case, and no address */
int line_is_plain(const char *text, size_t length);
/** line_read_plain() - what line_read() does with such a line */
int line_read_plain(struct list_parser *parser, const char *text);

/** adblock_is() - does the line look like a rule of AdBlock? A regular expression counts */
int adblock_is(const char *text);
int adblock_read(struct list_parser *parser, char *text);

/** dnsmasq_is() - "key=/…" */
int dnsmasq_is(const char *text);
int dnsmasq_read(struct list_parser *parser, char *text);

/** zone_is() - a directive, or a record: owner, perhaps a time and class, type, data */
int zone_is(const char *text);
int zone_read(struct list_parser *parser, char *text);
