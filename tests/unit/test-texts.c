/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Texts that flows share: once each, for as long as somebody uses them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "flow/texts.h"

static int set_up(void **state)
{
	struct texts *texts;

	if (texts_new(7, &texts))
		return -1;
	*state = texts;
	return 0;
}

static int tear_down(void **state)
{
	*state = texts_free(*state);
	return 0;
}

static void a_text_is_there_once(void **state)
{
	const char *one = NULL, *other = NULL;
	char text[] = "example.org";

	assert_int_equal(texts_set(*state, &one, text), 0);
	text[0] = 'E'; /* it was copied */
	assert_string_equal(one, "example.org");
	assert_int_equal(texts_set(*state, &other, "example.org"), 0);
	assert_ptr_equal(one, other);
	texts_put(*state, &one);
	assert_string_equal(one, "");
	assert_string_equal(other, "example.org"); /* a report of ASan, if it were gone */
	texts_put(*state, &other);
}

static void it_may_become_itself_or_another(void **state)
{
	const char *at = NULL;

	assert_int_equal(texts_set(*state, &at, "a"), 0);
	assert_int_equal(texts_set(*state, &at, at), 0);
	assert_string_equal(at, "a");
	assert_int_equal(texts_set(*state, &at, "b"), 0);
	assert_string_equal(at, "b");
	assert_int_equal(texts_set(*state, &at, NULL), 0);
	assert_ptr_equal(at, texts_none());
	texts_put(*state, &at);
	texts_put(*state, &at);
	assert_string_equal(at, "");
}

static void many_share_buckets(void **state)
{
	const char *all[20000] = { 0 };
	char text[32];

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		snprintf(text, sizeof(text), "n%zu.example", i % 9000);
		assert_int_equal(texts_set(*state, &all[i], text), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(all); i += 2)
		texts_put(*state, &all[i]);
	for (size_t i = 1; i < ARRAY_SIZE(all); i += 2) {
		snprintf(text, sizeof(text), "n%zu.example", i % 9000);
		assert_string_equal(all[i], text);
		texts_put(*state, &all[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_text_is_there_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_may_become_itself_or_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_share_buckets, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
