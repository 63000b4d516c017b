/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole proxy: connects each flow to where it wanted to go, and prints it.
 *	cc hello-proxy.c -lsluice -o hello-proxy
 *	sluice run --proxy ./hello-proxy -- curl http://www.example/
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <sluice/proxy.h>

static int connect_to(struct sluice_proxy *proxy, const struct sluice_flow *flow)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(flow->remote_port) };
	int type = flow->protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(&to.sin6_addr, flow->remote_address, sizeof(to.sin6_addr)); /* ::ffff:a.b.c.d: IPv4 */
	if (fd >= 0)
		sluice_proxy_upstream(proxy, flow->id, fd); /* filters see it, and for whom it is */
	if (fd >= 0 && (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS))
		return fd;
	if (fd >= 0)
		close(fd);
	return -errno;
}

static enum sluice_proxy_choice on_flow(struct sluice_proxy *proxy, const struct sluice_flow *flow,
					void *data)
{
	int upstream = connect_to(proxy, flow);

	sluice_proxy_log(proxy, LOG_NOTICE, "%s to %s", flow->exe, flow->host);
	if (upstream < 0)
		sluice_proxy_open(proxy, flow->id, upstream, "cannot connect");
	else
		sluice_proxy_forward(proxy, flow->id, upstream);
	return SLUICE_PROXY_TAKE;
}

int main(void)
{
	struct sluice_proxy_ops ops = { .size = sizeof(ops), .name = "hello", .new_flow = on_flow,
					.takes_udp = true };

	return sluice_proxy_main(&ops, NULL);
}
