/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>

#include "base/macros.h"
#include "kernel/queue.h"

#define ANSWER_BYTES 8192 /* libmnl recommends a page, at most 8 KiB */
#define VERDICT_BYTES 512
#define ANSWER_ONE_BYTES 64 /* more than a verdict without a mark takes */
#define QUEUE_RCVBUF (16 << 20)
#define QUEUE_FIRST 0x5c00 /* away from 0, where other programs begin */
#define PACKETS_FIRST 0x6000
#define PACKETS_NUMBERS 0x4000
#define QUEUE_TRIES 64 /* other programs of this namespace may own some numbers */

static struct nlmsghdr *begin(char *buffer, uint16_t num, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *gen;

	header->nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	gen = mnl_nlmsg_put_extra_header(header, sizeof(*gen));
	gen->nfgen_family = AF_UNSPEC;
	gen->version = NFNETLINK_V0;
	gen->res_id = htons(num);
	return header;
}

static int transact(int fd, const struct nlmsghdr *header)
{
	char buffer[ANSWER_BYTES];
	const struct nlmsghdr *answer = (const struct nlmsghdr *)buffer;
	const struct nlmsgerr *error;
	ssize_t n;

	if (send(fd, header, header->nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, buffer, sizeof(buffer), 0);
	if (n < 0)
		return -errno;
	if (!mnl_nlmsg_ok(answer, (int)n) || answer->nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	error = mnl_nlmsg_get_payload(answer);
	return error->error;
}

static int bind_number(int fd, uint16_t num)
{
	struct nfqnl_msg_config_cmd command = { .command = NFQNL_CFG_CMD_BIND,
						.pf = htons(AF_UNSPEC) };
	char buffer[ANSWER_BYTES];
	struct nlmsghdr *header = begin(buffer, num, NFQNL_MSG_CONFIG, NLM_F_ACK);

	mnl_attr_put(header, NFQA_CFG_CMD, sizeof(command), &command);
	return transact(fd, header);
}

/* @is_live: packets come, and one of them would be taken for the kernel's answer: nobody waits for it */
static int set_parameters(int fd, uint16_t num, uint32_t n_copy, uint32_t flags, uint32_t n_max,
			  bool is_live)
{
	struct nfqnl_msg_config_params params = { .copy_range = htonl(n_copy),
						  .copy_mode = NFQNL_COPY_PACKET };
	char buffer[ANSWER_BYTES];
	struct nlmsghdr *header = begin(buffer, num, NFQNL_MSG_CONFIG, is_live ? 0 : NLM_F_ACK);

	mnl_attr_put(header, NFQA_CFG_PARAMS, sizeof(params), &params);
	mnl_attr_put_u32(header, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO | flags));
	mnl_attr_put_u32(header, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN));
	mnl_attr_put_u32(header, NFQA_CFG_QUEUE_MAXLEN, htonl(n_max));
	if (is_live)
		return send(fd, header, header->nlmsg_len, 0) < 0 ? -errno : 0;
	return transact(fd, header);
}

int queue_prepare(int fd)
{
	int bytes = QUEUE_RCVBUF, on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on));
	return 0;
}

/* Return: a number, or a negative errno */
static int bind_from(int fd, uint16_t num)
{
	int r = -EBUSY;

	for (int i = 0; i < QUEUE_TRIES; i++, num++) {
		r = bind_number(fd, num);
		if (r != -EBUSY && r != -EPERM)
			break;
	}
	return r < 0 ? r : num;
}

int queue_bind(int fd, uint16_t *ret_num)
{
	int num = bind_from(fd, QUEUE_FIRST), r;

	if (num < 0)
		return num;
	r = set_parameters(fd, (uint16_t)num, QUEUE_PACKET_MAX, 0, QUEUE_LENGTH_MAX, false);
	if (r < 0)
		return r;
	*ret_num = (uint16_t)num;
	return 0;
}

/* the number of an instance that died stays in its rules until a successor has put its own there */
int queue_bind_packets(int fd, const char *instance, uint16_t *ret_num)
{
	uint32_t hash = 0x811c9dc5U;
	int num;

	for (; *instance; instance++) /* FNV-1a */
		hash = (hash ^ (uint8_t)*instance) * 0x01000193U;
	num = bind_from(fd, (uint16_t)(PACKETS_FIRST + hash % PACKETS_NUMBERS));
	if (num < 0)
		return num;
	*ret_num = (uint16_t)num;
	return 0;
}

int queue_set_packets(int fd, uint16_t num, uint32_t n_copy, bool is_closed, bool is_live)
{
	return set_parameters(fd, num, n_copy, is_closed ? 0 : NFQA_CFG_F_FAIL_OPEN,
			      PACKETS_LENGTH_MAX, is_live);
}

static int read_attribute(const struct nlattr *attr, void *data)
{
	struct queue_packet *packet = data;
	const struct nfqnl_msg_packet_hdr *header;

	switch (mnl_attr_get_type(attr)) {
	case NFQA_PACKET_HDR:
		header = mnl_attr_get_payload(attr);
		packet->id = ntohl(header->packet_id);
		packet->is_inbound = header->hook == NF_INET_LOCAL_IN;
		break;
	case NFQA_MARK:
		packet->mark = ntohl(mnl_attr_get_u32(attr));
		break;
	case NFQA_CAP_LEN: /* only there when more was to be copied than fits */
		packet->is_cut = true;
		packet->length = ntohl(mnl_attr_get_u32(attr));
		break;
	case NFQA_SKB_INFO:
		packet->is_segmented = ntohl(mnl_attr_get_u32(attr)) & NFQA_SKB_GSO;
		packet->is_unchecked = ntohl(mnl_attr_get_u32(attr)) & NFQA_SKB_CSUM_NOTVERIFIED;
		break;
	case NFQA_IFINDEX_OUTDEV:
	case NFQA_IFINDEX_INDEV:
		packet->ifindex = ntohl(mnl_attr_get_u32(attr));
		break;
	case NFQA_PAYLOAD:
		packet->bytes = mnl_attr_get_payload(attr);
		packet->n_bytes = mnl_attr_get_payload_len(attr);
		break;
	}
	return MNL_CB_OK;
}

static void read_message(const uint8_t *bytes, size_t n, struct queue_packet *ret_packet)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)bytes;

	*ret_packet = (struct queue_packet){ 0 };
	if (mnl_nlmsg_ok(header, (int)n) &&
	    header->nlmsg_type == (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
		mnl_attr_parse(header, sizeof(struct nfgenmsg), read_attribute, ret_packet);
	if (!ret_packet->is_cut)
		ret_packet->length = (uint32_t)ret_packet->n_bytes;
}

static int read_messages(int fd, uint8_t *buffer, size_t n_message, unsigned int n_max,
			 struct queue_packet *ret_packets)
{
	struct mmsghdr messages[PACKETS_BATCH] = { 0 };
	struct iovec parts[PACKETS_BATCH];
	int n;

	for (size_t i = 0; i < n_max; i++) {
		parts[i].iov_base = buffer + i * n_message;
		parts[i].iov_len = n_message;
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	do {
		n = recvmmsg(fd, messages, n_max, MSG_DONTWAIT, NULL);
	} while (n < 0 && (errno == EINTR || errno == ENOBUFS));
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++)
		read_message(parts[i].iov_base, messages[i].msg_len, &ret_packets[i]);
	return n;
}

int queue_read(int fd, uint8_t *buffer, struct queue_packet ret_packets[QUEUE_BATCH])
{
	return read_messages(fd, buffer, QUEUE_MESSAGE_BYTES, QUEUE_BATCH, ret_packets);
}

int queue_read_packets(int fd, uint32_t n_copy, uint8_t *buffer,
		       struct queue_packet ret_packets[PACKETS_BATCH])
{
	return read_messages(fd, buffer, n_copy + PACKETS_ABOUT_BYTES, PACKETS_BATCH, ret_packets);
}

static const uint32_t verdicts[] = {
	[QUEUE_ACCEPT] = NF_ACCEPT, [QUEUE_DROP] = NF_DROP, [QUEUE_AGAIN] = NF_REPEAT
};

static struct nlmsghdr *begin_answer(char *buffer, uint16_t num, uint32_t id, uint32_t verdict,
				     uint32_t mark)
{
	struct nfqnl_msg_verdict_hdr answer = { .verdict = htonl(verdict), .id = htonl(id) };
	struct nlmsghdr *header = begin(buffer, num, NFQNL_MSG_VERDICT, 0);

	mnl_attr_put(header, NFQA_VERDICT_HDR, sizeof(answer), &answer);
	mnl_attr_put_u32(header, NFQA_MARK, htonl(mark));
	return header;
}

int queue_answer(int fd, uint16_t num, uint32_t id, enum queue_verdict verdict, uint32_t mark)
{
	char buffer[VERDICT_BYTES];
	struct nlmsghdr *header = begin_answer(buffer, num, id, verdicts[verdict], mark);

	return send(fd, header, header->nlmsg_len, 0) < 0 ? -errno : 0;
}

int queue_replace(int fd, uint16_t num, uint32_t id, uint32_t mark, const uint8_t *bytes,
		  size_t n_bytes)
{
	char buffer[VERDICT_BYTES];
	struct nlmsghdr *header = begin_answer(buffer, num, id, NF_ACCEPT, mark);

	if (!mnl_attr_put_check(header, sizeof(buffer), NFQA_PAYLOAD, n_bytes, bytes))
		return -EMSGSIZE;
	return send(fd, header, header->nlmsg_len, 0) < 0 ? -errno : 0;
}

int queue_answer_packets(int fd, uint16_t num, const struct packet_answer *answers, unsigned int n)
{
	char buffer[PACKETS_BATCH * ANSWER_ONE_BYTES];
	size_t at = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct nfqnl_msg_verdict_hdr answer = { .verdict =
								htonl(verdicts[answers[i].verdict]),
							.id = htonl((uint32_t)answers[i].id) };
		struct nlmsghdr *header = begin(buffer + at, num, NFQNL_MSG_VERDICT, 0);

		mnl_attr_put(header, NFQA_VERDICT_HDR, sizeof(answer), &answer);
		at += MNL_ALIGN(header->nlmsg_len);
	}
	return at && send(fd, buffer, at, 0) < 0 ? -errno : 0;
}

int queue_requeue(int fd, uint16_t num)
{
	struct nfqnl_msg_verdict_hdr answer = { .verdict = htonl(NF_REPEAT),
						.id = htonl(0x7fffffff) };
	char buffer[256];
	struct nlmsghdr *header = begin(buffer, num, NFQNL_MSG_VERDICT_BATCH, 0);

	mnl_attr_put(header, NFQA_VERDICT_HDR, sizeof(answer), &answer);
	return send(fd, header, header->nlmsg_len, 0) < 0 ? -errno : 0;
}
