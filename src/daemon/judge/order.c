/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Datagrams stay in order
 *
 * What is sent while a verdict is carried out must not overtake what waited for it: see struct sl_order.
 */
#include "daemon/judge/judge.h"

void order_begin(struct daemon *daemon, struct sl_flow *entry)
{
	struct sl_order *order = plane_order(daemon->plane);

	if (!order || entry->verdict != SL_ALLOW || entry->dir != SL_DIR_OUT ||
	    entry->tuple.proto == IPPROTO_TCP)
		return;
	(void)__atomic_add_fetch(&order->n_held, 1, __ATOMIC_SEQ_CST);
	entry->flags |= SL_FLOW_BEHIND;
	entry->behind = 0;
}

uint64_t order_now(const struct daemon *daemon)
{
	struct sl_order *order = plane_order(daemon->plane);

	return order ? __atomic_load_n(&order->n_held, __ATOMIC_SEQ_CST) : 0;
}

void order_read(struct daemon *daemon, uint64_t n_held)
{
	struct sl_order *order = plane_order(daemon->plane);

	if (order)
		__atomic_store_n(&order->n_read, n_held, __ATOMIC_SEQ_CST);
}

bool order_is_behind(const struct daemon *daemon)
{
	struct sl_order *order = plane_order(daemon->plane);

	return order && order->n_read != order_now(daemon);
}
