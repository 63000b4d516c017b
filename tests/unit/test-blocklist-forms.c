/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The forms that a line of a list may have, and what of it is of no use
 *
 * A case is lines, and hosts with what becomes of them: '-' not named, 'x' blocked,
 * '+' an exception; 'X' and '#' the same, where the rule is important.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiled-list.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define HOSTS_MAX 9

struct form {
	const char *text;
	const char *hosts[HOSTS_MAX]; /* its fate, a blank, the host */
};

static void check(const struct form *form)
{
	static const char fates[] = "-x+X#";
	struct compiled compiled;
	struct list_report report = compiled_text(form->text, &compiled);

	if (report.n_bad)
		fail_msg("%s: line %u: %s", form->text, report.bad[0].line,
			 list_strerror(report.bad[0].error));
	for (size_t i = 0; i < HOSTS_MAX && form->hosts[i]; i++) {
		unsigned int rank = compiled_find(&compiled, form->hosts[i] + 2, NULL);

		if (fates[rank] != form->hosts[i][0])
			fail_msg("%s: %s: %c", form->text, form->hosts[i], fates[rank]);
	}
	compiled_free(&compiled);
}

static void test_every_form(void **state)
{
	static const struct form forms[] = {
		/* domains and wildcards */
		{ "ads.example", { "x ads.example", "x a.ads.example", "- bads.example" } },
		{ "*.ads.example", { "- ads.example", "x a.ads.example", "x b.a.ads.example" } },
		{ "ads*.example",
		  { "x ads.example", "x ads1.example", "x ads.b.example", "- a.ads.example",
		    "- ads.example.org", "- badads.example" } },
		{ "*ads.example",
		  { "x ads.example", "x bads.example", "x c.bads.example", "- adsx.example" } },
		{ "a*b*.c.example",
		  { "x ab.c.example", "x axxbyy.c.example", "- b.c.example", "- axb.d.example" } },
		{ "com", { "x com", "x a.com", "- com.org" } },
		{ "_dmarc.a-b.example", { "x _dmarc.a-b.example" } },
		/* hosts */
		{ "0.0.0.0 a.example b.example\n127.0.0.1 c.example # d.example",
		  { "x a.example", "x x.b.example", "x c.example", "- d.example" } },
		{ "0.0.0.0 *.w.example", { "- w.example", "x a.w.example" } },
		/* AdBlock */
		{ "[Adblock Plus 2.0]\n! Title: ads\n||ads.example^",
		  { "x ads.example", "x a.ads.example", "- bads.example" } },
		{ "||ads.example^|\n||b.example|\n||c.example",
		  { "x ads.example", "x b.example", "x x.c.example", "- c.example.org" } },
		{ "|ads.example^", { "x ads.example", "- a.ads.example" } },
		{ "||*.ads.example^", { "- ads.example", "x a.ads.example" } },
		{ "||ads*.example^", { "x ads1.example", "x x.ads1.example", "- bads1.example" } },
		{ "||ads.example^\n@@||ok.ads.example^",
		  { "x ads.example", "+ ok.ads.example", "+ a.ok.ads.example",
		    "x nok.ads.example" } },
		{ "@@||ads.example^\n||ads.example^\n||a.ads.example^",
		  { "+ ads.example", "+ a.ads.example" } },
		{ "@@|ads.example^\n||ads.example^", { "+ ads.example", "x a.ads.example" } },
		{ "@@||ads.example^\n||a.ads.example^$important",
		  { "+ ads.example", "X a.ads.example" } },
		{ "@@||b.a.ads.example^$important\n||a.ads.example^$important",
		  { "X a.ads.example", "# b.a.ads.example" } },
		{ "||a.example^$all\n||b.example^$document\n||c.example^$doc,important",
		  { "x a.example", "x b.example", "X c.example" } },
		/* dnsmasq */
		{ "address=/ads.example/", { "x ads.example", "x a.ads.example" } },
		{ "address=/a.example/b.example/0.0.0.0\naddress=/c.example/::\naddress=/d.example/#",
		  { "x a.example", "x b.example", "x c.example", "x d.example" } },
		{ "local=/a.example/\nserver=/.b.example/", { "x a.example", "x x.b.example" } },
		/* RPZ */
		{ "$TTL 300\n@ IN SOA localhost. root.localhost. (\n 1 ; serial\n 3600 900\n 2592000 300 )\n"
		  "@ IN NS localhost.\n  IN NS b.localhost.\nads.example CNAME .\n*.ads.example 60 IN CNAME *.",
		  { "x ads.example", "x a.ads.example", "- localhost", "- b.localhost" } },
		{ "ads.example CNAME .", { "x ads.example", "- a.ads.example" } },
		{ "*.ads.example IN CNAME .", { "- ads.example", "x a.ads.example" } },
		{ "ads.example 1h CNAME rpz-drop.\n*.ads.example CNAME .\nok.ads.example CNAME rpz-passthru.",
		  { "x ads.example", "+ ok.ads.example", "x b.ads.example" } },
		{ "a.example A 0.0.0.0\nb.example 60 AAAA ::", { "x a.example", "x b.example" } },
		{ "$ORIGIN rpz.zone.\nads.example.rpz.zone. CNAME .\nb.example CNAME .",
		  { "x ads.example", "x b.example" } },
		/* names in any script are compared as DNS has them */
		{ "b\303\274cher.example",
		  { "x xn--bcher-kva.example", "x a.xn--bcher-kva.example" } },
		{ "||B\303\234CHER.example^\n@@||ok.b\303\274cher.example^",
		  { "x xn--bcher-kva.example", "+ ok.xn--bcher-kva.example" } },
		{ "*.\320\277\321\200\320\270\320\274\320\265\321\200.example",
		  { "x a.xn--e1afmkfd.example", "- xn--e1afmkfd.example" } },
		{ "0.0.0.0 \344\276\213\343\201\210.example", { "x xn--r8jz45g.example" } },
		{ "fa\303\237.example", { "x xn--fa-hia.example", "- fass.example" } },
		{ "xn--bcher-kva.example", { "x xn--bcher-kva.example" } },
	};

	for (size_t i = 0; i < N_ELEMENTS(forms); i++)
		check(&forms[i]);
}

static void test_what_is_of_no_use_is_counted_by_its_kind(void **state)
{
	static const struct {
		const char *text;
		enum list_error error;
	} cases[] = {
		{ "ads!.example", LIST_E_CHARACTER },
		{ "ads*!.example", LIST_E_CHARACTER },
		{ "b\374cher.example", LIST_E_IDN },
		{ "\303\274\342\200\256.example", LIST_E_IDN },
		{ "||a..example^", LIST_E_LABEL },
		{ "address=/a..example/", LIST_E_LABEL },
		{ "two words", LIST_E_WORDS },
		{ "ads.example CNAME", LIST_E_WORDS },
		{ "0.0.0.0", LIST_E_NO_NAME },
		{ "||192.0.2.1^", LIST_E_NO_NAME },
		{ "0.0.0.0 192.0.2.1", LIST_E_NO_NAME },
		{ "address=/192.0.2.1/", LIST_E_NO_NAME },
		{ "192.0.2.1 nas.example", LIST_E_ADDRESS },
		{ "address=/a.example/192.0.2.1", LIST_E_ADDRESS },
		{ "a.example A 192.0.2.1", LIST_E_ADDRESS },
		{ "a.example CNAME garden.example.", LIST_E_ADDRESS },
		{ "a.example CNAME rpz-tcp-only.", LIST_E_ADDRESS },
		{ "a.example##.banner", LIST_E_COSMETIC },
		{ "a.example#@#.banner", LIST_E_COSMETIC },
		{ "##.banner", LIST_E_COSMETIC },
		{ "||a.example/path^", LIST_E_URL },
		{ "||a.example^path", LIST_E_URL },
		{ "||a.example:8080^", LIST_E_URL },
		{ "|https://a.example/", LIST_E_URL },
		{ "a.example^", LIST_E_URL },
		{ "/banner/ads", LIST_E_REGEX },
		{ "/banner.js", LIST_E_URL },
		{ "&ad=1^", LIST_E_URL },
		{ "/^ads[0-9]+\\./", LIST_E_REGEX },
		{ "@@/^ok/", LIST_E_REGEX },
		{ "||a.example^$third-party", LIST_E_MODIFIER },
		{ "||a.example^$important,script", LIST_E_MODIFIER },
		{ "||a.example^$badfilter", LIST_E_MODIFIER },
		{ "||a.example^$denyallow=b.a.example", LIST_E_MODIFIER },
		{ "||a.example^$dnstype=A", LIST_E_MODIFIER },
		{ "||a.example^$", LIST_E_MODIFIER },
		{ "@@||a.example^$document", LIST_E_MODIFIER },
		{ "@@||a.example^$all", LIST_E_MODIFIER },
		{ "ads.*", LIST_E_WILDCARD },
		{ "*", LIST_E_WILDCARD },
		{ "*ads*", LIST_E_WILDCARD },
		{ "a*.b\303\274cher.example", LIST_E_WILDCARD },
		{ "port=5353", LIST_E_SETTING },
		{ "server=192.0.2.1", LIST_E_SETTING },
		{ "server=/a.example/192.0.2.1", LIST_E_SETTING },
		{ "server=/a.example/#", LIST_E_SETTING },
		{ "address=//0.0.0.0", LIST_E_LABEL },
		{ "$INCLUDE other", LIST_E_SETTING },
		{ "a.example TXT hello", LIST_E_SETTING },
		{ "32.1.2.0.192.rpz-ip CNAME .", LIST_E_ZONE },
		{ "ns.example.rpz-nsdname CNAME .", LIST_E_ZONE },
		{ "a.example. CNAME .", LIST_E_ZONE },
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct compiled compiled;
		struct list_report report;
		char text[200];

		snprintf(text, sizeof(text), "ok.example\n%s\nlast.example\n", cases[i].text);
		report = compiled_text(text, &compiled);
		if (report.n_bad != 1 || report.bad[0].error != cases[i].error)
			fail_msg("%s: %u unusable, %s", cases[i].text, report.n_bad,
				 list_strerror(report.bad[0].error));
		assert_int_equal(report.n_of[cases[i].error], 1);
		assert_int_equal(report.bad[0].line, 2);
		assert_int_equal(compiled.table.head->n_entries, 2);
		assert_int_equal(compiled_find(&compiled, "a.example", NULL), 0);
		assert_int_equal(compiled_find(&compiled, "last.example", NULL), 1);
		compiled_free(&compiled);
	}
}

/* each is tried for every host below the name: no list may make that long */
static void test_wildcards_over_one_name_are_limited(void **state)
{
	char text[64 * (BUILDER_PATTERNS_MAX + 3)];
	struct compiled compiled;
	size_t n = 0;

	for (unsigned int i = 0; i < BUILDER_PATTERNS_MAX + 3; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "a%u*.example\n", i);
	compiled_text(text, &compiled);
	assert_int_equal(compiled.table.head->n_entries, BUILDER_PATTERNS_MAX);
	assert_int_equal(compiled.table.head->report.n_of[LIST_E_WILDCARD], 3);
	assert_int_equal(compiled.table.head->report.n_bad, 3);
	for (unsigned int i = 0; i < 3; i++) { /* the last three */
		const struct list_bad *bad = &compiled.table.head->report.bad[i];

		assert_int_equal(bad->line, BUILDER_PATTERNS_MAX + 1 + i);
		assert_int_equal(bad->error, LIST_E_WILDCARD);
		n = (size_t)snprintf(text, sizeof(text), "a%u*.example", BUILDER_PATTERNS_MAX + i);
		assert_memory_equal(bad->text, text, n + 1);
	}
	compiled_free(&compiled);
}

static void test_equal_entries_are_one_and_reach_as_far_as_all(void **state)
{
	struct compiled compiled;
	struct table_hit hit;

	compiled_text("ads.example CNAME .\n*.ads.example CNAME .\nads.example\n@@||ads.example^\n",
		      &compiled);
	assert_int_equal(compiled.table.head->n_entries, 2);
	assert_int_equal(compiled.table.head->report.n_names, 1);
	assert_int_equal(compiled.table.head->report.n_exceptions, 1);
	assert_int_equal(compiled_find(&compiled, "a.ads.example", &hit), 2);
	assert_int_equal(hit.line, 4);
	compiled_free(&compiled);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_form),
		cmocka_unit_test(test_what_is_of_no_use_is_counted_by_its_kind),
		cmocka_unit_test(test_wildcards_over_one_name_are_limited),
		cmocka_unit_test(test_equal_entries_are_one_and_reach_as_far_as_all),
	};

	return cmocka_run_group_tests_name("blocklist-forms", tests, NULL, NULL);
}
