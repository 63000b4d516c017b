/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_bpf.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>

#include "abi/sluice-abi.h"
#include "base/macros.h"
#include "kernel/nft.h"

#define LOOPBACK_IFINDEX 1
#define PORT_DNS 53
#define PRIORITY_DECIDE (-150) /* mangle: before nat (-100), after conntrack (-200) */
#define PRIORITY_GATE (-149)
#define ANSWER_BYTES 8192 /* libmnl recommends a page, at most 8 KiB */
#define BATCH_BYTES (1 << 17)

/**
 * DOC: How a rule is written
 *
 * A rule is an array of steps in the order the kernel runs them. The steps
 * are few, so a rule reads like its nft text:
 *
 *	{ OIF_IS(LOOPBACK_IFINDEX), ACCEPT }	oif lo accept
 */
enum step_kind {
	STEP_OIF_IS,
	STEP_IIF_IS,
	STEP_PROTO_IS,
	STEP_DPORT_IS,
	STEP_SPORT_IS,
	STEP_IS_SYN,
	STEP_MARK_IS,
	STEP_BPF,
	STEP_SET_MARK,
	STEP_QUEUE,
	STEP_REJECT_TCP,
	STEP_REJECT_ICMP,
	STEP_VERDICT,
	STEP_GOTO,
};

struct step {
	enum step_kind kind;
	uint32_t value;
	const char *chain;
};

#define OIF_IS(v) { .kind = STEP_OIF_IS, .value = (v) }
#define IIF_IS(v) { .kind = STEP_IIF_IS, .value = (v) }
#define PROTO_IS(v) { .kind = STEP_PROTO_IS, .value = (v) }
#define DPORT_IS(v) { .kind = STEP_DPORT_IS, .value = (v) }
#define SPORT_IS(v) { .kind = STEP_SPORT_IS, .value = (v) }
#define IS_SYN { .kind = STEP_IS_SYN }
#define MARK_IS(v) { .kind = STEP_MARK_IS, .value = (v) }
#define BPF(member) { .kind = STEP_BPF, .value = offsetof(struct nft_programs, member) }
#define SET_MARK(v) { .kind = STEP_SET_MARK, .value = (v) }
#define QUEUE { .kind = STEP_QUEUE }
#define REJECT_TCP { .kind = STEP_REJECT_TCP }
#define REJECT_ICMP { .kind = STEP_REJECT_ICMP }
#define ACCEPT { .kind = STEP_VERDICT, .value = NF_ACCEPT }
#define DROP { .kind = STEP_VERDICT, .value = NF_DROP }
#define GOTO(c) { .kind = STEP_GOTO, .chain = (c) }

#define STEPS_MAX 6
enum rule_when { ALWAYS, WHEN_CLOSED };

struct rule {
	const char *chain;
	enum rule_when when;
	struct step steps[STEPS_MAX];
	unsigned int n_steps;
};

#define RULE(chain_, when_, ...)                                                                   \
	{ .chain = chain_,                                                                         \
	  .when = when_,                                                                           \
	  .steps = { __VA_ARGS__ },                                                                \
	  .n_steps = sizeof((struct step[]){ __VA_ARGS__ }) / sizeof(struct step) }

struct chain {
	const char *name;
	int hook; /* -1: only reached by goto */
	int priority;
};

/* regular chains first: a rule may only go to a chain that is there */
static const struct chain chains[] = {
	{ "reject", -1, 0 },
	{ "hold_out", -1, 0 },
	{ "hold_in", -1, 0 },
	{ "unjudged_out", -1, 0 },
	{ "unjudged_in", -1, 0 },
	{ "out", NF_INET_LOCAL_OUT, PRIORITY_DECIDE },
	{ "gate_out", NF_INET_LOCAL_OUT, PRIORITY_GATE },
	{ "in", NF_INET_LOCAL_IN, PRIORITY_DECIDE },
	{ "gate_in", NF_INET_LOCAL_IN, PRIORITY_GATE },
};

/* clang-format off */
static const struct rule rules[] = {
	RULE("out", ALWAYS, OIF_IS(LOOPBACK_IFINDEX), DPORT_IS(PORT_DNS), BPF(out_query)),
	RULE("out", ALWAYS, OIF_IS(LOOPBACK_IFINDEX), ACCEPT),
	RULE("out", ALWAYS, BPF(out_held), GOTO("hold_out")),

	/* denied before or undecided: sluiced answers both, so that the application
	 * meets the same error; a drop or a reject right here would be EPERM */
	RULE("hold_out", ALWAYS, SET_MARK(SL_MARK_HELD), QUEUE),

	/* the mark alone proves nothing: the programs look at the socket again */
	RULE("gate_out", ALWAYS, MARK_IS(SL_MARK_REJECT), BPF(out_ours), GOTO("reject")),
	RULE("gate_out", ALWAYS, MARK_IS(SL_MARK_HELD), BPF(out_ours), GOTO("unjudged_out")),
	RULE("unjudged_out", ALWAYS, BPF(out_silent), DROP),
	RULE("unjudged_out", WHEN_CLOSED, GOTO("reject")),
	RULE("unjudged_out", ALWAYS, BPF(out_denied), GOTO("reject")),
	RULE("unjudged_out", ALWAYS, SET_MARK(SL_MARK_NONE)),

	RULE("in", ALWAYS, SPORT_IS(PORT_DNS), BPF(in_answer), SET_MARK(SL_MARK_NAMES), QUEUE),
	RULE("in", ALWAYS, IIF_IS(LOOPBACK_IFINDEX), ACCEPT),
	RULE("in", ALWAYS, PROTO_IS(IPPROTO_TCP), IS_SYN, BPF(in_held), GOTO("hold_in")),
	RULE("in", ALWAYS, PROTO_IS(IPPROTO_TCP), ACCEPT),
	RULE("in", ALWAYS, BPF(in_held), GOTO("hold_in")),

	RULE("hold_in", ALWAYS, SET_MARK(SL_MARK_HELD), QUEUE),

	RULE("gate_in", ALWAYS, MARK_IS(SL_MARK_REJECT), BPF(in_ours), GOTO("reject")),
	RULE("gate_in", ALWAYS, MARK_IS(SL_MARK_HELD), BPF(in_ours), GOTO("unjudged_in")),
	RULE("unjudged_in", ALWAYS, BPF(in_silent), DROP),
	RULE("unjudged_in", WHEN_CLOSED, GOTO("reject")),
	RULE("unjudged_in", ALWAYS, BPF(in_denied), GOTO("reject")),
	RULE("unjudged_in", ALWAYS, SET_MARK(SL_MARK_NONE)),

	RULE("reject", ALWAYS, PROTO_IS(IPPROTO_TCP), REJECT_TCP),
	RULE("reject", ALWAYS, REJECT_ICMP),
};
/* clang-format on */

static struct nftnl_expr *add(struct nftnl_rule *rule, const char *name)
{
	struct nftnl_expr *expr = nftnl_expr_alloc(name);

	if (expr)
		nftnl_rule_add_expr(rule, expr);
	return expr;
}

static void add_meta(struct nftnl_rule *rule, uint32_t key)
{
	struct nftnl_expr *e = add(rule, "meta");

	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

static void add_cmp(struct nftnl_rule *rule, const void *data, uint32_t n)
{
	struct nftnl_expr *e = add(rule, "cmp");

	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, n);
}

static void add_transport(struct nftnl_rule *rule, uint32_t offset, uint32_t n)
{
	struct nftnl_expr *e = add(rule, "payload");

	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, n);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
}

static void add_bitwise(struct nftnl_rule *rule, const void *mask, const void *xor, uint32_t n)
{
	struct nftnl_expr *e = add(rule, "bitwise");

	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, n);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask, n);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, xor, n);
}

static void add_meta_is(struct nftnl_rule *rule, uint32_t key, const void *value, uint32_t n)
{
	add_meta(rule, key);
	add_cmp(rule, value, n);
}

static void add_port_is(struct nftnl_rule *rule, uint32_t offset, uint32_t port)
{
	uint16_t value = htons((uint16_t)port);

	add_transport(rule, offset, sizeof(value));
	add_cmp(rule, &value, sizeof(value));
}

static void add_is_syn(struct nftnl_rule *rule)
{
	uint8_t mask = TH_SYN | TH_ACK | TH_RST, none = 0, syn = TH_SYN;

	add_transport(rule, offsetof(struct tcphdr, th_flags), 1);
	add_bitwise(rule, &mask, &none, 1);
	add_cmp(rule, &syn, 1);
}

static void add_mark_is(struct nftnl_rule *rule, uint32_t value)
{
	uint32_t mask = SL_MARK_MASK, none = 0, mark = value << SL_MARK_SHIFT;

	add_meta(rule, NFT_META_MARK);
	add_bitwise(rule, &mask, &none, sizeof(mask));
	add_cmp(rule, &mark, sizeof(mark));
}

/* only our field changes: mark = mark & ~mask ^ value */
static void add_set_mark(struct nftnl_rule *rule, uint32_t value)
{
	uint32_t keep = ~SL_MARK_MASK, mark = value << SL_MARK_SHIFT;
	struct nftnl_expr *e;

	add_meta(rule, NFT_META_MARK);
	add_bitwise(rule, &keep, &mark, sizeof(keep));
	e = add(rule, "meta");
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, NFT_REG_1);
}

static int add_bpf(struct nftnl_rule *rule, int fd)
{
	struct nftnl_expr *e = add(rule, "match");
	struct xt_bpf_info_v1 *info = calloc(1, XT_ALIGN(sizeof(*info)));

	if (!info)
		return -ENOMEM;
	info->mode = XT_BPF_MODE_FD_ELF;
	info->fd = fd;
	nftnl_expr_set_str(e, NFTNL_EXPR_MT_NAME, "bpf");
	nftnl_expr_set_u32(e, NFTNL_EXPR_MT_REV, 1);
	/* libnftnl frees what it is given */
	nftnl_expr_set(e, NFTNL_EXPR_MT_INFO, info, XT_ALIGN(sizeof(*info)));
	return 0;
}

static int add_queue(struct nftnl_rule *rule, const struct nft_plan *plan)
{
	struct xt_NFQ_info_v3 *info;
	struct nftnl_expr *e;

	if (plan->has_native) {
		e = add(rule, "queue");
		nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, plan->queue_num);
		nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, 1);
		nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_FLAGS, NFT_QUEUE_FLAG_BYPASS);
		return 0;
	}
	info = calloc(1, XT_ALIGN(sizeof(*info)));
	if (!info)
		return -ENOMEM;
	info->queuenum = plan->queue_num;
	info->queues_total = 1;
	info->flags = NFQ_FLAG_BYPASS;
	e = add(rule, "target");
	nftnl_expr_set_str(e, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(e, NFTNL_EXPR_TG_REV, 3);
	nftnl_expr_set(e, NFTNL_EXPR_TG_INFO, info, XT_ALIGN(sizeof(*info)));
	return 0;
}

static void add_reject(struct nftnl_rule *rule, uint32_t type, uint8_t code)
{
	struct nftnl_expr *e = add(rule, "reject");

	nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, type);
	nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, code);
}

static void add_verdict(struct nftnl_rule *rule, int verdict, const char *chain)
{
	struct nftnl_expr *e = add(rule, "immediate");

	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
	if (chain)
		nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
}

static int program_of(const struct nft_plan *plan, uint32_t offset)
{
	int fd;

	memcpy(&fd, (const char *)&plan->programs + offset, sizeof(fd));
	return fd;
}

static int add_step(struct nftnl_rule *rule, const struct step *step, const struct nft_plan *plan)
{
	uint8_t proto = (uint8_t)step->value;

	switch (step->kind) {
	case STEP_OIF_IS:
		add_meta_is(rule, NFT_META_OIF, &step->value, sizeof(step->value));
		break;
	case STEP_IIF_IS:
		add_meta_is(rule, NFT_META_IIF, &step->value, sizeof(step->value));
		break;
	case STEP_PROTO_IS:
		add_meta_is(rule, NFT_META_L4PROTO, &proto, sizeof(proto));
		break;
	case STEP_SPORT_IS:
		add_port_is(rule, 0, step->value);
		break;
	case STEP_DPORT_IS:
		add_port_is(rule, 2, step->value);
		break;
	case STEP_IS_SYN:
		add_is_syn(rule);
		break;
	case STEP_MARK_IS:
		add_mark_is(rule, step->value);
		break;
	case STEP_SET_MARK:
		add_set_mark(rule, step->value);
		break;
	case STEP_BPF:
		return add_bpf(rule, program_of(plan, step->value));
	case STEP_QUEUE:
		return add_queue(rule, plan);
	case STEP_REJECT_TCP:
		add_reject(rule, NFT_REJECT_TCP_RST, 0);
		break;
	case STEP_REJECT_ICMP:
		add_reject(rule, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH);
		break;
	case STEP_VERDICT:
		add_verdict(rule, (int)step->value, NULL);
		break;
	case STEP_GOTO:
		add_verdict(rule, NFT_GOTO, step->chain);
		break;
	}
	return 0;
}

/* a netlink transaction: messages are put one after the other, then sent at once */
struct batch {
	struct mnl_nlmsg_batch *messages;
	uint32_t sequence;
	char *buffer;
};

static void batch_deinit(struct batch *batch)
{
	if (batch->messages)
		mnl_nlmsg_batch_stop(batch->messages);
	free(batch->buffer);
}

static int batch_init(struct batch *batch)
{
	*batch = (struct batch){ .sequence = 1, .buffer = malloc(2 * BATCH_BYTES) };
	if (!batch->buffer)
		return -ENOMEM;
	batch->messages = mnl_nlmsg_batch_start(batch->buffer, BATCH_BYTES);
	if (!batch->messages)
		return -ENOMEM;
	nftnl_batch_begin(mnl_nlmsg_batch_current(batch->messages), batch->sequence++);
	mnl_nlmsg_batch_next(batch->messages);
	return 0;
}

static struct nlmsghdr *batch_put(struct batch *batch, uint16_t type, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch->messages), type, NFPROTO_INET,
				     flags | NLM_F_ACK, batch->sequence++);
}

static int ignore(const struct nlmsghdr *header, void *data)
{
	return MNL_CB_OK;
}

/* waits for one answer to each message; the kernel stops at the first error */
static int batch_answers(struct mnl_socket *sock, uint32_t n_expected)
{
	char buffer[ANSWER_BYTES];
	uint32_t n = 0;

	while (n < n_expected) {
		ssize_t bytes = mnl_socket_recvfrom(sock, buffer, sizeof(buffer));

		if (bytes < 0)
			return -errno;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(h, (int)bytes);
		     h = mnl_nlmsg_next(h, (int *)&bytes), n++)
			if (h->nlmsg_type == NLMSG_ERROR &&
			    ((struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error)
				return ((struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
	}
	return 0;
}

static int batch_commit(struct batch *batch)
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int bytes = 4 * BATCH_BYTES;
	int r = 0;

	if (!sock)
		return -errno;
	nftnl_batch_end(mnl_nlmsg_batch_current(batch->messages), batch->sequence++);
	mnl_nlmsg_batch_next(batch->messages);
	(void)setsockopt(mnl_socket_get_fd(sock), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	(void)setsockopt(mnl_socket_get_fd(sock), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(sock, mnl_nlmsg_batch_head(batch->messages),
			      mnl_nlmsg_batch_size(batch->messages)) < 0)
		r = -errno;
	else
		r = batch_answers(sock, batch->sequence - 3); /* begin and end are not answered */
	mnl_socket_close(sock);
	return r;
}

static void table_name(const char *instance, char *name, size_t n)
{
	snprintf(name, n, "sluice_%s", instance);
}

static int put_table(struct batch *batch, const char *name, uint16_t type, uint16_t flags)
{
	struct nftnl_table *table = nftnl_table_alloc();

	if (!table)
		return -ENOMEM;
	nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_INET);
	nftnl_table_set_str(table, NFTNL_TABLE_NAME, name);
	nftnl_table_nlmsg_build_payload(batch_put(batch, type, flags), table);
	nftnl_table_free(table);
	mnl_nlmsg_batch_next(batch->messages);
	return 0;
}

static int put_chain(struct batch *batch, const char *table, const struct chain *plan)
{
	struct nftnl_chain *chain = nftnl_chain_alloc();

	if (!chain)
		return -ENOMEM;
	nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, table);
	nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, plan->name);
	if (plan->hook >= 0) {
		nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, "filter");
		nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, (uint32_t)plan->hook);
		nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, plan->priority);
		nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	}
	nftnl_chain_nlmsg_build_payload(batch_put(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE), chain);
	nftnl_chain_free(chain);
	mnl_nlmsg_batch_next(batch->messages);
	return 0;
}

static int put_rule(struct batch *batch, const char *table, const struct rule *wanted,
		    const struct nft_plan *plan)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	int r = 0;

	if (!rule)
		return -ENOMEM;
	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
	nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, table);
	nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, wanted->chain);
	for (unsigned int i = 0; i < wanted->n_steps && !r; i++)
		r = add_step(rule, &wanted->steps[i], plan);
	if (!r) {
		nftnl_rule_nlmsg_build_payload(
			batch_put(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND), rule);
		mnl_nlmsg_batch_next(batch->messages);
	}
	nftnl_rule_free(rule);
	return r;
}

static int put_everything(struct batch *batch, const char *table, const struct nft_plan *plan)
{
	/* create, delete, create: replaces a table that may or may not be there */
	int r = put_table(batch, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);

	if (!r)
		r = put_table(batch, table, NFT_MSG_DELTABLE, 0);
	if (!r)
		r = put_table(batch, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	for (size_t i = 0; i < ARRAY_SIZE(chains) && !r; i++)
		r = put_chain(batch, table, &chains[i]);
	for (size_t i = 0; i < ARRAY_SIZE(rules) && !r; i++)
		if (rules[i].when == ALWAYS || plan->is_closed)
			r = put_rule(batch, table, &rules[i], plan);
	return r;
}

int nft_install(const struct nft_plan *plan)
{
	_cleanup_(batch_deinit) struct batch batch = { 0 };
	char table[64];
	int r;

	table_name(plan->instance, table, sizeof(table));
	r = batch_init(&batch);
	if (r < 0)
		return r;
	r = put_everything(&batch, table, plan);
	return r < 0 ? r : batch_commit(&batch);
}

int nft_remove(const char *instance)
{
	_cleanup_(batch_deinit) struct batch batch = { 0 };
	char table[64];
	int r;

	table_name(instance, table, sizeof(table));
	r = batch_init(&batch);
	if (!r)
		r = put_table(&batch, table, NFT_MSG_DELTABLE, 0);
	return r < 0 ? r : batch_commit(&batch);
}

int nft_exists(const char *instance)
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	char buffer[ANSWER_BYTES], name[64];
	struct nftnl_table *table = nftnl_table_alloc();
	struct nlmsghdr *header;
	ssize_t n;
	int r = -ENOMEM;

	if (sock && table) {
		table_name(instance, name, sizeof(name));
		header = nftnl_nlmsg_build_hdr(buffer, NFT_MSG_GETTABLE, NFPROTO_INET, NLM_F_ACK, 1);
		nftnl_table_set_str(table, NFTNL_TABLE_NAME, name);
		nftnl_table_nlmsg_build_payload(header, table);
		r = -errno;
		if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) == 0 &&
		    mnl_socket_sendto(sock, header, header->nlmsg_len) >= 0 &&
		    (n = mnl_socket_recvfrom(sock, buffer, sizeof(buffer))) >= 0)
			r = mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(sock), ignore,
				       NULL) < 0 ? (errno == ENOENT ? 0 : -errno) : 1;
	}
	if (table)
		nftnl_table_free(table);
	if (sock)
		mnl_socket_close(sock);
	return r;
}

bool nft_probe_native_queue(const char *instance)
{
	static const struct chain chain = { "probe", -1, 0 };
	static const struct rule rule = RULE("probe", ALWAYS, QUEUE);
	_cleanup_(batch_deinit) struct batch batch = { 0 };
	struct nft_plan plan = { .instance = instance, .has_native = true };
	char table[64];

	snprintf(table, sizeof(table), "sluice_%s_probe", instance);
	if (batch_init(&batch) || put_table(&batch, table, NFT_MSG_NEWTABLE, NLM_F_CREATE) ||
	    put_chain(&batch, table, &chain) || put_rule(&batch, table, &rule, &plan) ||
	    put_table(&batch, table, NFT_MSG_DELTABLE, 0))
		return false;
	return batch_commit(&batch) == 0; /* all or nothing: a failure leaves no table */
}
