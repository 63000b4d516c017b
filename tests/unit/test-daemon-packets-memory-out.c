/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Every allocation fails once while a packet filter comes, gives rules, and is asked
 *
 * Whatever fails: nothing leaks, no packet passes a closed filter that has not allowed it,
 * none waits for ever, and when there is memory again the filter is asked.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "alloc-lab.h"
#include "base/macros.h"
#include "daemon-lab.h"
#include "wire/packets.h"

#define ALLOCATIONS_MAX 2000U

enum { ALLOW, DROP };

static void give(struct lab *lab)
{
	struct wire_packet_rule rule = { .protocol = IPPROTO_ICMP, .action = SL_PACKET_DROP };
	struct wire_packet_rules body = { .n = 1 };
	uint8_t tail[WIRE_PACKET_RULE];

	packet_rule_put(tail, &rule);
	(void)alloc_say(lab, WIRE_PACKET_RULES, &body, tail, sizeof(tail));
}

static void begin(struct lab *lab)
{
	struct wire_hello hello = { .version = WIRE_PROVIDER_VERSION, .kind = 1 };
	struct wire_ready ready = { .packets = 1, .copy = 200 };

	if (!alloc_say(lab, WIRE_HELLO, &hello, NULL, 0))
		return;
	give(lab);
	(void)alloc_say(lab, WIRE_READY, &ready, NULL, 0);
}

static unsigned int put(struct lab *lab)
{
	static const uint8_t bytes[28] = { 0x45, 0, 0, 28, 0, 0, 0, 0, 64, IPPROTO_UDP };
	unsigned int packet = fake_ask_packet(lab->kernel, FAKE_HOME, bytes, sizeof(bytes), false);

	lab_settle(lab);
	return packet;
}

/* what it is shown it answers so */
static void answer(struct lab *lab, uint8_t verdict)
{
	struct wire_packet packet;
	size_t next;

	while (lab->filters[0].sock >= 0 && lab_take(lab, 0, WIRE_PACKETS)) {
		struct wire_packet_verdict said = { .n = 1, .verdict = verdict };

		for (size_t at = 0;
		     packets_get(lab->message.tail, lab->message.n_tail, at, &packet, &next) == 0;
		     at = next) {
			said.first = said.first ? said.first : packet.id;
			said.n = (uint32_t)(packet.id - said.first + 1);
		}
		(void)alloc_say(lab, WIRE_PACKET_VERDICT, &said, NULL, 0);
	}
}

static bool tell(unsigned int nth, bool is_always, void *data)
{
	struct lab_config config = { .n_filters = 1, .is_closed = { true } };
	struct lab *lab = lab_new(&config);
	unsigned int before, after;

	assert_int_equal(lab_start(lab), 0);
	alloc_fail(nth, is_always);
	begin(lab);
	before = put(lab);
	answer(lab, DROP);
	give(lab);
	alloc_bring_back(lab, begin);
	for (unsigned int i = 0; i < 100; i++)
		lab_pass(lab, TICK_US);
	answer(lab, DROP);
	assert_int_not_equal(fake_packet(lab->kernel, before)->state, FAKE_ACCEPTED);
	assert_int_equal(fake_packets(lab->kernel), SL_PACKETS_CLOSED);
	assert_int_equal(fake_packet_rules(lab->kernel)->n_rules, 1);
	after = put(lab);
	answer(lab, ALLOW);
	assert_int_equal(fake_packet(lab->kernel, after)->state, FAKE_ACCEPTED);
	lab_free(lab);
	return alloc_has_failed();
}

static void test_one_fails(void **state)
{
	alloc_tell_each(tell, NULL, false, 1, 4, ALLOCATIONS_MAX);
}

static void test_all_fail_from_one_on(void **state)
{
	alloc_tell_each(tell, NULL, true, 1, 4, ALLOCATIONS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_fails),
		cmocka_unit_test(test_all_fail_from_one_on),
	};

	return cmocka_run_group_tests_name("daemon-packets-memory-out", tests, NULL, NULL);
}
