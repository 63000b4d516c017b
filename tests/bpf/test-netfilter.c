/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The packet matches of bpf/netfilter-*.bpf.c, in the kernel that runs
 *
 * Packets that come in are found by what our sockets are bound to, packets
 * that go out by the socket's cookie: each check fills the maps as the other
 * programs would, calls a match and looks at what it returned and wrote.
 *
 * One line a check, "ok N - text"; exit status 77 when BPF cannot be loaded.
 */

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>

#include "base/macros.h"
#include "lab.h"
#include "peek.h"
#include "scene.h"

#define SKIPPED 77
#define INSNS_MAX 20000U /* as verified; the limit of the kernel is a million */
#define PORT_DNS 53

static const struct lab_ends udp4 = { "192.0.2.9", "10.0.0.1", 4000, 5000, IPPROTO_UDP };
static const struct lab_ends udp6 = { "2001:db8::9", "2001:db8::1", 4000, 5000, IPPROTO_UDP };
static const struct lab_ends tcp4 = { "192.0.2.9", "10.0.0.1", 4000, 5000, IPPROTO_TCP };
static const struct lab_ends tcp6 = { "2001:db8::9", "2001:db8::1", 4000, 5000, IPPROTO_TCP };
static const struct lab_ends echo4 = { "192.0.2.9", "10.0.0.1", 77, 0, IPPROTO_ICMP };
static const struct lab_ends echo6 = { "2001:db8::9", "2001:db8::1", 77, 0, IPPROTO_ICMPV6 };
static const struct lab_ends *const all_ends[] = { &udp4, &udp6, &tcp4, &tcp6, &echo4, &echo6 };

static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
				 IPPROTO_DSTOPTS, IPPROTO_HOPOPTS, IPPROTO_ROUTING };

static struct {
	unsigned int n, n_failed, insns_max;
} tally;

_printf_(2, 3) static void check(bool is_ok, const char *format, ...)
{
	va_list args;

	tally.n_failed += !is_ok;
	printf("%sok %u - ", is_ok ? "" : "not ", ++tally.n);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void check_in_held(struct lab *lab, const struct lab_ends *ends)
{
	const char *other = ends_is_v6(ends) ? "2001:db8::2" : "10.0.0.2", *text = ends_text(ends);
	struct lab_packet packet;

	ends_packet(&packet, ends);
	lab_clear(lab);
	check(lab_run(lab, "sl_in_held", &packet) == 0 && !lab_n_entries(lab, "sl_held"),
	      "%s for a socket that is not ours is not held", text);
	set_server(lab, ends, NULL);
	check(lab_run(lab, "sl_in_held", &packet) == 1 && is_held_as(lab, ends, SL_DIR_IN, COOKIE),
	      "%s for a socket bound to any address is held, its ends written down", text);
	check(lab_run(lab, "sl_in_held", &packet) == 1 && lab_n_entries(lab, "sl_held") == 1,
	      "%s is held again when it is sent again, under the same ends", text);
	set_server(lab, ends, ends->dst);
	check(lab_run(lab, "sl_in_held", &packet) == 1, "%s for a socket bound to it is held",
	      text);
	set_server(lab, ends, other);
	check(lab_run(lab, "sl_in_held", &packet) == 0,
	      "%s for another address than the socket's is not held", text);
	lab_clear(lab);
	set_bind(lab, ends, NULL);
	check(lab_run(lab, "sl_in_held", &packet) == 1 && lab_n_entries(lab, "sl_held") == 1,
	      "%s for a port whose newest socket has gone is held: another of ours has it", text);
}

static void check_in_verdict(struct lab *lab, const struct lab_ends *ends)
{
	struct sl_flow_key key = ends_key(ends, SL_DIR_IN, COOKIE);
	struct sl_flow flow = { 0 };
	struct lab_packet packet;
	const char *text = ends_text(ends);

	ends_packet(&packet, ends);
	set_server(lab, ends, NULL);
	check(lab_run(lab, "sl_in_denied", &packet) == 0 &&
		      lab_run(lab, "sl_in_silent", &packet) == 0,
	      "undecided %s is neither rejected nor dropped", text);
	set_flow(lab, &key, SL_ALLOW);
	for (int i = 0; i < 3; i++)
		if (lab_run(lab, "sl_in_held", &packet) != 0)
			break;
	lab_get(lab, "sl_flows", &key, &flow);
	check(flow.bytes_in == 3 * ends_counted(ends) && flow.bytes_out == 0 && flow.last_ns,
	      "allowed %s goes on and is counted, packet by packet", text);
	check(!lab_n_entries(lab, "sl_held"), "allowed %s is not held", text);
	set_flow(lab, &key, SL_REJECT);
	check(lab_run(lab, "sl_in_held", &packet) == 1 &&
		      lab_run(lab, "sl_in_denied", &packet) == 1 &&
		      lab_run(lab, "sl_in_silent", &packet) == 0,
	      "rejected %s is rejected", text);
	set_flow(lab, &key, SL_SILENT);
	check(lab_run(lab, "sl_in_held", &packet) == 1 &&
		      lab_run(lab, "sl_in_denied", &packet) == 1 &&
		      lab_run(lab, "sl_in_silent", &packet) == 1,
	      "silenced %s is dropped", text);
	check(lab_n_entries(lab, "sl_held") == 1, "refused %s is in the queue in its own name",
	      text);
	check(lab_run(lab, "sl_in_ours", &packet) == 1, "%s for a socket of ours is ours", text);
	lab_clear(lab);
	check(lab_run(lab, "sl_in_ours", &packet) == 0, "%s for nobody is not ours", text);
}

static void check_unasked_echo(struct lab *lab, const struct lab_ends *ends)
{
	struct lab_packet packet;

	ends_packet(&packet, ends);
	set_server(lab, ends, NULL);
	check(lab_run(lab, "sl_in_held", &packet) == 0 && !lab_n_entries(lab, "sl_held"),
	      "%s reply that nobody asked for is left to the kernel", ends_text(ends));
}

/* netfilter sees IPv6 fragments before they are put together */
static void check_fragments6(struct lab *lab)
{
	static const uint8_t fragment[] = { IPPROTO_FRAGMENT };
	struct lab_packet packet;

	set_server(lab, &udp6, NULL);
	lab_ipv6(&packet, &udp6, fragment, 1);
	packet.bytes[40 + 2] = 0;
	packet.bytes[40 + 3] = 1; /* offset 0, more to come */
	check(lab_run(lab, "sl_in_held", &packet) == 1 && is_held_as(lab, &udp6, SL_DIR_IN, COOKIE),
	      "the first fragment of IPv6 is held");
	packet.bytes[40 + 3] = 8;
	check(lab_run(lab, "sl_in_held", &packet) == 0, "a later fragment of IPv6 is not");
}

static void check_headers(struct lab *lab)
{
	struct lab_packet packet;
	size_t n;

	for (n = 0; n <= ARRAY_SIZE(kinds); n++) {
		set_server(lab, &udp6, NULL);
		lab_ipv6(&packet, &udp6, kinds, n);
		check(lab_run(lab, "sl_in_held", &packet) == 1 &&
			      is_held_as(lab, &udp6, SL_DIR_IN, COOKIE),
		      "ports are found behind %zu extension headers", n);
	}
	for (n = 4; n <= 40; n += 12) {
		set_server(lab, &udp4, NULL);
		lab_ipv4(&packet, &udp4, n);
		check(lab_run(lab, "sl_in_held", &packet) == 1 &&
			      is_held_as(lab, &udp4, SL_DIR_IN, COOKIE),
		      "ports are found behind %zu bytes of IPv4 options", n);
	}
	set_server(lab, &udp4, NULL);
	lab_ipv4(&packet, &udp4, 0);
	packet.bytes[7] = 1; /* 8 bytes into the datagram */
	check(lab_run(lab, "sl_in_held", &packet) == 0,
	      "a fragment that is not the first has no ports to be held by");
	check_fragments6(lab);
}

/* every length the headers can be cut to; a test run refuses packets of no byte */
static void check_cut(struct lab *lab, const struct lab_ends *ends, size_t n_kinds)
{
	static const char *const programs[] = { "sl_in_held", "sl_in_denied", "sl_in_silent",
						"sl_in_answer" };
	size_t n_matched = 0, n_failed = 0;
	struct lab_packet packet, cut;
	struct sl_flow_key key = ends_key(ends, SL_DIR_IN, COOKIE);

	if (ends_is_v6(ends))
		lab_ipv6(&packet, ends, kinds, n_kinds);
	else
		lab_ipv4(&packet, ends, 4 * n_kinds);
	set_server(lab, ends, NULL);
	set_flow(lab, &key, SL_REJECT);
	for (cut = packet, cut.n = 1; cut.n < packet.n_headers + 8; cut.n++)
		for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
			int r = lab_run(lab, programs[i], &cut);

			n_matched += r > 0;
			n_failed += r < 0;
		}
	check(!n_matched && !n_failed && lab_run(lab, "sl_in_denied", &packet) == 1,
	      "%s with %zu %s matches nothing, however its headers are cut", ends_text(ends),
	      n_kinds, ends_is_v6(ends) ? "extension headers" : "options");
}

static void check_answer(struct lab *lab, const char *server, const char *client, uint8_t proto)
{
	struct lab_ends answer = { server, client, PORT_DNS, 40000, proto };
	struct sl_tuple tuple = ends_tuple(&answer, SL_DIR_IN);
	struct sl_query query = { .cookie = COOKIE, .ids = { 0x1234, 0 }, .n_ids = 2 };
	struct lab_packet packet; /* its payload is zero, so that is the answer's id */

	lab_clear(lab);
	ends_packet(&packet, &answer);
	check(lab_run(lab, "sl_in_answer", &packet) == 0,
	      "an answer over %s that nobody waits for is not read", ends_text(&answer));
	lab_set(lab, "sl_resolving", &tuple, &query);
	check(lab_run(lab, "sl_in_answer", &packet) == 1,
	      "an answer over %s that is waited for is read", ends_text(&answer));
	query.n_ids = 1;
	lab_set(lab, "sl_resolving", &tuple, &query);
	check(lab_run(lab, "sl_in_answer", &packet) == (proto == IPPROTO_TCP),
	      "an answer over %s with the id of no question is %s", ends_text(&answer),
	      proto == IPPROTO_TCP ? "read: the connection proves it" : "not read");
	answer.dport++;
	ends_packet(&packet, &answer);
	check(lab_run(lab, "sl_in_answer", &packet) == 0,
	      "an answer over %s to another port is not read", ends_text(&answer));
}

struct sender {
	const struct lab_ends *ends;
	enum sl_verdict verdict;    /* SL_UNDECIDED: no flow in the map */
	uint32_t flags;		    /* of its socket, as well */
	const struct sl_flow *flow; /* the same, instead of a verdict */
};

static void prepare(struct lab *lab, uint64_t cookie, void *data)
{
	const struct sender *sender = data;
	struct sl_flow_key key = ends_key(sender->ends, SL_DIR_OUT, cookie);

	set_sock(lab, cookie,
		 sender->flags | (sender->ends->proto == IPPROTO_TCP ? SL_SOCK_STREAM : 0));
	if (sender->verdict != SL_UNDECIDED)
		set_flow(lab, &key, sender->verdict);
	if (sender->flow)
		lab_set(lab, "sl_flows", &key, sender->flow);
}

static int run_out(struct lab *lab, const char *program, const struct lab_ends *ends,
		   enum sl_verdict verdict, uint64_t *ret_cookie)
{
	struct sender sender = { ends, verdict };
	struct lab_packet packet;

	ends_packet(&packet, ends);
	return lab_run_as(lab, program, &packet, prepare, &sender, ret_cookie);
}

/* every user has @n packets unread, sent many before or not; another one sent @ago_ns ago */
static void set_crowds(struct lab *lab, __u32 n, bool has_paid, __u64 ago_ns)
{
	struct timespec now;
	struct sl_senders senders = { .last = SL_CROWDS };
	struct sl_crowd crowd = { .n = n };
	__u32 zero = 0;

	clock_gettime(CLOCK_BOOTTIME, &now);
	crowd.since_ns = (__u64)now.tv_sec * 1000000000 + (__u64)now.tv_nsec;
	senders.last_ns = crowd.since_ns - ago_ns;
	crowd.paid_ns = has_paid ? crowd.since_ns + SL_CROWD_NS : 0;
	bpf_map_update_elem(lab_map(lab, "sl_senders"), &zero, &senders, BPF_ANY);
	for (__u32 i = 0; i < SL_CROWDS; i++)
		bpf_map_update_elem(lab_map(lab, "sl_crowds"), &i, &crowd, BPF_ANY);
}

/* with as many unread: it is no user among others */
static void check_canary(struct lab *lab, const struct lab_ends *ends)
{
	struct sl_config config = { .canary_uid = SENDER_UID };
	uint64_t cookie;
	uint32_t zero = 0;

	lab_set(lab, "sl_config", &zero, &config);
	check(run_out(lab, "sl_out_crowd", ends, SL_UNDECIDED, &cookie) == 0,
	      "%s of the canary is queued", ends_text(ends));
	config.canary_uid = SENDER_UID + 1;
	lab_set(lab, "sl_config", &zero, &config);
}

static void check_crowd(struct lab *lab, const struct lab_ends *ends)
{
	uint64_t cookie;

	set_crowds(lab, SL_CROWD_MAX - 1, false, 0);
	check(run_out(lab, "sl_out_crowd", ends, SL_UNDECIDED, &cookie) == 0,
	      "%s of a user with few unread is queued", ends_text(ends));
	set_crowds(lab, SL_CROWD_FEW - 1, true, 0);
	check(run_out(lab, "sl_out_crowd", ends, SL_UNDECIDED, &cookie) == 0,
	      "%s of a user who floods is queued while few are unread", ends_text(ends));
	set_crowds(lab, SL_CROWD_FEW, true, 0);
	check(run_out(lab, "sl_out_crowd", ends, SL_UNDECIDED, &cookie) == 1,
	      "%s of a user who floods is not queued behind a few", ends_text(ends));
	set_crowds(lab, SL_CROWD_MAX, false, 0);
	check(run_out(lab, "sl_out_crowd", ends, SL_UNDECIDED, &cookie) == 1,
	      "%s of a user with very many unread is not queued", ends_text(ends));
	check_canary(lab, ends);
	set_crowds(lab, SL_CROWD_MAX, true, 2 * SL_CROWD_NS);
	check(run_out(lab, "sl_out_crowd", ends, SL_UNDECIDED, &cookie) == 0,
	      "%s of a user who is alone is queued", ends_text(ends));
}

/* a proxy is known by its cgroup, while that is governed */
static void check_proxy(struct lab *lab, const struct lab_ends *ends)
{
	static const struct {
		uint64_t proxies_id;
		int wanted;
	} cases[] = { { 0, 0 }, { SENDER_CGROUP, 1 }, { SENDER_CGROUP + 1, 0 } };
	struct lab_packet packet;
	uint64_t cookie;
	uint32_t zero = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sl_config config = { .proxies_id = cases[i].proxies_id };

		lab_set(lab, "sl_config", &zero, &config);
		check(run_out(lab, "sl_out_proxy", ends, SL_UNDECIDED, &cookie) == cases[i].wanted,
		      "%s of cgroup %u, while that of proxies is %u", ends_text(ends),
		      SENDER_CGROUP, (unsigned int)cases[i].proxies_id);
	}
	lab_clear(lab);
	ends_packet(&packet, ends);
	check(lab_run(lab, "sl_out_proxy", &packet) == 0, "%s of nobody is no proxy's",
	      ends_text(ends));
}

static int run_place(struct lab *lab, const char *program, const struct lab_ends *ends, __u32 n,
		     __u32 of_sender, __u32 packets)
{
	struct sl_packet_places places = { .n = n };
	struct sl_config config = { .packets = packets };
	__u32 zero = 0;
	uint64_t cookie;

	places.of[sl_crowd_of(SENDER_UID)] = of_sender;
	lab_set(lab, "sl_packet_places", &zero, &places);
	lab_set(lab, "sl_config", &zero, &config);
	return run_out(lab, program, ends, SL_ALLOW, &cookie);
}

/* no rules are in force, so that packet filters are asked about everything */
static void check_places(struct lab *lab, const struct lab_ends *ends)
{
	const char *place = "sl_packet_out_place", *denied = "sl_packet_out_denied";
	struct sl_packet_places left = { 0 };
	const __u32 all = SL_PACKET_PLACES;
	__u32 zero = 0;

	check(run_place(lab, place, ends, 0, 0, SL_PACKETS_OPEN) == 1 &&
		      lab_get(lab, "sl_packet_places", &zero, &left) && left.n == 1 &&
		      left.of[sl_crowd_of(SENDER_UID)] == 1,
	      "%s is asked about and has a place", ends_text(ends));
	check(run_place(lab, place, ends, all / 2, all / 2, SL_PACKETS_OPEN) == 0 &&
		      run_place(lab, place, ends, all / 2, all / 2 - 1, SL_PACKETS_OPEN) == 1,
	      "%s of a user who has half of the places gets no other one", ends_text(ends));
	check(run_place(lab, place, ends, all - 1, 0, SL_PACKETS_OPEN) == 1,
	      "%s of a user who has none gets one, whoever floods", ends_text(ends));
	check(run_place(lab, denied, ends, 0, 0, SL_PACKETS_OPEN) == 0 &&
		      run_place(lab, denied, ends, 0, 0, SL_PACKETS_CLOSED) == 1,
	      "%s without a place is the fail class's", ends_text(ends));
}

static void check_out_foreign(struct lab *lab, const struct lab_ends *ends)
{
	static const char *const programs[] = { "sl_out_held",	 "sl_out_ours",	  "sl_out_allowed",
						"sl_out_denied", "sl_out_silent", "sl_out_query",
						"sl_out_crowd" };
	struct lab_packet packet;
	bool is_ok = true;

	lab_clear(lab);
	ends_packet(&packet, ends);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		is_ok = is_ok && lab_run(lab, programs[i], &packet) == 0;
	check(is_ok && !lab_n_entries(lab, "sl_held") && !lab_n_entries(lab, "sl_resolving"),
	      "%s of a socket that is not ours is left alone", ends_text(ends));
}

static void check_out_verdict(struct lab *lab, const struct lab_ends *ends)
{
	const char *text = ends_text(ends);
	struct sl_flow flow = { 0 };
	struct sl_flow_key key;
	uint64_t cookie = 0;
	int r;

	r = run_out(lab, "sl_out_held", ends, SL_UNDECIDED, &cookie);
	check(r == 1 && is_held_as(lab, ends, SL_DIR_OUT, cookie),
	      "%s of a socket of ours is held, its ends written down", text);
	check(lab_n_entries(lab, "sl_binds") == (ends->proto != IPPROTO_TCP), "%s",
	      ends->proto == IPPROTO_TCP ? "a reply to TCP finds its socket by itself"
					 : "a reply to a socket that only sent finds it");
	r = run_out(lab, "sl_out_held", ends, SL_ALLOW, &cookie);
	key = ends_key(ends, SL_DIR_OUT, cookie);
	lab_get(lab, "sl_flows", &key, &flow);
	if (ends->proto == IPPROTO_TCP)
		check(r == 0 && flags_of(lab, cookie) == (SL_SOCK_ALLOWED | SL_SOCK_STREAM),
		      "allowed %s is not looked at again", text);
	else
		check(r == 0 && flow.bytes_out == LAB_PAYLOAD && flow.bytes_in == 0,
		      "allowed %s goes out and is counted", text);
	check(run_out(lab, "sl_out_held", ends, SL_REJECT, &cookie) == 1 &&
		      run_out(lab, "sl_out_denied", ends, SL_REJECT, &cookie) == 1 &&
		      run_out(lab, "sl_out_silent", ends, SL_REJECT, &cookie) == 0,
	      "rejected %s is rejected on its way out", text);
	check(run_out(lab, "sl_out_held", ends, SL_SILENT, &cookie) == 1 &&
		      run_out(lab, "sl_out_denied", ends, SL_SILENT, &cookie) == 1 &&
		      run_out(lab, "sl_out_silent", ends, SL_SILENT, &cookie) == 1,
	      "silenced %s is dropped on its way out", text);
}

/* Return: what sl_out_held says of a packet of such a flow */
static int run_ordered(struct lab *lab, const struct lab_ends *ends, struct sl_flow *flow,
		       __u64 n_held, __u64 n_read)
{
	struct sl_order order = { n_held, n_read };
	struct sender sender = { .ends = ends, .flow = flow };
	struct lab_packet packet;
	struct sl_flow_key key;
	uint64_t cookie;
	uint32_t index = sl_order_of(own_netns());
	int r;

	lab_set(lab, "sl_order", &index, &order);
	ends_packet(&packet, ends);
	r = lab_run_as(lab, "sl_out_held", &packet, prepare, &sender, &cookie);
	key = ends_key(ends, SL_DIR_OUT, cookie);
	lab_get(lab, "sl_flows", &key, flow);
	return r;
}

static void check_order(struct lab *lab, const struct lab_ends *ends)
{
	struct sl_flow flow = { .verdict = SL_ALLOW, .flags = SL_FLOW_BEHIND };
	const char *text = ends_text(ends);

	check(run_ordered(lab, ends, &flow, 5, 4) == 1 && flow.behind == 6 &&
		      flow.flags == SL_FLOW_BEHIND && !flow.bytes_out,
	      "allowed %s waits with those that wait for its verdict", text);
	check(run_ordered(lab, ends, &flow, 9, 5) == 1 && flow.behind == 10,
	      "%s waits for the one before it", text);
	check(run_ordered(lab, ends, &flow, 15, 10) == 0 && !flow.flags && flow.bytes_out,
	      "%s goes when those before it have gone, whoever else waits", text);
	check(run_ordered(lab, ends, &flow, 20, 10) == 0, "and %s so for good", text);
	flow = (struct sl_flow){ .verdict = SL_ALLOW, .flags = SL_FLOW_BEHIND };
	check(run_ordered(lab, ends, &flow, 5, 5) == 0 && !flow.flags,
	      "%s goes at once when nobody waits", text);
}

/* queued again, and not held any more */
static void check_out_again(struct lab *lab, const struct lab_ends *ends)
{
	static const enum sl_verdict going[] = { SL_ALLOW, SL_PEEK };
	static const enum sl_verdict staying[] = { SL_UNDECIDED, SL_REJECT, SL_SILENT };
	struct sender connected_since = { .ends = ends, .flags = SL_SOCK_ALLOWED };
	const char *text = ends_text(ends);
	struct lab_packet packet;
	bool is_ok = true;
	uint64_t cookie;

	for (size_t i = 0; i < ARRAY_SIZE(going); i++)
		is_ok = is_ok && run_out(lab, "sl_out_allowed", ends, going[i], &cookie) == 1;
	check(is_ok, "%s is allowed when its verdict is, or looks at none of it", text);
	for (size_t i = 0; i < ARRAY_SIZE(staying); i++)
		is_ok = is_ok && run_out(lab, "sl_out_allowed", ends, staying[i], &cookie) == 0;
	check(is_ok, "undecided, rejected or silenced %s is not", text);
	ends_packet(&packet, ends);
	check(lab_run_as(lab, "sl_out_allowed", &packet, prepare, &connected_since, &cookie) == 0,
	      "%s is not, when only its socket is, to another peer since", text);
}

static void check_query(struct lab *lab, const char *program)
{
	static const struct lab_ends query = { "10.0.0.1", "192.0.2.53", 40000, PORT_DNS,
					       IPPROTO_UDP };
	struct sl_tuple tuple = ends_tuple(&query, SL_DIR_OUT);
	struct sl_query found = { 0 };
	uint64_t cookie = 0;

	run_out(lab, program, &query, SL_UNDECIDED, &cookie);
	check(lab_get(lab, "sl_resolving", &tuple, &found) && found.cookie == cookie &&
		      found.n_ids == 1 && found.ids[0] == 0,
	      "%s notes which socket asked a name server, and the id", program);
	run_out(lab, program, &udp4, SL_UNDECIDED, &cookie);
	check(!lab_n_entries(lab, "sl_resolving"), "%s notes nothing else", program);
}

/* @judged: so much of loopback */
static void check_judged(struct lab *lab, struct sl_loopback judged, const char *dst, int wanted)
{
	struct lab_ends ends = { strchr(dst, ':') ? "::1" : "127.0.0.1", dst, 4000, 53,
				 IPPROTO_UDP };
	struct sl_config config = { .loopback = judged };
	struct lab_packet packet;
	uint32_t zero = 0;

	lab_clear(lab);
	lab_set(lab, "sl_config", &zero, &config);
	ends_packet(&packet, &ends);
	check(lab_run(lab, "sl_out_loopback", &packet) == wanted, "%s is %sof what is judged", dst,
	      wanted ? "" : "not ");
}

static void check_loopback(struct lab *lab)
{
	const struct sl_loopback none = { 0 }, one = { 0x7f000001, 0xffffffff, 0, 0 };
	const struct sl_loopback all = { 0x7f000000, 0xff000000, 1, 0 };

	check_judged(lab, none, "127.0.0.1", 0);
	check_judged(lab, none, "::1", 0);
	check_judged(lab, one, "127.0.0.1", 1);
	check_judged(lab, one, "127.0.0.53", 0);
	check_judged(lab, one, "::1", 0);
	check_judged(lab, all, "127.0.0.53", 1);
	check_judged(lab, all, "::1", 1);
	check_judged(lab, all, "10.0.0.1", 0); /* one of the machine's own */
	check_judged(lab, all, "2001:db8::1", 0);
}

/* which end began a conversation on loopback is noted, once, and not over one that is judged */
static void check_came(struct lab *lab)
{
	const struct lab_ends ends = { "127.0.0.2", "127.0.0.1", 4000, 7, IPPROTO_UDP };
	struct sl_config config = { .loopback = { 0x7f000000, 0xff000000, 1, 0 } };
	struct sl_tuple tuple = ends_tuple(&ends, SL_DIR_IN);
	uint64_t found = 0, own = COOKIE;
	struct lab_packet packet;
	uint32_t zero = 0;

	ends_packet(&packet, &ends);
	set_server(lab, &ends, NULL);
	lab_set(lab, "sl_config", &zero, &config);
	tuple.lo = SL_LO_CAME;
	check(lab_run(lab, "sl_in_loopback", &packet) == 0 &&
		      lab_get(lab, "sl_ends", &tuple, &found) && found == COOKIE,
	      "a datagram that comes in over loopback is noted, and passes");
	set_server(lab, &ends, NULL);
	lab_empty(lab, "sl_ends");
	lab_set(lab, "sl_config", &zero, &config);
	tuple.lo = SL_LO_IS;
	lab_set(lab, "sl_ends", &tuple, &own);
	tuple.lo = SL_LO_CAME;
	check(lab_run(lab, "sl_in_loopback", &packet) == 0 &&
		      !lab_get(lab, "sl_ends", &tuple, &found),
	      "of a conversation that our socket has begun it is not");
}

static void check_out_unreadable(struct lab *lab)
{
	struct sender sender = { &udp4, SL_ALLOW };
	struct lab_packet packet;
	uint64_t cookie;
	bool is_ok = true;

	for (size_t n = 1; n < 28 && is_ok; n++) {
		int r;

		lab_ipv4(&packet, &udp4, 0);
		packet.n = n;
		r = lab_run_as(lab, "sl_out_held", &packet, prepare, &sender, &cookie);
		is_ok = r == 1;
	}
	check(is_ok, "a packet of ours that cannot be read is not let out");
}

static void check_size(const char *name, unsigned int n_verified, void *data)
{
	tally.insns_max = MAX(tally.insns_max, n_verified);
	check(n_verified && n_verified <= INSNS_MAX, "%s is verified in %u instructions", name,
	      n_verified);
}

/* the same address and port, of another container */
static void check_other_netns(struct lab *lab, const struct lab_ends *ends)
{
	struct sl_tuple tuple = ends_tuple(ends, SL_DIR_IN);
	struct sl_bind_key key = { .netns = tuple.netns + 1,
				   .port = tuple.lport,
				   .proto = ends->proto };
	struct sl_bind bind = { .cookie = COOKIE, .refs = 1 };
	struct sl_held held = { .cookie = COOKIE, .dir = SL_DIR_IN };
	struct lab_packet packet;

	ends_packet(&packet, ends);
	lab_clear(lab);
	set_sock(lab, COOKIE, 0);
	memcpy(key.addr, tuple.laddr, sizeof(key.addr));
	lab_set(lab, "sl_binds", &key, &bind);
	check(lab_run(lab, "sl_in_held", &packet) == 0,
	      "%s to a socket of another network is not ours", ends_text(ends));
	tuple.netns++;
	lab_set(lab, "sl_held", &tuple, &held);
	check(lab_run(lab, "sl_in_ours", &packet) == 0,
	      "%s held in another network is not ours here", ends_text(ends));
}

static void check_all(struct lab *lab)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_ends); i++) {
		if (ends_is_echo(all_ends[i]))
			check_unasked_echo(lab, all_ends[i]);
		else
			check_in_held(lab, all_ends[i]);
		if (!ends_is_echo(all_ends[i]))
			check_other_netns(lab, all_ends[i]);
		check_in_verdict(lab, all_ends[i]);
		peek_check(lab, all_ends[i], check);
		check_out_foreign(lab, all_ends[i]);
		check_crowd(lab, all_ends[i]);
		check_proxy(lab, all_ends[i]);
		check_places(lab, all_ends[i]);
		check_out_verdict(lab, all_ends[i]);
		if (all_ends[i]->proto != IPPROTO_TCP)
			check_order(lab, all_ends[i]);
		check_out_again(lab, all_ends[i]);
		check_cut(lab, all_ends[i], 0);
		check_cut(lab, all_ends[i], ARRAY_SIZE(kinds));
	}
	check_headers(lab);
	check_out_unreadable(lab);
	check_answer(lab, "192.0.2.53", "10.0.0.1", IPPROTO_UDP);
	check_answer(lab, "2001:db8::53", "2001:db8::1", IPPROTO_TCP);
	check_query(lab, "sl_out_held");
	check_query(lab, "sl_out_query");
	check_loopback(lab);
	check_came(lab);
	check(lab_each_program(lab, check_size, NULL) == 0, "every program tells its size");
}

int main(void)
{
	struct lab *lab = NULL;
	int r = lab_new(&lab);

	if (r == -EPERM || r == -EACCES || r == -ENOSYS) {
		printf("BPF cannot be loaded here: %s\n", strerror(-r));
		return SKIPPED;
	}
	if (r < 0) {
		printf("Bail out! the programs do not load: %s\n", strerror(-r));
		return EXIT_FAILURE;
	}
	check_all(lab);
	lab_free(lab);
	printf("1..%u\n  largest program: %u instructions as verified\n", tally.n, tally.insns_max);
	return tally.n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
