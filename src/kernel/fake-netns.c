/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Network namespaces, in the kernel of unit tests */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "kernel/fake-world.h"

struct fake_netns *fake_netns_of(struct fake *fake, uint64_t cookie)
{
	for (unsigned int i = 0; i < fake->n_netns; i++)
		if (fake->netns[i].cookie == cookie)
			return &fake->netns[i];
	abort();
}

void fake_make_netns(struct fake *fake, uint64_t cookie)
{
	struct fake_netns *fresh = &fake->netns[fake->n_netns++];

	if (fake->n_netns > FAKE_NETNS_MAX)
		abort();
	fresh->cookie = cookie;
	fresh->watch_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fresh->asked_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fresh->clients_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fresh->datagrams_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fresh->watch_fd < 0 || fresh->asked_fd < 0 || fresh->clients_fd < 0 ||
	    fresh->datagrams_fd < 0 || pipe2(fresh->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
}

void fake_close_netns(struct fake *fake)
{
	for (unsigned int i = 0; i < fake->n_netns; i++) {
		close_fd(fake->netns[i].watch_fd);
		close_fd(fake->netns[i].asked_fd);
		close_fd(fake->netns[i].clients_fd);
		close_fd(fake->netns[i].datagrams_fd);
		close_fd(fake->netns[i].pipe[0]);
		close_fd(fake->netns[i].pipe[1]);
	}
}

int fake_open_socket(struct fake *fake, uint64_t cookie)
{
	return fcntl(fake_netns_of(fake, cookie)->pipe[0], F_DUPFD_CLOEXEC, 3);
}

static struct fake_netns *made_in(struct fake *fake, int fd)
{
	struct stat st, other;

	for (unsigned int i = 0; fd >= 0 && i < fake->n_netns; i++)
		if (fstat(fd, &st) == 0 && fstat(fake->netns[i].pipe[0], &other) == 0 &&
		    st.st_ino == other.st_ino)
			return &fake->netns[i];
	return NULL;
}

bool fake_is_of(struct fake *fake, int fd, uint64_t cookie)
{
	const struct fake_netns *from = made_in(fake, fd);

	return from && from->cookie == cookie;
}

static int source_of(const struct fake_netns *from, enum netns_socket kind)
{
	switch (kind) {
	case NETNS_WATCH:
		return from->watch_fd;
	case NETNS_PACKETS:
		return from->asked_fd;
	case NETNS_LISTEN4:
		return from->clients_fd;
	case NETNS_DATAGRAMS4:
		return from->datagrams_fd;
	default:
		return from->pipe[0];
	}
}

static void open_rest(struct fake_netns *from, struct netns *netns)
{
	for (int i = 0; i < _NETNS_SOCKET_N; i++)
		if (netns->sockets[i] < 0)
			netns->sockets[i] = fcntl(source_of(from, (enum netns_socket)i),
						  F_DUPFD_CLOEXEC, 3);
	netns->inode = (uint32_t)from->cookie + 1000;
	memset(netns->divert_port, 1, sizeof(netns->divert_port));
}

static struct netns *new_place(struct plane *plane, unsigned int place, uint64_t cookie)
{
	while (plane->n_places <= place)
		netns_clear(&plane->places[plane->n_places++]);
	plane->places[place].is_used = true;
	plane->places[place].cookie = cookie;
	return &plane->places[place];
}

void fake_adopt(struct fake *fake, struct plane *plane, int *kept)
{
	int home;

	for (unsigned int i = 0; i < PLANE_NETNS_MAX; i++) {
		int *sockets = kept + i * PLANE_KEPT_N;
		struct fake_netns *from = made_in(fake, sockets[NETNS_QUEUE]);
		struct netns *netns;

		if (!from || !fake->is_installed)
			continue;
		netns = new_place(plane, i, from->cookie);
		netns->sockets[NETNS_QUEUE] = TAKE_FD(sockets[NETNS_QUEUE]);
		netns->sockets[NETNS_RULES] = TAKE_FD(sockets[NETNS_RULES]);
		netns->wants_requeue = true;
	}
	home = plane_find_netns(plane, FAKE_HOME);
	if (home < 0)
		home = plane_free_place(plane);
	plane->home = (unsigned int)home;
	open_rest(fake_netns_of(fake, FAKE_HOME), new_place(plane, plane->home, FAKE_HOME));
	for (unsigned int i = 0; i < PLANE_KEPT_MAX; i++)
		kept[i] = close_fd(kept[i]);
}

int fake_join(struct plane *plane, struct netns *netns, int sockets[_NETNS_SOCKET_N])
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_JOIN);

	if (r < 0)
		return r;
	for (int i = 0; i < _NETNS_SOCKET_N; i++)
		if (!fake_is_of(fake, sockets[i], netns->cookie))
			return -ESTALE;
	open_rest(fake_netns_of(fake, netns->cookie), netns);
	fake_netns_of(fake, netns->cookie)->has_rules = true;
	fake_netns_of(fake, netns->cookie)->is_refused = false;
	return 0;
}

void fake_leave(struct plane *plane, struct netns *netns)
{
	(void)fake_enter(fake_of(plane), FAKE_LEAVE);
	fake_netns_of(fake_of(plane), netns->cookie)->has_rules = false;
}

void fake_refuse(struct plane *plane, uint64_t cookie)
{
	(void)fake_enter(fake_of(plane), FAKE_REFUSE);
	fake_netns_of(fake_of(plane), cookie)->is_refused = true;
}

void fake_forget(struct plane *plane, uint64_t cookie)
{
	(void)fake_enter(fake_of(plane), FAKE_FORGET);
	fake_netns_of(fake_of(plane), cookie)->is_refused = false;
}

bool fake_is_refused(struct fake *fake, uint64_t cookie)
{
	return fake_netns_of(fake, cookie)->is_refused;
}

void fake_set_inhabited(struct fake *fake, uint64_t cookie, bool is_inhabited)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < fake->n_census; i++)
		if (fake->census[i].netns != cookie)
			fake->census[n++] = fake->census[i];
	if (is_inhabited)
		fake->census[n++] = (struct sl_census){ .netns = cookie, .pid = (uint32_t)cookie };
	fake->n_census = n;
}

int fake_census(struct plane *plane, plane_census_fn fn, void *data)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_CENSUS);

	for (unsigned int i = 0; i < fake->n_census && r == 0; i++)
		fn(&fake->census[i], data);
	return r;
}
