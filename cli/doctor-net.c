/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <linux/inet_diag.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/netfilter/xt_bpf.h>
#include <linux/sock_diag.h>

#include <libnftnl/expr.h>

#include "base/macros.h"
#include "cli/doctor.h"
#include "kernel/nft-batch.h"
#include "kernel/nft-compat.h"

/* UAPI of 6.2; older headers lack them */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define TABLE "sluice_doctor"
#define ANSWER_BYTES 8192U

static const struct nft_hook output = { .number = NF_INET_LOCAL_OUT, .priority = -150 };
static const struct nft_hook translating = { .number = NF_INET_LOCAL_OUT,
					     .priority = DOCTOR_NAT_PRIORITY,
					     .type = "nat" };

/* one rule with one expression, in a table that goes with its namespace */
static int try_rule_at(const struct nft_hook *hook, struct nftnl_rule *rule)
{
	_cleanup_nft_batch_ struct nft_batch batch;

	nft_batch_init(&batch);
	nft_batch_add_table(&batch, NFPROTO_INET, TABLE);
	nft_batch_add_chain(&batch, NFPROTO_INET, TABLE, "out", hook);
	nft_batch_add_rule(&batch, NFPROTO_INET, TABLE, "out", rule);
	return nft_batch_commit_here(&batch);
}

static int try_rule(struct nftnl_rule *rule)
{
	return try_rule_at(&output, rule);
}

static struct nftnl_expr *add_expr(struct nftnl_rule *rule, const char *name)
{
	struct nftnl_expr *expr = nftnl_expr_alloc(name);

	if (expr)
		nftnl_rule_add_expr(rule, expr);
	return expr;
}

static int try_native_queue(void)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct nftnl_expr *expr = add_expr(rule, "queue");

	nftnl_expr_set_u16(expr, NFTNL_EXPR_QUEUE_NUM, 1);
	nftnl_expr_set_u16(expr, NFTNL_EXPR_QUEUE_TOTAL, 1);
	nftnl_expr_set_u16(expr, NFTNL_EXPR_QUEUE_FLAGS, NFT_QUEUE_FLAG_BYPASS);
	return try_rule(rule);
}

/* libnftnl frees the information it is given */
static int try_xt_queue(void)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct nftnl_expr *expr = add_expr(rule, "target");
	struct xt_NFQ_info_v3 *info = calloc(1, XT_ALIGN(sizeof(*info)));

	if (!info)
		return -ENOMEM;
	info->queuenum = 1;
	info->queues_total = 1;
	info->flags = NFQ_FLAG_BYPASS;
	nftnl_expr_set_str(expr, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(expr, NFTNL_EXPR_TG_REV, 3);
	nftnl_expr_set(expr, NFTNL_EXPR_TG_INFO, info, XT_ALIGN(sizeof(*info)));
	return try_rule(rule);
}

void probe_queue(struct probe_result *result)
{
	int native = try_native_queue();
	int r = native ? try_xt_queue() : 0;

	if (!native)
		probe_says(result, PROBE_OK, "native queue expression");
	else if (!r)
		probe_says(result, PROBE_OK, "xt NFQUEUE through nft_compat (no native queue)");
	else
		probe_says(result, PROBE_MISSING, "native queue: %s; xt NFQUEUE: %s",
			   strerror(-native), strerror(-r));
}

void probe_match_bpf(struct probe_result *result)
{
	_cleanup_close_ int program = probe_load(BPF_PROG_TYPE_SOCKET_FILTER, 0);
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct nftnl_expr *expr = add_expr(rule, "match");
	struct xt_bpf_info_v1 *info = calloc(1, XT_ALIGN(sizeof(*info)));

	if (program < 0 || !info) {
		nftnl_rule_free(rule);
		free(info);
		probe_tried(result, program < 0 ? program : -ENOMEM, "xt bpf match");
		return;
	}
	info->mode = XT_BPF_MODE_FD_ELF;
	info->fd = program;
	nftnl_expr_set_str(expr, NFTNL_EXPR_MT_NAME, "bpf");
	nftnl_expr_set_u32(expr, NFTNL_EXPR_MT_REV, 1);
	nftnl_expr_set(expr, NFTNL_EXPR_MT_INFO, info, XT_ALIGN(sizeof(*info)));
	nft_load_match("bpf", 1);
	probe_tried(result, try_rule(rule), "xt bpf match through nft_compat");
}

void probe_reject(struct probe_result *result)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct nftnl_expr *expr = add_expr(rule, "reject");

	nftnl_expr_set_u32(expr, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, NFT_REJECT_ICMPX_PORT_UNREACH);
	probe_tried(result, try_rule(rule), "reject rule");
}

void probe_conntrack(struct probe_result *result)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct nftnl_expr *expr = add_expr(rule, "ct");

	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, NFT_CT_MARK);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_DREG, NFT_REG_1);
	probe_tried(result, try_rule(rule), "ct mark rule");
}

void probe_redirect(struct probe_result *result)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();

	(void)add_expr(rule, "redir");
	probe_tried(result, try_rule_at(&translating, rule), "redirect rule of a nat chain");
}

void probe_egress(struct probe_result *result)
{
	const struct nft_hook egress = { .number = NF_NETDEV_EGRESS, .device = "lo" };
	_cleanup_nft_batch_ struct nft_batch batch;

	nft_batch_init(&batch);
	nft_batch_add_table(&batch, NFPROTO_NETDEV, TABLE);
	nft_batch_add_chain(&batch, NFPROTO_NETDEV, TABLE, "egress", &egress);
	probe_tried(result, nft_batch_commit_here(&batch), "netdev chain at egress");
}

/* send @message and read the kernel's answer to it. Return: 0 or a negative errno */
static int ask(int protocol, struct nlmsghdr *message)
{
	struct mnl_socket *sock = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	struct timeval timeout = { .tv_sec = 2 };
	char buffer[ANSWER_BYTES];
	ssize_t n;
	int r = 0;

	if (!sock)
		return -errno;
	message->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	(void)setsockopt(mnl_socket_get_fd(sock), SOL_SOCKET, SO_RCVTIMEO, &timeout,
			 sizeof(timeout));
	if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(sock, message, message->nlmsg_len) < 0)
		r = -errno;
	if (!r) {
		n = mnl_socket_recvfrom(sock, buffer, sizeof(buffer));
		if (n < 0 || mnl_cb_run(buffer, (size_t)n, 0, 0, NULL, NULL) < 0)
			r = -errno;
	}
	mnl_socket_close(sock);
	return r;
}

void probe_queue_open(struct probe_result *result)
{
	struct nfqnl_msg_config_cmd command = { .command = NFQNL_CFG_CMD_BIND };
	char buffer[256] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *header;

	message->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG;
	header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->version = NFNETLINK_V0;
	header->res_id = htons(1);
	mnl_attr_put(message, NFQA_CFG_CMD, sizeof(command), &command);
	probe_tried(result, ask(NETLINK_NETFILTER, message), "a queue can be opened");
}

static int destroy_listener(int fd)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t n = sizeof(addr);
	char buffer[256] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req_v2 *request;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &n) < 0)
		return -errno;
	message->nlmsg_type = SOCK_DESTROY;
	request = mnl_nlmsg_put_extra_header(message, sizeof(*request));
	request->sdiag_family = AF_INET;
	request->sdiag_protocol = IPPROTO_TCP;
	request->idiag_states = 1U << TCP_LISTEN;
	request->id.idiag_sport = addr.sin_port;
	request->id.idiag_src[0] = addr.sin_addr.s_addr;
	request->id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	request->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return ask(NETLINK_SOCK_DIAG, message);
}

/* a new namespace has lo, but it is down */
static int raise_loopback(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

void probe_sock_destroy(struct probe_result *result)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = fd < 0 ? -errno : raise_loopback();

	if (!r)
		r = destroy_listener(fd);
	probe_tried(result, r, "SOCK_DESTROY of a socket of our own");
}

void probe_tun(struct probe_result *result)
{
	_cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	unsigned int tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
		probe_tried(result, -errno, "/dev/net/tun");
	else if (ioctl(fd, TUNSETOFFLOAD, tso) < 0)
		probe_says(result, PROBE_WARNING, "tun without TSO: %s", strerror(errno));
	else if (ioctl(fd, TUNSETOFFLOAD, tso | TUN_F_USO4 | TUN_F_USO6) < 0)
		probe_says(result, PROBE_WARNING, "tun with TSO, without USO (kernel 6.2)");
	else
		probe_says(result, PROBE_OK, "tun with TSO and USO");
}
