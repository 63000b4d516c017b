/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Our nft table among other owners: is it as we left it, and if not, again */
#include <errno.h>

#include <bpf/bpf.h>

#include "kernel/real.h"
#include "kernel/watch.h"

bool repair_was_touched(struct real *real)
{
	char table[NFT_TABLE_MAX];

	nft_table_name(real->instance, table, sizeof(table));
	return watch_read(real->plane.watch_fd, table, real->portid);
}

/* what another program did between the transaction and our look is not ours: unknown */
static int note_table(struct real *real)
{
	struct sl_config config;
	struct nft_state state;
	uint32_t zero = 0;
	int r = nft_read_state(real->instance, &state);

	real->digest = r == 0 && !repair_was_touched(real) ? state.digest : 0;
	if (bpf_map_lookup_elem(real->maps[MAP_CONFIG], &zero, &config) < 0)
		return -errno;
	config.table_digest = real->digest;
	if (bpf_map_update_elem(real->maps[MAP_CONFIG], &zero, &config, BPF_ANY) < 0)
		return -errno;
	return r == 0 && !nft_is_whole(&real->nft, &state) ? -ESTALE : 0;
}

int repair_table(struct real *real)
{
	int r = nft_install(&real->nft, &real->portid);

	return r < 0 ? r : note_table(real);
}

int repair(struct real *real)
{
	struct nft_state state;
	int r;

	(void)repair_was_touched(real); /* what it tells is looked at now */
	r = nft_read_state(real->instance, &state);
	if (r == -EAGAIN || (r == 0 && real->digest && state.digest == real->digest))
		return r;
	r = nft_mend(&real->nft, &real->portid);
	if (r == 0)
		r = note_table(real);
	if (r < 0) /* there is more in it than that can mend */
		r = repair_table(real);
	return r < 0 ? r : 1;
}
