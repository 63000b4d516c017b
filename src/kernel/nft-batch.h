/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: nftables transactions
 *
 * Put messages into a batch, send it to a network namespace, all or nothing.
 * Used by the plane, and by `sluice doctor` and `sluice panic`, which must work
 * without it.
 */

#include <stdint.h>

#include <libmnl/libmnl.h>
#include <libnftnl/rule.h>

struct nft_batch {
	char *buffer;
	struct mnl_nlmsg_batch *messages;
	uint32_t sequence;
	int error; /* the first failure while building */
};

/** struct nft_hook - where a base chain sits; @device: netdev family only */
struct nft_hook {
	uint32_t number;
	int32_t priority;
	const char *device;
	const char *type; /* NULL: "filter" */
};

void nft_batch_init(struct nft_batch *batch);
void nft_batch_deinit(struct nft_batch *batch);
/** nft_batch_add_table() - one that is there stays, and is awake after it */
void nft_batch_add_table(struct nft_batch *batch, uint8_t family, const char *table);
void nft_batch_delete_table(struct nft_batch *batch, uint8_t family, const char *table);
/** nft_batch_flush() - delete the rules of @chain, NULL: of all; what hooks the chains have stays */
void nft_batch_flush(struct nft_batch *batch, uint8_t family, const char *table, const char *chain);
/** nft_batch_add_chain() - @hook: NULL for a chain that is only reached by goto */
void nft_batch_add_chain(struct nft_batch *batch, uint8_t family, const char *table,
			 const char *chain, const struct nft_hook *hook);
/** nft_batch_add_rule() - consumes @rule */
void nft_batch_add_rule(struct nft_batch *batch, uint8_t family, const char *table,
			const char *chain, struct nftnl_rule *rule);
/** nft_batch_commit() - in the namespace of the socket @fd. Return: 0 or a negative errno; then
 *  nothing has changed */
int nft_batch_commit(struct nft_batch *batch, int fd);
/** nft_batch_commit_here() - the same, in the namespace that we are in */
int nft_batch_commit_here(struct nft_batch *batch);

#define _cleanup_nft_batch_ __attribute__((cleanup(nft_batch_deinit)))
