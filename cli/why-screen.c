/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "cli/json.h"
#include "cli/why.h"
#include "control/flow-json.h"

#define LABEL_WIDTH 8

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
	const char *host = cli_json_text(flow, "host"), *address = cli_json_text(flow, "dst");
	bool is_inbound = strcmp(cli_json_text(flow, "direction"), "inbound") == 0;

	printf("%s %s ", cli_json_text(flow, "proto"), is_inbound ? "from" : "to");
	print_text(*host ? host : address);
	if (*host)
		printf(" (%s)", address);
	if (json_object_get_int(json_object_object_get(flow, "dport")))
		printf(" port %s", cli_json_text(flow, "dport"));
}

static bool would_read(struct json_object *why)
{
	return strcmp(cli_json_text(why, "host_reading"), "would") == 0;
}

/* explained: its first bytes would be read, and nobody has said what they name */
static bool is_unnamed(struct json_object *why)
{
	const char *source = cli_json_text(json_object_object_get(why, "flow"), "host_source");

	return would_read(why) && (strcmp(source, "none") == 0 || strcmp(source, "dns") == 0);
}

static void print_headline(struct json_object *why, bool has_happened)
{
	const char *verdict = cli_json_text(why, "verdict");
	bool is_silent = is_true(why, "silent");
	bool is_allowed = strcmp(verdict, "allow") == 0;

	if (strcmp(verdict, "held") == 0)
		cli_cell("Held.", 0, COLOUR_WARN);
	else
		cli_cell(is_allowed ? "Allowed." : "Denied.", 0,
			 is_allowed ? COLOUR_GOOD : COLOUR_BAD);
	if (is_true(why, "cut"))
		printf(" It was allowed before, and was cut.");
	else if (strcmp(verdict, "drop") == 0 && would_read(why))
		printf(" It would end with its first bytes, and they would not be sent.");
	else if (strcmp(verdict, "drop") == 0 && is_silent)
		printf(has_happened ? " Its packets vanished." : " Its packets would vanish.");
	else if (strcmp(verdict, "drop") == 0)
		printf(has_happened ? " The program got an error, nothing was sent."
				    : " The program would get an error, nothing would be sent.");
	else if (!is_allowed)
		printf(" A filter has not answered yet, nothing was sent.");
	if (is_unnamed(why))
		printf(" Its first bytes would be read, and may name a host that is judged otherwise.");
	putchar('\n');
}

static void print_reading(struct json_object *why)
{
	static const struct {
		const char *reading, *text;
	} texts[] = { { "would", "its first bytes would be read for their host" },
		      { "reading", "its first bytes are being read for their host" },
		      { "read", "its first bytes were read for their host" },
		      { "refused", "its first bytes were read: they name no host in one way only" },
		      { "unreadable", "its first bytes could not be read for their host" } };
	const char *reading = cli_json_text(why, "host_reading");

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (strcmp(texts[i].reading, reading) != 0)
			continue;
		label("");
		printf("%s%s\n", texts[i].text,
		       i > 0		 ? ""
		       : is_unnamed(why) ? ", and here they name nobody"
					 : ", and are taken to name this one");
	}
}

/* by what a filter that waits for the host judges it */
static void print_lists(struct json_object *answer)
{
	struct json_object *lists = json_object_object_get(answer, "lists");

	if (!is_true(answer, "reads_host"))
		return;
	label("");
	printf("it asks for the host that first bytes name");
	for (size_t i = 0; i < json_object_array_length(lists); i++) {
		printf(i ? ", " : ", and judges it by ");
		print_text(json_object_get_string(json_object_array_get_idx(lists, i)));
	}
	putchar('\n');
}

static void print_app(struct json_object *flow)
{
	const char *unit = cli_json_text(flow, "unit");

	label("app");
	print_text(*cli_json_text(flow, "exe") ? cli_json_text(flow, "exe") : "unknown");
	if (strcmp(cli_json_text(flow, "pid"), "0") != 0)
		printf("  pid %s", cli_json_text(flow, "pid"));
	printf("  uid %s", cli_json_text(flow, "uid"));
	if (*unit) {
		printf("  unit ");
		print_text(unit);
	}
	putchar('\n');
}

/* which proxies have it, or had it before */
static void print_proxies(struct json_object *flow)
{
	const char *via = cli_json_text(flow, "via"), *through = cli_json_text(flow, "through");
	const char *behalf = cli_json_text(flow, "on_behalf_of"),
		   *origin = cli_json_text(flow, "origin_exe");

	if (*through) {
		label("through");
		print_text(through);
		if (*behalf)
			printf(", on behalf of flow %s", behalf);
		if (*origin) {
			printf(", which began with ");
			print_text(origin);
			printf("  pid %s  uid %s", cli_json_text(flow, "origin_pid"),
			       cli_json_text(flow, "origin_uid"));
		}
		putchar('\n');
	}
	if (*via) {
		label("via");
		printf("proxy ");
		print_text(via);
		putchar('\n');
	}
}

static void print_flow(struct json_object *why, bool has_happened)
{
	struct json_object *flow = json_object_object_get(why, "flow");

	label("flow");
	print_target(flow);
	if (has_happened)
		printf("   id %s, %s", cli_json_text(flow, "id"), cli_json_text(flow, "time"));
	putchar('\n');
	if (is_true(why, "host_assumed")) {
		label("");
		printf("the program has not asked for this name: it was resolved here\n");
	} else if (*cli_json_text(flow, "host") && !would_read(why)) {
		label("");
		printf("the name is from %s (%s)\n",
		       strcmp(cli_json_text(flow, "host_source"), "dns") == 0
			       ? "an answer that the program got"
			       : "its first bytes",
		       cli_json_text(flow, "host_source"));
	}
	print_reading(why);
	print_app(flow);
	print_proxies(flow);
}

static void print_by(struct json_object *why)
{
	const char *provider = cli_json_text(why, "provider"), *by = cli_json_text(why, "by");

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
	if (*cli_json_text(why, "reason")) {
		printf(": ");
		print_text(cli_json_text(why, "reason"));
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
	const char *how = cli_json_text(answer, "how"), *verdict = cli_json_text(answer, "verdict");

	label("filter");
	cli_cell(cli_json_text(answer, "filter"), 18, COLOUR_NONE);
	putchar(' ');
	for (size_t i = 0; i < ARRAY_SIZE(hows); i++)
		if (strcmp(hows[i].how, how) == 0)
			print_text(hows[i].text);
	if (*verdict)
		printf(": %s", verdict);
	if (*cli_json_text(answer, "scope"))
		printf(" for this %s", cli_json_text(answer, "scope"));
	if (*cli_json_text(answer, "reason")) {
		printf(" (");
		print_text(cli_json_text(answer, "reason"));
		putchar(')');
	}
	printf("   fails %s%s\n", cli_json_text(answer, "fail"),
	       is_true(answer, "decides") ? "   decides" : "");
	print_lists(answer);
}

static void print_kernel(struct json_object *why)
{
	struct json_object *kernel = json_object_object_get(why, "kernel");
	struct json_object *memory = json_object_object_get(why, "memory");
	const char *verdict = cli_json_text(kernel, "verdict");

	label("memory");
	if (memory)
		printf("the kernel allows such flows by itself%s%s%s, map %s key %s\n",
		       *cli_json_text(memory, "expires_s") ? " for " : "",
		       cli_json_text(memory, "expires_s"),
		       *cli_json_text(memory, "expires_s") ? " s" : "",
		       cli_json_text(memory, "map"), cli_json_text(memory, "key"));
	else
		printf("the kernel allows no such flow by itself\n");
	label("kernel");
	printf("nft table %s chain %s", cli_json_text(kernel, "table"),
	       cli_json_text(kernel, "chain"));
	if (*cli_json_text(kernel, "key"))
		printf(", map %s key %s: %s", cli_json_text(kernel, "map"),
		       cli_json_text(kernel, "key"), *verdict ? verdict : "no entry any more");
	putchar('\n');
}

int why_print(struct json_object *why, bool is_json, bool has_happened)
{
	struct json_object *filters = json_object_object_get(why, "filters");
	size_t n = json_object_is_type(filters, json_type_array) ? json_object_array_length(filters)
								 : 0;

	if (is_json) {
		cli_json_print(why);
	} else {
		print_headline(why, has_happened);
		print_by(why);
		print_flow(why, has_happened);
		for (size_t i = 0; i < n; i++)
			print_answer(json_object_array_get_idx(filters, i));
		print_kernel(why);
		label("next");
		print_text(cli_json_text(why, "next"));
		putchar('\n');
	}
	return strcmp(cli_json_text(why, "verdict"), "allow") == 0 ? CLI_YES : CLI_NO;
}
