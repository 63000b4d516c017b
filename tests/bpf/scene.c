/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "base/macros.h"
#include "scene.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* linux 5.14 */
#endif

bool ends_is_v6(const struct lab_ends *ends)
{
	return strchr(ends->src, ':') != NULL;
}

const char *ends_text(const struct lab_ends *ends)
{
	switch (ends->proto) {
	case IPPROTO_TCP:
		return ends_is_v6(ends) ? "TCP on IPv6" : "TCP on IPv4";
	case IPPROTO_UDP:
		return ends_is_v6(ends) ? "UDP on IPv6" : "UDP on IPv4";
	default:
		return ends_is_v6(ends) ? "ICMPv6 echo" : "ICMP echo";
	}
}

void ends_packet(struct lab_packet *packet, const struct lab_ends *ends)
{
	if (ends_is_v6(ends))
		lab_ipv6(packet, ends, NULL, 0);
	else
		lab_ipv4(packet, ends, 0);
}

bool ends_is_echo(const struct lab_ends *ends)
{
	return ends->proto == IPPROTO_ICMP || ends->proto == IPPROTO_ICMPV6;
}

uint64_t ends_counted(const struct lab_ends *ends)
{
	return LAB_PAYLOAD + (ends->proto == IPPROTO_TCP ? 12 : 0);
}

uint64_t own_netns(void)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(uint64_t);
	uint64_t cookie = 0;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &n) < 0) {
		printf("Bail out! no cookie of this network namespace\n");
		exit(EXIT_FAILURE);
	}
	return cookie;
}

struct sl_tuple ends_tuple(const struct lab_ends *ends, enum sl_dir dir)
{
	struct sl_tuple tuple = { .netns = own_netns(), .proto = ends->proto };
	bool is_out = dir == SL_DIR_OUT;

	lab_address(is_out ? ends->src : ends->dst, tuple.laddr);
	lab_address(is_out ? ends->dst : ends->src, tuple.raddr);
	tuple.lport = is_out || ends_is_echo(ends) ? ends->sport : ends->dport;
	tuple.rport = ends_is_echo(ends) ? 0 : is_out ? ends->dport : ends->sport;
	return tuple;
}

struct sl_flow_key ends_key(const struct lab_ends *ends, enum sl_dir dir, uint64_t cookie)
{
	struct sl_tuple tuple = ends_tuple(ends, dir);
	struct sl_flow_key key = { .cookie = cookie, .rport = tuple.rport, .proto = tuple.proto };

	memcpy(key.raddr, tuple.raddr, 16);
	return key;
}

void lab_set(struct lab *lab, const char *map, const void *key, const void *value)
{
	if (bpf_map_update_elem(lab_map(lab, map), key, value, BPF_ANY) < 0) {
		printf("Bail out! %s: %s\n", map, strerror(errno));
		exit(EXIT_FAILURE);
	}
}

bool lab_get(struct lab *lab, const char *map, const void *key, void *value)
{
	return bpf_map_lookup_elem(lab_map(lab, map), key, value) == 0;
}

void set_sock(struct lab *lab, uint64_t cookie, uint32_t flags)
{
	struct sl_sock sock = { .flags = flags,
				.owner.pid = 42,
				.owner.cgroup_id = SENDER_CGROUP,
				.user.uid = SENDER_UID,
				.netns = own_netns() };

	lab_set(lab, "sl_socks", &cookie, &sock);
}

uint32_t flags_of(struct lab *lab, uint64_t cookie)
{
	struct sl_sock sock = { 0 };

	return lab_get(lab, "sl_socks", &cookie, &sock) ? sock.flags : UINT32_MAX;
}

void set_bind(struct lab *lab, const struct lab_ends *ends, const char *addr)
{
	struct sl_bind bind = { .cookie = COOKIE, .refs = 1 };
	struct sl_bind_key key = { .netns = own_netns(), .proto = ends->proto };

	key.port = ends_tuple(ends, SL_DIR_IN).lport;
	if (addr)
		lab_address(addr, key.addr);
	lab_set(lab, "sl_binds", &key, &bind);
}

void set_flow(struct lab *lab, const struct sl_flow_key *key, enum sl_verdict verdict)
{
	struct sl_flow flow = { .id = 1, .verdict = verdict };

	lab_set(lab, "sl_flows", key, &flow);
}

/* a governed socket that packets of @ends are for */
void set_server(struct lab *lab, const struct lab_ends *ends, const char *addr)
{
	lab_clear(lab);
	set_sock(lab, COOKIE, 0);
	set_bind(lab, ends, addr);
}

bool is_held_as(struct lab *lab, const struct lab_ends *ends, enum sl_dir dir, uint64_t cookie)
{
	struct sl_tuple tuple = ends_tuple(ends, dir);
	struct sl_held held = { 0 };

	return lab_get(lab, "sl_held", &tuple, &held) && held.cookie == cookie && held.dir == dir &&
	       held.sock.owner.pid == 42 && flags_of(lab, cookie) & SL_SOCK_JUDGED;
}
