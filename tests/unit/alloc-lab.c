/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "alloc-lab.h"

#define ROUNDS 400U /* more than any back-off */

int __real_sd_event_run(sd_event *event, uint64_t us);
int __wrap_sd_event_run(sd_event *event, uint64_t us);
int __wrap_sd_event_run(sd_event *event, uint64_t us)
{
	int r;

	alloc_enter();
	r = __real_sd_event_run(event, us);
	alloc_leave();
	return r;
}

bool alloc_say(struct lab *lab, uint16_t type, const void *body, const void *tail, size_t n)
{
	bool is_said = lab->filters[0].sock >= 0 &&
		       channel_send(lab->filters[0].sock, &wire_provider_channel, type, body, tail,
				    n, -1) == 0;

	lab_settle(lab);
	return is_said;
}

void alloc_bring_back(struct lab *lab, void (*begin)(struct lab *lab))
{
	const struct session *session;

	alloc_forgive();
	if (lab->loop_error) {
		lab_crash(lab);
		assert_int_equal(lab_start(lab), 0);
	}
	session = &lab->daemon->filters[0].session;
	for (unsigned int i = 0; i < ROUNDS && session->state != SESSION_RUNNING; i++) {
		lab_pass(lab, TICK_US);
		if (session->state == SESSION_CALLED)
			begin(lab);
	}
	assert_int_equal(session->state, SESSION_RUNNING);
}
