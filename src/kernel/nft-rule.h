/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <libnftnl/rule.h>

#include "kernel/nft.h"

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
	STEP_FAMILY_IS,
	STEP_DPORT_IS,
	STEP_SPORT_IS,
	STEP_IS_SYN,
	STEP_MARK_IS,
	STEP_BPF,
	STEP_SET_MARK,
	STEP_QUEUE,
	STEP_QUEUE_PACKETS,
	STEP_REJECT_TCP,
	STEP_REJECT_ICMP,
	STEP_REDIRECT,
	STEP_CT_ZONE,
	STEP_CT_ZONE_OF_PROXY,
	STEP_VERDICT,
};

struct step {
	enum step_kind kind;
	uint32_t value;
	const char *chain;
};

#define OIF_IS(v) { .kind = STEP_OIF_IS, .value = (v) }
#define IIF_IS(v) { .kind = STEP_IIF_IS, .value = (v) }
#define PROTO_IS(v) { .kind = STEP_PROTO_IS, .value = (v) }
#define FAMILY_IS(v) { .kind = STEP_FAMILY_IS, .value = (v) }
#define DPORT_IS(v) { .kind = STEP_DPORT_IS, .value = (v) }
#define SPORT_IS(v) { .kind = STEP_SPORT_IS, .value = (v) }
#define IS_SYN { .kind = STEP_IS_SYN }
#define MARK_IS(v) { .kind = STEP_MARK_IS, .value = (v) }
#define BPF(member) { .kind = STEP_BPF, .value = offsetof(struct nft_programs, member) }
#define SET_MARK(v) { .kind = STEP_SET_MARK, .value = (v) }
#define QUEUE { .kind = STEP_QUEUE }
#define QUEUE_PACKETS { .kind = STEP_QUEUE_PACKETS }
#define REJECT_TCP { .kind = STEP_REJECT_TCP }
/* an error that means the same in IPv4 and IPv6 */
#define REJECT_ICMP(v) { .kind = STEP_REJECT_ICMP, .value = (v) }
/* to a listener of the namespace, on loopback */
#define REDIRECT(is_udp, is_ipv6) { .kind = STEP_REDIRECT, .value = (is_udp) << 1 | (is_ipv6) }
#define CT_ZONE(v) { .kind = STEP_CT_ZONE, .value = (v) } /* of the direction that begins */
#define CT_ZONE_OF_PROXY { .kind = STEP_CT_ZONE_OF_PROXY } /* sl_zone_of_proxy() of its user */
#define ACCEPT { .kind = STEP_VERDICT, .value = NF_ACCEPT }
#define DROP { .kind = STEP_VERDICT, .value = NF_DROP }
#define GOTO(c) { .kind = STEP_VERDICT, .value = (uint32_t)NFT_GOTO, .chain = (c) }

#define STEPS_MAX 6
enum rule_when {
	ALWAYS,
	WHEN_CLOSED,
	WHEN_PEEKING,
	WHEN_PACKETS,
	WHEN_LOOPBACK,
	WHEN_DIVERTING,
	WHEN_DIVERTING_PEEKED,
	/* there is a listener for these flows: nft_plan.divert_port, in its order */
	WHEN_LISTENING_TCP4,
	WHEN_LISTENING_TCP6,
	WHEN_LISTENING_UDP4,
	WHEN_LISTENING_UDP6,
	WHEN_GOVERNS_PROXIES,
};

struct nft_rule {
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

/**
 * nft_rule_build() - the kernel's form of a rule
 * @ret_rule: out: owned by the caller (nftnl_rule_free()); on 0 only
 *
 * Return: 0 or -ENOMEM.
 */
int nft_rule_build(const struct nft_rule *rule, const struct nft_plan *plan,
		   struct nftnl_rule **ret_rule);
