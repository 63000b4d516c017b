/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What a daemon may say to a proxy, in any order
 *
 * Each byte of an input is a record, and of which flow: the session takes it, or is over with
 * -EPROTO. Its proxy takes, opens and forwards flows meanwhile, and programs and upstreams say
 * something and leave. At the end nothing is left open.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/proxy.h>

#include "base/macros.h"
#include "lib/filter-internal.h"
#include "record-target.h"
#include "wire/channel.h"

#define FLOWS 8U
#define FDS_MAX 96
#define STEPS_MAX 400U /* bytes, two of them a step */

static int daemon_end, far_ends[FLOWS], flow_fds[FLOWS];

static void replace(int *fd, int by)
{
	close_fd(*fd);
	*fd = by;
}

/* the other end is of this flow, until the next one */
static int make_socket(uint64_t flow, bool is_udp)
{
	int type = is_udp ? SOCK_DGRAM : SOCK_STREAM, pair[2];

	require(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	replace(&far_ends[flow % FLOWS], pair[1]);
	return pair[0];
}

static enum sluice_proxy_choice on_flow(struct sluice_proxy *proxy, const struct sluice_flow *flow,
					void *data)
{
	unsigned int how = flow->remote_port;

	if (how & 32)
		(void)sluice_proxy_upstream(proxy, flow->id, far_ends[flow->id % FLOWS]);
	if (how & 1)
		(void)sluice_proxy_open(proxy, flow->id, how & 2 ? -ECONNREFUSED : 0, "fuzz");
	if (how & 4)
		(void)sluice_proxy_forward(proxy, flow->id, make_socket(flow->id, how & 16));
	return how & 8 ? SLUICE_PROXY_DECLINE : SLUICE_PROXY_TAKE;
}

static void on_opened(struct sluice_proxy *proxy, uint64_t flow, int fd, void *data)
{
	require(fd >= 0);
	replace(&flow_fds[flow % FLOWS], fd);
}

static void on_cancelled(struct sluice_proxy *proxy, uint64_t flow, void *data)
{
	replace(&flow_fds[flow % FLOWS], -1);
}

static void on_ended(struct sluice_proxy *proxy, uint64_t flow, enum sluice_proxy_end end,
		     void *data)
{
	if (end == SLUICE_PROXY_FULL)
		replace(&flow_fds[flow % FLOWS], -1);
	else
		(void)sluice_proxy_ask_end(proxy, flow);
}

static void on_datagram(struct sluice_proxy *proxy, uint64_t flow, const void *bytes, size_t n,
			void *data)
{
	static volatile uint8_t seen;

	for (size_t i = 0; i < n; i++) /* all of it is there */
		seen = ((const uint8_t *)bytes)[i];
	(void)seen;
}

static const struct sluice_proxy_ops ops = { .size = sizeof(ops),
					     .name = "fuzz",
					     .new_flow = on_flow,
					     .flow_opened = on_opened,
					     .flow_cancelled = on_cancelled,
					     .flow_ended = on_ended,
					     .flow_datagram = on_datagram,
					     .takes_udp = true };

static void say(uint16_t type, const void *body, int fd)
{
	(void)channel_send(daemon_end, &wire_provider_channel, type, body, NULL, 0, fd);
}

static void say_socket(uint64_t flow, bool is_there, bool is_udp)
{
	struct wire_flow_socket record = { .id = flow };
	_cleanup_close_ int fd = is_there ? make_socket(flow, is_udp) : -1;

	say(WIRE_FLOW_SOCKET, &record, fd);
}

static void far_end(uint64_t flow, uint8_t how)
{
	int fd = far_ends[flow];

	if (fd >= 0 && how & 1)
		(void)send(fd, "bytes", 5, MSG_NOSIGNAL);
	else if (fd >= 0 && how & 2)
		(void)shutdown(fd, SHUT_WR);
	else
		replace(&far_ends[flow], -1);
}

/* it has up to 16 bytes, which come in parts that may be wrong */
static void say_datagram(uint64_t flow, uint8_t how)
{
	static const uint8_t bytes[16];
	struct wire_flow_datagram part = { .id = flow, .offset = how % 16, .total = how / 16 };

	(void)channel_send(daemon_end, &wire_provider_channel, WIRE_FLOW_DATAGRAM, &part, bytes,
			   how % 7, -1);
}

/* Return: as sluice_proxy_process() */
static int step(struct sluice_proxy *proxy, uint8_t byte, uint8_t how)
{
	uint64_t flow = byte % FLOWS;

	switch (byte / FLOWS % 8) {
	case 0:
		say(WIRE_FLOW_NEW,
		    &(struct wire_flow_new){ .id = flow, .protocol = 6, .dport = how }, -1);
		break;
	case 1:
		say_socket(flow, how % 16, how & 16);
		break;
	case 2:
		say(WIRE_FLOW_CANCEL, &(struct wire_flow_cancel){ .id = flow }, -1);
		break;
	case 3:
		say(WIRE_FLOW_END, &(struct wire_flow_end){ .id = flow, .full = how & 1 }, -1);
		break;
	case 4:
		far_end(flow, how);
		break;
	case 5:
		(void)sluice_proxy_open(proxy, flow, how & 1 ? -(int)how : 0, NULL);
		break;
	case 6:
		(void)sluice_proxy_forward(proxy, flow, make_socket(flow, how & 16));
		break;
	default:
		say_datagram(flow, how);
		break;
	}
	return sluice_proxy_process(proxy);
}

static unsigned int n_open(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < FDS_MAX; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void run(const uint8_t *bytes, size_t n)
{
	struct wire_welcome welcome = { .version = WIRE_PROVIDER_VERSION };
	struct sluice_proxy *proxy;
	int r;

	require(sluice_proxy_new(&ops, NULL, &proxy) == 0);
	say(WIRE_WELCOME, &welcome, -1);
	say(WIRE_UPSTREAMS, &(struct wire_upstreams){ .wanted = 1 }, -1);
	say(WIRE_START, &(struct wire_start){ 0 }, -1);
	r = sluice_proxy_process(proxy);
	for (size_t i = 0; i + 1 < n && r == 0; i += 2)
		r = step(proxy, bytes[i], bytes[i + 1]);
	require(r == 0 || r == -EPROTO);
	sluice_proxy_free(proxy);
	for (unsigned int i = 0; i < FLOWS; i++) {
		replace(&far_ends[i], -1);
		replace(&flow_fds[i], -1);
	}
}

static void make_channel(void)
{
	int pair[2], own;

	require(channel_pair(&pair[0], &pair[1]) == 0);
	daemon_end = fcntl(pair[0], F_DUPFD_CLOEXEC, FDS_MAX / 2); /* one of them may be 3 */
	own = fcntl(pair[1], F_DUPFD_CLOEXEC, FDS_MAX / 2);
	close_fd(pair[0]);
	close_fd(pair[1]);
	require(dup2(own, FILTER_CHANNEL_FD) == FILTER_CHANNEL_FD);
	close_fd(own);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
	int kept =
		fcntl(FILTER_CHANNEL_FD, F_DUPFD_CLOEXEC, FDS_MAX); /* the fuzzer's own, or none */
	unsigned int n;

	close_fd(kept < 0 ? -1 : FILTER_CHANNEL_FD);
	n = n_open();

	memset(far_ends, 0xff, sizeof(far_ends));
	memset(flow_fds, 0xff, sizeof(flow_fds));
	make_channel();
	run(bytes, MIN(n_bytes, STEPS_MAX));
	close_fd(daemon_end);
	require(n_open() == n);
	if (kept >= 0)
		require(dup2(kept, FILTER_CHANNEL_FD) == FILTER_CHANNEL_FD);
	close_fd(kept);
	return 0;
}
