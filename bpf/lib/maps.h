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

/* cookie → who; one entry for each governed socket */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct sl_sock);
} sl_socks SEC(".maps") __weak;

/* process image → path and command line */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct sl_proc_key);
	__type(value, struct sl_proc);
} sl_procs SEC(".maps") __weak;

/* cgroup id → path */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct sl_path);
} sl_cgroups SEC(".maps") __weak;

/* queued packet → its socket */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct sl_tuple);
	__type(value, struct sl_held);
} sl_held SEC(".maps") __weak;

/* conversation → verdict and counters */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct sl_flow_key);
	__type(value, struct sl_flow);
} sl_flows SEC(".maps") __weak;

/* application and destination → allowed without asking; out of date ones are forgotten first */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SL_MEMORY_MAX);
	__type(key, struct sl_memory_key);
	__type(value, struct sl_memory);
} sl_memory SEC(".maps") __weak;

/* listeners and bound UDP sockets → newest socket */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct sl_bind_key);
	__type(value, struct sl_bind);
} sl_binds SEC(".maps") __weak;

/* ends of a conversation, not TCP → the socket that has it; forgotten ones are the newest's */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct sl_tuple);
	__type(value, __u64);
} sl_ends SEC(".maps") __weak;

/* conversations with a name server → the socket that asked, its queries */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct sl_tuple);
	__type(value, struct sl_query);
} sl_resolving SEC(".maps") __weak;

/* listener's cookie, inherited by what it accepts */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u64);
} sl_listener SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sl_config);
} sl_config SEC(".maps") __weak;

/* network namespace → is the plane in it? */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SL_NETNS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct sl_netns);
} sl_netns SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22); /* the ends of all flows at one moment: 65536 × 56 bytes */
} sl_events SEC(".maps") __weak;

static __always_inline struct sl_config *get_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sl_config, &zero);
}

static __always_inline bool is_mapped4(const __u8 addr[16])
{
	const __u32 *w = (const __u32 *)addr;

	return !w[0] && !w[1] && w[2] == bpf_htonl(0xffff);
}

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
