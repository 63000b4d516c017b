/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Which flow a packet is of: also when nobody has read yet that it began, or has read that it is over */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "packets-lab.h"

#define ACK 0x10

static const struct lab_packet conversations[] = {
	{ .proto = IPPROTO_TCP, .lport = 40000, .rport = 53, .last = 9 },
	{ .proto = IPPROTO_UDP, .lport = 40000, .rport = 53, .last = 9 },
};

/* of this conversation a packet meets the queue, and nobody looks at it yet */
static unsigned int put_one(struct lab *lab, const struct lab_packet *conversation)
{
	struct sl_packet whose = { .cookie = LAB_COOKIE, .owner = LAB_COOKIE, .pid = 6, .uid = 7 };
	struct sl_tuple tuple = packets_tuple();
	uint8_t bytes[PACKETS_UDP_BYTES];

	memcpy(bytes, packets_udp, sizeof(bytes));
	tuple.proto = bytes[9] = conversation->proto;
	if (conversation->proto == IPPROTO_TCP) {
		bytes[32] = 5 << 4;
		bytes[33] = ACK;
	}
	fake_put(lab->kernel, FAKE_SHOWN, &tuple, &whose);
	return fake_ask_packet(lab->kernel, FAKE_HOME, bytes, sizeof(bytes), false);
}

/* Return: the flow that the filter is told it is of */
static uint64_t take_flow_of(struct lab *lab, unsigned int packet)
{
	struct wire_packet shown;

	lab_settle(lab);
	packets_answer(lab, 0, packets_take(lab, 0, &shown), ALLOW);
	assert_int_equal(packets_fate(lab, packet), FAKE_ACCEPTED);
	return shown.flow;
}

static uint64_t id_of(struct lab *lab, const struct lab_packet *conversation)
{
	struct sl_flow_key key = lab_key(conversation);
	const struct flow *flow = flow_table_find(lab->daemon->flows, &key);

	return flow ? flow->id : 0;
}

static void check_ended(struct lab *lab, const struct lab_packet *conversation)
{
	uint64_t id;

	lab_put(lab, conversation);
	id = lab_take_flow(lab, 0);
	assert_int_not_equal(id, 0);
	lab_judge(lab, 0, id, 0);
	assert_int_equal(take_flow_of(lab, put_one(lab, conversation)), id);
	lab_end_socket(lab, conversation);
	assert_int_equal(id_of(lab, conversation), 0);
	assert_int_equal(take_flow_of(lab, put_one(lab, conversation)), id);
}

/* what was sent last is behind its end, as we come to know of it */
static void test_of_one_that_is_over(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(conversations); i++)
		check_ended(*state, &conversations[i]);
}

static void check_unread(struct lab *lab, const struct lab_packet *conversation)
{
	unsigned int packet = put_one(lab, conversation);
	uint64_t id;

	lab_remember_unread(lab, conversation);
	assert_int_equal(id_of(lab, conversation), 0);
	id = take_flow_of(lab, packet);
	assert_int_not_equal(id, 0);
	assert_int_equal(id, id_of(lab, conversation));
}

/* the kernel let it go, and tells so without waking anybody */
static void test_of_one_that_nobody_has_read_of(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(conversations); i++)
		check_unread(*state, &conversations[i]);
}

static void test_of_none(void **state)
{
	assert_int_equal(take_flow_of(*state, put_one(*state, &conversations[0])), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_of_one_that_is_over, packets_one_closed,
						packets_tear_down),
		cmocka_unit_test_setup_teardown(test_of_one_that_nobody_has_read_of,
						packets_one_closed, packets_tear_down),
		cmocka_unit_test_setup_teardown(test_of_none, packets_one_closed,
						packets_tear_down),
	};

	return cmocka_run_group_tests_name("daemon-packets-flow", tests, NULL, NULL);
}
