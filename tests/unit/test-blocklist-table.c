/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Compiled lists beside a plain reference
 *
 *	test-blocklist-table [NAMES]
 *
 * Lists of random names and rules are compiled, and random hosts are looked for in them
 * and in the reference: the rules one after the other, with nothing but string
 * functions (small lists), or a sorted array of names (the large one, 20,000 names if
 * NAMES does not say otherwise; 1270000 takes a minute).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiled-list.h"

#define RULES_MAX 60U
#define WORLDS 3000U

static size_t n_large = 20000;

static uint64_t random_state;

static uint32_t any(uint32_t n)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(random_state >> 33) % n;
}

/* of few letters and labels, so that names meet */
static size_t make_name(char *text, uint32_t n_labels, const char *letters)
{
	size_t n = 0;

	for (uint32_t i = 0; i < n_labels; i++) {
		if (i)
			text[n++] = '.';
		for (uint32_t j = any(2) + 1; j > 0; j--)
			text[n++] = letters[any((uint32_t)strlen(letters))];
	}
	text[n] = '\0';
	return n;
}

/* ---- the reference of small lists ---- */

struct rule {
	char name[64];
	unsigned int flags;
};

/* the textbook's: no loop to go wrong */
static int is_like(const char *pattern, const char *host)
{
	if (*pattern == '*')
		return is_like(pattern + 1, host) || (*host && is_like(pattern, host + 1));
	return *pattern == *host && (!*host || is_like(pattern + 1, host + 1));
}

static int does_match(const struct rule *rule, const char *host)
{
	const char *at = host;

	if (rule->flags & TABLE_SELF && is_like(rule->name, host))
		return 1;
	while (rule->flags & TABLE_BELOW && (at = strchr(at, '.')))
		if (is_like(rule->name, ++at))
			return 1;
	return 0;
}

/* Return: the highest rank, 0: none */
static unsigned int look_up(const struct rule *rules, size_t n, const char *host)
{
	unsigned int best = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned int rank = 1;

		if (!does_match(&rules[i], host))
			continue;
		rank += rules[i].flags & TABLE_ALLOW ? 1 : 0;
		rank += rules[i].flags & TABLE_IMPORTANT ? 2 : 0;
		best = rank > best ? rank : best;
	}
	return best;
}

static void write_rule(struct rule *rule, char *text, size_t n)
{
	static const struct {
		const char *format;
		unsigned int flags;
	} forms[] = {
		{ "%s", TABLE_SELF | TABLE_BELOW },
		{ "*.%s", TABLE_BELOW },
		{ "||%s^", TABLE_SELF | TABLE_BELOW },
		{ "|%s^", TABLE_SELF },
		{ "@@||%s^", TABLE_SELF | TABLE_BELOW | TABLE_ALLOW },
		{ "||%s^$important", TABLE_SELF | TABLE_BELOW | TABLE_IMPORTANT },
		{ "@@||%s^$important", TABLE_SELF | TABLE_BELOW | TABLE_ALLOW | TABLE_IMPORTANT },
		{ "%s CNAME .", TABLE_SELF },
		{ "address=/%s/", TABLE_SELF | TABLE_BELOW },
		/* with a wildcard in front */
		{ "||%s^", TABLE_SELF | TABLE_BELOW | TABLE_PATTERN },
		{ "%s", TABLE_SELF | TABLE_PATTERN },
	};
	uint32_t i = any(sizeof(forms) / sizeof(forms[0]));
	char name[60];

	make_name(name, any(3) + 1, "ab");
	snprintf(rule->name, sizeof(rule->name), "%s%s",
		 forms[i].flags & TABLE_PATTERN ? "a*." : "", name);
	rule->flags = forms[i].flags;
	snprintf(text, n, forms[i].format, rule->name);
}

static void test_small_lists(void **state)
{
	for (unsigned int world = 0; world < WORLDS; world++) {
		struct rule rules[RULES_MAX];
		char text[RULES_MAX * 80] = "";
		uint32_t n = any(RULES_MAX);
		struct compiled compiled;
		size_t used = 0;

		for (uint32_t i = 0; i < n; i++) {
			char line[80];

			write_rule(&rules[i], line, sizeof(line));
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\n", line);
		}
		compiled_text(text, &compiled);
		for (int i = 0; i < 100; i++) {
			char host[64];

			make_name(host, any(5) + 1, "ab");
			if (compiled_find(&compiled, host, NULL) != look_up(rules, n, host))
				fail_msg("%s in:\n%s", host, text);
		}
		compiled_free(&compiled);
	}
}

/* ---- the large one ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int is_in(char *const *names, size_t n, const char *host)
{
	while (host) {
		const char *dot = strchr(host, '.');

		if (bsearch(&host, names, n, sizeof(*names), by_text))
			return 1;
		host = dot ? dot + 1 : NULL;
	}
	return 0;
}

static void make_large_name(char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	static const char *const ends[] = { "com", "net", "org", "example", "co.uk", "xyz" };
	size_t n = 0;

	for (uint32_t i = any(3) + 1; i > 0; i--) {
		for (uint32_t j = any(12) + 1; j > 0; j--)
			text[n++] = letters[any(sizeof(letters) - 1)];
		text[n++] = '.';
	}
	snprintf(text + n, 72 - n, "%s", ends[any(6)]);
}

static void test_a_large_list(void **state)
{
	char **names = calloc(n_large, sizeof(*names));
	struct builder builder = { 0 };
	struct list_report report = { 0 };
	struct compiled compiled;

	assert_non_null(names);
	for (size_t i = 0; i < n_large; i++) {
		char text[72] = "";
		struct builder_entry entry = { .name = text, .flags = TABLE_SELF | TABLE_BELOW };

		make_large_name(text);
		entry.line = (uint32_t)i + 1;
		names[i] = strdup(text);
		assert_non_null(names[i]);
		assert_int_equal(builder_add(&builder, &entry), 0);
	}
	compiled_finish(&builder, &report, &compiled);
	qsort(names, n_large, sizeof(*names), by_text);
	for (size_t i = 0; i < n_large; i++) {
		struct table_hit hit;
		char host[96], other[72] = "";

		if (!compiled_find(&compiled, names[i], &hit) || strcmp(hit.name, names[i]) != 0)
			fail_msg("%s is not found", names[i]);
		snprintf(host, sizeof(host), "www.%s", names[i]);
		assert_int_equal(compiled_find(&compiled, host, NULL), 1);
		snprintf(host, sizeof(host), "x%s", names[i]);
		if (compiled_find(&compiled, host, NULL) !=
		    (unsigned int)is_in(names, n_large, host))
			fail_msg("%s", host);
		make_large_name(other);
		if (compiled_find(&compiled, other, NULL) !=
		    (unsigned int)is_in(names, n_large, other))
			fail_msg("%s", other);
	}
	print_message("%zu names, %.1f bytes a name\n", n_large,
		      (double)compiled.n / (double)compiled.table.head->n_entries);
	for (size_t i = 0; i < n_large; i++)
		free(names[i]);
	free(names);
	compiled_free(&compiled);
}

/* ---- foreign bytes ---- */

static const char sample[] =
	"ads.example\n*.b.example\n||w*.example^\n@@||ok.example^$important\n"
	"two words\nexample.org\na.example.org\nb.example.org\nc.example.org\n";

static void test_a_file_that_is_cut_is_none(void **state)
{
	struct compiled compiled;
	struct table table;

	compiled_text(sample, &compiled);
	for (size_t n = 0; n < compiled.n; n++) {
		void *cut = malloc(n ? n : 1);

		assert_non_null(cut);
		memcpy(cut, compiled.bytes, n);
		assert_int_equal(table_check(cut, n, &table), 0);
		free(cut);
	}
	compiled_free(&compiled);
}

/* what passes may be another list, but all of it can be looked at */
static void test_a_bit_that_is_wrong_does_no_harm(void **state)
{
	struct compiled compiled;
	size_t n_refused = 0;

	compiled_text(sample, &compiled);
	for (size_t i = 0; i < 8 * compiled.n; i++) {
		struct compiled wrong = compiled;
		struct table_hit hit;

		compiled.bytes[i / 8] ^= (uint8_t)(1U << i % 8);
		if (table_check(compiled.bytes, compiled.n, &wrong.table)) {
			(void)compiled_find(&wrong, "x.ads.example", &hit);
			(void)compiled_find(&wrong, "wx.example", &hit);
		} else {
			n_refused++;
		}
		compiled.bytes[i / 8] ^= (uint8_t)(1U << i % 8);
	}
	assert_true(n_refused > compiled.n);
	compiled_free(&compiled);
}

static void test_another_version_is_refused(void **state)
{
	struct compiled compiled;
	struct table table;
	uint32_t version = TABLE_VERSION + 1;

	compiled_text(sample, &compiled);
	memcpy(compiled.bytes + offsetof(struct table_head, version), &version, sizeof(version));
	assert_int_equal(table_check(compiled.bytes, compiled.n, &table), 0);
	compiled_free(&compiled);
}

static void test_names_are_packed_and_unpacked(void **state)
{
	for (int i = 0; i < 20000; i++) {
		uint8_t packed[NAME_PACKED_MAX] = { 0 };
		char text[72] = "", back[72] = "";
		uint64_t hash, checked;

		make_large_name(text);
		assert_int_equal(name_pack(text, strlen(text), packed, &hash), 1);
		name_unpack(packed, strlen(text), back);
		assert_string_equal(text, back);
		assert_int_equal(name_check(packed, strlen(text), &checked), 1);
		assert_true(checked == hash);
		assert_int_equal(name_check(packed, strlen(text) + 1, &checked), 0);
		if (strlen(text) % 3 != 1) /* else a shorter name lies in the bytes of a longer */
			assert_int_equal(name_check(packed, strlen(text) - 1, &checked), 0);
	}
}

static void test_any_host_may_be_asked(void **state)
{
	struct compiled compiled;
	char host[400];

	compiled_text(sample, &compiled);
	for (int i = 0; i < 20000; i++) {
		size_t n = any(sizeof(host) - 20);

		for (size_t j = 0; j < n; j++)
			host[j] = (char)(any(3) ? "a.-_"[any(4)] : (char)(any(255) + 1));
		snprintf(host + n, sizeof(host) - n, ".ads.example");
		if (n + strlen(".ads.example") <= NAME_LENGTH_MAX && n)
			assert_int_equal(compiled_find(&compiled, host, NULL), 1);
		else
			(void)compiled_find(&compiled, host, NULL);
	}
	compiled_free(&compiled);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_lists),
		cmocka_unit_test(test_a_large_list),
		cmocka_unit_test(test_a_file_that_is_cut_is_none),
		cmocka_unit_test(test_a_bit_that_is_wrong_does_no_harm),
		cmocka_unit_test(test_another_version_is_refused),
		cmocka_unit_test(test_names_are_packed_and_unpacked),
		cmocka_unit_test(test_any_host_may_be_asked),
	};

	if (argc > 1)
		n_large = strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("blocklist-table", tests, NULL, NULL);
}
