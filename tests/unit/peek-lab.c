/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "peek-lab.h"

const struct lab_packet peek_syn = {
	.proto = IPPROTO_TCP, .lport = 40000, .rport = 80, .last = 9, .seq = SEQ - 1
};
const struct lab_packet peek_datagram = {
	.proto = IPPROTO_UDP, .lport = 40001, .rport = 443, .last = 9, .text = "hello"
};

struct lab_packet peek_out(uint32_t at, const char *text)
{
	struct lab_packet packet = peek_syn;

	packet.seq = SEQ + at;
	packet.flags = ACK;
	packet.text = text;
	return packet;
}

struct lab_packet peek_in(uint8_t flags, uint32_t seq, const char *text)
{
	struct lab_packet packet = peek_syn;

	packet.is_inbound = true;
	packet.seq = seq;
	packet.ack = SEQ;
	packet.flags = flags;
	packet.text = text;
	return packet;
}

struct lab *peek_start(unsigned int n_filters, bool is_closed)
{
	struct lab_config config = { .n_filters = n_filters };
	struct lab *lab;

	for (unsigned int i = 0; i < n_filters; i++) {
		config.is_closed[i] = is_closed;
		config.looks[i] = true;
	}
	lab = lab_new(&config);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	return lab;
}

int peek_one_closed(void **state)
{
	*state = peek_start(1, true);
	return 0;
}

int peek_one_open(void **state)
{
	*state = peek_start(1, false);
	return 0;
}

int peek_two_closed(void **state)
{
	*state = peek_start(2, true);
	return 0;
}

int peek_tear_down(void **state)
{
	struct lab *lab = *state;

	if (lab->daemon)
		lab_stop(lab);
	assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 0);
	lab_free(lab);
	return 0;
}

void peek_at(struct lab *lab, unsigned int filter, uint64_t id, bool has_in, uint64_t bytes)
{
	struct wire_flow_peek record = { .id = id,
					 .outbound = 1,
					 .inbound = has_in,
					 .peek_out = bytes,
					 .peek_in = bytes,
					 .reason = "looks" };

	lab_say(lab, filter, WIRE_FLOW_PEEK, &record);
}

void peek_answer(struct lab *lab, unsigned int filter, uint64_t id, uint8_t direction, uint64_t n,
		 uint64_t more)
{
	struct wire_flow_pass record = {
		.id = id, .direction = direction, .pass = n, .peek = more
	};

	lab_say(lab, filter, WIRE_FLOW_PASS, &record);
}

void peek_pause_flow(struct lab *lab, uint64_t id, uint8_t is_pause)
{
	struct wire_flow_pause record = { .id = id, .pause = is_pause };

	lab_say(lab, 0, WIRE_FLOW_PAUSE, &record);
}

/* a filter is shown exactly this. Return: is it the end? */
bool peek_expect(struct lab *lab, unsigned int filter, uint64_t offset, const char *text)
{
	const struct wire_flow_data *data = lab_take(lab, filter, WIRE_FLOW_DATA);

	assert_non_null(data);
	assert_int_equal(data->offset, offset);
	assert_int_equal(lab->message.n_tail, strlen(text));
	assert_memory_equal(lab->message.tail, text, strlen(text));
	return data->end;
}

void peek_expect_nothing(struct lab *lab, unsigned int filter)
{
	assert_null(lab_take(lab, filter, WIRE_FLOW_DATA));
}

/* a connection that every filter looks at. Return: its id */
uint64_t peek_looked_at(struct lab *lab, bool has_in, uint64_t bytes)
{
	unsigned int packet = lab_put(lab, &peek_syn);
	uint64_t id = 0;

	for (unsigned int i = 0; i < lab->config.n_filters; i++) {
		assert_int_equal(lab_fate(lab, packet), FATE_HELD);
		id = lab_take_flow(lab, i);
		assert_true(id > 0);
		peek_at(lab, i, id, has_in, bytes);
	}
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED); /* it carries nothing */
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_PEEK);
	return id;
}

unsigned int peek_put_text(struct lab *lab, uint32_t at, const char *text)
{
	const struct lab_packet packet = peek_out(at, text);

	return lab_put(lab, &packet);
}

void peek_connect(struct lab *lab, const struct lab_packet *first, uint32_t seq)
{
	const struct sl_flow *flow = lab_flow(lab, first);
	const struct sl_tuple tuple = flow ? flow->tuple : (struct sl_tuple){ 0 };
	const struct sl_peek *known = fake_get(lab->kernel, FAKE_PEEKS, &tuple);
	struct sl_peek peek;

	if (!known) /* nobody looks at it */
		return;
	peek = *known;
	peek.begin = SL_PEEK_BEGUN | seq;
	fake_put(lab->kernel, FAKE_PEEKS, &tuple, &peek);
}

bool peek_is_destroyed(struct lab *lab)
{
	const struct sl_flow *flow = lab_flow(lab, &peek_syn);

	return flow && fake_get(lab->kernel, FAKE_ENDED, &flow->tuple);
}
