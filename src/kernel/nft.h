/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Our nftables table
 *
 * One table per instance, "inet sluice_<instance>", replaced as a whole in one
 * transaction. bpf/README.md says where its chains stand among other owners'.
 */

#include <stdbool.h>
#include <stdint.h>

/** struct nft_programs - descriptors of the loaded matches; borrowed */
struct nft_programs {
	int out_held, out_ours, out_denied, out_silent, out_query;
	int in_held, in_ours, in_denied, in_silent, in_answer;
};

struct nft_plan {
	const char *instance;
	uint16_t queue_num;
	bool is_closed;	     /* fail class: reject what nobody judged */
	bool has_native;     /* `queue` of nft_queue; else the xt target */
	struct nft_programs programs;
};

/** nft_install() - put the table in force, replacing an older one of the same name.
 *  Return: 0 or a negative errno; on failure the older table stays in force. */
int nft_install(const struct nft_plan *plan);

/** nft_remove() - delete the table. Return: 0, -ENOENT, or another negative errno. */
int nft_remove(const char *instance);

/** nft_exists() - is the table there? Return: 1, 0, or a negative errno. */
int nft_exists(const char *instance);

/** nft_probe_native_queue() - does this kernel have `queue`? It tries one in a table of its own. */
bool nft_probe_native_queue(const char *instance);
