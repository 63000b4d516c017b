/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: List files
 *
 * Two forms, mixed as they come, told apart line by line:
 *
 *	0.0.0.0 ads.example tracker.example	# hosts file: an address first
 *	ads.example				# domain list: one name
 *
 * In a hosts line 0.0.0.0, 127.0.0.1, :: and ::1 mean "block". The entries
 * that every hosts file has (localhost, broadcasthost, ip6-allnodes …) are
 * passed over. Empty lines, comments from '#', a byte order mark, CRLF, upper
 * case and a final dot are all fine.
 *
 * Whatever else is there is a bad line: counted, the first few kept with their
 * reason, and the rest of the file is read on. One bad line must not switch
 * off a list of 200,000 names; a person must be able to find it.
 */

#include "names.h"

#define LIST_LINE_MAX 4096U /* longer ones are bad unless the rest is comment */
#define LIST_BAD_KEPT 5U    /* bad lines told to people, per list */
#define LIST_BAD_TEXT 48U

/** enum list_error - why a line is bad */
enum list_error {
	_LIST_E_SUCCESS,
	LIST_E_CHARACTER,   /* something that no host name has */
	LIST_E_NOT_ASCII,   /* an internationalised name in its human form */
	LIST_E_EMPTY_LABEL, /* two dots in a row, or one in front */
	LIST_E_LONG_LABEL,  /* label above 63 bytes */
	LIST_E_LONG_NAME,   /* name above 253 bytes */
	LIST_E_LONG_LINE,   /* line above LIST_LINE_MAX */
	LIST_E_WORDS,	    /* several words, the first no address */
	LIST_E_NO_NAME,	    /* an address alone */
	LIST_E_ADDRESS,	    /* an address that blocks nothing: a real hosts entry */
	_LIST_E_N,
};

struct list_bad {
	uint32_t line;
	enum list_error error;
	char text[LIST_BAD_TEXT]; /* its beginning, printable */
};

/** struct list_report - what was found in one list */
struct list_report {
	size_t n_names; /* entries that name something to block, repeated ones too */
	size_t n_bad;	/* lines */
	struct list_bad bad[LIST_BAD_KEPT]; /* the first of them */
};

/** struct list_parser - one list on its way into a set; bytes may come in any pieces */
struct list_parser {
	struct names *names;
	struct list_report report;
	uint32_t line;
	uint16_t list; /* given to names_add() */
	int is_long;   /* bytes of this line were left out */
	size_t n_line;
	char text[LIST_LINE_MAX + 1];
};

void list_parser_init(struct list_parser *parser, struct names *names, uint16_t list);

/** list_parser_feed() - read the next bytes of the file. Return: 0, or of names_add() */
int list_parser_feed(struct list_parser *parser, const char *bytes, size_t n_bytes);

/** list_parser_end() - read a last line without line end. Return: 0, or of names_add() */
int list_parser_end(struct list_parser *parser);

/**
 * list_read() - read a whole list from the beginning of a file
 * @fd:         not consumed; its offset is neither used nor moved, because the
 *              same open file is given to every restart of the provider
 * @ret_report: out: set on 0 only
 *
 * Return: 0, of names_add(), -ESPIPE for what is no regular file, a negative errno.
 */
int list_read(struct names *names, int fd, uint16_t list, struct list_report *ret_report);

/** list_strerror() - a phrase for people; never NULL */
const char *list_strerror(enum list_error error);
