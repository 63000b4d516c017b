/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What proxies connect to
 *
 * Where there are filters, or several proxies, the cgroup of providers is governed as well, and what a
 * proxy connects to is a flow like any other, its own: filters judge it, then the proxies behind that
 * one may have it. FLOW_UPSTREAM says on whose behalf it is; flow_side has that, and whose it was in the
 * beginning. A proxy that says nothing has flows of its own, which go the same way. Decision 0025.
 */

#include <stdbool.h>
#include <stdint.h>

#include "flow/flow.h"

struct daemon;
struct wire_message;

/** behalf_is_wanted() - proxies are to be governed: somebody comes before or behind one of them */
bool behalf_is_wanted(const struct daemon *daemon);
/** behalf_hear() - whose socket it is has said what it has to say, if that is a proxy */
void behalf_hear(struct daemon *daemon, const struct sl_sock *sock);
/** behalf_fill() - of a flow of this socket: through which proxies, and on whose behalf */
void behalf_fill(struct daemon *daemon, const struct sl_held *held, struct flow_side *side);
/** behalf_there() - the flow on whose behalf @held is, if it goes to the same address; or NULL */
const struct flow *behalf_there(struct daemon *daemon, const struct sl_held *held,
				const uint8_t raddr[16]);
/** behalf_may() - may this proxy have the flow? No flow comes twice to one, or back to an earlier one */
bool behalf_may(const struct flow *flow, unsigned int index);
/** behalf_zone() - of conntrack: sl_zone_of_proxy(), SL_ZONE */
uint16_t behalf_zone(const struct flow *flow);
/** behalf_through() - names of the proxies that it has come through. Return: @text */
#define BEHALF_THROUGH_BYTES 128U
const char *behalf_through(const struct daemon *daemon, const struct flow *flow,
			   char text[BEHALF_THROUGH_BYTES]);

/** behalf_take() - FLOW_UPSTREAM. Return: 0 */
int behalf_take(struct daemon *daemon, unsigned int index, const struct wire_message *message);
