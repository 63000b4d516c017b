/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/macros.h"
#include "kernel/plane-ops.h"

int plane_divert(struct plane *plane)
{
	return plane->ops->divert(plane);
}

bool plane_diverts(const struct plane *plane, uint64_t cookie, uint8_t proto, bool is_ipv6)
{
	int place = plane_find_netns(plane, cookie);

	return place >= 0 && plane->places[place].divert_port[proto == IPPROTO_UDP][is_ipv6];
}

int plane_accept(struct plane *plane, unsigned int place, bool is_ipv6,
		 struct plane_client *ret_client)
{
	struct netns *netns = plane_at(plane, place);

	return netns ? plane->ops->accept(plane, netns, is_ipv6, ret_client) : -EAGAIN;
}

struct sl_tuple plane_accepted(const struct plane *plane, const struct sl_tuple *tuple,
			       uint16_t port)
{
	static const uint8_t loopback[2][16] = { { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
						 { [15] = 1 } };
	int place = plane_find_netns(plane, tuple->netns);
	bool is_ipv6 = !sl_is_mapped4(tuple->raddr);
	struct sl_tuple ends = { .netns = tuple->netns, .rport = port, .proto = IPPROTO_TCP };

	memcpy(ends.laddr, loopback[is_ipv6], sizeof(ends.laddr));
	memcpy(ends.raddr, tuple->laddr, sizeof(ends.raddr));
	if (place >= 0)
		ends.lport = plane->places[place].divert_port[0][is_ipv6];
	return ends;
}

int plane_receive(struct plane *plane, unsigned int place, int sock, uint8_t *bytes,
		  struct plane_datagram *ret_datagram)
{
	struct netns *netns = plane_at(plane, place);

	return netns ? plane->ops->receive(plane, netns, sock, bytes, ret_datagram) : -EAGAIN;
}

int plane_connect_datagrams(struct plane *plane, unsigned int place, int sock,
			    const struct sl_tuple *ours)
{
	struct netns *netns = plane_at(plane, place);
	int r = netns ? plane->ops->connect_datagrams(plane, netns, sock, ours) : -ENOENT;

	if (r < 0)
		close_fd(sock);
	return r;
}

void plane_untranslate(struct plane *plane, const struct sl_tuple *tuple, uint16_t zone)
{
	int place = plane_find_netns(plane, tuple->netns);

	if (place >= 0)
		plane->ops->untranslate(plane, &plane->places[place], tuple, zone);
}

void plane_keep_translated(struct plane *plane, const struct sl_tuple *tuple, uint16_t zone,
			   uint32_t seconds)
{
	int place = plane_find_netns(plane, tuple->netns);

	if (place >= 0)
		plane->ops->keep_translated(plane, &plane->places[place], tuple, zone, seconds);
}

void plane_begin_anew(struct plane *plane, const struct sl_tuple *tuple)
{
	int place = plane_find_netns(plane, tuple->netns);

	if (place >= 0)
		plane->ops->begin_anew(plane, &plane->places[place], tuple);
}
