/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "keeper/keeper.h"

/* in the order of src/kernel/netns.h */
static const struct {
	int family, type, protocol;
} sockets[KEEPER_NETNS_SOCKETS] = {
	{ AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER }, { AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER },
	{ AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER }, { AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG },
	{ AF_NETLINK, SOCK_RAW, NETLINK_ROUTE },     { AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER },
	{ AF_INET, SOCK_STREAM, 0 },		     { AF_INET6, SOCK_STREAM, 0 },
};

/* a kernel without IPv6: the place is held by a socket of IPv4 */
static int open_one(unsigned int i)
{
	int flags = sockets[i].type | SOCK_CLOEXEC |
		    (sockets[i].type == SOCK_STREAM ? SOCK_NONBLOCK : 0);
	int fd = socket(sockets[i].family, flags, sockets[i].protocol);

	if (fd < 0 && errno == EAFNOSUPPORT)
		fd = socket(AF_INET, flags, sockets[i].protocol);
	return fd < 0 ? -errno : fd;
}

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

int network_enter(const struct keeper *keeper, pid_t pid, int sock, int *ret_sockets,
		  uint32_t *ret_inode)
{
	_cleanup_close_ int network = -1;
	char path[64];
	struct stat st;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	network = sock < 0 ? open(path, O_RDONLY | O_CLOEXEC) : ioctl(sock, SIOCGSKNS);
	if (network < 0 || fstat(network, &st) < 0 || setns(network, CLONE_NEWNET) < 0)
		return -errno;
	for (unsigned int i = 0; i < KEEPER_NETNS_SOCKETS; i++) {
		ret_sockets[i] = r ? -1 : open_one(i);
		r = r || ret_sockets[i] >= 0 ? r : ret_sockets[i];
	}
	if (setns(keeper->own_net, CLONE_NEWNET) < 0)
		_exit(1); /* here it could do harm; sluiced leaves what is in force */
	*ret_inode = (uint32_t)st.st_ino;
	return r;
}
