/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/netns.h"
#include "keeper/keeper.h"

_Static_assert(KEEPER_NETNS_SOCKETS == _NETNS_SOCKET_N, "what ENTER opens");

/* one empty one for all: whoever is in it can open no socket anyway */
int network_open_ours(struct keeper *keeper)
{
	keeper->own_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (keeper->own_net < 0 || unshare(CLONE_NEWNET) < 0)
		return -errno;
	keeper->no_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (keeper->no_net < 0 || setns(keeper->own_net, CLONE_NEWNET) < 0)
		return -errno;
	return 0;
}

/* Return: 0 or a negative errno; then some may be open */
static int open_sockets(uint32_t only, int *ret_sockets)
{
	int r = 0;

	for (unsigned int i = 0; i < KEEPER_NETNS_SOCKETS && r >= 0; i++) {
		if (only && only != i + 1)
			continue;
		r = ret_sockets[i] = netns_open_socket((enum netns_socket)i);
	}
	return MIN(r, 0);
}

int network_enter(const struct keeper *keeper, const struct wire_k_enter *enter, int sock,
		  int *ret_sockets, uint32_t *ret_inode)
{
	_cleanup_close_ int network = -1;
	char path[64];
	struct stat st;
	int r;

	for (unsigned int i = 0; i < KEEPER_NETNS_SOCKETS; i++)
		ret_sockets[i] = -1;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (pid_t)enter->pid);
	network = sock < 0 ? open(path, O_RDONLY | O_CLOEXEC) : ioctl(sock, SIOCGSKNS);
	if (network < 0 || fstat(network, &st) < 0 || setns(network, CLONE_NEWNET) < 0)
		return -errno;
	r = open_sockets(enter->only, ret_sockets);
	if (setns(keeper->own_net, CLONE_NEWNET) < 0)
		_exit(1); /* here it could do harm; sluiced leaves what is in force */
	*ret_inode = (uint32_t)st.st_ino;
	return r;
}
