/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "abi/sluice-abi.h"
#include "base/macros.h"
#include "kernel/nft-batch.h"
#include "kernel/nft-compat.h"
#include "kernel/nft-rule.h"

#define LOOPBACK_IFINDEX 1
#define PORT_DNS 53
#define PRIORITY_ZONE (-300)   /* raw: before conntrack */
#define PRIORITY_DECIDE (-150) /* mangle: before nat (-100), after conntrack (-200) */
#define PRIORITY_GATE (-149)
#define PRIORITY_PACKET (-148)
#define PRIORITY_DIVERT (-110) /* before the nat of others: a connection is translated once */

struct chain {
	const char *name;
	int hook; /* -1: only reached by goto */
	int priority;
	enum rule_when when;
	bool is_nat;
};

/* regular chains first: a rule may only go to a chain that is there */
static const struct chain chains[] = {
	{ "reject", -1, 0, ALWAYS },
	{ "hold_out", -1, 0, ALWAYS },
	{ "hold_in", -1, 0, ALWAYS },
	{ "again_out", -1, 0, ALWAYS },
	{ "unjudged_out", -1, 0, ALWAYS },
	{ "unjudged_in", -1, 0, ALWAYS },
	{ "out_loopback", -1, 0, ALWAYS },
	{ "in_loopback", -1, 0, ALWAYS }, /* nft_mend() takes no chain away */
	{ "asked_out", -1, 0, WHEN_PACKETS },
	{ "asked_in", -1, 0, WHEN_PACKETS },
	{ "out", NF_INET_LOCAL_OUT, PRIORITY_DECIDE, ALWAYS },
	{ "gate_out", NF_INET_LOCAL_OUT, PRIORITY_GATE, ALWAYS },
	{ "packet_out", NF_INET_LOCAL_OUT, PRIORITY_PACKET, WHEN_PACKETS },
	{ NFT_ZONE_CHAIN, NF_INET_LOCAL_OUT, PRIORITY_ZONE, WHEN_DIVERTING },
	{ "divert_out", NF_INET_LOCAL_OUT, PRIORITY_DIVERT, WHEN_DIVERTING, .is_nat = true },
	{ "in", NF_INET_LOCAL_IN, PRIORITY_DECIDE, ALWAYS },
	{ "gate_in", NF_INET_LOCAL_IN, PRIORITY_GATE, ALWAYS },
	{ "packet_in", NF_INET_LOCAL_IN, PRIORITY_PACKET, WHEN_PACKETS },
};

#define DIVERTED(when, proto, family, redirect)                                                    \
	RULE("divert_out", when, PROTO_IS(proto), FAMILY_IS(family), BPF(out_diverted),            \
	     SET_MARK(SL_MARK_NONE), redirect)

/* clang-format off */
static const struct nft_rule rules[] = {
	RULE("out", ALWAYS, OIF_IS(LOOPBACK_IFINDEX), GOTO("out_loopback")),
	RULE("out", ALWAYS, BPF(out_held), GOTO("hold_out")),

	RULE("out_loopback", ALWAYS, PROTO_IS(IPPROTO_UDP), BPF(out_query)),
	RULE("out_loopback", ALWAYS, PROTO_IS(IPPROTO_TCP), DPORT_IS(PORT_DNS), BPF(out_query)),
	RULE("out_loopback", WHEN_LOOPBACK, BPF(out_loopback), BPF(out_held), GOTO("hold_out")),

	RULE("again_out", WHEN_DIVERTING, BPF(out_diverted), SET_MARK(SL_MARK_DIVERT), ACCEPT),
	RULE("again_out", ALWAYS, SET_MARK(SL_MARK_NONE)),

	/* denied before or undecided: sluiced answers both, so that the application
	 * meets the same error; a drop or a reject right here would be EPERM */
	RULE("hold_out", ALWAYS, BPF(out_crowd), DROP),
	RULE("hold_out", ALWAYS, SET_MARK(SL_MARK_HELD), QUEUE),

	/* the mark alone proves nothing: the programs look at the socket again */
	RULE("gate_out", ALWAYS, MARK_IS(SL_MARK_NONE), ACCEPT),
	RULE("gate_out", ALWAYS, MARK_IS(SL_MARK_REJECT), BPF(out_ours), GOTO("reject")),
	/* A successor has what was held queued again, and this is not held any more: the verdict was
	 * written, and who wrote it died before he let the packet go */
	RULE("gate_out", ALWAYS, MARK_IS(SL_MARK_HELD), BPF(out_allowed), GOTO("again_out")),
	RULE("gate_out", ALWAYS, MARK_IS(SL_MARK_HELD), BPF(out_ours), GOTO("unjudged_out")),
	RULE("gate_out", ALWAYS, MARK_IS(SL_MARK_AGAIN), BPF(out_silent), DROP),
	RULE("gate_out", ALWAYS, MARK_IS(SL_MARK_AGAIN), BPF(out_ours), SET_MARK(SL_MARK_NONE)),
	RULE("gate_out", WHEN_DIVERTING, MARK_IS(SL_MARK_NO_NET), BPF(out_ours),
	     REJECT_ICMP(NFT_REJECT_ICMPX_NO_ROUTE)),
	RULE("gate_out", WHEN_DIVERTING, MARK_IS(SL_MARK_NO_HOST), BPF(out_ours),
	     REJECT_ICMP(NFT_REJECT_ICMPX_HOST_UNREACH)),
	RULE("gate_out", WHEN_DIVERTING, MARK_IS(SL_MARK_NO_RIGHT), BPF(out_ours),
	     REJECT_ICMP(NFT_REJECT_ICMPX_ADMIN_PROHIBITED)),
	RULE("unjudged_out", ALWAYS, BPF(out_silent), DROP),
	RULE("unjudged_out", WHEN_CLOSED, GOTO("reject")),
	RULE("unjudged_out", ALWAYS, BPF(out_denied), GOTO("reject")),
	RULE("unjudged_out", ALWAYS, SET_MARK(SL_MARK_NONE)),

	/* a successor has it queued again: if it is still to be held, it is marked again */
	RULE("in", ALWAYS, MARK_IS(SL_MARK_HELD), SET_MARK(SL_MARK_NONE)),
	RULE("in", ALWAYS, SPORT_IS(PORT_DNS), BPF(in_answer), SET_MARK(SL_MARK_NAMES), QUEUE),
	/* a proxy answers from there, and filters look at it */
	RULE("in", WHEN_DIVERTING_PEEKED, IIF_IS(LOOPBACK_IFINDEX), PROTO_IS(IPPROTO_TCP), BPF(in_peeked),
	     GOTO("hold_in")),
	RULE("in", WHEN_DIVERTING, IIF_IS(LOOPBACK_IFINDEX), PROTO_IS(IPPROTO_UDP), BPF(in_diverted),
	     GOTO("hold_in")),
	RULE("in", WHEN_LOOPBACK, IIF_IS(LOOPBACK_IFINDEX), GOTO("in_loopback")),
	RULE("in", ALWAYS, IIF_IS(LOOPBACK_IFINDEX), ACCEPT),
	RULE("in", ALWAYS, PROTO_IS(IPPROTO_TCP), IS_SYN, BPF(in_held), GOTO("hold_in")),
	RULE("in", WHEN_PEEKING, PROTO_IS(IPPROTO_TCP), BPF(in_peeked), GOTO("hold_in")),
	RULE("in", ALWAYS, PROTO_IS(IPPROTO_TCP), ACCEPT),
	RULE("in", ALWAYS, BPF(in_held), GOTO("hold_in")),

	/* it was judged where it came from; but a filter may look at what comes back */
	RULE("in_loopback", WHEN_LOOPBACK, PROTO_IS(IPPROTO_TCP), BPF(in_peeked), GOTO("hold_in")),
	RULE("in_loopback", WHEN_LOOPBACK, BPF(in_loopback), GOTO("hold_in")),

	RULE("hold_in", ALWAYS, SET_MARK(SL_MARK_HELD), QUEUE),

	RULE("gate_in", ALWAYS, MARK_IS(SL_MARK_NONE), ACCEPT),
	RULE("gate_in", ALWAYS, MARK_IS(SL_MARK_REJECT), BPF(in_ours), GOTO("reject")),
	RULE("gate_in", ALWAYS, MARK_IS(SL_MARK_HELD), BPF(in_ours), GOTO("unjudged_in")),
	RULE("unjudged_in", ALWAYS, BPF(in_silent), DROP),
	RULE("unjudged_in", WHEN_CLOSED, GOTO("reject")),
	RULE("unjudged_in", ALWAYS, BPF(in_denied), GOTO("reject")),
	RULE("unjudged_in", ALWAYS, SET_MARK(SL_MARK_NONE)),

	/* flows have their verdict: what packet filters are asked about */
	RULE("packet_out", WHEN_PACKETS, OIF_IS(LOOPBACK_IFINDEX), ACCEPT),
	RULE("packet_out", WHEN_PACKETS, BPF(packet_out), GOTO("asked_out")),
	RULE("asked_out", WHEN_PACKETS, BPF(packet_out_place), QUEUE_PACKETS),
	RULE("asked_out", WHEN_PACKETS, BPF(packet_out_denied), DROP),
	RULE("packet_in", WHEN_PACKETS, IIF_IS(LOOPBACK_IFINDEX), ACCEPT),
	RULE("packet_in", WHEN_PACKETS, BPF(packet_in), GOTO("asked_in")),
	RULE("asked_in", WHEN_PACKETS, BPF(packet_in_place), QUEUE_PACKETS),
	RULE("asked_in", WHEN_PACKETS, BPF(packet_in_denied), DROP),

	RULE("reject", ALWAYS, PROTO_IS(IPPROTO_TCP), REJECT_TCP),
	RULE(NFT_ZONE_CHAIN, WHEN_GOVERNS_PROXIES, PROTO_IS(IPPROTO_UDP), BPF(out_proxy), CT_ZONE_OF_PROXY, ACCEPT),
	RULE(NFT_ZONE_CHAIN, WHEN_DIVERTING, PROTO_IS(IPPROTO_UDP), BPF(out_ours), CT_ZONE(SL_ZONE)),

	/* first packets, and later ones when conntrack has forgotten the connection */
	DIVERTED(WHEN_LISTENING_TCP4, IPPROTO_TCP, NFPROTO_IPV4, REDIRECT(0, 0)),
	DIVERTED(WHEN_LISTENING_TCP6, IPPROTO_TCP, NFPROTO_IPV6, REDIRECT(0, 1)),
	DIVERTED(WHEN_LISTENING_UDP4, IPPROTO_UDP, NFPROTO_IPV4, REDIRECT(1, 0)),
	DIVERTED(WHEN_LISTENING_UDP6, IPPROTO_UDP, NFPROTO_IPV6, REDIRECT(1, 1)),

	RULE("reject", ALWAYS, REJECT_ICMP(NFT_REJECT_ICMPX_PORT_UNREACH)),
};
/* clang-format on */

void nft_table_name(const char *instance, char *name, size_t n)
{
	snprintf(name, n, "sluice_%s", instance);
}

static void put_chain(struct nft_batch *batch, const char *table, const struct chain *chain)
{
	struct nft_hook hook = { .number = (uint32_t)chain->hook,
				 .priority = chain->priority,
				 .type = chain->is_nat ? "nat" : "filter" };

	nft_batch_add_chain(batch, NFPROTO_INET, table, chain->name,
			    chain->hook < 0 ? NULL : &hook);
}

static int put_rule(struct nft_batch *batch, const char *table, const struct nft_rule *rule,
		    const struct nft_plan *plan)
{
	struct nftnl_rule *built;
	int r = nft_rule_build(rule, plan, &built);

	if (!r)
		nft_batch_add_rule(batch, NFPROTO_INET, table, rule->chain, built);
	return r;
}

/* Nothing is diverted where nobody listens. What was diverted before has nowhere to go: it does not leave
 * (bpf/egress.bpf.c) */
static bool is_listening(unsigned int listener, const struct nft_plan *plan)
{
	return plan->has_diverts && plan->divert_port[listener / 2][listener % 2];
}

static bool is_used(enum rule_when when, const struct nft_plan *plan)
{
	switch (when) {
	case WHEN_CLOSED:
		return plan->is_closed;
	case WHEN_PEEKING:
		return plan->has_peeks;
	case WHEN_LOOPBACK:
		return plan->has_loopback;
	case WHEN_PACKETS:
		return plan->packets != SL_PACKETS_NONE;
	case WHEN_DIVERTING:
		return plan->has_diverts;
	case WHEN_LISTENING_TCP4:
	case WHEN_LISTENING_TCP6:
	case WHEN_LISTENING_UDP4:
	case WHEN_LISTENING_UDP6:
		return is_listening(when - WHEN_LISTENING_TCP4, plan);
	case WHEN_GOVERNS_PROXIES:
		return plan->has_diverts && plan->governs_proxies;
	case WHEN_DIVERTING_PEEKED:
		return plan->has_diverts && plan->has_peeks;
	case ALWAYS:
		break;
	}
	return true;
}

enum keeping {
	KEEP_NOTHING, /* another table in the place of an older one that may be there */
	KEEP_CHAINS,  /* their hooks stay, and what they queued with them */
	/* and the rules of that chain: the kernel empties all queues when one goes that sets a zone, a
	 * moment after the transaction (nft_ct_set_destroy) */
	KEEP_ZONE,
};

static bool is_kept(enum keeping keeping, const char *chain)
{
	return keeping == KEEP_ZONE && !strcmp(chain, NFT_ZONE_CHAIN);
}

/* of KEEP_ZONE: every chain but that one */
static void flush_others(struct nft_batch *batch, const char *table, const struct nft_plan *plan)
{
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
		if (is_used(chains[i].when, plan) && !is_kept(KEEP_ZONE, chains[i].name))
			nft_batch_flush(batch, NFPROTO_INET, table, chains[i].name);
}

static int put_table(const struct nft_plan *plan, enum keeping keeping, int sock)
{
	_cleanup_(nft_batch_deinit) struct nft_batch batch;
	char table[NFT_TABLE_MAX];
	int r = 0;

	nft_load_match("bpf", 1);
	nft_table_name(plan->instance, table, sizeof(table));
	nft_batch_init(&batch);
	nft_batch_add_table(&batch, NFPROTO_INET, table);
	if (keeping == KEEP_CHAINS)
		nft_batch_flush(&batch, NFPROTO_INET, table, NULL);
	if (keeping == KEEP_NOTHING) {
		/* create, delete, create: replaces a table that may or may not be there */
		nft_batch_delete_table(&batch, NFPROTO_INET, table);
		nft_batch_add_table(&batch, NFPROTO_INET, table);
	}
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
		if (is_used(chains[i].when, plan))
			put_chain(&batch, table, &chains[i]);
	if (keeping == KEEP_ZONE)
		flush_others(&batch, table, plan);
	for (size_t i = 0; i < ARRAY_SIZE(rules) && !r; i++)
		if (is_used(rules[i].when, plan) && !is_kept(keeping, rules[i].chain))
			r = put_rule(&batch, table, &rules[i], plan);
	return r < 0 ? r : nft_batch_commit(&batch, sock);
}

int nft_install(const struct nft_plan *plan, int sock)
{
	return put_table(plan, KEEP_NOTHING, sock);
}

int nft_mend(const struct nft_plan *plan, bool has_zone, int sock)
{
	return put_table(plan, has_zone ? KEEP_ZONE : KEEP_CHAINS, sock);
}

bool nft_has_zones(const struct nft_plan *plan, const struct nft_state *state)
{
	unsigned int n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		n += is_used(rules[i].when, plan) && !strcmp(rules[i].chain, NFT_ZONE_CHAIN);
	return n > 0 && state->n_zones == n;
}

bool nft_is_whole(const struct nft_plan *plan, const struct nft_state *state)
{
	unsigned int n_rules = 0, n_chains = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		n_rules += is_used(rules[i].when, plan);
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
		n_chains += is_used(chains[i].when, plan);
	return state->n_chains == n_chains && state->n_rules == n_rules;
}

int nft_remove(const char *instance, int sock)
{
	_cleanup_(nft_batch_deinit) struct nft_batch batch;
	char table[NFT_TABLE_MAX];

	nft_table_name(instance, table, sizeof(table));
	nft_batch_init(&batch);
	nft_batch_delete_table(&batch, NFPROTO_INET, table);
	return nft_batch_commit(&batch, sock);
}

bool nft_probe_native_queue(const char *instance, int sock)
{
	static const struct chain chain = { "probe", -1, 0, ALWAYS };
	static const struct nft_rule rule = RULE("probe", ALWAYS, QUEUE);
	_cleanup_(nft_batch_deinit) struct nft_batch batch;
	struct nft_plan plan = { .instance = instance, .has_native = true };
	char table[NFT_TABLE_MAX];

	snprintf(table, sizeof(table), "sluice_%s_probe", instance);
	nft_batch_init(&batch);
	nft_batch_add_table(&batch, NFPROTO_INET, table);
	put_chain(&batch, table, &chain);
	if (put_rule(&batch, table, &rule, &plan) < 0)
		return false;
	nft_batch_delete_table(&batch, NFPROTO_INET, table);
	return nft_batch_commit(&batch, sock) == 0; /* all or nothing: a failure leaves no table */
}
