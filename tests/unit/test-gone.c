/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Connections that were over before their first packet was read */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow/gone.h"

static struct gone gone;

static struct sl_flow_key key_of(uint64_t cookie)
{
	return (struct sl_flow_key){ .cookie = cookie, .rport = 80, .proto = 6, .raddr = { 10 } };
}

static int forget_all(void **state)
{
	gone = (struct gone){ 0 };
	return 0;
}

static void test_it_was_told(void **state)
{
	struct sl_flow_key key = key_of(4711), other = key;

	assert_false(gone_has(&gone, &key));
	gone_note(&gone, &key);
	assert_true(gone_has(&gone, &key));
	assert_true(gone_has(&gone, &key));
	other.lo = SL_LO_IS;
	assert_true(gone_has(&gone, &other));
}

/* a socket that listens has many, with one cookie */
static void test_another_one(void **state)
{
	struct sl_flow_key key = key_of(4711), other = key;

	gone_note(&gone, &key);
	other.rport++;
	assert_false(gone_has(&gone, &other));
	other = key;
	other.raddr[3] = 1;
	assert_false(gone_has(&gone, &other));
	other = key;
	other.proto = 17;
	assert_false(gone_has(&gone, &other));
	other = key_of(4711 + GONE_N);
	assert_false(gone_has(&gone, &other));
}

static void test_many(void **state)
{
	struct sl_flow_key key;

	for (uint64_t i = 1; i <= 2 * GONE_N; i++) {
		key = key_of(i);
		gone_note(&gone, &key);
	}
	for (uint64_t i = 1; i <= 2 * GONE_N; i++) {
		key = key_of(i);
		assert_int_equal(gone_has(&gone, &key), i > GONE_N);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_it_was_told, forget_all),
		cmocka_unit_test_setup(test_another_one, forget_all),
		cmocka_unit_test_setup(test_many, forget_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
