/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/* By which interface a packet leaves, or has come in. */

#include "bpf/lib/maps.h"

/* the route is known at this hook, the packet's own device is not yet */
static __always_inline struct net_device *device_of_route(void *skb)
{
	unsigned long dst =
		BPF_CORE_READ((struct sk_buff *)skb, _skb_refdst) & ~1UL; /* SKB_DST_NOREF */

	return dst ? BPF_CORE_READ((struct dst_entry *)dst, dev) : NULL;
}

#define RTCF_BROADCAST 0x10000000U /* linux/in_route.h */

/* of IPv4 alone */
static __always_inline bool is_broadcast_route(void *skb, const __u8 raddr[16])
{
	unsigned long dst = BPF_CORE_READ((struct sk_buff *)skb, _skb_refdst) & ~1UL;

	return dst && sl_is_mapped4(raddr) &&
	       BPF_CORE_READ((struct rtable *)dst, rt_flags) & RTCF_BROADCAST;
}

static __always_inline __u32 ifindex_of_route(void *skb)
{
	struct net_device *device = device_of_route(skb);

	return device ? BPF_CORE_READ(device, ifindex) : 0;
}

/* of one that leaves; enum sl_lo. What others have there costs nobody a look at the route */
static __always_inline __u8 lo_of_sent(void *skb, const __u8 raddr[16])
{
	return sl_is_loopback(raddr) && ifindex_of_route(skb) == LOOPBACK_IFINDEX ? SL_LO_IS
										  : SL_LO_NOT;
}
