// SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later
/**
 * DOC: family - sockets whose packets no hook sees
 *
 * lsm_cgroup/socket_create, attached when the fail class is closed and the
 * kernel has it. Packet sockets, AF_XDP and transports that are not IP write
 * to an interface behind netfilter and all cgroup hooks, and PACKET_QDISC_BYPASS
 * behind traffic control too: nobody can judge what they send. So the socket
 * is refused with EPERM. The families below are judged, or reach no network.
 */
#include "bpf/lib/maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { REFUSE = 0, GO_ON = 1 };

#define FAMILIES                                                                                   \
	(1ULL << 1 /* AF_UNIX */ | 1ULL << 2 /* AF_INET */ | 1ULL << 10 /* AF_INET6 */ |           \
	 1ULL << 15 /* AF_KEY */ | 1ULL << 16 /* AF_NETLINK */ | 1ULL << 29 /* AF_CAN */ |         \
	 1ULL << 31 /* AF_BLUETOOTH */ | 1ULL << 38 /* AF_ALG */ | 1ULL << 40 /* AF_VSOCK */)

SEC("?lsm_cgroup/socket_create") /* not every kernel takes it: src/kernel/attach.c asks */
int BPF_PROG(sl_family, int family, int type, int protocol, int kern)
{
	struct sl_config *conf = get_config();

	if (kern || !conf || !conf->is_closed)
		return GO_ON;
	return family >= 0 && family < 64 && FAMILIES >> family & 1 ? GO_ON : REFUSE;
}
