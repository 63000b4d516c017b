/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What TCP sockets have counted
 *
 * All requests leave in one message, and each has one answer: the socket, or an error, which
 * carries the number of its request. So a round costs one system call to ask and one for
 * each answer, however many sockets the machine has.
 */
#include <errno.h>
#include <linux/bpf.h> /* BPF_TCP_…: states of TCP, which linux/tcp.h has not */
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>

#include "base/macros.h"
#include "kernel/diag.h"
#include "kernel/netlink.h"
#include "kernel/plane.h"

#define REQUEST_BYTES (NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct inet_diag_req_v2)))
#define ANSWER_BYTES 4096

struct round {
	unsigned int n, n_open;
	struct diag_socket *found;
	struct plane_count *counts;
};

/* @type: SOCK_DESTROY takes the socket with this cookie alone, SOCK_DIAG_BY_FAMILY any */
static size_t write_requests(char *buffer, uint16_t type, const struct plane_end *ends,
			     unsigned int n)
{
	bool is_any = type == SOCK_DIAG_BY_FAMILY;
	size_t at = 0;

	for (unsigned int i = 0; i < n; i++, at += REQUEST_BYTES) {
		struct nlmsghdr *header = mnl_nlmsg_put_header(buffer + at);
		struct inet_diag_req_v2 *req =
			mnl_nlmsg_put_extra_header(header, sizeof(struct inet_diag_req_v2));

		header->nlmsg_type = type;
		header->nlmsg_flags = NLM_F_REQUEST;
		header->nlmsg_seq = i + 1;
		diag_request(&ends[i].tuple, ends[i].ifindex, is_any ? UINT64_MAX : ends[i].cookie,
			     req);
		req->idiag_ext = is_any ? 1 << (INET_DIAG_INFO - 1) : 0;
	}
	return at;
}

/* bytes_received counts the peer's FIN as one byte: in these states it was taken */
static bool has_fin(uint8_t state)
{
	return state == BPF_TCP_CLOSE_WAIT || state == BPF_TCP_LAST_ACK || state == BPF_TCP_CLOSING;
}

static int on_attribute(const struct nlattr *attribute, void *data)
{
	struct tcp_info *info = data;

	if (mnl_attr_get_type(attribute) == INET_DIAG_INFO)
		memcpy(info, mnl_attr_get_payload(attribute),
		       MIN((size_t)mnl_attr_get_payload_len(attribute), sizeof(*info)));
	return MNL_CB_OK;
}

static void take_socket(const struct nlmsghdr *header, struct diag_socket *found,
			struct plane_count *count)
{
	const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(header);
	struct tcp_info info = { 0 };

	if (mnl_attr_parse(header, sizeof(*msg), on_attribute, &info) < 0)
		return;
	*found = (struct diag_socket){
		.cookie = msg->id.idiag_cookie[0] | (uint64_t)msg->id.idiag_cookie[1] << 32,
		.is_connected = true,
		.is_opening = msg->idiag_state == BPF_TCP_SYN_RECV,
	};
	*count = (struct plane_count){ .bytes_in = info.tcpi_bytes_received,
				       .bytes_out = info.tcpi_bytes_sent - info.tcpi_bytes_retrans,
				       .n_unsent = info.tcpi_notsent_bytes,
				       .n_repeats = info.tcpi_retransmits,
				       .has_fin = has_fin(msg->idiag_state) };
	if (count->bytes_in)
		count->bytes_in -= has_fin(msg->idiag_state);
}

static int error_of(const struct nlmsghdr *header)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(header);

	return error->error < 0 ? error->error : -EPROTO;
}

static void take_answer(const struct nlmsghdr *header, struct round *round)
{
	unsigned int i = header->nlmsg_seq - 1;

	if (i >= round->n)
		return;
	round->n_open--;
	if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY)
		take_socket(header, &round->found[i], &round->counts[i]);
	else if (header->nlmsg_type == NLMSG_ERROR)
		round->counts[i].error = error_of(header);
}

void diag_count(int sock, const struct plane_end *ends, unsigned int n,
		struct diag_socket *ret_found, struct plane_count *ret_counts)
{
	_Alignas(struct nlmsghdr) char buffer[MAX(PLANE_COUNTS_MAX * REQUEST_BYTES, ANSWER_BYTES)];
	struct round round = { n, n, ret_found, ret_counts };
	ssize_t n_bytes;

	for (unsigned int i = 0; i < n; i++)
		ret_counts[i] = (struct plane_count){ .error = -ENODATA };
	netlink_drain(sock);
	if (send(sock, buffer, write_requests(buffer, SOCK_DIAG_BY_FAMILY, ends, n), 0) < 0)
		return;
	/* the kernel has answered all of them when send(2) is back, or never will */
	while (round.n_open > 0) {
		const struct nlmsghdr *header = (const struct nlmsghdr *)buffer;
		int left;

		n_bytes = recv(sock, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (n_bytes < 0 && errno == EINTR)
			continue;
		if (n_bytes < 0)
			return;
		left = (int)n_bytes;
		for (; mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left))
			take_answer(header, &round);
	}
}

/* an answer comes of those alone that are not there; who asks next reads it away */
void diag_end_rests(int sock, const struct plane_end *ends, unsigned int n)
{
	_Alignas(struct nlmsghdr) char buffer[PLANE_COUNTS_MAX * REQUEST_BYTES];

	(void)send(sock, buffer, write_requests(buffer, SOCK_DESTROY, ends, n), 0);
}
