/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>

#include "association.h"

#define PEEK_BYTES 4096U

static const struct upstream *upstream_of(const struct flows *flows, const struct flow *flow)
{
	return flows->endpoints.all[flow->endpoint].upstream;
}

static void set_reason(const struct flows *flows, struct flow *flow, const char *reason)
{
	char text[UPSTREAM_TEXT_BYTES];

	(void)snprintf(flow->reason, sizeof(flow->reason), "%.60s %s",
		       upstream_text(upstream_of(flows, flow), text), reason);
}

static void refuse(struct flows *flows, struct flow *flow, uint64_t now_ms)
{
	if (flow->association)
		association_refused(flows, flow->association, flow->error, flow->reason, now_ms);
	else
		(void)sluice_proxy_open(flows->proxy, flow->id, flow->error, flow->reason);
	flow_end(flows, flow);
}

void attempt_fail_endpoint(struct flows *flows, const struct flow *flow, const char *reason,
			   uint64_t now_ms)
{
	char text[UPSTREAM_TEXT_BYTES];

	if (endpoints_failed(&flows->endpoints, flow->endpoint, now_ms))
		sluice_proxy_log(flows->proxy, LOG_WARNING,
				 "%s %s; others are tried first for 30 seconds",
				 upstream_text(upstream_of(flows, flow), text), reason);
}

static void set_error(const struct flows *flows, struct flow *flow, int error, const char *reason)
{
	/* that one does not take us counts more than what another one did */
	if (flow->error == -EACCES)
		return;
	flow->error = error;
	set_reason(flows, flow, reason);
}

/* the proxy is of no use */
static void fail_attempt(struct flows *flows, struct flow *flow, int error, const char *reason,
			 uint64_t now_ms)
{
	set_error(flows, flow, error, reason);
	attempt_fail_endpoint(flows, flow, reason, now_ms);
	flow_close_link(flows, flow, false);
	attempt_next(flows, flow, now_ms);
}

static void fail_call(struct flows *flows, struct flow *flow, int r, const char *what,
		      uint64_t now_ms)
{
	char reason[REASON_BYTES];

	(void)snprintf(reason, sizeof(reason), "%s: %s", what, strerror(-r));
	fail_attempt(flows, flow, -ECONNREFUSED, reason, now_ms);
}

static int open_socket(const struct endpoint *endpoint)
{
	const int yes = 1;
	int fd = socket(endpoint->address.generic.sa_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	return fd;
}

static void begin_handshake(struct flow *flow, const struct upstream *upstream)
{
	if (flow->association) {
		handshake_associate(&flow->handshake, upstream);
		return;
	}
	flow->to = flow->known;
	if (upstream->scheme == UPSTREAM_SOCKS5)
		flow->to.host[0] = '\0';
	handshake_begin(&flow->handshake, upstream, &flow->to);
}

/* Return: 0: it is begun; -errno */
static int begin_attempt(struct flows *flows, struct flow *flow)
{
	const struct endpoint *endpoint = &flows->endpoints.all[flow->endpoint];
	const struct upstream *upstream = endpoint->upstream;
	int fd = open_socket(endpoint);

	if (fd < 0)
		return fd;
	flow->link.fd = fd;
	if (upstream->scheme == UPSTREAM_HTTPS) {
		flow->link.tls = tls_new(flows->trust, upstream->host);
		if (!flow->link.tls)
			return -ENOMEM;
	}
	begin_handshake(flow, upstream);
	if (connect(fd, &endpoint->address.generic, endpoint->n_address) < 0 &&
	    errno != EINPROGRESS)
		return -errno;
	flow_watch(flows, &flow->on_link, fd, EPOLLOUT);
	return 0;
}

/* of our own: what is no fault of a proxy */
static bool is_shortage(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS ||
	       error == -EADDRNOTAVAIL;
}

void attempt_next(struct flows *flows, struct flow *flow, uint64_t now_ms)
{
	int number = endpoints_next(&flows->endpoints, flow->tried, now_ms), r;

	flow->phase = PHASE_CONNECTS;
	flow->is_secure_ready = false;
	flow_wait(flows, flow, now_ms);
	if (number < 0) {
		refuse(flows, flow, now_ms);
		return;
	}
	flow->endpoint = number;
	flow->tried |= UINT64_C(1) << number;
	r = begin_attempt(flows, flow);
	if (is_shortage(r)) {
		flow->error = -ECONNREFUSED;
		(void)snprintf(flow->reason, sizeof(flow->reason), "no connection to a proxy: %s",
			       strerror(-r));
		refuse(flows, flow, now_ms);
	} else if (r < 0) {
		fail_call(flows, flow, r, "is not reached", now_ms);
	}
}

/* ---- what comes of it ---- */

static void note_worked(struct flows *flows, const struct flow *flow)
{
	char text[UPSTREAM_TEXT_BYTES];

	if (endpoints_worked(&flows->endpoints, flow->endpoint))
		sluice_proxy_log(flows->proxy, LOG_NOTICE, "%s works again",
				 upstream_text(upstream_of(flows, flow), text));
}

static void succeed_associate(struct flows *flows, struct flow *flow, uint64_t now_ms)
{
	int r = association_stands(flows, flow);

	if (r == -EBADMSG) {
		fail_attempt(flows, flow, -ECONNREFUSED, "names no place for datagrams", now_ms);
	} else if (is_shortage(r)) {
		set_error(flows, flow, -ECONNREFUSED, strerror(-r));
		refuse(flows, flow, now_ms);
	} else if (r < 0) {
		fail_call(flows, flow, r, "its place for datagrams is not reached", now_ms);
	} else {
		note_worked(flows, flow);
		flow_wait_no_more(flows, flow);
		flow->phase = PHASE_HOLDS;
		flow_watch(flows, &flow->on_link, flow->link.fd, EPOLLIN);
	}
}

/* who carries no datagrams for us may be well all the same */
static void refuse_associate(struct flows *flows, struct flow *flow, uint64_t now_ms)
{
	note_worked(flows, flow);
	set_error(flows, flow, flow->handshake.error, flow->handshake.reason);
	flow_close_link(flows, flow, false);
	attempt_next(flows, flow, now_ms);
}

static void succeed(struct flows *flows, struct flow *flow)
{
	char text[UPSTREAM_TEXT_BYTES];
	int fd = flow->link.fd;

	note_worked(flows, flow);
	flow_watch(flows, &flow->on_link, fd, 0);
	if (flow->link.tls) {
		flow_wait_no_more(flows, flow);
		flow->phase = PHASE_OPENS;
		(void)sluice_proxy_open(flows->proxy, flow->id, 0,
					upstream_text(upstream_of(flows, flow), text));
		return;
	}
	flow->link.fd = -1;
	(void)sluice_proxy_forward(flows->proxy, flow->id, fd);
	flow_end(flows, flow);
}

static void judge(struct flows *flows, struct flow *flow, uint64_t now_ms)
{
	struct handshake *handshake = &flow->handshake;

	switch (handshake->state) {
	case HANDSHAKE_DONE:
		if (flow->association)
			succeed_associate(flows, flow, now_ms);
		else
			succeed(flows, flow);
		break;
	case HANDSHAKE_REFUSED:
		if (flow->association) {
			refuse_associate(flows, flow, now_ms);
			break;
		}
		note_worked(flows, flow);
		flow->error = handshake->error;
		set_reason(flows, flow, handshake->reason);
		refuse(flows, flow, now_ms);
		break;
	case HANDSHAKE_FAILED:
		fail_attempt(flows, flow, handshake->error, handshake->reason, now_ms);
		break;
	default:
		break;
	}
}

/* Return: 0 when all is said, -EAGAIN, -errno */
static int talk_out(struct flow *flow)
{
	const uint8_t *output;
	size_t n;

	while (output = handshake_output(&flow->handshake, &n), n > 0) {
		ssize_t r = link_write(&flow->link, output, n);

		if (r < 0)
			return (int)r;
		handshake_sent(&flow->handshake, (size_t)r);
	}
	return link_flush(&flow->link);
}

static bool has_failed(const struct handshake *handshake)
{
	return handshake->state == HANDSHAKE_REFUSED || handshake->state == HANDSHAKE_FAILED;
}

/* no byte of the flow is taken out of the socket, or out of TLS. Return: 0, -EAGAIN, -errno */
static int talk_in(struct flow *flow)
{
	uint8_t bytes[PEEK_BYTES];
	ssize_t n = link_peek(&flow->link, bytes, sizeof(bytes));
	size_t used;

	if (n < 0)
		return (int)n;
	if (n == 0) {
		handshake_cut(&flow->handshake);
		return 0;
	}
	used = handshake_feed(&flow->handshake, bytes, (size_t)n);
	/* what is closed with something unread is reset, which would be rude */
	if (has_failed(&flow->handshake))
		used = (size_t)n;
	return link_take(&flow->link, used);
}

/* Return: 0 when there is an outcome and nothing is left to say, -EAGAIN, -errno */
static int talk(struct flow *flow)
{
	int r = 0;

	if (!flow->is_secure_ready) {
		r = link_begin(&flow->link);
		if (r < 0)
			return r;
		flow->is_secure_ready = true;
	}
	do {
		r = talk_out(flow);
		if (flow->handshake.state != HANDSHAKE_GOES_ON)
			break;
		if (r == 0)
			r = talk_in(flow);
	} while (r == 0);
	/* what failed needs nothing more */
	return has_failed(&flow->handshake) ? 0 : r;
}

/* has the proxy done all that it can, so that it is the destination which gives no answer? What has
 * never said a word may hang instead: then another one is tried, if there is one */
static bool is_left_to_program(struct flows *flows, struct flow *flow, uint64_t now_ms)
{
	if (flow->phase != PHASE_TALKS || link_needs_sending(&flow->link))
		return false;
	switch (handshake_waits_for(&flow->handshake)) {
	case HANDSHAKE_WAITS_FOR_DESTINATION:
		return true;
	case HANDSHAKE_WAITS_FOR_EITHER:
		return endpoints_next(&flows->endpoints, flow->tried, now_ms) < 0;
	default:
		return false;
	}
}

void attempt_talk(struct flows *flows, struct flow *flow, uint64_t now_ms)
{
	uint32_t events = 0;
	size_t n;
	int r = talk(flow);

	if (r == -EPROTO && flow->link.tls) {
		char reason[TLS_ERROR_BYTES];

		(void)snprintf(reason, sizeof(reason), "%s", tls_error(flow->link.tls));
		fail_attempt(flows, flow, -ECONNREFUSED, reason, now_ms);
	} else if (r < 0 && r != -EAGAIN) {
		fail_call(flows, flow, r, "broke the connection off", now_ms);
	} else if (r == 0) {
		judge(flows, flow, now_ms);
	} else {
		link_acknowledge(&flow->link);
		handshake_output(&flow->handshake, &n);
		if (flow->handshake.state == HANDSHAKE_GOES_ON)
			events |= EPOLLIN;
		if (link_needs_sending(&flow->link) || (flow->is_secure_ready && n > 0))
			events |= EPOLLOUT;
		flow_watch(flows, &flow->on_link, flow->link.fd, events);
		/* the first bytes of an answer: the rest has to come in time */
		if (!flow->is_waiting && !is_left_to_program(flows, flow, now_ms))
			flow_wait(flows, flow, now_ms);
	}
}

void attempt_connected(struct flows *flows, struct flow *flow, uint64_t now_ms)
{
	socklen_t n = sizeof(int);
	int error = 0;

	if (getsockopt(flow->link.fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error) {
		fail_call(flows, flow, -error, "is not reached", now_ms);
		return;
	}
	flow->phase = PHASE_TALKS;
	attempt_talk(flows, flow, now_ms);
}

void attempt_expired(struct flows *flows, struct flow *flow, uint64_t now_ms)
{
	/* its SYN stays held, as if the destination was asked directly */
	if (is_left_to_program(flows, flow, now_ms)) {
		flow_wait_no_more(flows, flow);
		return;
	}
	fail_attempt(flows, flow, -ECONNREFUSED,
		     flow->phase == PHASE_CONNECTS ? "is not reached in time"
						   : "does not answer in time",
		     now_ms);
}
