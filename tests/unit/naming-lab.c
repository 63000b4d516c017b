/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "naming-lab.h"

int naming_one_closed(void **state)
{
	return peek_one_closed(state);
}

int naming_one_open(void **state)
{
	return peek_one_open(state);
}

int naming_two_closed(void **state)
{
	return peek_two_closed(state);
}

uint64_t naming_ask(struct lab *lab, unsigned int filter, enum flow_reading reading,
		    enum flow_host source, const char *host)
{
	const struct wire_flow_new *flow = lab_take(lab, filter, WIRE_FLOW_NEW);

	assert_non_null(flow);
	assert_int_equal(flow->host_reading, reading);
	assert_int_equal(flow->host_source, source);
	assert_string_equal(flow->host, host);
	assert_int_equal(flow->again, reading >= FLOW_READ);
	return flow->id;
}

uint64_t naming_told(struct lab *lab, unsigned int filter)
{
	return naming_ask(lab, filter, FLOW_READABLE, FLOW_HOST_NONE, "");
}

uint64_t naming_come(struct lab *lab)
{
	lab_put(lab, &peek_syn);
	return naming_told(lab, 0);
}

void naming_wish(struct lab *lab, unsigned int filter, uint64_t id)
{
	struct wire_flow_name record = { .id = id, .reason = "its host first" };

	lab_say(lab, filter, WIRE_FLOW_NAME, &record);
}

uint64_t naming_begin(struct lab *lab)
{
	unsigned int packet = lab_put(lab, &peek_syn);
	uint64_t id = 0;

	for (unsigned int i = 0; i < lab->config.n_filters; i++) {
		assert_int_equal(lab_fate(lab, packet), FATE_HELD);
		id = naming_told(lab, i);
		naming_wish(lab, i, id);
	}
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED); /* the handshake goes on */
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_PEEK);
	assert_int_equal(lab_flow(lab, &peek_syn)->peek, SL_PEEK_OUT | SL_PEEK_BASE_OUT);
	return id;
}

uint64_t naming_look(struct lab *lab, uint8_t kind, uint32_t seq, const char *text)
{
	const struct wire_look *look = lab_take_look(lab);

	assert_non_null(look);
	assert_int_equal(look->kind, kind);
	assert_int_equal(look->seq, seq);
	assert_int_equal(lab->message.n_tail, strlen(text));
	assert_memory_equal(lab->message.tail, text, strlen(text));
	return look->token;
}

void naming_say(struct lab *lab, uint64_t token, uint8_t answer, enum flow_host source,
		const char *name)
{
	struct wire_host host = { .token = token, .answer = answer, .source = (uint8_t)source };

	snprintf(host.name, sizeof(host.name), "%s", name);
	lab_host(lab, &host);
}

unsigned int naming_hello(struct lab *lab)
{
	lab_put(lab, &peek_syn);
	return peek_put_text(lab, 0, "hello");
}

void naming_tell(struct lab *lab, const char *name)
{
	naming_say(lab, naming_look(lab, LOOK_CONNECTION, 0, "hello"), HOST_NAMED, FLOW_HOST_TLS,
		   name);
}
