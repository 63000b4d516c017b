/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Relays when memory runs out
 *
 * A story with bytes both ways, also slower ones, is told again and again, and each time another
 * allocation fails. What cannot begin is reset; what has begun loses no byte.
 */

#include <errno.h>
#include <unistd.h>

#include "alloc.h"
#include "base/macros.h"
#include "relay-lab.h"

#define BYTES 300000U

int __real_sluice_relays_new(struct sluice_relays **ret_relays);
int __real_sluice_relays_process(struct sluice_relays *relays);
int __real_sluice_relays_add(struct sluice_relays *relays, int program, int upstream,
			     const struct sluice_relay_ops *ops, void *data,
			     struct sluice_relay **ret_relay);
int __wrap_sluice_relays_new(struct sluice_relays **ret_relays);
int __wrap_sluice_relays_process(struct sluice_relays *relays);
int __wrap_sluice_relays_add(struct sluice_relays *relays, int program, int upstream,
			     const struct sluice_relay_ops *ops, void *data,
			     struct sluice_relay **ret_relay);

static unsigned int n_processed; /* in this telling, with memory gone for good */

int __wrap_sluice_relays_new(struct sluice_relays **ret_relays)
{
	int r;

	alloc_enter();
	r = __real_sluice_relays_new(ret_relays);
	alloc_leave();
	return r;
}

/* memory that is gone comes back some time */
int __wrap_sluice_relays_process(struct sluice_relays *relays)
{
	int r;

	if (alloc_has_failed() && ++n_processed == 10)
		alloc_forgive();
	alloc_enter();
	r = __real_sluice_relays_process(relays);
	alloc_leave();
	return r;
}

int __wrap_sluice_relays_add(struct sluice_relays *relays, int program, int upstream,
			     const struct sluice_relay_ops *ops, void *data,
			     struct sluice_relay **ret_relay)
{
	int r;

	alloc_enter();
	r = __real_sluice_relays_add(relays, program, upstream, ops, data, ret_relay);
	alloc_leave();
	return r;
}

static void expect_bytes_and_ends(struct sluice_relays *relays, struct lab_relay *one)
{
	const struct sluice_relay_shape slow = { .size = sizeof(slow), .delay_us = 2000 };

	lab_stream(relays, one, PROGRAM, BYTES);
	lab_stream(relays, one, UPSTREAM, BYTES);
	assert_int_equal(sluice_relays_shape(relays, &slow), 0);
	lab_stream(relays, one, PROGRAM, BYTES);
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++)
		lab_end(one, i);
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++)
		lab_expect_end(relays, one, i);
	lab_expect_done(relays, one, SLUICE_RELAY_CLOSED);
}

static void expect_refusal(struct lab_relay *one)
{
	assert_true(alloc_has_failed());
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++)
		assert_int_equal(lab_receive(one, i), -ECONNRESET);
}

static bool tell(unsigned int nth, bool is_always, void *data)
{
	struct sluice_relays *relays = NULL;
	struct lab_relay one = { .ends = { -1, -1 } };
	bool has_failed;
	int r;

	n_processed = 0;
	alloc_fail(nth, is_always);
	r = sluice_relays_new(&relays);
	assert_true(r == 0 || (r == -ENOMEM && alloc_has_failed() && !relays));
	if (r == 0)
		r = lab_try(relays, &one);
	if (r == 0)
		expect_bytes_and_ends(relays, &one);
	else if (relays)
		expect_refusal(&one);
	has_failed = alloc_has_failed();
	alloc_forgive();
	sluice_relays_free(relays);
	lab_drop(&one);
	return has_failed;
}

static void test_one_that_fails(void **state)
{
	alloc_tell_each(tell, NULL, false, 1, 5, 10000);
}

static void test_all_that_fail_for_a_while(void **state)
{
	alloc_tell_each(tell, NULL, true, 1, 5, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_that_fails),
		cmocka_unit_test(test_all_that_fail_for_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
