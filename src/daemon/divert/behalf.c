/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "daemon/daemon.h"

bool behalf_is_wanted(const struct daemon *daemon)
{
	return daemon->n_filters > 1 && divert_is_used(daemon);
}

/* its user id is its own, and nobody comes into its cgroup without rights over ours. Return: -1: no proxy */
static int proxy_of(const struct daemon *daemon, const struct sl_who *user)
{
	uint64_t cgroup_id = plane_proxies_id(daemon->plane);
	uint32_t index = user->uid - daemon->instance.provider_uid;

	if (!cgroup_id || user->cgroup_id != cgroup_id || index >= daemon->n_filters)
		return -1;
	return daemon->filters[index].is_proxy ? (int)index : -1;
}

void behalf_hear(struct daemon *daemon, const struct sl_sock *sock)
{
	int index = proxy_of(daemon, &sock->user);

	if (index >= 0)
		providers_hear(daemon, (unsigned int)index);
}

/* one that it was asked about, or has */
static bool is_its_own(const struct daemon *daemon, const struct flow *flow, unsigned int index)
{
	const struct divert *divert = diverts_find_flow(daemon->diverts, flow->id);

	if (flow->state == FLOW_HELD)
		return flow->asked == index && flow->told & flow_filter_bit(index);
	return divert && divert->proxy == index;
}

static const struct flow *find(struct daemon *daemon, unsigned int index, uint64_t cookie)
{
	uint64_t id = upstreams_find(daemon->upstreams, index, cookie);
	const struct flow *flow = id ? flow_table_find_id(daemon->flows, id) : NULL;

	return flow && is_its_own(daemon, flow, index) ? flow : NULL;
}

void behalf_fill(struct daemon *daemon, const struct sl_held *held, struct flow_side *side)
{
	int index = proxy_of(daemon, &held->sock.user);
	const struct identity *origin;
	const struct flow *flow;

	if (index < 0)
		return;
	side->through = flow_filter_bit((unsigned int)index);
	flow = find(daemon, (unsigned int)index, held->cookie);
	if (!flow)
		return;
	side->behalf = flow->id;
	side->through |= flow->side->through;
	origin = flow->side->through ? flow->side->origin : flow->side->identity;
	side->origin = origin ? identity_get(daemon, &origin->who) : NULL;
}

const struct flow *behalf_there(struct daemon *daemon, const struct sl_held *held,
				const uint8_t raddr[16])
{
	int index = proxy_of(daemon, &held->sock.user);
	const struct flow *flow =
		index < 0 ? NULL : find(daemon, (unsigned int)index, held->cookie);

	return flow && !memcmp(flow->key.raddr, raddr, sizeof(flow->key.raddr)) ? flow : NULL;
}

bool behalf_may(const struct flow *flow, unsigned int index)
{
	return flow->side->through >> index == 0;
}

uint16_t behalf_zone(const struct flow *flow)
{
	const struct identity *identity = flow->side->identity;

	return flow->side->through && identity ? sl_zone_of_proxy(identity->who.uid) : SL_ZONE;
}

const char *behalf_through(const struct daemon *daemon, const struct flow *flow,
			   char text[BEHALF_THROUGH_BYTES])
{
	size_t n = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < daemon->n_filters && n < BEHALF_THROUGH_BYTES; i++)
		if (flow->side->through & flow_filter_bit(i))
			n += (size_t)snprintf(text + n, BEHALF_THROUGH_BYTES - n, "%s%s",
					      n ? ", " : "", daemon->filters[i].name);
	return text;
}

int behalf_take(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_flow_upstream *record = WIRE_BODY(message, struct wire_flow_upstream);
	const struct flow *flow = flow_table_find_id(daemon->flows, record->id);

	/* without memory it is judged as a flow on nobody's behalf */
	if (!flow || !is_its_own(daemon, flow, index))
		daemon->filters[index].n_late++;
	else if (daemon->upstreams)
		(void)upstreams_put(daemon->upstreams, index, record->cookie, record->id);
	return 0;
}
