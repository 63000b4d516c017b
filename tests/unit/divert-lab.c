/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon/judge/judge.h"
#include "divert-lab.h"

#define FILL_UID 5000U
#define FILL_MAX 300U

struct lab *divert_lab(unsigned int n_filters, unsigned int n_proxies, bool is_closed)
{
	struct lab_config config = { .n_filters = n_filters + n_proxies };
	struct lab *lab;

	for (unsigned int i = 0; i < config.n_filters; i++) {
		config.is_closed[i] = is_closed;
		config.is_proxy[i] = i >= n_filters;
	}
	lab = lab_new(&config);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	assert_int_equal(lab->state.error, 0);
	return lab;
}

int divert_set_up(void **state)
{
	*state = divert_lab(0, 1, true);
	return 0;
}

uint16_t divert_next(struct lab *lab, unsigned int index)
{
	lab->passed = close_fd(lab->passed);
	if (lab->filters[index].sock < 0 ||
	    channel_recv(lab->filters[index].sock, &wire_provider_channel, 0, lab->record,
			 &lab->message, NULL, &lab->passed))
		return 0;
	return lab->message.record->type;
}

uint64_t divert_expect(struct lab *lab, unsigned int index, uint16_t type)
{
	uint64_t id;

	assert_int_equal(divert_next(lab, index), type);
	memcpy(&id, lab->message.body.bytes, sizeof(id)); /* the first field of all of them */
	return id;
}

void divert_expect_end(struct lab *lab, unsigned int index, uint64_t id, uint8_t full)
{
	assert_int_equal(divert_expect(lab, index, WIRE_FLOW_END), id);
	assert_int_equal(WIRE_BODY(&lab->message, struct wire_flow_end)->full, full);
}

void divert_take_flow(struct lab *lab, unsigned int index, uint64_t id)
{
	lab_say(lab, index, WIRE_FLOW_TAKE, &(struct wire_flow_take){ .id = id });
}

void divert_say_opened(struct lab *lab, unsigned int index, uint64_t id, int error)
{
	struct wire_flow_opened record = { .id = id, .error = (uint32_t)error };

	lab_say(lab, index, WIRE_FLOW_OPENED, &record);
}

void divert_ask_end(struct lab *lab, unsigned int index, uint64_t id)
{
	lab_say(lab, index, WIRE_FLOW_ASK_END, &(struct wire_flow_ask_end){ .id = id });
}

uint64_t divert_open_flow(struct lab *lab, unsigned int index, const struct lab_packet *packet)
{
	unsigned int no = lab_put(lab, packet);
	uint64_t id = lab_take_flow(lab, index);

	assert_int_not_equal(id, 0);
	divert_take_flow(lab, index, id);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	divert_say_opened(lab, index, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	return id;
}

int divert_connect(struct lab *lab, const struct lab_packet *packet)
{
	struct sl_tuple tuple = lab_tuple(packet);
	int program = fake_put_client(lab->kernel, &tuple);

	lab_settle(lab);
	return program;
}

uint64_t divert_begin(struct lab *lab, unsigned int index, const struct lab_packet *packet,
		      int *ret_program, int *ret_own)
{
	uint64_t id = divert_open_flow(lab, index, packet);

	*ret_program = divert_connect(lab, packet);
	assert_int_equal(divert_expect(lab, index, WIRE_FLOW_SOCKET), id);
	*ret_own = TAKE_FD(lab->passed);
	return id;
}

void divert_expect_stranger(struct lab *lab, unsigned int index, const struct lab_packet *packet)
{
	int program = divert_connect(lab, packet);

	assert_true(divert_is_closed(program));
	assert_int_equal(divert_next(lab, index), 0);
	close_fd(program);
}

void divert_leave(struct lab *lab, const struct lab_packet *packet)
{
	struct sl_event event = { .cookie = lab_key(packet).cookie, .kind = SL_EV_ABANDONED };

	fake_put_event(lab->kernel, &event);
	lab_pass(lab, TICK_US);
}

bool divert_is_connected(int one, int other)
{
	char byte = 0;

	return send(one, "x", 1, MSG_NOSIGNAL) == 1 && recv(other, &byte, 1, 0) == 1 && byte == 'x';
}

bool divert_is_closed(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK) == 0;
}

unsigned int divert_fill(struct lab *lab, unsigned int index)
{
	struct lab_packet packet = { .proto = IPPROTO_TCP, .lport = 30000, .rport = 9, .last = 99 };
	unsigned int n = 0;

	while (!lab->daemon->filters[index].wants_write) {
		assert_true(n < FILL_MAX);
		packet.uid = FILL_UID + n++;
		lab_put(lab, &packet);
	}
	return n;
}

const char *divert_member(struct lab *lab, uint64_t id, const char *name)
{
	static char text[200];
	const struct flow *flow = flow_table_find_id(lab->daemon->flows, id);
	struct json_object *json = flow ? records_json(lab->daemon, flow) : NULL;
	const char *value;

	assert_non_null(json);
	value = json_object_get_string(json_object_object_get(json, name));
	snprintf(text, sizeof(text), "%s", value ? value : "none");
	json_object_put(json);
	return text;
}
