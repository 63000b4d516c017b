/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/macros.h"
#include "kernel/netlink.h"

#define ANSWER_BYTES 32768 /* the kernel makes messages of a dump this large at most */
#define ANSWER_S 1

int netlink_open(int protocol)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

uint32_t netlink_portid(int fd)
{
	struct sockaddr_nl address = { 0 };
	socklen_t n = sizeof(address);

	return getsockname(fd, (struct sockaddr *)&address, &n) < 0 ? 0 : address.nl_pid;
}

void netlink_drain(int fd)
{
	char bytes[1];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC) >= 0 || errno == EINTR ||
	       errno == ENOBUFS)
		;
}

int netlink_tell(int fd, const struct nlmsghdr *request)
{
	return send(fd, request, request->nlmsg_len, 0) < 0 ? -errno : 0;
}

int netlink_ask(int fd, struct nlmsghdr *request, mnl_cb_t fn, void *data)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
	struct timeval timeout = { .tv_sec = ANSWER_S };
	uint32_t portid = netlink_portid(fd);
	int r = MNL_CB_OK;

	netlink_drain(fd);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	request->nlmsg_seq = 1;
	if (send(fd, request, request->nlmsg_len, 0) < 0)
		return -errno;
	while (r > MNL_CB_STOP) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		r = mnl_cb_run(answer, (size_t)n, request->nlmsg_seq, portid, fn, data);
	}
	return r < 0 ? -errno : 0;
}
