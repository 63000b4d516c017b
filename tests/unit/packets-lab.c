/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "packets-lab.h"
#include "running-lab.h"

/* UDP from 192.0.2.1:40000 to 198.51.100.9:53, of 512 bytes */
const uint8_t packets_udp[512] = { 0x45, 0, 2, 0, 0,   0,  0,	0, 64,	 IPPROTO_UDP, 0, 0,
				   192,	 0, 2, 1, 198, 51, 100, 9, 0x9c, 0x40,	      0, 53 };

struct sl_tuple packets_tuple(void)
{
	struct sl_tuple tuple = { .lport = 40000, .rport = 53, .proto = IPPROTO_UDP };

	tuple.laddr[10] = tuple.laddr[11] = tuple.raddr[10] = tuple.raddr[11] = 0xff;
	memcpy(tuple.laddr + 12, packets_udp + 12, 4);
	memcpy(tuple.raddr + 12, packets_udp + 16, 4);
	return tuple;
}

void packets_start(struct lab *lab, unsigned int index)
{
	struct wire_hello hello = { .version = WIRE_PROVIDER_VERSION, .kind = 1 };

	lab_say(lab, index, WIRE_HELLO, &hello);
	assert_non_null(lab_take(lab, index, WIRE_START));
}

void packets_say_ready(struct lab *lab, unsigned int index)
{
	struct wire_ready record = { .packets = 1, .copy = 200 };

	lab_say(lab, index, WIRE_READY, &record);
}

struct lab *packets_lab(unsigned int n_filters, bool is_closed)
{
	struct lab *lab = started_lab(n_filters, is_closed);

	for (unsigned int i = 0; i < n_filters; i++) {
		packets_start(lab, i);
		packets_say_ready(lab, i);
	}
	return lab;
}

unsigned int packets_come(struct lab *lab, bool is_inbound)
{
	unsigned int packet = fake_ask_packet(lab->kernel, FAKE_HOME, packets_udp,
					      sizeof(packets_udp), is_inbound);

	lab_settle(lab);
	return packet;
}

enum fake_state packets_fate(const struct lab *lab, unsigned int packet)
{
	return fake_packet(lab->kernel, packet)->state;
}

/* Return: the number of the packet that a filter is shown, and it alone; 0: none */
uint64_t packets_take(struct lab *lab, unsigned int filter, struct wire_packet *ret_packet)
{
	const struct wire_packets *record = lab_take(lab, filter, WIRE_PACKETS);
	struct wire_packet packet;
	size_t next;

	if (!record)
		return 0;
	assert_int_equal(record->n, 1);
	assert_int_equal(packets_get(lab->message.tail, lab->message.n_tail, 0, &packet, &next), 0);
	if (ret_packet)
		*ret_packet = packet;
	return packet.id;
}

void packets_answer(struct lab *lab, unsigned int filter, uint64_t id, uint8_t verdict)
{
	struct wire_packet_verdict record = { .first = id, .n = 1, .verdict = verdict };

	lab_say(lab, filter, WIRE_PACKET_VERDICT, &record);
}

/* @n that it is shown, in however many records */
void packets_answer_all(struct lab *lab, unsigned int filter, unsigned int n, uint8_t verdict)
{
	const struct wire_packets *record;
	struct wire_packet packet;
	size_t next;

	while (n && (record = lab_take(lab, filter, WIRE_PACKETS))) {
		struct wire_packet_verdict said = { .n = record->n, .verdict = verdict };

		assert_int_equal(
			packets_get(lab->message.tail, lab->message.n_tail, 0, &packet, &next), 0);
		said.first = packet.id;
		n -= said.n;
		lab_say(lab, filter, WIRE_PACKET_VERDICT, &said);
	}
	assert_int_equal(n, 0);
}

int packets_one_open(void **state)
{
	*state = packets_lab(1, false);
	return 0;
}

int packets_one_closed(void **state)
{
	*state = packets_lab(1, true);
	return 0;
}

int packets_tear_down(void **state)
{
	lab_free(*state);
	return 0;
}

void packets_wait_for_start(struct lab *lab)
{
	for (unsigned int i = 0; i < 500 && lab->filters[0].sock < 0; i++)
		lab_pass(lab, 20000);
}
