/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: sluice lists
 *
 * The lists by which filters judge: names, hits, and what of them is of no use, by kind.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "cli/client.h"
#include "cli/json.h"

enum { WIDTH_FILTER = 12, WIDTH_LIST = 30, WIDTH_NUMBER = 10 };

/* a kind of a newer daemon is shown by its own name */
static const struct {
	const char *kind, *one, *many;
} kinds[] = {
	{ "character", "has a character that no host name has",
	  "have a character that no host name has" },
	{ "idn", "is not ASCII, nor a name in UTF-8", "are not ASCII, nor names in UTF-8" },
	{ "label", "has an empty label", "have an empty label" },
	{ "too_long", "is too long", "are too long" },
	{ "words", "is of no known form", "are of no known form" },
	{ "no_name", "is an address alone", "are an address alone" },
	{ "address", "leads elsewhere, and blocks nothing", "lead elsewhere, and block nothing" },
	{ "cosmetic", "is about what a page shows", "are about what a page shows" },
	{ "url", "is about addresses on the web", "are about addresses on the web" },
	{ "regex", "is a regular expression", "are regular expressions" },
	{ "modifier", "is about some requests to a host only",
	  "are about some requests to a host only" },
	{ "wildcard", "has a wildcard that ends in no label, or one too many",
	  "have a wildcard that ends in no label, or one too many" },
	{ "setting", "is a setting", "are settings" },
	{ "zone", "is no name of its zone", "are no names of their zone" },
};

static int64_t number_of(struct json_object *object, const char *name)
{
	return json_object_get_int64(json_object_object_get(object, name));
}

/* 208000 → "208,000" */
static void print_number(int64_t value, int width)
{
	char digits[24], text[32];
	int n = snprintf(digits, sizeof(digits), "%" PRId64, value), out = 0;

	for (int i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			text[out++] = ',';
		text[out++] = digits[i];
	}
	text[out] = '\0';
	printf("%*s", width, text);
}

static void print_age(const char *time_text)
{
	static const struct {
		int64_t below, unit;
		const char *name;
	} units[] = { { 120, 1, "s" },
		      { 7200, 60, "min" },
		      { 172800, 3600, "h" },
		      { INT64_MAX, 86400, "d" } };
	struct tm tm = { 0 };
	int64_t age;
	size_t i = 0;

	if (!strptime(time_text, "%Y-%m-%dT%H:%M:%S", &tm)) {
		printf("  not known");
		return;
	}
	age = MAX((int64_t)time(NULL) - (int64_t)timegm(&tm), 0);
	while (age >= units[i].below)
		i++;
	printf("  %" PRId64 " %s ago", age / units[i].unit, units[i].name);
}

static void print_kind(const char *kind, int64_t n)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(kinds) && strcmp(kinds[i].kind, kind) != 0)
		i++;
	printf("  ! ");
	print_number(n, 0);
	printf(n == 1 ? " line " : " lines ");
	if (i < ARRAY_SIZE(kinds))
		printf("%s\n", n == 1 ? kinds[i].one : kinds[i].many);
	else
		printf("of the kind \"%s\"\n", kind);
}

static void print_list(struct json_object *list)
{
	struct json_object *found = json_object_object_get(list, "kinds");
	bool is_exceptions = json_object_get_boolean(json_object_object_get(list, "exceptions"));
	int64_t names = number_of(list, "names"), allowed = number_of(list, "allowed");

	cli_cell(cli_json_text(list, "filter"), WIDTH_FILTER, COLOUR_NONE);
	putchar(' ');
	cli_cell(cli_json_text(list, "name"), WIDTH_LIST, COLOUR_NONE);
	print_number(is_exceptions ? 0 : names, WIDTH_NUMBER);
	print_number(is_exceptions ? names + allowed : allowed, WIDTH_NUMBER);
	print_number(number_of(list, "hits"), WIDTH_NUMBER);
	print_number(number_of(list, "unusable"), WIDTH_NUMBER);
	print_age(cli_json_text(list, "changed"));
	putchar('\n');
	if (!json_object_is_type(found, json_type_object))
		return;
	json_object_object_foreach(found, kind, n) print_kind(kind, json_object_get_int64(n));
}

static void print_lists(struct json_object *lists)
{
	size_t n =
		json_object_is_type(lists, json_type_array) ? json_object_array_length(lists) : 0;

	if (n == 0) {
		printf("no filter of this instance has told of a list\n");
		return;
	}
	cli_cell("FILTER", WIDTH_FILTER, COLOUR_DIM);
	putchar(' ');
	cli_cell("LIST", WIDTH_LIST, COLOUR_DIM);
	printf("%*s%*s%*s%*s  CHANGED\n", WIDTH_NUMBER, "BLOCKED", WIDTH_NUMBER, "ALLOWED",
	       WIDTH_NUMBER, "HITS", WIDTH_NUMBER, "UNUSABLE");
	for (size_t i = 0; i < n; i++)
		print_list(json_object_array_get_idx(lists, i));
}

int cmd_lists(int argc, char **argv)
{
	struct client_asked asked = { 0 };
	int r = client_ask(argc, argv, "ListLists", &asked);
	_cleanup_json_ struct json_object *reply = asked.reply;

	if (r >= 0)
		return r;
	if (asked.error.status)
		return cli_error(asked.error.status, "%s", asked.error.text);
	if (asked.is_json)
		cli_json_print(reply);
	else
		print_lists(json_object_object_get(reply, "lists"));
	return CLI_YES;
}
