/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon-lab.h"

/* ---- filters ---- */

void lab_say(struct lab *lab, unsigned int filter, uint16_t type, const void *body)
{
	assert_int_equal(channel_send(lab->filters[filter].sock, &wire_provider_channel, type, body,
				      NULL, 0, -1),
			 0);
	lab_settle(lab);
}

const void *lab_take(struct lab *lab, unsigned int filter, uint16_t type)
{
	lab->passed = close_fd(lab->passed);
	while (lab->filters[filter].sock >= 0 &&
	       channel_recv(lab->filters[filter].sock, &wire_provider_channel, 0, lab->record,
			    &lab->message, NULL, &lab->passed) == 0) {
		if (lab->message.record->type == type)
			return lab->message.body.bytes;
		lab->passed = close_fd(lab->passed);
	}
	return NULL;
}

void lab_run_filter(struct lab *lab, unsigned int index)
{
	struct wire_hello hello = { .version = WIRE_PROVIDER_VERSION,
				    .kind = lab->config.is_proxy[index] ? HELLO_PROXY
									: HELLO_FILTER };
	struct wire_ready ready = { .data = lab->config.looks[index],
				    .closed = !lab->config.is_proxy[index],
				    .datagrams = lab->config.takes_udp[index] };

	assert_true(lab->filters[index].sock >= 0);
	lab_say(lab, index, WIRE_HELLO, &hello);
	assert_non_null(lab_take(lab, index, WIRE_WELCOME));
	assert_non_null(lab_take(lab, index, WIRE_START));
	lab_say(lab, index, WIRE_READY, &ready);
}

void lab_run_all(struct lab *lab)
{
	for (unsigned int i = 0; i < lab->config.n_filters; i++)
		lab_run_filter(lab, i);
}

uint64_t lab_take_flow(struct lab *lab, unsigned int filter)
{
	const struct wire_flow_new *flow = lab_take(lab, filter, WIRE_FLOW_NEW);

	return flow ? flow->id : 0;
}

void lab_judge_for(struct lab *lab, unsigned int filter, uint64_t id, uint8_t verdict,
		   enum memory_scope scope)
{
	struct wire_flow_verdict record = {
		.id = id, .verdict = verdict, .scope = (uint8_t)scope, .reason = "unit"
	};

	lab_say(lab, filter, WIRE_FLOW_VERDICT, &record);
}

void lab_judge(struct lab *lab, unsigned int filter, uint64_t id, uint8_t verdict)
{
	lab_judge_for(lab, filter, id, verdict, MEMORY_FLOW);
}

void lab_forget(struct lab *lab, unsigned int filter)
{
	struct wire_flow_forget record = { 0 };

	lab_say(lab, filter, WIRE_FLOW_FORGET, &record);
}

/* ---- sluice-names ---- */

const struct wire_look *lab_take_look(struct lab *lab)
{
	_cleanup_close_ int fd = -1;

	if (lab->names.sock < 0 || channel_recv(lab->names.sock, &wire_names_channel, 0,
						lab->record, &lab->message, NULL, &fd))
		return NULL;
	return WIRE_BODY(&lab->message, struct wire_look);
}

static void names_say(struct lab *lab, uint16_t type, const void *body)
{
	assert_int_equal(
		channel_send(lab->names.sock, &wire_names_channel, type, body, NULL, 0, -1), 0);
	lab_settle(lab);
}

void lab_name(struct lab *lab, uint64_t token, const char *name, uint8_t last)
{
	struct wire_name record = { .token = token, .ttl_s = 60 };
	const uint8_t mapped[16] = { [10] = 0xff, 0xff, 198, 51, 100, last };

	memcpy(record.address, mapped, sizeof(mapped));
	snprintf(record.name, sizeof(record.name), "%s", name);
	names_say(lab, WIRE_NAME, &record);
}

void lab_done(struct lab *lab, uint64_t token)
{
	struct wire_done done = { .token = token };

	names_say(lab, WIRE_DONE, &done);
}

void lab_host(struct lab *lab, const struct wire_host *host)
{
	names_say(lab, WIRE_HOST, host);
}
