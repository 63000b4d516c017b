/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The list parser and the set of names of the bundled provider blocklist
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiled-list.h"

#define LABEL_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_253                                                                                   \
	LABEL_63 "." LABEL_63 "." LABEL_63                                                         \
		 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct list_report parse_n(struct compiled *names, const char *text, size_t n, size_t piece)
{
	struct builder builder = { 0 };
	struct list_report report = compiled_parse(&builder, text, n, piece);

	compiled_finish(&builder, &report, names);
	return report;
}

static struct list_report parse(struct compiled *names, const char *text)
{
	return parse_n(names, text, strlen(text), 7);
}

static int is_listed(const struct compiled *names, const char *host)
{
	return compiled_find(names, host, NULL) != 0;
}

static void test_subdomains_on_label_borders(void **state)
{
	struct compiled names;

	parse(&names, "ads.example\n");
	assert_true(is_listed(&names, "ads.example"));
	assert_true(is_listed(&names, "x.ads.example"));
	assert_true(is_listed(&names, "y.x.ads.example"));
	assert_false(is_listed(&names, "bads.example"));
	assert_false(is_listed(&names, "ads.example.org"));
	assert_false(is_listed(&names, "example"));
	assert_false(is_listed(&names, "ds.example"));
	assert_false(is_listed(&names, ""));
	assert_false(is_listed(&names, "."));
	compiled_free(&names);
}

static void test_any_case_and_a_final_dot(void **state)
{
	struct compiled names;

	parse(&names, "Ads.EXAMPLE.\n");
	assert_true(is_listed(&names, "ads.example"));
	assert_true(is_listed(&names, "X.aDs.example."));
	assert_false(is_listed(&names, "ads.example.."));
	assert_false(is_listed(&names, "ads..example"));
	compiled_free(&names);
}

static void test_hosts_lines(void **state)
{
	struct compiled names;
	struct list_report report = parse(&names, "0.0.0.0 a.example b.example # c.example\n"
						  "127.0.0.1\td.example\n"
						  "  ::   e.example   \n"
						  "::1 f.example\n");

	assert_int_equal(report.n_names, 5);
	assert_int_equal(report.n_bad, 0);
	assert_true(is_listed(&names, "a.example"));
	assert_true(is_listed(&names, "b.example"));
	assert_false(is_listed(&names, "c.example"));
	assert_true(is_listed(&names, "d.example"));
	assert_true(is_listed(&names, "e.example"));
	assert_true(is_listed(&names, "f.example"));
	compiled_free(&names);
}

static void test_usual_entries_are_passed_over(void **state)
{
	static const char *const hosts = "127.0.0.1 localhost\n"
					 "127.0.0.1 localhost.localdomain\n"
					 "127.0.0.1 local\n"
					 "255.255.255.255 broadcasthost\n"
					 "::1 localhost ip6-localhost ip6-loopback\n"
					 "fe80::1%lo0 localhost\n"
					 "ff00::0 ip6-localnet\n"
					 "ff02::1 ip6-allnodes\n"
					 "0.0.0.0 0.0.0.0\n"
					 "0.0.0.0 ads.example\n";
	struct compiled names;
	struct list_report report = parse(&names, hosts);

	assert_int_equal(report.n_names, 1);
	assert_int_equal(report.n_bad, 0);
	assert_false(is_listed(&names, "localhost"));
	assert_false(is_listed(&names, "0.0.0.0"));
	assert_true(is_listed(&names, "ads.example"));
	compiled_free(&names);
}

static void test_real_hosts_entries_block_nothing(void **state)
{
	struct compiled names;
	struct list_report report = parse(&names, "192.0.2.5 nas.example\n127.0.1.1 me.example\n");

	assert_int_equal(report.n_names, 0);
	assert_int_equal(report.n_bad, 2);
	assert_int_equal(report.bad[0].error, LIST_E_ADDRESS);
	assert_false(is_listed(&names, "nas.example"));
	compiled_free(&names);
}

static void test_bytes_around_names(void **state)
{
	struct compiled names;
	struct list_report report = parse(&names, "\xef\xbb\xbf"
						  "a.example\r\n\r\n\n# comment\r\n  \t\r\n"
						  "b.example # why\r\nc.example#why\nd.example");

	assert_int_equal(report.n_names, 4);
	assert_int_equal(report.n_bad, 0);
	assert_true(is_listed(&names, "a.example"));
	assert_true(is_listed(&names, "d.example"));
	compiled_free(&names);
}

static void test_bad_lines_are_told_with_their_reason(void **state)
{
	static const struct {
		const char *line;
		enum list_error error;
	} cases[] = {
		{ "ads!.example", LIST_E_CHARACTER },
		{ "ads..example", LIST_E_LABEL },
		{ ".ads.example", LIST_E_LABEL },
		{ ".", LIST_E_LABEL },
		{ "ads.example..", LIST_E_LABEL },
		{ LABEL_63 "a.example", LIST_E_LONG },
		{ NAME_253 "a", LIST_E_LONG },
		{ "<html> not a list", LIST_E_WORDS },
		{ "0.0.0.0", LIST_E_NO_NAME },
		{ "::1 # nothing", LIST_E_NO_NAME },
		{ "0.0.0.0 ads!.example", LIST_E_CHARACTER },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct compiled names;
		struct list_report report;
		char text[600];

		snprintf(text, sizeof(text), "ok.example\n%s\nlast.example\n", cases[i].line);
		report = parse(&names, text);
		assert_int_equal(report.n_names, 2);
		assert_int_equal(report.n_bad, 1);
		assert_int_equal(report.bad[0].line, 2);
		assert_int_equal(report.bad[0].error, cases[i].error);
		assert_true(is_listed(&names, "last.example"));
		compiled_free(&names);
	}
}

static void test_the_longest_name_fits(void **state)
{
	struct compiled names;

	assert_int_equal(strlen(NAME_253), 253);
	assert_int_equal(parse(&names, NAME_253 ".\n").n_names, 1);
	assert_true(is_listed(&names, NAME_253));
	assert_true(is_listed(&names, NAME_253 "."));
	assert_false(is_listed(&names, "b." NAME_253));
	compiled_free(&names);
}

static void test_good_names_beside_a_bad_one_count(void **state)
{
	struct compiled names;
	struct list_report report = parse(&names, "0.0.0.0 a.example b!.example c.example\n");

	assert_int_equal(report.n_names, 2);
	assert_int_equal(report.n_bad, 1);
	assert_true(is_listed(&names, "c.example"));
	compiled_free(&names);
}

static void test_nul_bytes_are_bad(void **state)
{
	static const char text[] = "ads.example\0.org\nb.example\n";
	struct compiled names;
	struct list_report report = parse_n(&names, text, sizeof(text) - 1, 3);

	assert_int_equal(report.n_names, 1);
	assert_int_equal(report.n_bad, 1);
	assert_int_equal(report.bad[0].error, LIST_E_CHARACTER);
	assert_false(is_listed(&names, "ads.example"));
	compiled_free(&names);
}

static void test_long_lines(void **state)
{
	static char text[3 * LIST_LINE_MAX];
	struct compiled names;
	struct list_report report;
	size_t n = LIST_LINE_MAX + 100;

	/* a name, and far behind it something else: the whole line is bad */
	memset(text, ' ', n);
	memcpy(text, "a.example", 9);
	memcpy(text + n, "b.example\nc.example\n", 21);
	report = parse_n(&names, text, strlen(text), 1000);
	assert_int_equal(report.n_names, 1);
	assert_int_equal(report.n_bad, 1);
	assert_int_equal(report.bad[0].error, LIST_E_LONG);
	assert_false(is_listed(&names, "a.example"));
	compiled_free(&names);

	/* but a comment may be as long as it likes */
	text[20] = '#';
	report = parse_n(&names, text, strlen(text), 1000);
	assert_int_equal(report.n_names, 2);
	assert_int_equal(report.n_bad, 0);
	compiled_free(&names);
}

static void test_only_the_first_bad_lines_are_kept(void **state)
{
	struct compiled names;
	struct list_report report = parse(&names, "?\n?\n?\n?\n?\n?\n?\n\x01tail\n");

	assert_int_equal(report.n_bad, 8);
	for (uint32_t i = 0; i < LIST_BAD_KEPT; i++)
		assert_int_equal(report.bad[i].line, i + 1);
	compiled_free(&names);
	report = parse(&names, "\x01\x7f\n");
	assert_string_equal(report.bad[0].text, "??");
	compiled_free(&names);
}

static void test_a_hit_names_its_place(void **state)
{
	struct compiled names;
	struct table_hit hit;

	parse(&names, "# head\nexample\nads.example\nads.example\n");
	assert_int_equal(names.table.head->n_entries, 2);
	assert_int_equal(compiled_find(&names, "x.ads.example", &hit), 1);
	/* the longest match, where it was first */
	assert_int_equal(hit.line, 3);
	assert_string_equal(hit.name, "ads.example");
	assert_int_equal(compiled_find(&names, "b.example", &hit), 1);
	assert_int_equal(hit.line, 2);
	compiled_free(&names);
}

/* whatever the pieces, the result is the same */
static void test_pieces_do_not_matter(void **state)
{
	static const char text[] = "\xef\xbb\xbf# x\r\n0.0.0.0 a.example b.example\r\n?\nc.example";
	size_t n = sizeof(text) - 1;

	for (size_t piece = 1; piece <= n; piece++) {
		struct compiled names;
		struct list_report report = parse_n(&names, text, n, piece);

		assert_int_equal(report.n_names, 3);
		assert_int_equal(report.n_bad, 1);
		assert_int_equal(report.bad[0].line, 3);
		compiled_free(&names);
	}
}

static void test_a_file_is_read_from_its_beginning_each_time(void **state)
{
	int fd = memfd_create("list", MFD_CLOEXEC);
	struct builder builder = { 0 };
	struct list_report report;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "a.example\nb.example\n", 20), 20);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(list_read(&builder, fd, &report), 0);
		assert_int_equal(report.n_names, 2);
		assert_int_equal(lseek(fd, 0, SEEK_CUR), 20);
	}
	builder_deinit(&builder);
	close(fd);
}

static void test_unreadable_files_say_why(void **state)
{
	int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct builder builder = { 0 };
	struct list_report report;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(list_read(&builder, fds[0], &report), -ESPIPE);
	assert_int_equal(list_read(&builder, dir, &report), -EISDIR);
	assert_int_equal(list_read(&builder, -1, &report), -EBADF);
	close(fds[0]);
	close(fds[1]);
	close(dir);
}

static void test_every_error_has_words(void **state)
{
	for (int i = 0; i < _LIST_E_N; i++)
		assert_string_not_equal(list_strerror((enum list_error)i), "unknown error");
	assert_string_equal(list_strerror(_LIST_E_N), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_subdomains_on_label_borders),
		cmocka_unit_test(test_any_case_and_a_final_dot),
		cmocka_unit_test(test_hosts_lines),
		cmocka_unit_test(test_usual_entries_are_passed_over),
		cmocka_unit_test(test_real_hosts_entries_block_nothing),
		cmocka_unit_test(test_bytes_around_names),
		cmocka_unit_test(test_bad_lines_are_told_with_their_reason),
		cmocka_unit_test(test_the_longest_name_fits),
		cmocka_unit_test(test_good_names_beside_a_bad_one_count),
		cmocka_unit_test(test_nul_bytes_are_bad),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_only_the_first_bad_lines_are_kept),
		cmocka_unit_test(test_a_hit_names_its_place),
		cmocka_unit_test(test_pieces_do_not_matter),
		cmocka_unit_test(test_a_file_is_read_from_its_beginning_each_time),
		cmocka_unit_test(test_unreadable_files_say_why),
		cmocka_unit_test(test_every_error_has_words),
	};

	return cmocka_run_group_tests_name("blocklist", tests, NULL, NULL);
}
