/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: libsluice: a proxy that takes UDP: datagrams in parts, and forwarded flows */

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy-lab.h"

#define FLOW 7U
#define LARGE 65507U /* the largest datagram of IPv4 */

static struct {
	unsigned int n;
	uint64_t flow;
	size_t n_bytes;
	uint8_t bytes[65536];
} heard;

static enum sluice_proxy_choice on_flow(struct sluice_proxy *proxy, const struct sluice_flow *flow,
					void *data)
{
	struct proxied *proxied = data;

	proxied->flow = flow->id;
	if (proxied->upstream >= 0)
		proxied->returned = sluice_proxy_forward(proxy, flow->id, proxied->upstream);
	proxied->upstream = -1;
	return SLUICE_PROXY_TAKE;
}

static void on_datagram(struct sluice_proxy *proxy, uint64_t flow, const void *bytes, size_t n,
			void *data)
{
	heard.n++;
	heard.flow = flow;
	heard.n_bytes = n;
	memcpy(heard.bytes, bytes, n);
}

static void on_ended(struct sluice_proxy *proxy, uint64_t flow, enum sluice_proxy_end end,
		     void *data)
{
	((struct proxied *)data)->n_ended++;
}

static const struct sluice_proxy_ops ops = { .size = sizeof(ops),
					     .name = "udp",
					     .new_flow = on_flow,
					     .flow_ended = on_ended,
					     .flow_datagram = on_datagram,
					     .takes_udp = true };

static int set_up(void **state)
{
	struct proxied *proxied;
	const struct wire_ready *ready;

	memset(&heard, 0, sizeof(heard));
	if (proxy_set_up(state) < 0)
		return -1;
	proxied = *state;
	proxy_begin(proxied, &ops);
	filter_send_welcome(proxied->seen);
	filter_send_start(proxied->seen);
	assert_int_equal(proxy_process(proxied), 0);
	ready = filter_expect(proxied->seen, WIRE_READY);
	assert_int_equal(ready->error, 0);
	assert_int_equal(ready->datagrams, 1);
	return 0;
}

static void send_part(struct proxied *proxied, uint64_t flow, const uint8_t *bytes, size_t offset,
		      size_t n, size_t total)
{
	struct wire_flow_datagram part = { .id = flow,
					   .offset = (uint32_t)offset,
					   .total = (uint32_t)total };

	assert_int_equal(channel_send(proxied->seen->daemon, &wire_provider_channel,
				      WIRE_FLOW_DATAGRAM, &part, bytes + offset, n, -1),
			 0);
}

/* ---- datagrams past the descriptor ---- */

static void test_a_whole_one(void **state)
{
	struct proxied *proxied = *state;

	send_part(proxied, FLOW, (const uint8_t *)"hello", 0, 5, 5);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.flow, FLOW);
	assert_int_equal(heard.n_bytes, 5);
	assert_memory_equal(heard.bytes, "hello", 5);
	send_part(proxied, FLOW, (const uint8_t *)"", 0, 0, 0); /* as UDP has them */
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(heard.n, 2);
	assert_int_equal(heard.n_bytes, 0);
}

static void send_large(struct proxied *proxied, const uint8_t *bytes, unsigned int lost)
{
	unsigned int no = 0;
	size_t n;

	for (size_t at = 0; at < LARGE; at += n, no++) {
		n = MIN(LARGE - at, WIRE_TAIL_MAX);
		if (no != lost)
			send_part(proxied, FLOW, bytes, at, n, LARGE);
	}
	assert_int_equal(no, 2);
	assert_int_equal(proxy_process(proxied), 0);
}

static void test_a_large_one_comes_in_parts(void **state)
{
	struct proxied *proxied = *state;
	uint8_t *bytes = malloc(LARGE);

	for (unsigned int i = 0; i < LARGE; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	for (unsigned int lost = 0; lost < 2; lost++) {
		send_large(proxied, bytes, lost);
		assert_int_equal(heard.n, 0); /* nothing of it, rather than a part */
	}
	send_large(proxied, bytes, UINT32_MAX);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.n_bytes, LARGE);
	assert_memory_equal(heard.bytes, bytes, LARGE);
	free(bytes);
}

static void test_parts_of_two_are_not_one(void **state)
{
	struct proxied *proxied = *state;
	const uint8_t bytes[8] = "abcdefg";

	send_part(proxied, FLOW, bytes, 0, 4, 8);
	send_part(proxied, FLOW + 1, bytes, 4, 4, 8);
	send_part(proxied, FLOW, bytes, 2, 4, 8);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(heard.n, 0);
	send_part(proxied, FLOW, bytes, 4, 4, 8);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.flow, FLOW);
}

static void expect_eproto(struct proxied *proxied)
{
	assert_int_equal(proxy_process(proxied), -EPROTO);
	assert_string_equal(
		sluice_proxy_error(proxied->proxy),
		"the daemon broke the protocol: FLOW_DATAGRAM: nobody has asked for it");
	assert_int_equal(heard.n, 0);
}

static void test_more_than_all_of_it(void **state)
{
	send_part(*state, FLOW, (const uint8_t *)"hello", 0, 5, 4);
	expect_eproto(*state);
}

static void test_behind_its_end(void **state)
{
	send_part(*state, FLOW, (const uint8_t *)"hello", 2, 3, 4);
	expect_eproto(*state);
}

static void test_a_proxy_that_takes_no_udp(void **state)
{
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	send_part(proxied, FLOW, (const uint8_t *)"hello", 0, 5, 5);
	expect_eproto(proxied);
}

/* ---- forwarded ---- */

/* two sockets of UDP that are connected with each other */
static void pair_up(int ret_fds[2])
{
	struct sockaddr_in ends[2];
	socklen_t n = sizeof(ends[0]);

	for (unsigned int i = 0; i < 2; i++) {
		ends[i] = (struct sockaddr_in){ .sin_family = AF_INET,
						.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		ret_fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_true(ret_fds[i] >= 0);
		assert_int_equal(bind(ret_fds[i], (struct sockaddr *)&ends[i], n), 0);
		assert_int_equal(getsockname(ret_fds[i], (struct sockaddr *)&ends[i], &n), 0);
	}
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(connect(ret_fds[i], (struct sockaddr *)&ends[!i], n), 0);
}

/* Return: upstream's end */
static int forward(struct proxied *proxied)
{
	int pair[2];

	pair_up(pair);
	proxied->upstream = pair[0];
	proxy_ask(proxied, FLOW);
	assert_int_equal(proxied->returned, 0);
	proxy_expect_opened(proxied, FLOW, 0);
	return pair[1];
}

static void expect(struct proxied *proxied, int from, int to, const char *text)
{
	struct pollfd pollfd = { .fd = to, .events = POLLIN };
	char bytes[100];

	assert_int_equal(send(from, text, strlen(text), 0), strlen(text));
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(poll(&pollfd, 1, 20000), 1);
	assert_int_equal(recv(to, bytes, sizeof(bytes), 0), strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
}

static void test_datagrams_go_both_ways(void **state)
{
	struct proxied *proxied = *state;
	unsigned int n_fds = proxy_n_fds();
	int upstream = forward(proxied), pair[2];
	char bytes[10];

	send_part(proxied, FLOW, (const uint8_t *)"first", 0, 5, 5);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(recv(upstream, bytes, sizeof(bytes), 0), 5);
	pair_up(pair);
	proxy_send_socket(proxied, FLOW, pair[0]);
	close(pair[0]);
	assert_int_equal(proxy_process(proxied), 0);
	expect(proxied, pair[1], upstream, "there");
	expect(proxied, upstream, pair[1], "and back");
	assert_false(proxy_is_readable(proxied));
	proxy_send_end(proxied, FLOW, true);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->n_ended + heard.n, 0);
	close(upstream);
	close(pair[1]);
	assert_in_range(proxy_n_fds(), n_fds, n_fds + 2); /* the relays' */
}

/* nobody is there: what the kernel says of that is no end, and is not heard again and again */
static void test_upstream_is_not_there(void **state)
{
	struct proxied *proxied = *state;
	int upstream = forward(proxied), pair[2];

	pair_up(pair);
	proxy_send_socket(proxied, FLOW, pair[0]);
	close(pair[0]);
	assert_int_equal(proxy_process(proxied), 0);
	close(upstream);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(send(pair[1], "x", 1, 0), 1);
		for (unsigned int j = 0; j < 10 && proxy_is_readable(proxied); j++)
			assert_int_equal(proxy_process(proxied), 0);
		assert_false(proxy_is_readable(proxied));
	}
	close(pair[1]);
}

/* the error that one has met is in the way of none that follows */
static void test_upstream_comes_later(void **state)
{
	struct proxied *proxied = *state;
	int upstream = forward(proxied), later;
	struct sockaddr_in here, there;
	socklen_t n = sizeof(here);
	char bytes[10];

	assert_int_equal(getsockname(upstream, (struct sockaddr *)&here, &n), 0);
	assert_int_equal(getpeername(upstream, (struct sockaddr *)&there, &n), 0);
	close(upstream);
	send_part(proxied, FLOW, (const uint8_t *)"to nobody", 0, 9, 9);
	assert_int_equal(proxy_process(proxied), 0);
	later = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(later, (struct sockaddr *)&here, n), 0);
	assert_int_equal(connect(later, (struct sockaddr *)&there, n), 0);
	send_part(proxied, FLOW, (const uint8_t *)"there", 0, 5, 5);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(recv(later, bytes, sizeof(bytes), 0), 5);
	close(later);
}

/* a flow of one kind has no upstream of the other: it ends, and is not tried again and again */
static void check_mixed(struct proxied *proxied, int far, int pair[2])
{
	proxy_send_socket(proxied, FLOW, pair[0]);
	close(pair[0]);
	assert_int_equal(proxy_process(proxied), 0);
	(void)!send(pair[1], "x", 1, MSG_NOSIGNAL);
	close(pair[1]);
	for (unsigned int i = 0; i < 10 && proxy_is_readable(proxied); i++)
		assert_int_equal(proxy_process(proxied), 0);
	assert_false(proxy_is_readable(proxied));
	close(far);
}

static void test_tcp_has_no_upstream_of_udp(void **state)
{
	int upstream = forward(*state), pair[2];

	proxy_tcp_pair(pair);
	check_mixed(*state, upstream, pair);
}

static void test_udp_has_no_upstream_of_tcp(void **state)
{
	struct proxied *proxied = *state;
	int upstream[2], pair[2];

	proxy_tcp_pair(upstream);
	proxied->upstream = upstream[0];
	proxy_ask(proxied, FLOW);
	proxy_expect_opened(proxied, FLOW, 0);
	pair_up(pair);
	check_mixed(proxied, upstream[1], pair);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, proxy_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_whole_one),
		TEST(test_a_large_one_comes_in_parts),
		TEST(test_parts_of_two_are_not_one),
		TEST(test_more_than_all_of_it),
		TEST(test_behind_its_end),
		cmocka_unit_test_setup_teardown(test_a_proxy_that_takes_no_udp, proxy_set_up,
						proxy_tear_down),
		TEST(test_datagrams_go_both_ways),
		TEST(test_upstream_is_not_there),
		TEST(test_upstream_comes_later),
		TEST(test_tcp_has_no_upstream_of_udp),
		TEST(test_udp_has_no_upstream_of_tcp),
	};

	return cmocka_run_group_tests_name("proxy-udp", tests, NULL, NULL);
}
