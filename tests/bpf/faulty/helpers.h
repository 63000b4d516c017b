/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Helpers of the kernel that fail
 *
 * Put before each program of bpf/ (-include), for tests/bpf/test-helpers.c alone. Every call of a
 * helper that can fail is a site with a number; sl_fault_site fails, and any that is reached says
 * so. Look-ups are no sites: a map has an entry or it has not. What depends on an insertion that
 * failed is reached by letting the insertion fail.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define SL_FAULT_SITES 612 /* SL_FAULT_BASE of each object: 0, 100 … */

__u32 sl_fault_site __weak; /* 0: none */
__u8 sl_fault_reached[SL_FAULT_SITES] __weak;

static __always_inline int sl_fault(__u32 site)
{
	sl_fault_reached[site] = 1;
	return sl_fault_site == site;
}

/* `sl_fault(N)` of the preprocessed text is the list of all: tests/bpf/meson.build */
#define SL_SITE (SL_FAULT_BASE + __COUNTER__ + 1)
#define SL_FAIL(error, call) (sl_fault(SL_SITE) ? (error) : (call))

#define bpf_map_update_elem(...) SL_FAIL(-12, bpf_map_update_elem(__VA_ARGS__))
#define bpf_map_delete_elem(...) SL_FAIL(-2, bpf_map_delete_elem(__VA_ARGS__))
#define bpf_ringbuf_reserve(...) SL_FAIL((void *)0, bpf_ringbuf_reserve(__VA_ARGS__))
#define bpf_skb_load_bytes(...) SL_FAIL(-14, bpf_skb_load_bytes(__VA_ARGS__))
#define bpf_sk_storage_get(...) SL_FAIL((void *)0, bpf_sk_storage_get(__VA_ARGS__))
#define bpf_sk_fullsock(...) SL_FAIL((void *)0, bpf_sk_fullsock(__VA_ARGS__))
#define bpf_skc_to_tcp_sock(...) SL_FAIL((void *)0, bpf_skc_to_tcp_sock(__VA_ARGS__))
#define bpf_sock_ops_cb_flags_set(...) SL_FAIL(-22, bpf_sock_ops_cb_flags_set(__VA_ARGS__))
#define bpf_probe_read_user(...) SL_FAIL(-14, bpf_probe_read_user(__VA_ARGS__))
#define bpf_probe_read_kernel_str(...) SL_FAIL(-14, bpf_probe_read_kernel_str(__VA_ARGS__))
/* the kernel leaves zeroes */
#define bpf_probe_read_kernel(to, n, ...)                                          \
	(sl_fault(SL_SITE) ? (__builtin_memset((void *)(to), 0, n), -14) :         \
			     bpf_probe_read_kernel(to, n, __VA_ARGS__))
