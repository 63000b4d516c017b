/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: socks - a bundled proxy
 *
 * Takes every TCP connection to an upstream proxy, SOCKS5 or HTTP CONNECT, and UDP to one of
 * SOCKS5. The program's connect(2) ends when the proxy has said what came of it, and with what
 * it said. Where there are several, the next one is tried when one is of no use. Nothing is ever
 * declined: what cannot go by a proxy does not go, but UDP where the user has said so.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "flows.h"
#include "resolve.h"

#define EVENTS_MAX 64
#define TIMEOUT_S 10U
#define TIMEOUT_MAX_S 600UL

struct socks {
	struct sluice_proxy_ops ops;
	struct flows flows;
	struct upstream upstreams[UPSTREAMS_MAX];
	struct resolving resolving[UPSTREAMS_MAX];
	unsigned int n_upstreams;
	int ca;		 /* -1: none */
	bool is_refused; /* the daemon was told why */
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- options ---- */

static int add_upstream(struct sluice_proxy *proxy, struct socks *socks, const char *value, int fd)
{
	char error[UPSTREAM_ERROR_BYTES];

	if (socks->n_upstreams == UPSTREAMS_MAX)
		return sluice_proxy_fail(proxy, -E2BIG, "more than %u upstreams: give fewer",
					 UPSTREAMS_MAX);
	if (upstream_parse(value, &socks->upstreams[socks->n_upstreams], error) < 0)
		return sluice_proxy_fail(proxy, -EINVAL, "upstream: %s", error);
	socks->n_upstreams++;
	return 0;
}

static int set_timeout(struct sluice_proxy *proxy, struct socks *socks, const char *value, int fd)
{
	char *end;
	unsigned long seconds = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || seconds == 0 || seconds > TIMEOUT_MAX_S)
		return sluice_proxy_fail(proxy, -EINVAL,
					 "timeout: \"%.20s\" is no number of seconds from 1 to %lu",
					 value, TIMEOUT_MAX_S);
	socks->flows.timeout_ms = (unsigned int)seconds * 1000;
	return 0;
}

static int set_ca(struct sluice_proxy *proxy, struct socks *socks, const char *value, int fd)
{
	if (fd < 0)
		return sluice_proxy_fail(proxy, -EINVAL, "ca: not given as a file");
	if (socks->ca >= 0)
		close(socks->ca);
	socks->ca = dup(fd);
	return socks->ca < 0 ? -errno : 0;
}

static int set_udp(struct sluice_proxy *proxy, struct socks *socks, const char *value, int fd)
{
	socks->ops.takes_udp = strcmp(value, "proxy") == 0;
	if (!socks->ops.takes_udp && strcmp(value, "direct") != 0)
		return sluice_proxy_fail(proxy, -EINVAL,
					 "udp: \"%.20s\" is neither proxy nor direct", value);
	return 0;
}

static int on_option(struct sluice_proxy *proxy, const char *key, const char *value, int fd,
		     void *data)
{
	static const struct {
		const char *key;
		int (*set)(struct sluice_proxy *proxy, struct socks *socks, const char *value,
			   int fd);
	} options[] = { { "upstream", add_upstream },
			{ "timeout", set_timeout },
			{ "udp", set_udp },
			{ "ca", set_ca } };
	struct socks *socks = data;
	int r;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(options[i].key, key) == 0) {
			r = options[i].set(proxy, socks, value, fd);
			socks->is_refused |= r < 0;
			return r;
		}
	socks->is_refused = true;
	return sluice_proxy_fail(proxy, -EINVAL,
				 "unknown option \"%s\": socks knows upstream=URL (repeatable), "
				 "timeout=SECONDS, udp=proxy or direct, and ca=FILE",
				 key);
}

/* ---- the start ---- */

static bool has_https(const struct socks *socks)
{
	for (unsigned int i = 0; i < socks->n_upstreams; i++)
		if (socks->upstreams[i].scheme == UPSTREAM_HTTPS)
			return true;
	return false;
}

static int start_trust(struct sluice_proxy *proxy, struct socks *socks)
{
	char error[TLS_ERROR_BYTES];
	int r;

	if (!has_https(socks))
		return socks->ca < 0 ? 0
				     : sluice_proxy_fail(proxy, -EINVAL,
							 "ca: no upstream is https://, which it "
							 "is for: leave it out");
	r = tls_trust_new(socks->ca, &socks->flows.trust, error);
	return r < 0 ? sluice_proxy_fail(proxy, r, "ca: the file %s", error) : 0;
}

/* one whose name has no address is one that does not work; without any other it is told as a refusal */
static int find_upstreams(struct sluice_proxy *proxy, struct socks *socks)
{
	char error[RESOLVE_ERROR_BYTES];
	int r;

	for (unsigned int i = 0; i < socks->n_upstreams; i++)
		resolve_begin(&socks->resolving[i], &socks->upstreams[i]);
	resolve_wait(socks->resolving, socks->n_upstreams);
	for (unsigned int i = 0; i < socks->n_upstreams; i++) {
		bool is_last = i + 1 == socks->n_upstreams && socks->flows.endpoints.n == 0;

		r = resolve_end(&socks->resolving[i], &socks->flows.endpoints, error);
		if (r < 0 && is_last)
			return sluice_proxy_fail(proxy, r, "upstream: %s", error);
		if (r < 0)
			sluice_proxy_log(proxy, LOG_WARNING, "upstream: %s; the others are used",
					 error);
	}
	return 0;
}

static int start(struct sluice_proxy *proxy, struct socks *socks)
{
	int r;

	if (socks->n_upstreams == 0)
		return sluice_proxy_fail(proxy, -EINVAL,
					 "no upstream given: add one, as in `--proxy "
					 "socks:upstream=socks5h://192.0.2.1:1080`");
	r = find_upstreams(proxy, socks);
	return r < 0 ? r : start_trust(proxy, socks);
}

static int on_start(struct sluice_proxy *proxy, void *data)
{
	struct socks *socks = data;
	int r = start(proxy, socks);

	socks->is_refused |= r < 0;
	return r;
}

/* ---- flows ---- */

static enum sluice_proxy_choice on_flow(struct sluice_proxy *proxy, const struct sluice_flow *flow,
					void *data)
{
	struct socks *socks = data;

	if (flows_begin(&socks->flows, flow, now_ms()) < 0)
		(void)sluice_proxy_open(proxy, flow->id, -ECONNREFUSED, "no memory");
	return SLUICE_PROXY_TAKE;
}

static void on_opened(struct sluice_proxy *proxy, uint64_t flow_id, int fd, void *data)
{
	flows_opened(&((struct socks *)data)->flows, flow_id, fd, now_ms());
}

static void on_cancelled(struct sluice_proxy *proxy, uint64_t flow_id, void *data)
{
	flows_cancelled(&((struct socks *)data)->flows, flow_id, now_ms());
}

static void on_datagram(struct sluice_proxy *proxy, uint64_t flow_id, const void *bytes, size_t n,
			void *data)
{
	flows_datagram(&((struct socks *)data)->flows, flow_id, bytes, n, now_ms());
}

static void on_ended(struct sluice_proxy *proxy, uint64_t flow_id, enum sluice_proxy_end end,
		     void *data)
{
	flows_ended(&((struct socks *)data)->flows, flow_id, end, now_ms());
}

/* The daemon goes first: datagrams that it hands over came before those in their flow's descriptor */
static int hear(struct socks *socks, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr == socks)
			return sluice_proxy_process(socks->flows.proxy);
	return 0;
}

/* Return: as sluice_proxy_process() */
static int turn(struct socks *socks)
{
	struct flows *flows = &socks->flows;
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(flows->epoll, events, EVENTS_MAX, flows_wait_ms(flows, now_ms())), r;

	if (n < 0 && errno != EINTR)
		return -errno;
	r = hear(socks, events, n);
	for (int i = 0; i < n && r == 0; i++)
		if (events[i].data.ptr != socks)
			flows_event(flows, events[i].data.ptr, now_ms());
	flows_expire(flows, now_ms());
	/* also when nothing has come: answers may wait for room in the channel */
	if (r == 0)
		r = sluice_proxy_process(flows->proxy);
	flows_reap(flows);
	return r;
}

static int run(struct socks *socks)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = socks };
	int r = flows_init(&socks->flows);

	if (r == 0 && epoll_ctl(socks->flows.epoll, EPOLL_CTL_ADD,
				sluice_proxy_get_fd(socks->flows.proxy), &event) < 0)
		r = -errno;
	while (r == 0)
		r = turn(socks);
	return r;
}

int main(void)
{
	static struct socks socks = { .ca = -1,
				      .ops = { .size = sizeof(socks.ops),
					       .name = "socks",
					       .kind = SLUICE_PROXY_TRANSPARENT,
					       .option = on_option,
					       .start = on_start,
					       .new_flow = on_flow,
					       .flow_opened = on_opened,
					       .flow_cancelled = on_cancelled,
					       .flow_datagram = on_datagram,
					       .flow_ended = on_ended,
					       .takes_udp = true },
				      .flows = { .epoll = -1, .timeout_ms = TIMEOUT_S * 1000 } };
	int r;

	signal(SIGPIPE, SIG_IGN); /* else libsluice has to hold it back, call by call */
	r = sluice_proxy_new(&socks.ops, &socks, &socks.flows.proxy);

	if (r) {
		fprintf(stderr, "socks: %s\n",
			r == -ENOTCONN ? "not started by Sluice: run it with `sluice run --proxy "
					 "socks:upstream=URL -- COMMAND`"
				       : strerror(-r));
		return 1;
	}
	r = run(&socks);
	/* the daemon has the words of a refusal and shows them; once is enough */
	if (r != -ESHUTDOWN && !socks.is_refused)
		fprintf(stderr, "socks: %s\n", sluice_proxy_error(socks.flows.proxy));
	flows_deinit(&socks.flows);
	sluice_proxy_free(socks.flows.proxy);
	if (socks.ca >= 0)
		close(socks.ca);
	explicit_bzero(socks.upstreams, sizeof(socks.upstreams));
	return r != -ESHUTDOWN || socks.is_refused;
}
