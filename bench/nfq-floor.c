/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What holding the first packet costs at least
 *
 *	nfq-floor QUEUE [compat]
 *
 * Accepts every packet of a netfilter queue and does nothing else: no
 * identity, no policy, no provider. Sluice cannot be faster than this while
 * it asks; the benchmark shows how far above it is. `compat` adds the rule
 * that queues to chain "hold" of table "ip floor", by the xtables target, for
 * kernels without nft's own. Prints "ready" once.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

static struct nlmsghdr *begin(char *buffer, uint16_t type, uint16_t queue)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (NFNL_SUBSYS_QUEUE << 8) | type;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = AF_UNSPEC;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(queue);
	return nlh;
}

static int configure(struct mnl_socket *nl, uint16_t queue)
{
	char buffer[256];
	struct nfqnl_msg_config_cmd bind_it = { .command = NFQNL_CFG_CMD_BIND,
						.pf = htons(AF_INET) };
	struct nfqnl_msg_config_params params = { .copy_range = htonl(128),
						  .copy_mode = NFQNL_COPY_PACKET };
	struct nlmsghdr *nlh = begin(buffer, NFQNL_MSG_CONFIG, queue);

	mnl_attr_put(nlh, NFQA_CFG_CMD, sizeof(bind_it), &bind_it);
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	nlh = begin(buffer, NFQNL_MSG_CONFIG, queue);
	mnl_attr_put(nlh, NFQA_CFG_PARAMS, sizeof(params), &params);
	mnl_attr_put_u32(nlh, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO));
	mnl_attr_put_u32(nlh, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
	return mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0 ? -errno : 0;
}

/* the rule "target NFQUEUE, bypass"; libnftnl takes @info over */
static struct nftnl_rule *queue_rule(uint16_t queue)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct nftnl_expr *target = nftnl_expr_alloc("target");
	struct xt_NFQ_info_v3 *info = calloc(1, NLA_ALIGN(sizeof(*info)));

	if (!rule || !target || !info)
		abort();
	info->queuenum = queue;
	info->queues_total = 1;
	info->flags = NFQ_FLAG_BYPASS;
	nftnl_expr_set_str(target, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(target, NFTNL_EXPR_TG_REV, 3);
	nftnl_expr_set(target, NFTNL_EXPR_TG_INFO, info, NLA_ALIGN(sizeof(*info)));
	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
	nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, "floor");
	nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, "hold");
	nftnl_rule_add_expr(rule, target);
	return rule;
}

static int add_rule(struct mnl_socket *nl, uint16_t queue)
{
	static char bytes[4096];
	struct mnl_nlmsg_batch *batch = mnl_nlmsg_batch_start(bytes, sizeof(bytes));
	struct nftnl_rule *rule = queue_rule(queue);
	struct nlmsghdr *nlh;
	ssize_t n;

	nftnl_batch_begin(mnl_nlmsg_batch_current(batch), 1);
	mnl_nlmsg_batch_next(batch);
	nlh = nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch), NFT_MSG_NEWRULE, NFPROTO_IPV4,
				    NLM_F_APPEND | NLM_F_CREATE | NLM_F_ACK, 2);
	nftnl_rule_nlmsg_build_payload(nlh, rule);
	mnl_nlmsg_batch_next(batch);
	nftnl_batch_end(mnl_nlmsg_batch_current(batch), 3);
	mnl_nlmsg_batch_next(batch);
	n = mnl_socket_sendto(nl, mnl_nlmsg_batch_head(batch), mnl_nlmsg_batch_size(batch));
	mnl_nlmsg_batch_stop(batch);
	nftnl_rule_free(rule);
	if (n < 0 || (n = mnl_socket_recvfrom(nl, bytes, sizeof(bytes))) < 0)
		return -errno;
	return mnl_cb_run(bytes, (size_t)n, 2, mnl_socket_get_portid(nl), NULL, NULL) < 0 ? -errno
											  : 0;
}

/* finds the packet's id and accepts it */
static int accept_packet(const struct nlmsghdr *nlh, void *data)
{
	struct mnl_socket *nl = data;
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(*nfg))
	{
		const struct nfqnl_msg_packet_hdr *packet = mnl_attr_get_payload(attr);
		struct nfqnl_msg_verdict_hdr verdict = { .verdict = htonl(NF_ACCEPT) };
		char buffer[64];
		struct nlmsghdr *answer;

		if (mnl_attr_get_type(attr) != NFQA_PACKET_HDR)
			continue;
		verdict.id = packet->packet_id;
		answer = begin(buffer, NFQNL_MSG_VERDICT, ntohs(nfg->res_id));
		mnl_attr_put(answer, NFQA_VERDICT_HDR, sizeof(verdict), &verdict);
		return mnl_socket_sendto(nl, answer, answer->nlmsg_len) < 0 ? MNL_CB_ERROR
									    : MNL_CB_OK;
	}
	return MNL_CB_OK;
}

int main(int argc, char **argv)
{
	static char buffer[65536];
	struct mnl_socket *nl = mnl_socket_open(NETLINK_NETFILTER);
	int one = 1, r = 0;

	if (argc < 2 || !nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		fputs("usage: nfq-floor QUEUE [compat] (as root)\n", stderr);
		return 2;
	}
	mnl_socket_setsockopt(nl, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	if (argc > 2)
		r = add_rule(nl, (uint16_t)strtoul(argv[1], NULL, 10));
	if (!r)
		r = configure(nl, (uint16_t)strtoul(argv[1], NULL, 10));
	if (r < 0) {
		fprintf(stderr, "nfq-floor: %s\n", strerror(-r));
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));

		if (n < 0 && errno != EINTR)
			return 1;
		if (n > 0)
			mnl_cb_run(buffer, (size_t)n, 0, 0, accept_packet, nl);
	}
}
