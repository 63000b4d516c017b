/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What a peer may put on a socket
 *
 * The first three bytes choose the channel, the end that sends and how many
 * descriptors come along; the rest is sent as it is. Whatever is received, no
 * descriptor may be left open but the one that is handed over, and a refused
 * record hands over none.
 */

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "record-target.h"
#include "wire/canary-records.h"
#include "wire/channel.h"
#include "wire/keeper-records.h"
#include "wire/names-records.h"
#include "wire/provider-records.h"

#define FDS_MAX 8U

static const struct wire_channel *const channels[] = {
	&wire_provider_channel,
	&wire_names_channel,
	&wire_keeper_channel,
	&wire_canary_channel,
};

static void send_with(int sock, const uint8_t *bytes, size_t n_bytes, unsigned int n_fds)
{
	char control[CMSG_SPACE(FDS_MAX * sizeof(int))] = { 0 };
	struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = n_bytes };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	int fds[FDS_MAX];

	if (n_fds > 0) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)control;

		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (unsigned int i = 0; i < n_fds; i++)
			fds[i] = STDERR_FILENO;
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	(void)sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* the lowest free number: it rises when one is leaked */
static int free_fd(void)
{
	int fd = dup(STDERR_FILENO);

	require(fd >= 0);
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buffer[WIRE_RECORD_MAX];
	const struct wire_channel *channel;
	struct wire_message message;
	int ours, theirs, fd = -1, before, r;
	size_t n = 0;

	if (size < 3)
		return 0;
	channel = channels[data[0] % (sizeof(channels) / sizeof(channels[0]))];
	require(channel_pair(&ours, &theirs) == 0);
	before = free_fd();
	send_with(theirs, data + 3, size - 3, data[2] % (FDS_MAX + 1));
	r = channel_recv(ours, channel, data[1] % (WIRE_FROM_ANY + 1), buffer, &message, &n, &fd);
	require(r == 0 ? n == size - 3 : fd == -1);
	if (fd >= 0)
		close(fd);
	require(free_fd() == before);
	close(ours);
	close(theirs);
	return 0;
}
