/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Rules of others that are in our way
 *
 * These probes look at the network namespace of the caller, and read only. What x_tables has without
 * nftables (iptables-legacy) they do not see.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include "base/macros.h"
#include "cli/doctor.h"

#define ANSWER_BYTES 8192U

/* ---- marks ---- */

struct owners {
	unsigned int n;
	uint32_t first_mark, first_mask;
};

static int on_rule(const struct nlmsghdr *message, void *data)
{
	uint32_t mark = 0, mask = UINT32_MAX;
	struct owners *owners = data;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct fib_rule_hdr))
	{
		if (mnl_attr_get_type(attr) == FRA_FWMARK)
			mark = mnl_attr_get_u32(attr);
		if (mnl_attr_get_type(attr) == FRA_FWMASK)
			mask = mnl_attr_get_u32(attr);
	}
	if (mark && (mask & DOCTOR_MARK_MASK) && owners->n++ == 0) {
		owners->first_mark = mark;
		owners->first_mask = mask;
	}
	return MNL_CB_OK;
}

/* Return: 0 or a negative errno; each answer went to @fn */
static int dump(int protocol, struct nlmsghdr *message, mnl_cb_t fn, void *data)
{
	struct mnl_socket *sock = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	char buffer[ANSWER_BYTES];
	int r = MNL_CB_OK;
	ssize_t n;

	if (!sock)
		return -errno;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(sock, message, message->nlmsg_len) < 0)
		r = MNL_CB_ERROR;
	while (r > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(sock, buffer, sizeof(buffer));
		r = n < 0 ? MNL_CB_ERROR : mnl_cb_run(buffer, (size_t)n, 0, 0, fn, data);
	}
	r = r < 0 ? -errno : 0;
	mnl_socket_close(sock);
	return r;
}

static int read_rules(uint8_t family, struct owners *owners)
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct fib_rule_hdr *header;

	message->nlmsg_type = RTM_GETRULE;
	header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->family = family;
	return dump(NETLINK_ROUTE, message, on_rule, owners);
}

void probe_mark_owners(struct probe_result *result)
{
	struct owners owners = { 0 };
	int r = read_rules(AF_INET, &owners);

	if (!r)
		r = read_rules(AF_INET6, &owners);
	if (r)
		probe_says(result, PROBE_WARNING, "rules cannot be read: %s", strerror(-r));
	else if (owners.n)
		probe_says(result, PROBE_WARNING,
			   "%u routing rules match in our bits 0x%x, the first 0x%x/0x%x", owners.n,
			   DOCTOR_MARK_MASK, owners.first_mark, owners.first_mask);
	else
		probe_says(result, PROBE_OK, "no routing rule matches in our bits 0x%x",
			   DOCTOR_MARK_MASK);
}

/* ---- nat that comes before ours ---- */

/* of all tables of nftables, iptables-nft's among them */
static int read_tables(uint16_t what, mnl_cb_t fn, void *data)
{
	char buffer[256] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

	message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | what;
	(void)mnl_nlmsg_put_extra_header(message, sizeof(struct nfgenmsg));
	return dump(NETLINK_NETFILTER, message, fn, data);
}

struct foreign_nat {
	unsigned int n;
	char first[PROBE_DETAIL_BYTES / 4];
	int priority;
};

static const struct nlattr *find_attr(const struct nlmsghdr *message, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

static bool is_at_output(const struct nlattr *hook, int *ret_priority)
{
	const struct nlattr *attr;
	bool is_output = false;

	mnl_attr_for_each_nested(attr, hook)
	{
		if (mnl_attr_get_type(attr) == NFTA_HOOK_HOOKNUM)
			is_output = ntohl(mnl_attr_get_u32(attr)) == NF_INET_LOCAL_OUT;
		if (mnl_attr_get_type(attr) == NFTA_HOOK_PRIORITY)
			*ret_priority = (int)ntohl(mnl_attr_get_u32(attr));
	}
	return is_output;
}

static int on_nat_chain(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *table = find_attr(message, NFTA_CHAIN_TABLE),
			    *type = find_attr(message, NFTA_CHAIN_TYPE),
			    *hook = find_attr(message, NFTA_CHAIN_HOOK);
	struct foreign_nat *nat = data;
	int priority = 0;

	if (!table || !type || !hook || strcmp(mnl_attr_get_str(type), "nat") != 0 ||
	    !is_at_output(hook, &priority) || priority >= DOCTOR_NAT_PRIORITY || nat->n++ > 0)
		return MNL_CB_OK;
	snprintf(nat->first, sizeof(nat->first), "%s", mnl_attr_get_str(table));
	nat->priority = priority;
	return MNL_CB_OK;
}

void probe_foreign_nat(struct probe_result *result)
{
	struct foreign_nat nat = { 0 };
	int r = read_tables(NFT_MSG_GETCHAIN, on_nat_chain, &nat);

	if (r)
		probe_says(result, PROBE_WARNING, "chains cannot be read: %s", strerror(-r));
	else if (nat.n)
		probe_says(
			result, PROBE_WARNING,
			"%u nat chains at output come before ours (%d), the first in table %s (%d): "
			"what they translate gets no answer when a proxy takes it",
			nat.n, DOCTOR_NAT_PRIORITY, nat.first, nat.priority);
	else
		probe_says(result, PROBE_OK, "no nat chain at output comes before ours (%d)",
			   DOCTOR_NAT_PRIORITY);
}

/* ---- firewalls that may drop what was diverted ---- */

#define FIREWALLS_MAX 16U

struct firewalls {
	struct firewall {
		uint8_t family;
		bool knows_nat;
		char table[PROBE_DETAIL_BYTES / 4];
	} all[FIREWALLS_MAX];
	unsigned int n;
};

static uint8_t family_of(const struct nlmsghdr *message)
{
	return ((const struct nfgenmsg *)mnl_nlmsg_get_payload(message))->nfgen_family;
}

static struct firewall *find_firewall(struct firewalls *firewalls, uint8_t family,
				      const char *table)
{
	for (unsigned int i = 0; i < firewalls->n; i++)
		if (firewalls->all[i].family == family &&
		    !strncmp(firewalls->all[i].table, table, sizeof(firewalls->all[i].table) - 1))
			return &firewalls->all[i];
	return NULL;
}

static bool is_dropping(const struct nlmsghdr *chain)
{
	const struct nlattr *type = find_attr(chain, NFTA_CHAIN_TYPE),
			    *hook = find_attr(chain, NFTA_CHAIN_HOOK),
			    *policy = find_attr(chain, NFTA_CHAIN_POLICY);
	uint8_t family = family_of(chain);
	int priority = 0;

	return type && hook && policy && !strcmp(mnl_attr_get_str(type), "filter") &&
	       (family == NFPROTO_INET || family == NFPROTO_IPV4 || family == NFPROTO_IPV6) &&
	       ntohl(mnl_attr_get_u32(policy)) == NF_DROP && is_at_output(hook, &priority) &&
	       priority > DOCTOR_NAT_PRIORITY;
}

static int on_filter_chain(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *table = find_attr(message, NFTA_CHAIN_TABLE);
	struct firewalls *firewalls = data;
	struct firewall *firewall = &firewalls->all[firewalls->n];

	if (!table || firewalls->n == FIREWALLS_MAX || !is_dropping(message) ||
	    find_firewall(firewalls, family_of(message), mnl_attr_get_str(table)))
		return MNL_CB_OK;
	firewall->family = family_of(message);
	snprintf(firewall->table, sizeof(firewall->table), "%s", mnl_attr_get_str(table));
	firewalls->n++;
	return MNL_CB_OK;
}

/* `ct status`, whatever it is compared with */
static bool is_ct_status(const struct nlattr *element)
{
	const struct nlattr *attr, *data = NULL;
	const char *name = "";

	mnl_attr_for_each_nested(attr, element)
	{
		if (mnl_attr_get_type(attr) == NFTA_EXPR_NAME)
			name = mnl_attr_get_str(attr);
		if (mnl_attr_get_type(attr) == NFTA_EXPR_DATA)
			data = attr;
	}
	if (!data || strcmp(name, "ct") != 0)
		return false;
	mnl_attr_for_each_nested(attr, data)
	{
		if (mnl_attr_get_type(attr) == NFTA_CT_KEY &&
		    ntohl(mnl_attr_get_u32(attr)) == NFT_CT_STATUS)
			return true;
	}
	return false;
}

static int on_filter_rule(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *table = find_attr(message, NFTA_RULE_TABLE), *element,
			    *elements = find_attr(message, NFTA_RULE_EXPRESSIONS);
	struct firewall *firewall =
		table ? find_firewall(data, family_of(message), mnl_attr_get_str(table)) : NULL;

	if (!firewall || !elements)
		return MNL_CB_OK;
	mnl_attr_for_each_nested(element, elements)
	{
		firewall->knows_nat |= is_ct_status(element);
	}
	return MNL_CB_OK;
}

/* behind nat a packet has its new address, and still its old interface: `oif lo` does not let it go */
void probe_foreign_filter(struct probe_result *result)
{
	const struct firewall *first = NULL;
	struct firewalls firewalls = { 0 };
	int r = read_tables(NFT_MSG_GETCHAIN, on_filter_chain, &firewalls);

	if (!r && firewalls.n)
		r = read_tables(NFT_MSG_GETRULE, on_filter_rule, &firewalls);
	for (unsigned int i = firewalls.n; i-- > 0;)
		if (!firewalls.all[i].knows_nat)
			first = &firewalls.all[i];
	if (r)
		probe_says(result, PROBE_WARNING, "rules cannot be read: %s", strerror(-r));
	else if (first)
		probe_says(result, PROBE_WARNING,
			   "table %s drops at output what no rule of it accepts, and has none for "
			   "\"ct status dnat\": it may drop what goes to a proxy",
			   first->table);
	else
		probe_says(result, PROBE_OK, "no table drops at output, or it knows of nat");
}
