/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/**
 * DOC: In which network namespace is the plane?
 *
 * sl_netns says so. The first governed socket in another one puts it there as
 * seen, and wakes sluiced with an event; until sluiced has brought the plane, or
 * when it cannot, the fail class decides at connect(2). A namespace for which the
 * map has no room is only ever the fail class's.
 */

#include "bpf/lib/maps.h"

static __always_inline void tell_seen(__u64 netns)
{
	struct sl_seen *seen = bpf_ringbuf_reserve(&sl_events, sizeof(*seen), 0);

	if (!seen) { /* the next socket tells it */
		bpf_map_delete_elem(&sl_netns, &netns);
		return;
	}
	__builtin_memset(seen, 0, sizeof(*seen));
	seen->event.kind = SL_EV_NETNS;
	seen->netns = netns;
	seen->pid = (__u32)bpf_get_current_pid_tgid();
	bpf_ringbuf_submit(seen, BPF_RB_FORCE_WAKEUP);
}

static __always_inline bool has_plane(__u64 netns)
{
	struct sl_netns fresh = { .state = SL_NETNS_SEEN }, *known;

	known = bpf_map_lookup_elem(&sl_netns, &netns);
	if (known)
		return known->state == SL_NETNS_IN_FORCE;
	if (!bpf_map_update_elem(&sl_netns, &netns, &fresh, BPF_NOEXIST))
		tell_seen(netns);
	return false;
}
