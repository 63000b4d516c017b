/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Our nftables table
 *
 * One table per instance and namespace, "inet sluice_<instance>", replaced as a
 * whole in one transaction. Another owner may remove or change it: watch.h.
 * bpf/README.md says where its chains stand among other owners'.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/sluice-abi.h"

#define NFT_ZONE_CHAIN "zone_out" /* its rules set a zone of conntrack */

/** struct nft_programs - descriptors of the loaded matches; borrowed */
struct nft_programs {
	int out_held, out_crowd, out_ours, out_allowed, out_denied, out_silent, out_query;
	int out_loopback;
	int in_held, in_peeked, in_ours, in_denied, in_silent, in_answer, in_loopback;
	int packet_out, packet_out_place, packet_out_denied;
	int packet_in, packet_in_place, packet_in_denied;
	int out_diverted, in_diverted, out_proxy;
};

struct nft_plan {
	const char *instance;
	uint16_t queue_num;
	uint16_t packet_num;
	bool is_closed;	   /* fail class: reject what nobody judged */
	bool has_peeks;	   /* incoming bytes of some flows are held */
	bool has_loopback; /* some of loopback is judged */
	enum sl_packets packets;
	bool has_diverts; /* some flows are proxies' */
	bool governs_proxies; /* what they send is a flow as well */
	/* of the listeners, TCP's and UDP's, by IPv4 and IPv6; 0: there is none */
	uint16_t divert_port[2][2];
	bool has_native; /* `queue` of nft_queue; else the xt target */
	struct nft_programs programs;
};

/**
 * nft_install() - put the table in force, replacing an older one of the same name
 * @sock: NETNS_RULES of the namespace, here and below
 *
 * The kernel drops every packet that is held in any queue of the namespace
 * when a base chain goes, so the older one must be past use.
 *
 * Return: 0 or a negative errno; on failure the older table stays in force.
 */
int nft_install(const struct nft_plan *plan, int sock);

/**
 * nft_mend() - the same, with the chains that are there: what is held stays. It fails when
 *              another owner has changed more than can be put back that way.
 * @has_zone: the table is as we left it, and the rules of NFT_ZONE_CHAIN are nft_has_zones(). They are left where they
 *            are: the kernel drops every held packet, too, when one like it goes.
 */
int nft_mend(const struct nft_plan *plan, bool has_zone, int sock);

/** nft_remove() - delete the table. Return: 0, -ENOENT, or another negative errno. */
int nft_remove(const char *instance, int sock);

/** struct nft_state - what the kernel says of our table */
struct nft_state {
	uint64_t digest; /* of flags, chains and rules in their order; handles are not in it */
	unsigned int n_chains, n_rules;
	unsigned int n_zones; /* rules in NFT_ZONE_CHAIN */
};

/** nft_has_zones() - are there rules in NFT_ZONE_CHAIN, and as many as the plan has? */
bool nft_has_zones(const struct nft_plan *plan, const struct nft_state *state);

/** nft_read_state() - Return: 0, -ENOENT: no table, -EAGAIN: others changed theirs while we
 *  looked, or another negative errno. */
int nft_read_state(const char *instance, int sock, struct nft_state *ret_state);

/** nft_is_whole() - are there as many chains and rules as there should be? */
bool nft_is_whole(const struct nft_plan *plan, const struct nft_state *state);

/** nft_table_name() - of an instance's table; @n: NFT_TABLE_MAX is enough */
#define NFT_TABLE_MAX 64
void nft_table_name(const char *instance, char *name, size_t n);

/** nft_probe_native_queue() - does this kernel have `queue`? It tries one in a table of its own. */
bool nft_probe_native_queue(const char *instance, int sock);
