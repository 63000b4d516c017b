/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The maps, shared by every object
 *
 * Each definition is weak: the objects are linked into one, which holds each
 * map once. Sizes are the largest an instance may hold; hash maps without
 * preallocation cost nothing until used, LRU maps forget the oldest entry,
 * and a forgotten verdict is asked again. A full sl_socks is the fail class's.
 */

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#include "abi/sluice-abi.h"

/* macros of uapi headers, which BTF does not carry */
#define AF_INET 2
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPPROTO_HOPOPTS 0
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_AH 51
#define IPPROTO_ICMPV6 58
#define IPPROTO_DSTOPTS 60
#ifndef NULL
#define NULL ((void *)0)
#endif

#define MAP(of_kind, n, of_flags, of_key, of_value)                                                \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_##of_kind);                                              \
		__uint(max_entries, n);                                                            \
		__uint(map_flags, of_flags);                                                       \
		__type(key, of_key);                                                               \
		__type(value, of_value);                                                           \
	}
#define HASH(n, key, value) MAP(HASH, n, BPF_F_NO_PREALLOC, key, value)
#define LRU(n, key, value) MAP(LRU_HASH, n, 0, key, value)
#define ARRAY(n, flags, value) MAP(ARRAY, n, flags, __u32, value)
#define PERCPU(n, value) MAP(PERCPU_ARRAY, n, 0, __u32, value)
#define SCRATCH(value) MAP(PERCPU_ARRAY, 1, 0, __u32, value) /* what the stack is too small for */

/* cookie → who; one entry for each governed socket */
HASH(262144, __u64, struct sl_sock) sl_socks SEC(".maps") __weak;
/* process image → path and command line */
LRU(4096, struct sl_proc_key, struct sl_proc) sl_procs SEC(".maps") __weak;
/* cgroup id → path */
LRU(1024, __u64, struct sl_path) sl_cgroups SEC(".maps") __weak;
/* queued packet → its socket */
LRU(32768, struct sl_tuple, struct sl_held) sl_held SEC(".maps") __weak;
/* conversation → verdict and counters */
LRU(65536, struct sl_flow_key, struct sl_flow) sl_flows SEC(".maps") __weak;
/* application and destination → allowed without asking; out of date ones are forgotten first */
LRU(SL_MEMORY_MAX, struct sl_memory_key, struct sl_memory) sl_memory SEC(".maps") __weak;
/* listeners and bound UDP sockets → newest socket */
HASH(65536, struct sl_bind_key, struct sl_bind) sl_binds SEC(".maps") __weak;
/* ends of a conversation, not TCP → the socket that has it; forgotten ones are the newest's */
LRU(16384, struct sl_tuple, __u64) sl_ends SEC(".maps") __weak;
/* TCP that filters look at → its key in sl_flows has this cookie, where it begins, and how far it is
 * acknowledged */
HASH(65536, struct sl_tuple, struct sl_peek) sl_peeks SEC(".maps") __weak;
/* conversations with a name server → the socket that asked, its queries */
LRU(4096, struct sl_tuple, struct sl_query) sl_resolving SEC(".maps") __weak;
/* network namespace → is the plane in it? */
HASH(SL_NETNS_MAX, __u64, struct sl_netns) sl_netns SEC(".maps") __weak;
/* user → its packets in the queue that nobody has read */
ARRAY(SL_CROWDS, BPF_F_MMAPABLE, struct sl_crowd) sl_crowds SEC(".maps") __weak;
/* network namespace → datagrams that were held, and that were read */
ARRAY(SL_ORDERS, BPF_F_MMAPABLE, struct sl_order) sl_order SEC(".maps") __weak;
/* who sent last */
ARRAY(1, 0, struct sl_senders) sl_senders SEC(".maps") __weak;
/* packet filters: ends of a packet → its socket, and what the rules say of it */
LRU(16384, struct sl_tuple, struct sl_packet) sl_packets SEC(".maps") __weak;
/* the rules of packet filters, and those of before */
ARRAY(2, 0, struct sl_packet_set) sl_packet_sets SEC(".maps") __weak;
/* enum sl_packet_count */
PERCPU(_SL_PACKET_COUNT_N, __u64) sl_packet_counts SEC(".maps") __weak;
/* packets that wait for packet filters, by user */
ARRAY(1, BPF_F_MMAPABLE, struct sl_packet_places) sl_packet_places SEC(".maps") __weak;
/* what the daemon tells the programs */
ARRAY(1, 0, struct sl_config) sl_config SEC(".maps") __weak;

/* listener's cookie, inherited by what it accepts */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u64);
} sl_listener SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22); /* the ends of all flows at one moment: 65536 × 56 bytes */
} sl_events SEC(".maps") __weak;

static __always_inline struct sl_config *get_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sl_config, &zero);
}

#define LOOPBACK_IFINDEX 1 /* in every namespace */

/* the key of sl_binds that stands for every address of the family */
static __always_inline void any_of_family(__u8 to[16], bool is_ipv4)
{
	__builtin_memset(to, 0, 16);
	if (is_ipv4)
		to[10] = to[11] = 0xff;
}

static __always_inline void unmap4(__u8 to[16], __be32 addr)
{
	__builtin_memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, &addr, 4);
}

/* which interface its packets took is not known here */
static __always_inline void forget_flow(struct sl_flow_key *key)
{
	bpf_map_delete_elem(&sl_flows, key);
	if (!sl_is_loopback(key->raddr))
		return;
	key->lo = SL_LO_IS;
	bpf_map_delete_elem(&sl_flows, key);
	key->lo = SL_LO_NOT;
}

/*
 * NULL when the ring is full: UDP, ICMP and denied flows then end by their idle
 * time, allowed TCP when the daemon's table evicts it, without a report
 */
static __always_inline struct sl_event *event_new(__u16 kind, __u64 cookie)
{
	struct sl_event *event = bpf_ringbuf_reserve(&sl_events, sizeof(*event), 0);

	if (!event)
		return NULL;
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->cookie = cookie;
	return event;
}
