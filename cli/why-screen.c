/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "cli/why.h"
#include "control/flow-json.h"

#define LABEL_WIDTH 8

static const char *text_of(struct json_object *object, const char *name)
{
	struct json_object *value = json_object_object_get(object, name);

	return value ? json_object_get_string(value) : "";
}

static bool is_true(struct json_object *object, const char *name)
{
	return json_object_get_boolean(json_object_object_get(object, name));
}

static void label(const char *text)
{
	printf("  ");
	cli_cell(text, LABEL_WIDTH, COLOUR_DIM);
	putchar(' ');
}

static void print_text(const char *text)
{
	cli_cell(text, 0, COLOUR_NONE);
}

/* "tcp to ads.example (10.0.0.1) port 80" */
static void print_target(struct json_object *flow)
{
	const char *host = text_of(flow, "host"), *address = text_of(flow, "dst");
	bool is_inbound = strcmp(text_of(flow, "direction"), "inbound") == 0;

	printf("%s %s ", text_of(flow, "proto"), is_inbound ? "from" : "to");
	print_text(*host ? host : address);
	if (*host)
		printf(" (%s)", address);
	if (json_object_get_int(json_object_object_get(flow, "dport")))
		printf(" port %s", text_of(flow, "dport"));
}

static void print_headline(struct json_object *why, bool has_happened)
{
	const char *verdict = text_of(why, "verdict");
	bool is_silent = is_true(why, "silent");
	bool is_allowed = strcmp(verdict, "allow") == 0;

	if (strcmp(verdict, "held") == 0)
		cli_cell("Held.", 0, COLOUR_WARN);
	else
		cli_cell(is_allowed ? "Allowed." : "Denied.", 0,
			 is_allowed ? COLOUR_GOOD : COLOUR_BAD);
	if (is_true(why, "cut"))
		printf(" It was allowed before, and was cut.");
	else if (strcmp(verdict, "drop") == 0 && is_silent)
		printf(has_happened ? " Its packets vanished." : " Its packets would vanish.");
	else if (strcmp(verdict, "drop") == 0)
		printf(has_happened ? " The program got an error, nothing was sent."
				    : " The program would get an error, nothing would be sent.");
	else if (!is_allowed)
		printf(" A filter has not answered yet, nothing was sent.");
	putchar('\n');
}

static void print_flow(struct json_object *why, bool has_happened)
{
	struct json_object *flow = json_object_object_get(why, "flow");
	const char *unit = text_of(flow, "unit");

	label("flow");
	print_target(flow);
	if (has_happened)
		printf("   id %s, %s", text_of(flow, "id"), text_of(flow, "time"));
	putchar('\n');
	if (is_true(why, "host_assumed")) {
		label("");
		printf("the program has not asked for this name: it was resolved here\n");
	} else if (*text_of(flow, "host")) {
		label("");
		printf("the name is from an answer that the program got (%s)\n",
		       text_of(flow, "host_source"));
	}
	label("app");
	print_text(*text_of(flow, "exe") ? text_of(flow, "exe") : "unknown");
	if (strcmp(text_of(flow, "pid"), "0") != 0)
		printf("  pid %s", text_of(flow, "pid"));
	printf("  uid %s", text_of(flow, "uid"));
	if (*unit) {
		printf("  unit ");
		print_text(unit);
	}
	putchar('\n');
}

static void print_by(struct json_object *why)
{
	const char *provider = text_of(why, "provider"), *by = text_of(why, "by");

	label("by");
	if (*provider) {
		printf("filter ");
		print_text(provider);
		if (strcmp(by, "memory") == 0)
			printf(", as it said before");
		if (strcmp(by, "fail-class") == 0)
			printf(", by its fail class");
	} else {
		print_text(by);
	}
	if (*text_of(why, "reason")) {
		printf(": ");
		print_text(text_of(why, "reason"));
	}
	putchar('\n');
}

static void print_answer(struct json_object *answer)
{
	static const struct {
		const char *how, *text;
	} hows[] = { { "not-asked", "not asked, decided before its turn" },
		     { "waiting", "asked, has not answered yet" },
		     { "remembered", "not asked, remembered" },
		     { "does-not-run", "does not run" },
		     { "ruled", "not asked, it has a rule" },
		     { "late", "did not answer in time" },
		     { "answered", "asked" } };
	const char *how = text_of(answer, "how"), *verdict = text_of(answer, "verdict");

	label("filter");
	cli_cell(text_of(answer, "filter"), 18, COLOUR_NONE);
	putchar(' ');
	for (size_t i = 0; i < ARRAY_SIZE(hows); i++)
		if (strcmp(hows[i].how, how) == 0)
			print_text(hows[i].text);
	if (*verdict)
		printf(": %s", verdict);
	if (*text_of(answer, "scope"))
		printf(" for this %s", text_of(answer, "scope"));
	if (*text_of(answer, "reason")) {
		printf(" (");
		print_text(text_of(answer, "reason"));
		putchar(')');
	}
	printf("   fails %s%s\n", text_of(answer, "fail"),
	       is_true(answer, "decides") ? "   decides" : "");
}

static void print_kernel(struct json_object *why)
{
	struct json_object *kernel = json_object_object_get(why, "kernel");
	struct json_object *memory = json_object_object_get(why, "memory");
	const char *verdict = text_of(kernel, "verdict");

	label("memory");
	if (memory)
		printf("the kernel allows such flows by itself%s%s%s, map %s key %s\n",
		       *text_of(memory, "expires_s") ? " for " : "", text_of(memory, "expires_s"),
		       *text_of(memory, "expires_s") ? " s" : "", text_of(memory, "map"),
		       text_of(memory, "key"));
	else
		printf("the kernel allows no such flow by itself\n");
	label("kernel");
	printf("nft table %s chain %s", text_of(kernel, "table"), text_of(kernel, "chain"));
	if (*text_of(kernel, "key"))
		printf(", map %s key %s: %s", text_of(kernel, "map"), text_of(kernel, "key"),
		       *verdict ? verdict : "no entry any more");
	putchar('\n');
}

int why_print(struct json_object *why, bool is_json, bool has_happened)
{
	struct json_object *filters = json_object_object_get(why, "filters");
	size_t n = json_object_is_type(filters, json_type_array) ? json_object_array_length(filters)
								 : 0;

	if (is_json) {
		puts(flow_json_line(why, NULL));
	} else {
		print_headline(why, has_happened);
		print_by(why);
		print_flow(why, has_happened);
		for (size_t i = 0; i < n; i++)
			print_answer(json_object_array_get_idx(filters, i));
		print_kernel(why);
		label("next");
		print_text(text_of(why, "next"));
		putchar('\n');
	}
	return strcmp(text_of(why, "verdict"), "allow") == 0 ? CLI_YES : CLI_NO;
}
