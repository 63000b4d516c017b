/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "socks-flows-lab.h"

#define TURNS_MAX 1000 /* of 10 ms: it hangs */

struct lab lab;
static unsigned int n_open_before;

/* ---- the daemon ---- */

int sluice_proxy_open(struct sluice_proxy *proxy, uint64_t flow_id, int error, const char *reason)
{
	lab.answer.n++;
	lab.answer.id = flow_id;
	lab.answer.error = error;
	snprintf(lab.answer.reason, sizeof(lab.answer.reason), "%s", reason ? reason : "");
	return 0;
}

int sluice_proxy_forward(struct sluice_proxy *proxy, uint64_t flow_id, int upstream)
{
	lab.answer.n++;
	lab.answer.id = flow_id;
	lab.answer.error = 0;
	lab.answer.forwarded = upstream;
	return 0;
}

int sluice_proxy_upstream(struct sluice_proxy *proxy, uint64_t flow_id, int fd)
{
	struct sockaddr_storage peer;
	socklen_t n = sizeof(peer);

	lab.answer.n_upstreams++;
	lab.answer.upstream_of = flow_id;
	lab.answer.is_upstream_late |= getpeername(fd, (struct sockaddr *)&peer, &n) == 0;
	return 0;
}

void sluice_proxy_close(int fd, int error)
{
	lab.answer.n_closed++;
	lab.answer.closed_fd = fd;
	lab.answer.closed_error = error;
	close(fd);
}

void sluice_proxy_log(struct sluice_proxy *proxy, int level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(lab.answer.logged, sizeof(lab.answer.logged), fmt, args);
	va_end(args);
	lab.answer.n_logged++;
}

/* ---- the lab ---- */

static unsigned int count_open(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(folder);
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

int lab_begin(void **state)
{
	n_open_before = count_open();
	lab = (struct lab){ .now_ms = 1000000,
			    .next_id = LAB_FLOW,
			    .flows = { .timeout_ms = 10000 },
			    .answer = { .forwarded = -1 } };
	return flows_init(&lab.flows);
}

int lab_finish(void **state)
{
	flows_deinit(&lab.flows);
	for (unsigned int i = 0; i < lab.n_ports; i++)
		lab_down(i);
	if (lab.answer.forwarded >= 0)
		close(lab.answer.forwarded);
	assert_int_equal(count_open(), n_open_before);
	return 0;
}

static int listen_at(uint16_t port, uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(address);
	const int yes = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_return_code(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), errno);
	assert_return_code(bind(fd, (struct sockaddr *)&address, n), errno);
	assert_return_code(listen(fd, 16), errno);
	assert_return_code(getsockname(fd, (struct sockaddr *)&address, &n), errno);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

unsigned int lab_proxy(const char *form)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char url[128], error[UPSTREAM_ERROR_BYTES];
	unsigned int i = lab.n_ports++;

	assert_true(i < LAB_PORTS_MAX);
	lab.listeners[i] = listen_at(0, &lab.ports[i]);
	snprintf(url, sizeof(url), form, lab.ports[i]);
	assert_int_equal(upstream_parse(url, &lab.upstreams[i], error), 0);
	address.sin_port = htons(lab.ports[i]);
	endpoints_add(&lab.flows.endpoints, &lab.upstreams[i], (struct sockaddr *)&address,
		      sizeof(address));
	return i;
}

void lab_down(unsigned int number)
{
	if (lab.listeners[number] >= 0)
		close(lab.listeners[number]);
	lab.listeners[number] = -1;
}

void lab_up(unsigned int number)
{
	lab.listeners[number] = listen_at(lab.ports[number], &lab.ports[number]);
}

uint64_t lab_flow(const char *host)
{
	const struct sluice_flow flow = {
		.size = sizeof(flow),
		.id = lab.next_id++,
		.protocol = IPPROTO_TCP,
		.remote_address = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 7 },
		.remote_port = 443,
		.host = host ? host : "",
		.host_source = host ? SLUICE_HOST_DNS : SLUICE_HOST_NONE,
	};

	assert_int_equal(flows_begin(&lab.flows, &flow, lab.now_ms), 0);
	return flow.id;
}

/* Return: did anything happen? */
static bool turn(int wait_ms)
{
	struct epoll_event events[8];
	int n = epoll_wait(lab.flows.epoll, events, 8, wait_ms);

	for (int i = 0; i < n; i++)
		flows_event(&lab.flows, events[i].data.ptr, lab.now_ms);
	flows_expire(&lab.flows, lab.now_ms);
	flows_reap(&lab.flows);
	return n > 0;
}

void lab_turn(void)
{
	for (int i = 0; turn(0); i++)
		assert_true(i < TURNS_MAX); /* else it spins */
}

/* while the provider goes on. Return: is @fd readable */
static void wait_readable(int fd)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };

	for (int i = 0; poll(&one, 1, 0) == 0; i++) {
		assert_true(i < TURNS_MAX);
		turn(10);
	}
}

int lab_accept(unsigned int number)
{
	int fd;

	wait_readable(lab.listeners[number]);
	fd = accept4(lab.listeners[number], NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

void lab_nobody_at(unsigned int number)
{
	struct pollfd one = { .fd = lab.listeners[number], .events = POLLIN };

	assert_int_equal(poll(&one, 1, 0), 0);
}

void lab_say(int fd, const void *bytes, size_t n)
{
	assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
}

void lab_hear(int fd, const void *bytes, size_t n)
{
	uint8_t heard[4096];

	assert_true(n <= sizeof(heard));
	for (size_t at = 0; at < n;) {
		ssize_t r;

		wait_readable(fd);
		r = recv(fd, heard + at, n - at, 0);
		assert_true(r > 0);
		at += (size_t)r;
	}
	assert_memory_equal(heard, bytes, n);
}

void lab_hear_end(int fd, int error)
{
	uint8_t byte;
	ssize_t r;

	wait_readable(fd);
	r = recv(fd, &byte, 1, 0);
	assert_int_equal(r < 0 ? -errno : r, error);
}

static void wait_answer(void)
{
	for (int i = 0; lab.answer.n == lab.answer.n_seen; i++) {
		assert_true(i < TURNS_MAX);
		turn(10);
	}
	lab.answer.n_seen++;
	assert_int_equal(lab.answer.n, lab.answer.n_seen);
}

int lab_answered(void)
{
	int fd;

	wait_answer();
	if (lab.answer.error)
		fail_msg("refused: %s", lab.answer.reason);
	fd = lab.answer.forwarded;
	lab.answer.forwarded = -1;
	return fd;
}

void lab_refused(int error, const char *reason)
{
	wait_answer();
	assert_int_equal(lab.answer.error, error);
	if (!strstr(lab.answer.reason, reason))
		fail_msg("\"%s\" has no \"%s\"", lab.answer.reason, reason);
}

void lab_pass(unsigned int ms)
{
	lab.now_ms += ms;
	lab_turn();
	flows_expire(&lab.flows, lab.now_ms);
	flows_reap(&lab.flows);
}
