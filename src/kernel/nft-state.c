/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Is our table as we made it?
 *
 * The table, its chains and its rules are read as the kernel tells them and
 * hashed: what they are, not their handles or counts of users, which another
 * owner's transaction may move for a moment. Nothing is kept secret by it:
 * who may change the table may also do worse.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "base/macros.h"
#include "kernel/netlink.h"
#include "kernel/nft.h"

#define REQUEST_BYTES 256
#define TRIES 5 /* at a dump in whose middle somebody changed something */
#define FNV_BASIS 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

struct look {
	const char *table;
	struct nft_state state;
};

/* what of a message is hashed; the first attribute of each is the table's name */
static const struct {
	uint16_t asked, told;
	bool is_dump;
	uint16_t attributes[5];
} parts[] = {
	{ NFT_MSG_GETTABLE, NFT_MSG_NEWTABLE, false, { NFTA_TABLE_FLAGS } },
	{ NFT_MSG_GETCHAIN,
	  NFT_MSG_NEWCHAIN,
	  true,
	  { NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE,
	    NFTA_CHAIN_FLAGS } },
	{ NFT_MSG_GETRULE, NFT_MSG_NEWRULE, true, { NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS } },
};

static void hash(struct look *look, const void *bytes, size_t n)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < n; i++)
		look->state.digest = (look->state.digest ^ byte[i]) * FNV_PRIME;
}

static bool is_wanted(size_t part, uint16_t attribute)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts[part].attributes); i++)
		if (attribute && parts[part].attributes[i] == attribute)
			return true;
	return false;
}

static bool is_ours(const struct nlmsghdr *header, const char *table)
{
	const struct nlattr *first = mnl_nlmsg_get_payload_offset(header, sizeof(struct nfgenmsg));

	return mnl_nlmsg_get_payload_len(header) > sizeof(struct nfgenmsg) + MNL_ATTR_HDRLEN &&
	       mnl_attr_get_type(first) == NFTA_TABLE_NAME &&
	       mnl_attr_validate(first, MNL_TYPE_NUL_STRING) >= 0 &&
	       !strcmp(mnl_attr_get_str(first), table);
}

static bool is_of_zone(const struct nlmsghdr *rule)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, rule, sizeof(struct nfgenmsg)) if (
		mnl_attr_get_type(attr) ==
		NFTA_RULE_CHAIN) return mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0 &&
		!strcmp(mnl_attr_get_str(attr), NFT_ZONE_CHAIN);
	return false;
}

static int take(const struct nlmsghdr *header, void *data)
{
	struct look *look = data;
	const struct nlattr *attr;
	size_t part = 0;

	while (part < ARRAY_SIZE(parts) &&
	       header->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | parts[part].told))
		part++;
	if (part == ARRAY_SIZE(parts) || !is_ours(header, look->table))
		return MNL_CB_OK;
	look->state.n_chains += parts[part].told == NFT_MSG_NEWCHAIN;
	look->state.n_rules += parts[part].told == NFT_MSG_NEWRULE;
	look->state.has_zone |= parts[part].told == NFT_MSG_NEWRULE && is_of_zone(header);
	hash(look, &parts[part].told, sizeof(parts[part].told));
	mnl_attr_for_each(attr, header,
			  sizeof(struct nfgenmsg)) if (is_wanted(part, mnl_attr_get_type(attr)))
		hash(look, attr, attr->nla_len);
	return MNL_CB_OK;
}

static int ask(int sock, struct look *look, size_t part)
{
	char buffer[REQUEST_BYTES];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *family;

	header->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | parts[part].asked;
	header->nlmsg_flags = NLM_F_REQUEST | (parts[part].is_dump ? NLM_F_DUMP : NLM_F_ACK);
	family = mnl_nlmsg_put_extra_header(header, sizeof(*family));
	family->nfgen_family = NFPROTO_INET;
	mnl_attr_put_strz(header, NFTA_TABLE_NAME, look->table);
	return netlink_ask(sock, header, take, look);
}

int nft_read_state(const char *instance, int sock, struct nft_state *ret_state)
{
	char table[NFT_TABLE_MAX];
	struct look look;
	int r = -EINTR;

	nft_table_name(instance, table, sizeof(table));
	for (unsigned int i = 0; i < TRIES && r == -EINTR; i++) { /* a torn dump */
		look = (struct look){ .table = table, .state.digest = FNV_BASIS };
		r = 0;
		for (size_t part = 0; part < ARRAY_SIZE(parts) && !r; part++)
			r = ask(sock, &look, part);
	}
	if (r == -EINTR)
		return -EAGAIN;
	if (r == 0)
		*ret_state = look.state;
	return r;
}
