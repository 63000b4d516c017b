/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_bpf.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/expr.h>

#include "abi/sluice-abi.h"
#include "kernel/nft-rule.h"

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

static void add_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t n)
{
	struct nftnl_expr *e = add(rule, "payload");

	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, n);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
}

static void add_bitwise(struct nftnl_rule *rule, const void *mask, const void *flip, uint32_t n)
{
	struct nftnl_expr *e = add(rule, "bitwise");

	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, n);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask, n);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, flip, n);
}

/* ---- steps: each adds to a rule what the kernel runs ---- */

/** struct form - how a step is written: @add gets its row, too. Return of @add: 0 or -ENOMEM */
struct form {
	int (*add)(struct nftnl_rule *rule, const struct form *form, const struct step *step,
		   const struct nft_plan *plan);
	uint32_t key; /* of meta, or a type of reject, or an offset */
	uint32_t n;   /* bytes of what is compared */
};

static int add_meta_is(struct nftnl_rule *rule, const struct form *form, const struct step *step,
		       const struct nft_plan *plan)
{
	uint8_t byte = (uint8_t)step->value;

	add_meta(rule, form->key);
	add_cmp(rule, form->n == 1 ? (const void *)&byte : &step->value, form->n);
	return 0;
}

static int add_port_is(struct nftnl_rule *rule, const struct form *form, const struct step *step,
		       const struct nft_plan *plan)
{
	uint16_t value = htons((uint16_t)step->value);

	add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, form->key, sizeof(value));
	add_cmp(rule, &value, sizeof(value));
	return 0;
}

static int add_is_syn(struct nftnl_rule *rule, const struct form *form, const struct step *step,
		      const struct nft_plan *plan)
{
	uint8_t mask = TH_SYN | TH_ACK | TH_RST, none = 0, syn = TH_SYN;

	add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, th_flags), 1);
	add_bitwise(rule, &mask, &none, 1);
	add_cmp(rule, &syn, 1);
	return 0;
}

static int add_mark_is(struct nftnl_rule *rule, const struct form *form, const struct step *step,
		       const struct nft_plan *plan)
{
	uint32_t mask = SL_MARK_MASK, none = 0, mark = step->value << SL_MARK_SHIFT;

	add_meta(rule, NFT_META_MARK);
	add_bitwise(rule, &mask, &none, sizeof(mask));
	add_cmp(rule, &mark, sizeof(mark));
	return 0;
}

/* only our field changes: mark = mark & ~mask ^ value */
static int add_set_mark(struct nftnl_rule *rule, const struct form *form, const struct step *step,
			const struct nft_plan *plan)
{
	uint32_t keep = ~SL_MARK_MASK, mark = step->value << SL_MARK_SHIFT;
	struct nftnl_expr *e;

	add_meta(rule, NFT_META_MARK);
	add_bitwise(rule, &keep, &mark, sizeof(keep));
	e = add(rule, "meta");
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, NFT_REG_1);
	return 0;
}

static int add_bpf(struct nftnl_rule *rule, const struct form *form, const struct step *step,
		   const struct nft_plan *plan)
{
	struct nftnl_expr *e = add(rule, "match");
	struct xt_bpf_info_v1 *info = calloc(1, XT_ALIGN(sizeof(*info)));

	if (!info)
		return -ENOMEM;
	info->mode = XT_BPF_MODE_FD_ELF;
	memcpy(&info->fd, (const char *)&plan->programs + step->value, sizeof(info->fd));
	nftnl_expr_set_str(e, NFTNL_EXPR_MT_NAME, "bpf");
	nftnl_expr_set_u32(e, NFTNL_EXPR_MT_REV, 1);
	/* libnftnl frees what it is given */
	nftnl_expr_set(e, NFTNL_EXPR_MT_INFO, info, XT_ALIGN(sizeof(*info)));
	return 0;
}

static int queue_to(struct nftnl_rule *rule, const struct nft_plan *plan, uint16_t num,
		    bool has_bypass)
{
	struct xt_NFQ_info_v3 *info;
	struct nftnl_expr *e;

	if (plan->has_native) {
		e = add(rule, "queue");
		nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, num);
		nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, 1);
		nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_FLAGS,
				   has_bypass ? NFT_QUEUE_FLAG_BYPASS : 0);
		return 0;
	}
	info = calloc(1, XT_ALIGN(sizeof(*info)));
	if (!info)
		return -ENOMEM;
	info->queuenum = num;
	info->queues_total = 1;
	info->flags = has_bypass ? NFQ_FLAG_BYPASS : 0;
	e = add(rule, "target");
	nftnl_expr_set_str(e, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(e, NFTNL_EXPR_TG_REV, 3);
	nftnl_expr_set(e, NFTNL_EXPR_TG_INFO, info, XT_ALIGN(sizeof(*info)));
	return 0;
}

static int add_queue(struct nftnl_rule *rule, const struct form *form, const struct step *step,
		     const struct nft_plan *plan)
{
	return queue_to(rule, plan, plan->queue_num, true);
}

/* nobody reads it: no rule follows that could say what then */
static int add_queue_packets(struct nftnl_rule *rule, const struct form *form,
			     const struct step *step, const struct nft_plan *plan)
{
	return queue_to(rule, plan, plan->packet_num, plan->packets != SL_PACKETS_CLOSED);
}

static int add_reject(struct nftnl_rule *rule, const struct form *form, const struct step *step,
		      const struct nft_plan *plan)
{
	struct nftnl_expr *e = add(rule, "reject");

	nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, form->key);
	nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, (uint8_t)step->value);
	return 0;
}

static int add_redirect(struct nftnl_rule *rule, const struct form *form, const struct step *step,
			const struct nft_plan *plan)
{
	uint16_t value = htons(plan->divert_port[step->value >> 1][step->value & 1]);
	struct nftnl_expr *e = add(rule, "immediate");

	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
	nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, &value, sizeof(value));
	e = add(rule, "redir");
	nftnl_expr_set_u32(e, NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
	return 0;
}

static void add_set_zone(struct nftnl_rule *rule)
{
	struct nftnl_expr *e = add(rule, "ct");

	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, NFT_CT_ZONE);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_SREG, NFT_REG_1);
	nftnl_expr_set_u8(e, NFTNL_EXPR_CT_DIR, IP_CT_DIR_ORIGINAL);
}

static int add_ct_zone(struct nftnl_rule *rule, const struct form *form, const struct step *step,
		       const struct nft_plan *plan)
{
	uint16_t zone = (uint16_t)step->value;
	struct nftnl_expr *e = add(rule, "immediate");

	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
	nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, &zone, sizeof(zone));
	add_set_zone(rule);
	return 0;
}

/* the kernel takes the first two bytes of what it has of the user id: on little endian, its last bits */
static int add_ct_zone_of_proxy(struct nftnl_rule *rule, const struct form *form,
				const struct step *step, const struct nft_plan *plan)
{
	uint32_t mask = SL_ZONE_UIDS, flip = SL_ZONE_PROXIES;

	add_meta(rule, NFT_META_SKUID);
	add_bitwise(rule, &mask, &flip, sizeof(mask));
	add_set_zone(rule);
	return 0;
}

static int add_verdict(struct nftnl_rule *rule, const struct form *form, const struct step *step,
		       const struct nft_plan *plan)
{
	struct nftnl_expr *e = add(rule, "immediate");

	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, step->value);
	if (step->chain)
		nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, step->chain);
	return 0;
}

static const struct form forms[] = {
	[STEP_OIF_IS] = { add_meta_is, NFT_META_OIF, sizeof(uint32_t) },
	[STEP_IIF_IS] = { add_meta_is, NFT_META_IIF, sizeof(uint32_t) },
	[STEP_PROTO_IS] = { add_meta_is, NFT_META_L4PROTO, sizeof(uint8_t) },
	[STEP_FAMILY_IS] = { add_meta_is, NFT_META_NFPROTO, sizeof(uint8_t) },
	/* TCP and UDP have them at the same place */
	[STEP_SPORT_IS] = { add_port_is, offsetof(struct tcphdr, th_sport) },
	[STEP_DPORT_IS] = { add_port_is, offsetof(struct tcphdr, th_dport) },
	[STEP_IS_SYN] = { add_is_syn },
	[STEP_MARK_IS] = { add_mark_is },
	[STEP_SET_MARK] = { add_set_mark },
	[STEP_BPF] = { add_bpf },
	[STEP_QUEUE] = { add_queue },
	[STEP_QUEUE_PACKETS] = { add_queue_packets },
	[STEP_REJECT_TCP] = { add_reject, NFT_REJECT_TCP_RST },
	[STEP_REJECT_ICMP] = { add_reject, NFT_REJECT_ICMPX_UNREACH },
	[STEP_REDIRECT] = { add_redirect },
	[STEP_CT_ZONE] = { add_ct_zone },
	[STEP_CT_ZONE_OF_PROXY] = { add_ct_zone_of_proxy },
	[STEP_VERDICT] = { add_verdict },
};

static int add_step(struct nftnl_rule *rule, const struct step *step, const struct nft_plan *plan)
{
	return forms[step->kind].add(rule, &forms[step->kind], step, plan);
}

int nft_rule_build(const struct nft_rule *rule, const struct nft_plan *plan,
		   struct nftnl_rule **ret_rule)
{
	struct nftnl_rule *built = nftnl_rule_alloc();
	int r = 0;

	if (!built)
		return -ENOMEM;
	nftnl_rule_set_u32(built, NFTNL_RULE_FAMILY, NFPROTO_INET);
	for (unsigned int i = 0; i < rule->n_steps && !r; i++)
		r = add_step(built, &rule->steps[i], plan);
	if (r < 0)
		nftnl_rule_free(built);
	else
		*ret_rule = built;
	return r;
}
