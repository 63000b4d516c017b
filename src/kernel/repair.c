/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Our nft table among other owners: is it as we left it, and if not, again */
#include <errno.h>
#include <string.h>

#include "kernel/netlink.h"
#include "kernel/real.h"
#include "kernel/watch.h"

bool repair_was_touched(struct real *real, struct netns *netns)
{
	char table[NFT_TABLE_MAX];

	nft_table_name(real->instance, table, sizeof(table));
	return watch_read(netns->sockets[NETNS_WATCH], table,
			  netlink_portid(netns->sockets[NETNS_RULES]));
}

static struct nft_plan plan_of(const struct real *real, const struct netns *netns)
{
	struct nft_plan plan = real->nft;

	plan.queue_num = netns->queue_num;
	plan.packet_num = netns->packet_num;
	memcpy(plan.divert_port, netns->divert_port, sizeof(plan.divert_port));
	return plan;
}

/* what another program did between the transaction and our look is not ours: unknown */
static int note_table(struct real *real, struct netns *netns)
{
	struct nft_plan plan = plan_of(real, netns);
	struct nft_state state;
	int r = nft_read_state(real->instance, netns->sockets[NETNS_RULES], &state), error;

	netns->digest = r == 0 && !repair_was_touched(real, netns) ? state.digest : 0;
	error = join_note(real, netns);
	if (error < 0)
		return error;
	return r == 0 && !nft_is_whole(&plan, &state) ? -ESTALE : 0;
}

int repair_table(struct real *real, struct netns *netns)
{
	struct nft_plan plan = plan_of(real, netns);
	int r = nft_install(&plan, netns->sockets[NETNS_RULES]);

	return r < 0 ? r : note_table(real, netns);
}

/* as we left it, and not without that rule: it can stay */
static bool has_zone(const struct real *real, const struct netns *netns)
{
	struct nft_state state;

	return netns->digest &&
	       nft_read_state(real->instance, netns->sockets[NETNS_RULES], &state) == 0 &&
	       state.digest == netns->digest && state.has_zone;
}

int repair_renew(struct real *real, struct netns *netns)
{
	struct nft_plan plan = plan_of(real, netns);
	int r = nft_mend(&plan, has_zone(real, netns), netns->sockets[NETNS_RULES]);

	if (r == 0)
		r = note_table(real, netns);
	if (r < 0) /* there is more in it than that can mend */
		r = repair_table(real, netns);
	return r < 0 ? r : 1;
}

int repair(struct real *real, struct netns *netns)
{
	struct nft_state state;
	int r;

	(void)repair_was_touched(real, netns); /* what it tells is looked at now */
	r = nft_read_state(real->instance, netns->sockets[NETNS_RULES], &state);
	if (r == -EAGAIN || (r == 0 && netns->digest && state.digest == netns->digest))
		return r;
	return repair_renew(real, netns);
}
