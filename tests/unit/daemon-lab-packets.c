/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon-lab.h"
#include "flow/packet.h"

#define LAB_PACKET_BYTES 1500

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static size_t put_transport(const struct lab_packet *packet, uint8_t *at)
{
	const char *text = packet->text ? packet->text : "data";
	bool is_in = packet->is_inbound;

	put16(at, is_in ? packet->rport : packet->lport);
	put16(at + 2, is_in ? packet->lport : packet->rport);
	if (packet->proto == IPPROTO_TCP) {
		put16(at + 4, (uint16_t)(packet->seq >> 16));
		put16(at + 6, (uint16_t)packet->seq);
		put16(at + 8, (uint16_t)(packet->ack >> 16));
		put16(at + 10, (uint16_t)packet->ack);
		at[12] = 5 << 4;
		at[13] = packet->flags ? packet->flags : 2; /* SYN */
		if (!packet->text)
			return 20;
		memcpy(at + 20, text, strlen(text));
		return 20 + strlen(text);
	}
	memcpy(at + 8, text, strlen(text));
	return 8 + strlen(text);
}

static size_t put_ipv4(const struct lab_packet *packet, uint8_t *at)
{
	static const uint8_t local[4] = { 127, 0, 0, 1 }, far[4] = { 192, 0, 2, 1 };
	const uint8_t there[4] = { 198, 51, 100, packet->last };
	const uint8_t beside[4] = { 127, 0, 0, packet->last };
	const uint8_t *ours = packet->is_local ? local : far;
	const uint8_t *theirs = packet->is_local ? beside : there;
	size_t n = 20 + put_transport(packet, at + 20);

	at[0] = 0x45;
	put16(at + 2, (uint16_t)n);
	at[9] = packet->proto;
	memcpy(at + 12, packet->is_inbound ? theirs : ours, 4);
	memcpy(at + 16, packet->is_inbound ? ours : theirs, 4);
	return n;
}

static size_t put_ipv6(const struct lab_packet *packet, uint8_t *at)
{
	static const uint8_t local[16] = { [15] = 1 }, far[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };
	const uint8_t there[16] = { 0x20, 1, 0xd, 0xb8, [15] = packet->last };
	const uint8_t beside[16] = { (uint8_t)(packet->link >> 8),
				     (uint8_t)packet->link, [15] = packet->last };
	const uint8_t *ours = packet->is_local ? local : far;
	const uint8_t *theirs = packet->is_local ? local : packet->link ? beside : there;
	size_t n = put_transport(packet, at + 40);

	at[0] = 0x60;
	put16(at + 4, (uint16_t)n);
	at[6] = packet->proto;
	memcpy(at + 8, packet->is_inbound ? theirs : ours, 16);
	memcpy(at + 24, packet->is_inbound ? ours : theirs, 16);
	return 40 + n;
}

static size_t put_bytes(const struct lab_packet *packet, uint8_t *bytes)
{
	return packet->is_v6 ? put_ipv6(packet, bytes) : put_ipv4(packet, bytes);
}

struct sl_tuple lab_tuple(const struct lab_packet *packet)
{
	uint8_t bytes[LAB_PACKET_BYTES] = { 0 };
	size_t n = put_bytes(packet, bytes);
	struct packet_view view;

	assert_int_equal(packet_parse(bytes, n, packet->is_inbound, &view), 0);
	view.tuple.netns = packet->netns;
	view.tuple.lo = packet->is_local ? SL_LO_IS : SL_LO_NOT;
	return view.tuple;
}

static struct sl_sock sock_of(const struct lab *lab, const struct lab_packet *packet)
{
	uint64_t cookie = LAB_COOKIE + packet->netns;
	struct sl_sock sock = *(const struct sl_sock *)fake_get(lab->kernel, FAKE_SOCKS, &cookie);

	if (packet->uid)
		sock.user.uid = packet->uid;
	if (packet->uid >= LAB_PROVIDERS_UID)
		sock.user.cgroup_id = FAKE_PROXIES_ID;
	return sock;
}

unsigned int lab_put(struct lab *lab, const struct lab_packet *packet)
{
	struct sl_held held = { .cookie = LAB_COOKIE + packet->netns + packet->uid,
				.dir = packet->is_inbound ? SL_DIR_IN : SL_DIR_OUT };
	enum sl_mark mark = packet->is_answer ? SL_MARK_NAMES : SL_MARK_HELD;
	struct sl_tuple tuple = lab_tuple(packet);
	uint8_t bytes[LAB_PACKET_BYTES] = { 0 };
	size_t n = put_bytes(packet, bytes);
	unsigned int index;

	held.sock = sock_of(lab, packet);
	if (packet->is_answer && !packet->is_foreign)
		fake_put(lab->kernel, FAKE_QUERIES, &tuple, &held.cookie);
	else if (!packet->is_foreign)
		fake_put(lab->kernel, FAKE_HELD, &tuple, &held);
	index = fake_put_packet(lab->kernel, packet->netns, bytes, n, packet->is_inbound,
				(uint32_t)mark << SL_MARK_SHIFT | 5);
	if (packet->is_local)
		fake_lead(lab->kernel, index, LOOPBACK_IFINDEX);
	if (lab->daemon)
		lab_settle(lab);
	return index;
}

struct sl_memory_key lab_memory_key(const struct lab *lab, const struct lab_packet *packet)
{
	struct sl_flow_key flow = lab_key(packet);
	const struct sl_sock *sock = fake_get(lab->kernel, FAKE_SOCKS, &flow.cookie);
	struct sl_memory_key key = { .app = sl_app_of(&sock->user, sock->netns),
				     .rport = flow.rport,
				     .proto = flow.proto };

	memcpy(key.raddr, flow.raddr, sizeof(key.raddr));
	return key;
}

/* as allow_remembered() of bpf/netfilter-out.bpf.c */
void lab_remember_unread(struct lab *lab, const struct lab_packet *packet)
{
	struct sl_flow_key key = lab_key(packet);
	struct sl_remembered event = { .event = { .kind = SL_EV_REMEMBERED, .cookie = key.cookie },
				       .tuple = lab_tuple(packet),
				       .held = { .cookie = key.cookie, .dir = SL_DIR_OUT },
				       .ifindex = LAB_IFINDEX };
	struct sl_flow flow = { .verdict = SL_ALLOW,
				.dir = SL_DIR_OUT,
				.ifindex = LAB_IFINDEX,
				.last_ns = daemon_now_us() * 1000,
				.bytes_out = packet->proto == IPPROTO_TCP ? 0 : 4,
				.tuple = event.tuple };

	event.held.sock = *(const struct sl_sock *)fake_get(lab->kernel, FAKE_SOCKS, &key.cookie);
	fake_put(lab->kernel, FAKE_FLOWS, &key, &flow);
	fake_put_remembered(lab->kernel, &event);
}

void lab_remember(struct lab *lab, const struct lab_packet *packet)
{
	lab_remember_unread(lab, packet);
	lab_pass(lab, TICK_US);
}

enum fate lab_fate(const struct lab *lab, unsigned int index)
{
	const struct fake_packet *packet = fake_packet(lab->kernel, index);

	if (packet->state == FAKE_DROPPED)
		return FATE_SILENT;
	if (packet->state == FAKE_REPLACED) /* by its own error: flow/refusal.h */
		return FATE_REJECTED;
	if (packet->state != FAKE_ACCEPTED)
		return FATE_HELD;
	assert_int_equal(packet->mark & ~SL_MARK_MASK, 5); /* other owners' bits are kept */
	switch ((enum sl_mark)(packet->mark >> SL_MARK_SHIFT)) {
	case SL_MARK_NONE:
		return FATE_ALLOWED;
	case SL_MARK_DIVERT:
		return FATE_DIVERTED;
	case SL_MARK_NO_NET:
	case SL_MARK_NO_HOST:
	case SL_MARK_NO_RIGHT:
	case SL_MARK_REJECT:
		return FATE_REJECTED;
	case SL_MARK_HELD:
	case SL_MARK_NAMES:
	case SL_MARK_AGAIN:
		break;
	}
	return FATE_FAIL_CLASS;
}

struct sl_flow_key lab_key(const struct lab_packet *packet)
{
	struct sl_tuple tuple = lab_tuple(packet);
	struct sl_flow_key key = { .cookie = LAB_COOKIE + packet->netns + packet->uid,
				   .rport = tuple.rport,
				   .proto = tuple.proto,
				   .lo = tuple.lo };

	memcpy(key.raddr, tuple.raddr, sizeof(key.raddr));
	return key;
}

const struct sl_flow *lab_flow(const struct lab *lab, const struct lab_packet *packet)
{
	struct sl_flow_key key = lab_key(packet);

	return fake_get(lab->kernel, FAKE_FLOWS, &key);
}

static void end_socket(struct lab *lab, const struct lab_packet *packet, bool is_forgotten,
		       bool peer_rests, uint64_t us)
{
	struct sl_flow_key key = lab_key(packet);
	struct sl_event event = { .cookie = key.cookie,
				  .is_forgotten = is_forgotten,
				  .peer_rests = peer_rests,
				  .bytes_in = 300,
				  .bytes_out = 200,
				  .rport = key.rport,
				  .kind = packet->proto == IPPROTO_TCP ? SL_EV_TCP_CLOSED
								       : SL_EV_RELEASED };

	memcpy(event.raddr, key.raddr, sizeof(event.raddr));
	fake_put_event(lab->kernel, &event);
	lab_pass(lab, us);
}

void lab_make_netns(struct lab *lab, uint64_t cookie)
{
	uint64_t home = LAB_COOKIE, socket = LAB_COOKIE + cookie;
	struct sl_sock sock = *(const struct sl_sock *)fake_get(lab->kernel, FAKE_SOCKS, &home);

	fake_make_netns(lab->kernel, cookie);
	sock.netns = cookie;
	fake_put(lab->kernel, FAKE_SOCKS, &socket, &sock);
}

void lab_see(struct lab *lab, uint64_t cookie)
{
	fake_put_seen(lab->kernel, cookie, (uint32_t)cookie);
	lab_settle(lab);
}

void lab_end_socket(struct lab *lab, const struct lab_packet *packet)
{
	end_socket(lab, packet, false, false, TICK_US);
}

void lab_end_socket_within(struct lab *lab, const struct lab_packet *packet, uint64_t us)
{
	end_socket(lab, packet, false, false, us);
}

void lab_end_socket_last(struct lab *lab, const struct lab_packet *packet)
{
	end_socket(lab, packet, false, true, TICK_US);
}

void lab_close_socket(struct lab *lab, const struct lab_packet *packet)
{
	end_socket(lab, packet, true, false, TICK_US);
}
