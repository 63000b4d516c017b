/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon-lab-memory.h"

const struct sl_memory *memory_entry(const struct lab *lab, const struct lab_packet *packet)
{
	struct sl_memory_key key = lab_memory_key(lab, packet);

	return fake_get(lab->kernel, FAKE_MEMORY, &key);
}

/* as is_remembered() of bpf/netfilter-out.bpf.c: would the kernel allow it by itself? */
bool memory_is_in_force(const struct lab *lab, const struct lab_packet *packet)
{
	const struct sl_memory *entry = memory_entry(lab, packet);

	return entry && entry->generation == fake_generation(lab->kernel) &&
	       daemon_now_us() * 1000 < entry->expiry_ns;
}

/* as cgroup/connect has it: what was before is another conversation */
unsigned int memory_connect(struct lab *lab, const struct lab_packet *packet)
{
	struct sl_flow_key key = lab_key(packet);

	fake_delete(lab->kernel, FAKE_FLOWS, &key);
	return lab_put(lab, packet);
}

/* the packet is held, filter 0 is asked and answers */
unsigned int memory_judged(struct lab *lab, const struct lab_packet *packet, uint8_t verdict,
			   enum memory_scope scope)
{
	unsigned int index = memory_connect(lab, packet);
	uint64_t id = lab_take_flow(lab, 0);

	assert_int_not_equal(id, 0);
	lab_judge_for(lab, 0, id, verdict, scope);
	return index;
}

void memory_put(struct lab *lab)
{
	assert_int_equal(lab_fate(lab, memory_judged(lab, &tcp, 0, MEMORY_ADDRESS)), FATE_ALLOWED);
	assert_true(memory_is_in_force(lab, &tcp));
}

void memory_check_asked(struct lab *lab, const struct lab_packet *packet)
{
	unsigned int index = memory_connect(lab, packet);

	assert_int_not_equal(lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_fate(lab, index), FATE_HELD);
}

void memory_check_known(struct lab *lab, const struct lab_packet *packet, enum fate fate)
{
	unsigned int index = memory_connect(lab, packet);

	assert_int_equal(lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_fate(lab, index), fate);
}

/* an answer of a name server that gives the flows' address a name; it is still held. Return: its
 * packet */
unsigned int memory_resolve(struct lab *lab, const char *name, uint64_t *ret_token)
{
	unsigned int answer = lab_put(lab, &dns_answer);
	const struct wire_look *look = lab_take_look(lab);

	assert_non_null(look);
	*ret_token = look->token;
	lab_name(lab, *ret_token, name, tcp.last);
	return answer;
}

void memory_resolved(struct lab *lab, const char *name)
{
	uint64_t token;
	unsigned int answer = memory_resolve(lab, name, &token);

	lab_done(lab, token);
	assert_int_equal(lab_fate(lab, answer), FATE_ALLOWED);
}
