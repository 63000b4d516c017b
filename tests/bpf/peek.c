/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>

#include "peek.h"

#define TCP_FLAGS 13
#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

static struct lab_packet segment(const struct lab_ends *ends, uint8_t flags, bool has_payload)
{
	struct lab_packet packet;

	ends_packet(&packet, ends);
	packet.bytes[packet.n_headers + TCP_FLAGS] = flags;
	if (!has_payload)
		packet.n -= LAB_PAYLOAD;
	return packet;
}

static void set_peek(struct lab *lab, const struct lab_ends *ends, uint32_t flags)
{
	struct sl_flow_key key = ends_key(ends, SL_DIR_IN, COOKIE);
	struct sl_flow flow = { .id = 1, .verdict = SL_PEEK, .peek = flags };

	lab_set(lab, "sl_flows", &key, &flow);
}

static void check_stream(struct lab *lab, const struct lab_ends *ends, peek_check_fn check)
{
	static const struct {
		uint8_t flags;
		bool has_payload;
		int held;
		const char *what;
	} segments[] = { { ACK, true, 1, "bytes" },
			 { ACK, false, 0, "an acknowledgement" },
			 { FIN | ACK, false, 1, "an end" },
			 { RST, false, 1, "a reset" },
			 { SYN | ACK, false, 1, "the answer to a SYN" } };
	struct sl_tuple tuple = ends_tuple(ends, SL_DIR_IN);
	const struct sl_peek looked = { .cookie = COOKIE };

	for (size_t i = 0; i < ARRAY_SIZE(segments); i++) {
		struct lab_packet packet =
			segment(ends, segments[i].flags, segments[i].has_payload);

		lab_clear(lab);
		lab_empty(lab, "sl_peeks");
		set_sock(lab, COOKIE, 0);
		check(lab_run(lab, "sl_in_peeked", &packet) == 0, "%s: %s of another flow goes on",
		      ends_text(ends), segments[i].what);
		lab_set(lab, "sl_peeks", &tuple, &looked);
		check(lab_run(lab, "sl_in_peeked", &packet) == segments[i].held,
		      "%s, looked at: %s %s", ends_text(ends), segments[i].what,
		      segments[i].held ? "is held" : "goes on");
		check(is_held_as(lab, ends, SL_DIR_IN, COOKIE) == segments[i].held,
		      "%s, looked at: %s, its ends", ends_text(ends), segments[i].what);
		lab_clear(lab);
		check(lab_run(lab, "sl_in_ours", &packet) == 1,
		      "%s, looked at, whose packet it is being forgotten: %s is ours",
		      ends_text(ends), segments[i].what);
	}
	lab_empty(lab, "sl_peeks");
}

/* the first of several may carry nothing itself: what follows it would go unseen */
static void check_fragment(struct lab *lab, const struct lab_ends *ends, peek_check_fn check)
{
	static const uint8_t fragment[] = { IPPROTO_FRAGMENT };
	struct sl_tuple tuple = ends_tuple(ends, SL_DIR_IN);
	const struct sl_peek looked = { .cookie = COOKIE };
	struct lab_packet packet;

	lab_clear(lab);
	set_sock(lab, COOKIE, 0);
	lab_set(lab, "sl_peeks", &tuple, &looked);
	lab_ipv6(&packet, ends, fragment, 1);
	packet.bytes[40 + 2] = 0;
	packet.bytes[40 + 3] = 1; /* offset 0, more to come */
	packet.bytes[packet.n_headers + TCP_FLAGS] = ACK;
	packet.n -= LAB_PAYLOAD;
	check(lab_run(lab, "sl_in_peeked", &packet) == 1, "%s, looked at: a first fragment is held",
	      ends_text(ends));
	lab_empty(lab, "sl_peeks");
}

static void check_verdict(struct lab *lab, const struct lab_ends *ends, peek_check_fn check)
{
	struct sl_flow_key key = ends_key(ends, SL_DIR_IN, COOKIE);
	struct lab_packet packet;
	struct sl_flow flow = { 0 };

	ends_packet(&packet, ends);
	set_server(lab, ends, NULL);
	set_peek(lab, ends, SL_PEEK_IN);
	check(lab_run(lab, "sl_in_held", &packet) == 1, "%s, looked at, is held", ends_text(ends));
	check(lab_run(lab, "sl_in_denied", &packet) == 0 &&
		      lab_run(lab, "sl_in_silent", &packet) == 0,
	      "%s, looked at, is not denied", ends_text(ends));
	set_peek(lab, ends, SL_PEEK_OUT);
	check(lab_run(lab, "sl_in_held", &packet) == 0,
	      "%s goes on while the other way is looked at", ends_text(ends));
	lab_get(lab, "sl_flows", &key, &flow);
	check(flow.bytes_in == ends_counted(ends), "%s is counted then", ends_text(ends));
}

void peek_check(struct lab *lab, const struct lab_ends *ends, peek_check_fn check)
{
	if (ends->proto == IPPROTO_TCP)
		check_stream(lab, ends, check);
	if (ends->proto == IPPROTO_TCP && ends_is_v6(ends))
		check_fragment(lab, ends, check);
	check_verdict(lab, ends, check);
}
