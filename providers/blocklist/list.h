/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: List files
 *
 * Six forms, mixed as they come, told apart line by line (line.c):
 *
 *	ads.example				a domain: it and all below it
 *	*.ads.example  ads*.example		wildcards: below it; hosts of that form
 *	0.0.0.0 ads.example tracker.example	hosts file: as domains
 *	||ads.example^  @@||ok.ads.example^	AdBlock: domains, and exceptions (adblock.c)
 *	address=/ads.example/			dnsmasq: as domains (dnsmasq.c)
 *	ads.example CNAME .			RPZ: this very name (zone.c)
 *
 * Names may be written in any script: they are compared in their xn-- form, as DNS
 * has them. Empty lines, comments ('#', '!', ';'), a byte order mark, CRLF, upper
 * case, a final dot are all fine, and so are the entries that every hosts
 * file has (localhost, ip6-allnodes …), which are passed over.
 *
 * Whatever else is there is an unusable line: counted by its kind, the first few
 * kept, and the rest of the file is read on. One bad line must not switch off a list
 * of 200,000 names; a person must be able to find it. A rule that says more than a host can
 * tell is unusable as a whole: to take a part of it would block what it does not.
 */

#include <stddef.h>
#include <stdint.h>

#define LIST_LINE_MAX 4096U /* longer ones are unusable unless the rest is comment */
#define LIST_BAD_KEPT 5U    /* unusable lines told to people, per list */
#define LIST_BAD_TEXT 48U

/** enum list_error - why a line is unusable; the values of enum sluice_unusable, plus one */
enum list_error {
	_LIST_E_SUCCESS,
	LIST_E_CHARACTER, /* something that no host name has */
	LIST_E_IDN,	  /* not ASCII, and no internationalised name either */
	LIST_E_LABEL,	  /* two dots in a row, or one in front */
	LIST_E_LONG,	  /* a label above 63 bytes, a name above 253, a line above LIST_LINE_MAX */
	LIST_E_WORDS,	  /* several words of no form that is known */
	LIST_E_NO_NAME,	  /* an address alone */
	LIST_E_ADDRESS,	  /* an answer other than "nowhere": a real hosts entry */
	LIST_E_COSMETIC,  /* AdBlock: what a page shows */
	LIST_E_URL,	  /* AdBlock: a part of an address on the web */
	LIST_E_REGEX,	  /* AdBlock: a regular expression */
	LIST_E_MODIFIER,  /* AdBlock: holds for some requests to the host */
	LIST_E_WILDCARD,  /* does not end in a whole label; or too many end in the same */
	LIST_E_SETTING,	  /* dnsmasq, RPZ: something else than a block */
	LIST_E_ZONE,	  /* RPZ: a trigger that is no name, or a name outside the zone */
	_LIST_E_N,
};

struct list_bad {
	uint32_t line;
	uint32_t error;		  /* enum list_error */
	char text[LIST_BAD_TEXT]; /* its beginning, printable */
};

/** struct list_report - what was found in one list; a part of the compiled file */
struct list_report {
	uint32_t n_lines;
	uint32_t n_names;		    /* to block; in the compiled file each counts once */
	uint32_t n_exceptions;		    /* names to allow, the same */
	uint32_t n_bad;			    /* lines */
	uint32_t n_of[_LIST_E_N + 1];	    /* of these, by enum list_error */
	struct list_bad bad[LIST_BAD_KEPT]; /* the first of them */
};

struct builder;

/** struct list_parser - one list on its way into a builder; bytes may come in any pieces */
struct list_parser {
	struct builder *builder;
	struct list_report report;
	uint32_t line;
	int is_long;	       /* bytes of this line were left out */
	int is_in_parentheses; /* RPZ: a record of several lines that are of no interest */
	char origin[256];      /* RPZ: the zone, "" while it is not known */
	size_t n_line;
	char text[LIST_LINE_MAX + 1];
};

void list_parser_init(struct list_parser *parser, struct builder *builder);

/** list_parser_feed() - read the next bytes of the file. Return: 0, or of builder_add() */
int list_parser_feed(struct list_parser *parser, const char *bytes, size_t n_bytes);

/** list_parser_end() - read a last line without line end. Return: 0, or of builder_add() */
int list_parser_end(struct list_parser *parser);

/**
 * list_read() - read a whole list from the beginning of a file
 * @fd:         not consumed; its offset is neither used nor moved
 * @ret_report: out: set on 0 only
 *
 * Return: 0, of builder_add(), -ESPIPE for what is no regular file, a negative errno.
 */
int list_read(struct builder *builder, int fd, struct list_report *ret_report);

/** list_strerror() - a phrase for people; never NULL */
const char *list_strerror(enum list_error error);
