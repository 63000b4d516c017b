/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "story.h"

#define CALLS_MAX 500U /* a story that makes more does not end */

const struct lab_packet allowed = { .proto = IPPROTO_TCP, .lport = 40000, .rport = 443, .last = 9 };
const struct lab_packet denied = { .proto = IPPROTO_UDP, .lport = 40001, .rport = 123, .last = 10 };
const struct lab_packet unanswered = {
	.proto = IPPROTO_TCP, .is_v6 = true, .lport = 40003, .rport = 80, .last = 11
};

void story_tell_each(story_fn tell, bool is_closed, unsigned int n_least)
{
	struct lab_config config = { .n_filters = 1, .is_closed = { is_closed } };
	bool has_failed = true;
	unsigned int nth = 0;

	while (has_failed) {
		struct lab *lab = lab_new(&config);

		assert_true(nth++ < CALLS_MAX);
		tell(lab, nth);
		has_failed = fake_has_failed(lab->kernel);
		lab_free(lab);
	}
	print_message("           %u calls\n", nth - 1);
	assert_true(nth > n_least);
}
