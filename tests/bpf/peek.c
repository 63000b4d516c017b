/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <string.h>

#include "peek.h"

#define OLDER (COOKIE + 1) /* the newest listener was another one when the SYN came */
#define TCP_SEQ 4
#define TCP_ACKED 8
#define TCP_FLAGS 13
#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10
#define URG 0x20
#define ACKED 0xfffffff8U /* numbers go around behind it */
#define SHOWN 4U

static struct lab_packet segment(const struct lab_ends *ends, uint8_t flags, bool has_payload)
{
	struct lab_packet packet;

	ends_packet(&packet, ends);
	packet.bytes[packet.n_headers + TCP_FLAGS] = flags;
	if (!has_payload)
		packet.n -= LAB_PAYLOAD;
	return packet;
}

static void put32(struct lab_packet *packet, size_t at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		packet->bytes[packet->n_headers + at + i] = (uint8_t)(value >> (24 - 8 * i));
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
			 { SYN | ACK, false, 0, "the answer to a SYN" } };
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

struct looked_socket {
	const struct lab_ends *ends;
	uint32_t flags;
};

static void prepare_socket(struct lab *lab, uint64_t cookie, void *data)
{
	const struct looked_socket *socket = data;
	struct sl_tuple tuple = ends_tuple(socket->ends, SL_DIR_IN);
	const struct sl_peek looked = { .cookie = COOKIE };

	lab_clear(lab);
	lab_set(lab, "sl_peeks", &tuple, &looked);
	set_sock(lab, cookie, socket->flags);
}

/* TCP knows whose packet it is. What was looked at under these ends is of a connection before; but
 * an accepted one may be looked at though its verdict is forgotten */
static void check_allowed(struct lab *lab, const struct lab_ends *ends, peek_check_fn check)
{
	static const struct {
		uint32_t flags;
		int held;
		const char *what;
	} sockets[] = { { SL_SOCK_STREAM, 1, "one that is not allowed" },
			{ SL_SOCK_STREAM | SL_SOCK_ALLOWED, 0, "an allowed one" },
			{ SL_SOCK_STREAM | SL_SOCK_ALLOWED | SL_SOCK_PASSIVE, 1,
			  "an accepted one" } };

	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
		struct looked_socket socket = { ends, sockets[i].flags };
		struct lab_packet packet = segment(ends, ACK, true);
		uint64_t cookie;

		check(lab_run_as(lab, "sl_in_peeked", &packet, prepare_socket, &socket, &cookie) ==
			      sockets[i].held,
		      "%s: bytes for the socket of %s %s", ends_text(ends), sockets[i].what,
		      sockets[i].held ? "are held" : "go on");
	}
	lab_empty(lab, "sl_peeks");
}

static struct lab_packet syn(const struct lab_ends *ends, uint8_t seq)
{
	struct lab_packet packet = segment(ends, SYN, false);

	memset(packet.bytes + packet.n_headers + TCP_SEQ, 0, 4);
	packet.bytes[packet.n_headers + TCP_SEQ + 3] = seq;
	return packet;
}

static void check_handshake(struct lab *lab, const struct lab_ends *ends, peek_check_fn check)
{
	struct sl_flow flow = {
		.id = 1, .verdict = SL_PEEK, .peek = SL_PEEK_IN | SL_PEEK_BASE_IN, .base = { 0, 10 }
	};
	struct sl_flow_key key = ends_key(ends, SL_DIR_IN, OLDER);
	struct sl_tuple tuple = ends_tuple(ends, SL_DIR_IN);
	struct sl_peek peek = { .cookie = OLDER };
	struct lab_packet again = syn(ends, 9), other = syn(ends, 8),
			  bytes = segment(ends, ACK, true);

	set_server(lab, ends, NULL);
	set_sock(lab, OLDER, 0);
	lab_set(lab, "sl_flows", &key, &flow);
	lab_set(lab, "sl_peeks", &tuple, &peek);
	check(lab_run(lab, "sl_in_held", &again) == 0,
	      "%s, looked at for a listener of before: its SYN again goes on", ends_text(ends));
	check(lab_run(lab, "sl_in_held", &other) == 1 && is_held_as(lab, ends, SL_DIR_IN, OLDER),
	      "%s, looked at: another SYN is held", ends_text(ends));
	lab_clear(lab);
	set_server(lab, ends, NULL);
	lab_set(lab, "sl_flows", &key, &flow);
	check(lab_run(lab, "sl_in_held", &again) == 1 && is_held_as(lab, ends, SL_DIR_IN, COOKIE),
	      "%s, looked at for one that is closed: a SYN is the newest's", ends_text(ends));
	flow.peek = SL_PEEK_OUT;
	lab_set(lab, "sl_flows", &key, &flow);
	check(lab_run(lab, "sl_in_peeked", &bytes) == 0,
	      "%s, of which only what leaves is looked at: bytes go on", ends_text(ends));
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

/* of what was shown and is not acknowledged every copy is asked about, and nothing else */
static void check_guard(struct lab *lab, const struct lab_ends *ends, peek_check_fn check)
{
	static const struct {
		uint32_t seq;
		uint8_t flags;
		bool has_payload, is_held;
		const char *what;
	} segments[] = { { ACKED - LAB_PAYLOAD, ACK, true, false, "what is acknowledged" },
			 { ACKED - LAB_PAYLOAD + 1, ACK, true, true, "what reaches beyond it" },
			 { SHOWN - 1, ACK, true, true, "what begins before the end of it" },
			 { SHOWN, ACK, true, false, "what follows" },
			 { SHOWN, ACK | URG, false, true, "something urgent" },
			 { ACKED - 1, FIN | ACK, false, false, "an end that was there" },
			 { ACKED, FIN | ACK, false, true, "an end before it" },
			 { SHOWN, FIN | ACK, false, false, "an end behind it" } };
	static const uint32_t flags[] = { SL_PEEK_GUARD, SL_PEEK_IN, SL_PEEK_OUT };
	const struct sl_peek looked = { .cookie = COOKIE, .acked = ACKED, .has_acked = 1 };
	struct sl_tuple tuple = ends_tuple(ends, SL_DIR_IN);
	struct sl_flow_key key = ends_key(ends, SL_DIR_IN, COOKIE);

	lab_clear(lab);
	set_sock(lab, COOKIE, 0);
	lab_set(lab, "sl_peeks", &tuple, &looked);
	for (size_t i = 0; i < ARRAY_SIZE(segments); i++) {
		struct lab_packet packet =
			segment(ends, segments[i].flags, segments[i].has_payload);

		put32(&packet, TCP_SEQ, segments[i].seq);
		for (size_t j = 0; j < ARRAY_SIZE(flags); j++) {
			struct sl_flow flow = { .verdict = SL_PEEK,
						.peek = flags[j],
						.shown = SHOWN };
			bool is_held = flags[j] == SL_PEEK_IN ||
				       (flags[j] == SL_PEEK_GUARD && segments[i].is_held);

			lab_set(lab, "sl_flows", &key, &flow);
			check(lab_run(lab, "sl_in_peeked", &packet) == is_held,
			      "%s, peek %u: %s %s", ends_text(ends), flags[j], segments[i].what,
			      is_held ? "is held" : "goes on");
		}
	}
	lab_empty(lab, "sl_peeks");
}

/** struct talker - a socket that is looked at, and what is known of it */
struct talker {
	const struct lab_ends *ends;
	struct sl_peek peek;
	bool is_other; /* the entry is another socket's */
};

static void prepare_talker(struct lab *lab, uint64_t cookie, void *data)
{
	const struct talker *talker = data;
	struct sl_flow_key key = ends_key(talker->ends, SL_DIR_OUT, cookie);
	struct sl_tuple tuple = ends_tuple(talker->ends, SL_DIR_OUT);
	struct sl_flow flow = { .verdict = SL_PEEK, .peek = SL_PEEK_IN };
	struct sl_peek peek = talker->peek;

	peek.cookie = talker->is_other ? cookie + 1 : cookie;
	lab_clear(lab);
	set_sock(lab, cookie, SL_SOCK_STREAM);
	lab_set(lab, "sl_flows", &key, &flow);
	lab_set(lab, "sl_peeks", &tuple, &peek);
}

static void check_acked(struct lab *lab, const struct lab_ends *ends, peek_check_fn check)
{
	static const struct {
		struct sl_peek before;
		bool is_other;
		uint8_t flags;
		uint32_t says, after;
		const char *what;
	} talks[] = { { { 0 }, false, ACK, ACKED, ACKED, "the first" },
		      { { 0, ACKED, 1 }, false, ACK, SHOWN, SHOWN, "more, around the end" },
		      { { 0, SHOWN, 1 }, false, ACK, ACKED, SHOWN, "one that was queued before" },
		      { { 0, ACKED, 1 }, false, RST | ACK, SHOWN, ACKED, "a reset" },
		      { { 0, ACKED, 1 }, false, SYN, SHOWN, ACKED, "one that says nothing" },
		      { { 0, ACKED, 1 }, false, SYN | ACK, SHOWN, ACKED, "an answer to a SYN" },
		      { { 0, ACKED, 1 }, true, ACK, SHOWN, ACKED, "another socket's" } };
	struct sl_tuple tuple = ends_tuple(ends, SL_DIR_OUT);

	for (size_t i = 0; i < ARRAY_SIZE(talks); i++) {
		struct talker talker = { ends, talks[i].before, talks[i].is_other };
		struct lab_packet packet = segment(ends, talks[i].flags, false);
		struct sl_peek after = { 0 };
		uint64_t cookie;

		put32(&packet, TCP_ACKED, talks[i].says);
		check(lab_run_as(lab, "sl_out_held", &packet, prepare_talker, &talker, &cookie) ==
			      0,
		      "%s, looked at: an acknowledgement goes on", ends_text(ends));
		lab_get(lab, "sl_peeks", &tuple, &after);
		check(after.has_acked && after.acked == talks[i].after,
		      "%s, what is acknowledged: %s", ends_text(ends), talks[i].what);
	}
	lab_empty(lab, "sl_peeks");
}

void peek_check(struct lab *lab, const struct lab_ends *ends, peek_check_fn check)
{
	if (ends->proto == IPPROTO_TCP) {
		check_stream(lab, ends, check);
		check_allowed(lab, ends, check);
		check_handshake(lab, ends, check);
		check_guard(lab, ends, check);
		check_acked(lab, ends, check);
	}
	if (ends->proto == IPPROTO_TCP && ends_is_v6(ends))
		check_fragment(lab, ends, check);
	check_verdict(lab, ends, check);
}
