/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>

#include "list.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static const char *const error_names[] = {
	[_LIST_E_SUCCESS] = "fine",
	[LIST_E_CHARACTER] = "a character that no host name has",
	[LIST_E_IDN] = "not ASCII, and not a name in UTF-8 that DNS could have",
	[LIST_E_LABEL] = "an empty label",
	[LIST_E_LONG] = "longer than a label (63), a name (253) or a line (4096) can be",
	[LIST_E_WORDS] = "several words, of no form that is known",
	[LIST_E_NO_NAME] = "an address without a name",
	[LIST_E_ADDRESS] = "an answer other than 0.0.0.0, 127.0.0.1, :: and ::1 blocks nothing",
	[LIST_E_COSMETIC] = "a rule about what a page shows",
	[LIST_E_URL] = "a rule about addresses on the web, not hosts",
	[LIST_E_REGEX] = "a regular expression",
	[LIST_E_MODIFIER] = "a modifier that a host alone cannot answer",
	[LIST_E_WILDCARD] = "a wildcard that ends in no whole label, or one too many",
	[LIST_E_SETTING] = "a setting, which blocks nothing",
	[LIST_E_ZONE] = "a trigger that is no name, or a name outside its zone",
};
static_assert(N_ELEMENTS(error_names) == _LIST_E_N, "error_names");
static_assert(LIST_LINE_MAX == 4096, "the text of LIST_E_LONG");

const char *list_strerror(enum list_error error)
{
	return (unsigned int)error < _LIST_E_N ? error_names[error] : "unknown error";
}
