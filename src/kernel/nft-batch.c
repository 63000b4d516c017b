/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/table.h>

#include "base/macros.h"
#include "kernel/netlink.h"
#include "kernel/nft-batch.h"

#define BATCH_BYTES (1U << 17)

void nft_batch_init(struct nft_batch *batch)
{
	*batch = (struct nft_batch){ .buffer = calloc(2, BATCH_BYTES), .sequence = 1 };
	if (batch->buffer)
		batch->messages = mnl_nlmsg_batch_start(batch->buffer, BATCH_BYTES);
	if (!batch->messages) {
		batch->error = -ENOMEM;
		return;
	}
	nftnl_batch_begin(mnl_nlmsg_batch_current(batch->messages), batch->sequence++);
	mnl_nlmsg_batch_next(batch->messages);
}

void nft_batch_deinit(struct nft_batch *batch)
{
	if (batch->messages)
		mnl_nlmsg_batch_stop(batch->messages);
	free(batch->buffer);
	*batch = (struct nft_batch){ 0 };
}

static struct nlmsghdr *next_message(struct nft_batch *batch, uint16_t type, uint8_t family,
				     uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch->messages), type, family,
				     flags | NLM_F_ACK, batch->sequence++);
}

static void put_table(struct nft_batch *batch, uint16_t type, uint16_t flags, uint8_t family,
		      const char *name)
{
	struct nftnl_table *table = batch->error ? NULL : nftnl_table_alloc();

	if (!table) {
		batch->error = batch->error ? batch->error : -ENOMEM;
		return;
	}
	nftnl_table_set_str(table, NFTNL_TABLE_NAME, name);
	if (type == NFT_MSG_NEWTABLE) /* not dormant */
		nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, 0);
	nftnl_table_nlmsg_build_payload(next_message(batch, type, family, flags), table);
	mnl_nlmsg_batch_next(batch->messages);
	nftnl_table_free(table);
}

void nft_batch_add_table(struct nft_batch *batch, uint8_t family, const char *table)
{
	put_table(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE, family, table);
}

void nft_batch_delete_table(struct nft_batch *batch, uint8_t family, const char *table)
{
	put_table(batch, NFT_MSG_DELTABLE, 0, family, table);
}

void nft_batch_flush(struct nft_batch *batch, uint8_t family, const char *table, const char *chain)
{
	struct nftnl_rule *every = batch->error ? NULL : nftnl_rule_alloc();

	if (!every) {
		batch->error = batch->error ? batch->error : -ENOMEM;
		return;
	}
	nftnl_rule_set_str(every, NFTNL_RULE_TABLE, table);
	if (chain)
		nftnl_rule_set_str(every, NFTNL_RULE_CHAIN, chain);
	nftnl_rule_nlmsg_build_payload(next_message(batch, NFT_MSG_DELRULE, family, 0), every);
	mnl_nlmsg_batch_next(batch->messages);
	nftnl_rule_free(every);
}

void nft_batch_add_chain(struct nft_batch *batch, uint8_t family, const char *table,
			 const char *name, const struct nft_hook *hook)
{
	struct nftnl_chain *chain = batch->error ? NULL : nftnl_chain_alloc();

	if (!chain) {
		batch->error = batch->error ? batch->error : -ENOMEM;
		return;
	}
	nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, table);
	nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, name);
	if (hook) {
		nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, hook->type ? hook->type : "filter");
		nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, hook->number);
		nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, hook->priority);
		nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	}
	if (hook && hook->device)
		nftnl_chain_set_str(chain, NFTNL_CHAIN_DEV, hook->device);
	nftnl_chain_nlmsg_build_payload(next_message(batch, NFT_MSG_NEWCHAIN, family, NLM_F_CREATE),
					chain);
	mnl_nlmsg_batch_next(batch->messages);
	nftnl_chain_free(chain);
}

void nft_batch_add_rule(struct nft_batch *batch, uint8_t family, const char *table,
			const char *chain, struct nftnl_rule *rule)
{
	if (!batch->error) {
		nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, table);
		nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chain);
		nftnl_rule_nlmsg_build_payload(
			next_message(batch, NFT_MSG_NEWRULE, family, NLM_F_CREATE | NLM_F_APPEND),
			rule);
		mnl_nlmsg_batch_next(batch->messages);
	}
	nftnl_rule_free(rule);
}

static int read_errors(int fd, uint32_t n_expected)
{
	char buffer[8192];

	while (n_expected > 0) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
		int left = (int)n;

		if (n < 0)
			return -errno;
		for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)buffer; mnl_nlmsg_ok(h, left);
		     h = mnl_nlmsg_next(h, &left), n_expected--) {
			const struct nlmsgerr *error = mnl_nlmsg_get_payload(h);

			if (h->nlmsg_type == NLMSG_ERROR && error->error)
				return error->error;
			if (n_expected == 0)
				return 0;
		}
	}
	return 0;
}

int nft_batch_commit(struct nft_batch *batch, int fd)
{
	struct timeval timeout = { .tv_sec = 5 };
	int bytes = 4 * BATCH_BYTES;

	if (batch->error)
		return batch->error;
	nftnl_batch_end(mnl_nlmsg_batch_current(batch->messages), batch->sequence++);
	mnl_nlmsg_batch_next(batch->messages);
	netlink_drain(fd);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	if (send(fd, mnl_nlmsg_batch_head(batch->messages), mnl_nlmsg_batch_size(batch->messages),
		 0) < 0)
		return -errno;
	return read_errors(fd, batch->sequence - 3); /* begin and end are not answered */
}

int nft_batch_commit_here(struct nft_batch *batch)
{
	_cleanup_close_ int fd = netlink_open(NETLINK_NETFILTER);

	return fd < 0 ? fd : nft_batch_commit(batch, fd);
}
