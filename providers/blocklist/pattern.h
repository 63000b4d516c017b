/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Wildcards
 *
 * Host names in which '*' stands for any characters, none and dots included:
 * ads*.example. What such a pattern ends in behind its last '*', from the next
 * dot on, is a name under which it is kept (table.h); one that ends in no whole
 * label, ads.*, would have to be tried on every host and is not taken.
 */

#include <stddef.h>

/** pattern_end() - where that name begins in @text; NULL: there is none */
const char *pattern_end(const char *text);

/** pattern_check() - may @n characters be a pattern? */
int pattern_check(const char *text, size_t n);

/**
 * pattern_matches() - is the host, or with @is_below a name it ends in, of this form?
 * @text: of @n characters, checked
 * @host: lower case
 */
int pattern_matches(const char *text, size_t n, const char *host, unsigned int is_below);
