/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: relay - connects each flow to where it wanted to go
 *
 *	sluice run --proxy relay -- COMMAND
 *	sluice run --proxy relay:rate=100k,delay=50,jitter=10,loss=1,log=FILE -- COMMAND
 *
 * With options it is a link that is slower than there is, for programs that are to be seen on
 * one: rate, in bytes a second each way, which all flows of TCP share, and those of UDP as many again;
 * delay, in ms each way; jitter, by how many ms more or less than that; loss, how many of 100 datagrams
 * of UDP; log, a line for each flow. Without them the library forwards, and we see no bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "datagrams.h"
#include "flows.h"

#define RATE_MOST 1000000000000U /* bytes a second */
#define DELAY_MOST_MS 60000U
#define N_EVENTS 64

struct relay {
	struct sluice_relay_shape shape;
	struct log log;
	struct flows flows; /* of TCP */
	struct udp udp;
};

static void set_proxy(struct relay *relay, struct sluice_proxy *proxy)
{
	relay->flows.proxy = relay->udp.proxy = relay->log.proxy = proxy;
}

/* ---- options ---- */

/* Return: is it a number from 1 on, with nothing behind it but perhaps one of @units? */
static bool read_number(const char *text, const char *units, uint64_t most, uint64_t *ret_n)
{
	char *behind;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &behind, 10);
	if (text[0] < '0' || text[0] > '9' || errno || n < 1 || n > most)
		return false;
	for (uint64_t factor = 1000; *behind && *units; units++, factor *= 1000)
		if (*behind == *units && !behind[1] && n <= most / factor) {
			*ret_n = n * factor;
			return true;
		}
	*ret_n = n;
	return !*behind;
}

static int take_rate(struct relay *relay, const char *value, int fd)
{
	if (!read_number(value, "kMG", RATE_MOST, &relay->shape.rate))
		return sluice_proxy_fail(relay->flows.proxy, -EINVAL,
					 "rate: \"%s\" is no number of bytes a second, such as "
					 "500, 100k, 2M or 1G",
					 value);
	return 0;
}

static int take_ms(struct relay *relay, const char *key, const char *value, uint32_t *ret_us)
{
	uint64_t ms;

	if (!read_number(value, "", DELAY_MOST_MS, &ms))
		return sluice_proxy_fail(relay->flows.proxy, -EINVAL,
					 "%s: \"%s\" is no number of ms from 1 to %u", key, value,
					 DELAY_MOST_MS);
	*ret_us = (uint32_t)ms * 1000;
	return 0;
}

static int take_delay(struct relay *relay, const char *value, int fd)
{
	return take_ms(relay, "delay", value, &relay->shape.delay_us);
}

static int take_jitter(struct relay *relay, const char *value, int fd)
{
	return take_ms(relay, "jitter", value, &relay->shape.jitter_us);
}

static int take_loss(struct relay *relay, const char *value, int fd)
{
	char *behind;
	double percent = strtod(value, &behind);

	if (!strchr("0123456789.", value[0]) || !value[0] || *behind || !(percent > 0) ||
	    percent > 100)
		return sluice_proxy_fail(relay->flows.proxy, -EINVAL,
					 "loss: \"%s\" is no number of percent, above 0 and up to "
					 "100",
					 value);
	relay->udp.loss_ppm = (uint32_t)(percent * (PPM / 100));
	return 0;
}

static int take_log(struct relay *relay, const char *value, int fd)
{
	if (fd < 0)
		return sluice_proxy_fail(relay->flows.proxy, -EINVAL, "log: not given as a file");
	if (relay->log.fd >= 0)
		return sluice_proxy_fail(relay->flows.proxy, -EINVAL, "log: there is one already");
	relay->log.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return relay->log.fd < 0 ? -errno : 0;
}

static const struct {
	const char *key;
	int (*take)(struct relay *relay, const char *value, int fd);
} options[] = {
	{ "rate", take_rate }, { "delay", take_delay }, { "jitter", take_jitter },
	{ "loss", take_loss }, { "log", take_log },
};

static int on_option(struct sluice_proxy *proxy, const char *key, const char *value, int fd,
		     void *data)
{
	struct relay *relay = data;

	set_proxy(relay, proxy);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (!strcmp(key, options[i].key))
			return options[i].take(relay, value, fd);
	return sluice_proxy_fail(proxy, -EINVAL,
				 "unknown option \"%s\": use rate, delay, jitter, loss, log", key);
}

static int on_start(struct sluice_proxy *proxy, void *data)
{
	struct relay *relay = data;
	const struct sluice_relay_shape *shape = &relay->shape;

	set_proxy(relay, proxy);
	relay->flows.round_trip_ms = 2 * (uint64_t)shape->delay_us / 1000;
	if (shape->jitter_us > shape->delay_us)
		return sluice_proxy_fail(proxy, -EINVAL,
					 "jitter: %u ms are more than the delay of %u ms",
					 shape->jitter_us / 1000, shape->delay_us / 1000);
	return sluice_relays_shape(relay->flows.relays, shape);
}

/* ---- flows ---- */

static bool is_plain(const struct relay *relay)
{
	return !relay->shape.rate && !relay->shape.delay_us && !relay->udp.loss_ppm &&
	       relay->log.fd < 0;
}

static enum sluice_proxy_choice on_flow(struct sluice_proxy *proxy, const struct sluice_flow *flow,
					void *data)
{
	struct relay *relay = data;
	int upstream = flow_connect(proxy, flow);

	if (!is_plain(relay) && flow->protocol == IPPROTO_UDP)
		udp_add(&relay->udp, flow->id, upstream);
	else if (!is_plain(relay))
		flows_add(&relay->flows, flow->id, upstream);
	else if (upstream < 0)
		(void)sluice_proxy_open(proxy, flow->id, upstream, strerror(-upstream));
	else
		(void)sluice_proxy_forward(proxy, flow->id, upstream);
	return SLUICE_PROXY_TAKE;
}

static void on_opened(struct sluice_proxy *proxy, uint64_t id, int fd, void *data)
{
	struct relay *relay = data;

	if (!udp_opened(&relay->udp, id, fd))
		flows_opened(&relay->flows, id, fd);
}

static void on_cancelled(struct sluice_proxy *proxy, uint64_t id, void *data)
{
	struct relay *relay = data;

	if (!udp_ended(&relay->udp, id))
		flows_cancelled(&relay->flows, id);
}

static void on_ended(struct sluice_proxy *proxy, uint64_t id, enum sluice_proxy_end end, void *data)
{
	struct relay *relay = data;

	if (!udp_ended(&relay->udp, id))
		flows_ended(&relay->flows, id, end);
}

static void on_datagram(struct sluice_proxy *proxy, uint64_t id, const void *bytes, size_t n,
			void *data)
{
	udp_datagram(&((struct relay *)data)->udp, id, bytes, n);
}

/* ---- the provider ---- */

/* of two timeouts of poll(2) */
static int earlier(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* there is more than the library's to wait for. Return: as sluice_proxy_process() */
static int turn(struct relay *relay)
{
	struct flows *flows = &relay->flows;
	struct pollfd fds[] = {
		{ .fd = sluice_proxy_get_fd(flows->proxy), .events = POLLIN },
		{ .fd = sluice_relays_get_fd(flows->relays), .events = POLLIN },
		{ .fd = flows->epoll, .events = POLLIN },
		{ .fd = relay->udp.epoll, .events = POLLIN },
	};
	struct epoll_event events[N_EVENTS];
	int n;

	if (poll(fds, 4, earlier(flows_open_due(flows), udp_send_due(&relay->udp))) < 0 &&
	    errno != EINTR)
		return -errno;
	n = fds[2].revents ? epoll_wait(flows->epoll, events, N_EVENTS, 0) : 0;
	for (int i = 0; i < n; i++)
		flows_connected(flows, events[i].data.ptr);
	if (fds[3].revents)
		udp_read(&relay->udp);
	if (fds[1].revents)
		(void)sluice_relays_process(flows->relays);
	return sluice_proxy_process(flows->proxy);
}

/* two for each flow */
static void allow_many_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int begin(struct relay *relay, const struct sluice_proxy_ops *ops)
{
	int r = sluice_relays_new(&relay->flows.relays);

	relay->flows.last = &relay->flows.first;
	relay->flows.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r == 0 && relay->flows.epoll < 0)
		r = -errno;
	relay->flows.log = &relay->log;
	if (r == 0)
		r = udp_init(&relay->udp, &relay->log, &relay->shape);
	return r ? r : sluice_proxy_new(ops, relay, &relay->flows.proxy);
}

int main(void)
{
	static const struct sluice_proxy_ops ops = { .size = sizeof(ops),
						     .name = "relay",
						     .option = on_option,
						     .start = on_start,
						     .new_flow = on_flow,
						     .flow_opened = on_opened,
						     .flow_cancelled = on_cancelled,
						     .flow_ended = on_ended,
						     .flow_datagram = on_datagram,
						     .takes_udp = true };
	struct relay relay = { .shape = { .size = sizeof(relay.shape) },
			       .log = { .fd = -1 },
			       .flows = { .epoll = -1 },
			       .udp = { .epoll = -1 } };
	int r;

	signal(SIGPIPE, SIG_IGN);
	allow_many_descriptors();
	r = begin(&relay, &ops);
	if (r < 0)
		fprintf(stderr, "relay: %s\n",
			r == -ENOTCONN
				? "not started by Sluice: run it with `sluice run --proxy relay "
				  "-- COMMAND`"
				: strerror(-r));
	while (r == 0)
		r = is_plain(&relay) ? sluice_proxy_wait(relay.flows.proxy, -1) : turn(&relay);
	if (r != -ESHUTDOWN && relay.flows.proxy)
		fprintf(stderr, "relay: %s\n", sluice_proxy_error(relay.flows.proxy));
	flows_deinit(&relay.flows);
	udp_deinit(&relay.udp);
	sluice_proxy_free(relay.flows.proxy);
	return r != -ESHUTDOWN;
}
