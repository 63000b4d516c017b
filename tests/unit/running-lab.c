/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "running-lab.h"

const struct lab_packet tcp = { .proto = IPPROTO_TCP, .lport = 40000, .rport = 443, .last = 9 };
const struct lab_packet tcp6 = {
	.proto = IPPROTO_TCP, .is_v6 = true, .lport = 40000, .rport = 443, .last = 9
};
const struct lab_packet tcp_in = {
	.proto = IPPROTO_TCP, .is_inbound = true, .lport = 22, .rport = 50000, .last = 9
};
const struct lab_packet tcp_again = {
	.proto = IPPROTO_TCP, .lport = 40010, .rport = 443, .last = 9
};
const struct lab_packet udp = { .proto = IPPROTO_UDP, .lport = 40001, .rport = 123, .last = 9 };
const struct lab_packet dns_answer = { .proto = IPPROTO_UDP,
				       .is_inbound = true,
				       .is_answer = true,
				       .lport = 40002,
				       .rport = 53,
				       .last = 53 };

struct lab *started_lab(unsigned int n_filters, bool is_closed)
{
	struct lab_config config = { .n_filters = n_filters };
	struct lab *lab;

	for (unsigned int i = 0; i < n_filters; i++)
		config.is_closed[i] = is_closed;
	lab = lab_new(&config);
	assert_int_equal(lab_start(lab), 0);
	return lab;
}

struct lab *running_lab(unsigned int n_filters, bool is_closed)
{
	struct lab *lab = started_lab(n_filters, is_closed);

	lab_run_all(lab);
	assert_true(lab->is_told);
	assert_int_equal(lab->state.error, 0);
	return lab;
}

int running_one(void **state)
{
	*state = running_lab(1, true);
	return 0;
}

int running_one_open(void **state)
{
	*state = running_lab(1, false);
	return 0;
}

int running_two(void **state)
{
	*state = running_lab(2, true);
	return 0;
}

int running_none(void **state)
{
	*state = running_lab(0, false);
	return 0;
}

int running_tear_down(void **state)
{
	*state = lab_free(*state);
	return 0;
}
