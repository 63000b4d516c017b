/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/macros.h"
#include "wire/channel.h"

void channel_limit(int sock, int bytes)
{
	if (setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int channel_pair(int *ret_a, int *ret_b)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		channel_limit(fds[i], CHANNEL_BYTES);
	*ret_a = fds[0];
	*ret_b = fds[1];
	return 0;
}

static int send_parts(int sock, struct iovec *parts, size_t n_parts, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = n_parts };
	struct cmsghdr *cmsg;
	ssize_t n;

	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&message);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	do {
		n = sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
}

int channel_send(int sock, const struct wire_channel *channel, uint16_t type, const void *body,
		 const void *tail, size_t n_tail, int fd)
{
	uint8_t buffer[WIRE_HEADER_BYTES + WIRE_BODY_MAX];
	struct iovec parts[2];
	size_t n;

	if (wire_encode(channel, type, body, buffer, sizeof(buffer), &n))
		return -EINVAL;
	parts[0] = (struct iovec){ .iov_base = buffer, .iov_len = n };
	parts[1] = (struct iovec){ .iov_base = (void *)(uintptr_t)tail, .iov_len = n_tail };
	return send_parts(sock, parts, n_tail ? 2 : 1, fd);
}

int channel_wait(int sock)
{
	struct pollfd pollfd = { .fd = sock, .events = POLLIN };

	return poll(&pollfd, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

int channel_send_raw(int sock, const uint8_t *bytes, size_t n_bytes, int fd)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = n_bytes };

	return send_parts(sock, &part, 1, fd);
}

/* keeps the first descriptor, closes any other: at most one may travel with a record */
static int take_descriptor(struct msghdr *message)
{
	int kept = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (kept < 0)
				kept = fd;
			else
				close_fd(fd);
		}
	}
	return kept;
}

int channel_recv(int sock, const struct wire_channel *channel, unsigned int from, uint8_t *buffer,
		 struct wire_message *ret_message, size_t *ret_bytes, int *ret_fd)
{
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = { .iov_base = buffer, .iov_len = WIRE_RECORD_MAX };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	_cleanup_close_ int fd = -1;
	ssize_t n;
	int r;

	do {
		n = recvmsg(sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	fd = take_descriptor(&message);
	if (n == 0)
		return -EPIPE;
	if (message.msg_flags & MSG_TRUNC)
		return WIRE_E_TAIL;
	r = wire_decode(channel, from, buffer, (size_t)n, ret_message);
	if (r)
		return r;
	if (ret_bytes)
		*ret_bytes = (size_t)n;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
