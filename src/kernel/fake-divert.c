/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Connections that were diverted, in the kernel of unit tests */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "kernel/fake-world.h"

int fake_divert(struct plane *plane)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_DIVERT);

	fake->is_diverting |= r == 0;
	return r;
}

bool fake_is_diverting(const struct fake *fake)
{
	return fake->is_diverting;
}

int fake_put_client(struct fake *fake, const struct sl_tuple *tuple)
{
	struct plane_client client = { .tuple = *tuple };
	socklen_t n = sizeof(client.cookie);
	int pair[2];

	if (fake->n_clients == FAKE_CLIENTS_MAX ||
	    eventfd_write(fake_netns_of(fake, tuple->netns)->clients_fd, 1) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
	    getsockopt(pair[0], SOL_SOCKET, SO_COOKIE, &client.cookie, &n) < 0)
		abort();
	client.fd = pair[0];
	fake->clients[fake->n_clients++] = client;
	return pair[1];
}

int fake_accept(struct plane *plane, struct netns *netns, bool is_ipv6,
		struct plane_client *ret_client)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_ACCEPT);
	eventfd_t told;

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < fake->n_clients; i++) {
		if (fake->clients[i].tuple.netns != netns->cookie)
			continue;
		*ret_client = fake->clients[i];
		fake->n_clients--;
		memmove(&fake->clients[i], &fake->clients[i + 1],
			(fake->n_clients - i) * sizeof(fake->clients[0]));
		return 0;
	}
	(void)eventfd_read(netns->sockets[NETNS_LISTEN4], &told);
	return -EAGAIN;
}

void fake_put_datagram(struct fake *fake, const struct sl_tuple *tuple, const void *bytes, size_t n)
{
	struct fake_datagram *fresh = &fake->datagrams[fake->n_datagrams];

	if (fake->n_datagrams == FAKE_CLIENTS_MAX || n > sizeof(fresh->bytes) ||
	    eventfd_write(fake_netns_of(fake, tuple->netns)->datagrams_fd, 1) < 0)
		abort();
	fake->n_datagrams++;
	fresh->tuple = *tuple;
	fresh->n = n;
	memcpy(fresh->bytes, bytes, n);
}

int fake_receive(struct plane *plane, struct netns *netns, int sock, uint8_t *bytes,
		 struct plane_datagram *ret_datagram)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_RECEIVE);
	eventfd_t told;

	if (r < 0)
		return r;
	for (unsigned int i = 0; sock < 0 && i < fake->n_datagrams; i++) {
		const struct fake_datagram *datagram = &fake->datagrams[i];

		if (datagram->tuple.netns != netns->cookie)
			continue;
		*ret_datagram = (struct plane_datagram){ .tuple = datagram->tuple,
							 .ours = datagram->tuple,
							 .n = datagram->n };
		memcpy(bytes, datagram->bytes, datagram->n);
		fake->n_datagrams--;
		memmove(&fake->datagrams[i], &fake->datagrams[i + 1],
			(fake->n_datagrams - i) * sizeof(fake->datagrams[0]));
		return 0;
	}
	if (sock < 0)
		(void)eventfd_read(netns->sockets[NETNS_DATAGRAMS4], &told);
	return -EAGAIN;
}

int fake_connect_datagrams(struct plane *plane, const struct netns *netns, int sock,
			   const struct sl_tuple *ours)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_CONNECT_DATAGRAMS);

	if (r < 0)
		return r;
	if (sock < 0 && netns->cookie == FAKE_HOME)
		r = sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	else if (!fake_is_of(fake, sock, netns->cookie))
		return -ESTALE;
	return r < 0 ? -errno : sock;
}

void fake_untranslate(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple,
		      uint16_t zone)
{
	(void)fake_enter(fake_of(plane), FAKE_UNTRANSLATE);
}

void fake_keep_translated(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple,
			  uint16_t zone, uint32_t seconds)
{
	(void)fake_enter(fake_of(plane), FAKE_KEEP_TRANSLATED);
}

void fake_begin_anew(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple)
{
	(void)fake_enter(fake_of(plane), FAKE_BEGIN_ANEW);
}

void fake_close_clients(struct fake *fake)
{
	for (unsigned int i = 0; i < fake->n_clients; i++)
		close_fd(fake->clients[i].fd);
}
