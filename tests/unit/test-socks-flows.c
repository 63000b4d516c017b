/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Flows on their way to proxies that work, fail, hang and lie
 */

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "socks-flows-lab.h"

#define BYTES(text) (text), sizeof(text) - 1
#define HELLO "\x05\x01\x00"
#define HELLO_USER "\x05\x02\x00\x02"
#define GO_ON "\x05\x00"
#define REQUEST "\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"
#define REACHED "\x05\x00\x00\x01\x0a\x00\x00\x01\x04\x38"
#define REFUSED "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"

static void hear_text(int fd, const char *text)
{
	lab_hear(fd, text, strlen(text));
}

static void say_text(int fd, const char *text)
{
	lab_say(fd, text, strlen(text));
}

/* the provider's connection there is one that works. Return: the proxy's end; *@ret_fd: ours */
static int reach(unsigned int number, int *ret_fd)
{
	int proxy = lab_accept(number);

	lab_hear(proxy, BYTES(HELLO));
	lab_say(proxy, BYTES(GO_ON));
	lab_hear(proxy, BYTES(REQUEST));
	lab_say(proxy, BYTES(REACHED));
	*ret_fd = lab_answered();
	return proxy;
}

static void reach_and_close(unsigned int number)
{
	int fd, proxy = reach(number, &fd);

	close(proxy);
	close(fd);
}

static void test_reached(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	uint64_t id = lab_flow(NULL);
	int fd, proxy = reach(first, &fd);

	assert_int_equal(lab.answer.id, id);
	lab_say(proxy, "x", 1);
	lab_hear(fd, "x", 1);
	assert_int_equal(flows_wait_ms(&lab.flows, lab.now_ms), -1);
	close(proxy);
	close(fd);
}

/* bytes of the flow that come with the answer stay in the socket */
static void test_payload_behind(void **state)
{
	unsigned int socks = lab_proxy("socks5://127.0.0.1:%u");
	unsigned int http = lab_proxy("http://127.0.0.1:%u");
	int fd, proxy;

	lab_flow(NULL);
	proxy = lab_accept(socks);
	lab_hear(proxy, BYTES(HELLO));
	lab_say(proxy, BYTES(GO_ON));
	lab_hear(proxy, BYTES(REQUEST));
	lab_say(proxy, BYTES(REACHED "SSH-2.0-x\r\n"));
	fd = lab_answered();
	lab_hear(fd, BYTES("SSH-2.0-x\r\n"));
	close(proxy);
	lab_hear_end(fd, 0);
	close(fd);

	lab_down(socks);
	lab_flow(NULL);
	proxy = lab_accept(http);
	hear_text(proxy, "CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n\r\n");
	say_text(proxy, "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n\r\nx");
	fd = lab_answered();
	lab_hear(fd, BYTES("\r\nx"));
	close(proxy);
	close(fd);
}

static void test_names(void **state)
{
	static const struct {
		const char *form, *host, *request;
	} names[] = {
		{ "http://127.0.0.1:%u", "a.example", "CONNECT a.example:443 " },
		{ "http://127.0.0.1:%u", "a_b-c.EXAMPLE", "CONNECT a_b-c.EXAMPLE:443 " },
		{ "http://127.0.0.1:%u", NULL, "CONNECT 192.0.2.7:443 " },
		/* what is no host name is told to nobody */
		{ "http://127.0.0.1:%u", "a b", "CONNECT 192.0.2.7:443 " },
		{ "http://127.0.0.1:%u", "a\r\nX: y", "CONNECT 192.0.2.7:443 " },
		{ "socks5h://127.0.0.1:%u", "a.example", HELLO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		unsigned int number = lab_proxy(names[i].form);
		uint64_t id = lab_flow(names[i].host);
		int proxy = lab_accept(number);

		hear_text(proxy, names[i].request);
		flows_cancelled(&lab.flows, id, lab.now_ms);
		close(proxy);
		lab_down(number);
		lab.n_ports = lab.flows.endpoints.n = 0;
	}
}

static void test_long_name(void **state)
{
	unsigned int first = lab_proxy("http://127.0.0.1:%u");
	char name[300];
	int proxy;

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	lab_flow(name);
	proxy = lab_accept(first);
	hear_text(proxy, "CONNECT 192.0.2.7:443 ");
	close(proxy);
}

/* of two proxies the one is told the name and the other is not */
static void test_name_by_scheme(void **state)
{
	unsigned int remote = lab_proxy("socks5h://127.0.0.1:%u");
	unsigned int local = lab_proxy("socks5://127.0.0.1:%u");
	int fd, proxy;

	lab_flow("a.example");
	proxy = lab_accept(remote);
	lab_hear(proxy, BYTES(HELLO));
	lab_say(proxy, BYTES(GO_ON));
	lab_hear(proxy, BYTES("\x05\x01\x00\x03\x09"
			      "a.example\x01\xbb"));
	close(proxy);
	proxy = reach(local, &fd);
	close(proxy);
	close(fd);
}

static void test_refused(void **state)
{
	unsigned int first = lab_proxy("socks5://alice:secret@127.0.0.1:%u");
	int proxy;

	lab_proxy("socks5://127.0.0.1:%u");
	lab_flow(NULL);
	proxy = lab_accept(first);
	lab_hear(proxy, BYTES(HELLO_USER));
	lab_say(proxy, BYTES(GO_ON));
	lab_hear(proxy, BYTES(REQUEST));
	lab_say(proxy, BYTES(REFUSED));
	lab_refused(-ECONNREFUSED, "says: connection refused");
	assert_null(strstr(lab.answer.reason, "secret"));
	lab_hear_end(proxy, 0);
	close(proxy);
	/* it is the destination's fault: the other proxy is not asked */
	lab_nobody_at(1);
	assert_int_equal(lab.answer.n_logged, 0);
}

static void test_failover(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	unsigned int second = lab_proxy("socks5://127.0.0.1:%u");

	lab_down(first);
	lab_flow(NULL);
	reach_and_close(second);
	assert_non_null(strstr(lab.answer.logged, "is not reached: Connection refused"));
	assert_int_equal(lab.answer.n_logged, 1);

	/* it is back, and not asked before half a minute is over */
	lab_up(first);
	lab_pass(29999);
	lab_flow(NULL);
	reach_and_close(second);
	lab_nobody_at(first);
	lab_pass(1);
	lab_flow(NULL);
	reach_and_close(first);
	assert_non_null(strstr(lab.answer.logged, "works again"));
	assert_int_equal(lab.answer.n_logged, 2);
}

/* one that failed is the last resort, not none */
static void test_failed_is_last(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	unsigned int second = lab_proxy("socks5://127.0.0.1:%u");

	lab_down(first);
	lab_flow(NULL);
	reach_and_close(second);
	lab_up(first);
	lab_down(second);
	lab_flow(NULL);
	reach_and_close(first);
}

/* one that now works and now does not fills no log */
static void test_told_once(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");

	for (unsigned int i = 0; i < 3; i++) {
		lab_down(first);
		lab_flow(NULL);
		lab_refused(-ECONNREFUSED, "is not reached");
		lab_up(first);
		lab_flow(NULL);
		reach_and_close(first);
		assert_int_equal(lab.answer.n_logged, i < 2 ? 2 : 4);
		lab_pass(15000);
	}
}

static void test_all_down(void **state)
{
	lab_down(lab_proxy("socks5://127.0.0.1:%u"));
	lab_down(lab_proxy("http://127.0.0.1:%u"));
	lab_flow(NULL);
	lab_refused(-ECONNREFUSED, "is not reached: Connection refused");
	assert_int_equal(flows_wait_ms(&lab.flows, lab.now_ms), -1);
}

static void test_user_refused(void **state)
{
	unsigned int first = lab_proxy("socks5://alice:secret@127.0.0.1:%u");
	int proxy;

	lab_down(lab_proxy("socks5://127.0.0.1:%u"));
	lab_flow(NULL);
	proxy = lab_accept(first);
	lab_hear(proxy, BYTES(HELLO_USER));
	lab_say(proxy, BYTES("\x05\x02"));
	lab_hear(proxy, BYTES("\x01\x05"
			      "alice\x06secret"));
	lab_say(proxy, BYTES("\x01\x01"));
	/* the other one is tried, and what this one said is told */
	lab_refused(-EACCES, "does not take this user and password");
	close(proxy);
}

static void test_hangs(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	int proxy;

	lab_flow(NULL);
	proxy = lab_accept(first);
	lab_hear(proxy, BYTES(HELLO));
	assert_int_equal(flows_wait_ms(&lab.flows, lab.now_ms), 10000);
	lab_pass(9999);
	assert_int_equal(flows_wait_ms(&lab.flows, lab.now_ms), 1);
	assert_int_equal(lab.answer.n, 0);
	lab_pass(1);
	lab_refused(-ECONNREFUSED, "does not answer in time");
	lab_hear_end(proxy, 0);
	close(proxy);
}

/* a byte a second, of an answer that would be right: the time is that of all of it */
static void test_slow(void **state)
{
	static const char answer[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	unsigned int first = lab_proxy("http://127.0.0.1:%u");
	unsigned int i;
	int proxy;

	lab_flow(NULL);
	proxy = lab_accept(first);
	hear_text(proxy, "CONNECT ");
	for (i = 0; lab.answer.n == 0; i++) {
		lab_say(proxy, answer + i, 1);
		lab_pass(1000);
	}
	assert_int_equal(i, 10);
	lab_refused(-ECONNREFUSED, "does not answer in time");
	close(proxy);
}

/* each attempt has its own time, and the flow that began first is not the one that ends first */
static void test_times(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	unsigned int second = lab_proxy("socks5://127.0.0.1:%u");
	int proxies[3];
	uint64_t later;

	lab_flow(NULL);
	proxies[0] = lab_accept(first);
	lab_pass(5000);
	later = lab_flow(NULL);
	proxies[1] = lab_accept(first);
	lab_pass(5000); /* 10 s: the first goes to the second proxy */
	proxies[2] = lab_accept(second);
	lab_pass(4999);
	assert_int_equal(lab.answer.n, 0);
	lab_pass(1); /* 15 s */
	assert_int_equal(lab.answer.n, 0);
	flows_cancelled(&lab.flows, later, lab.now_ms);
	lab_pass(5000); /* 20 s */
	lab_refused(-ECONNREFUSED, "does not answer in time");
	assert_int_equal(lab.answer.id, LAB_FLOW);
	for (unsigned int i = 0; i < 3; i++)
		close(proxies[i]);
}

static void test_lies(void **state)
{
	static const struct {
		const char *form, *answer;
		size_t n;
		const char *reason;
	} lies[] = {
		{ "socks5://127.0.0.1:%u", BYTES("\x04"), "does not speak SOCKS5" },
		{ "socks5://127.0.0.1:%u", BYTES("\x05\x02"), "that was not offered" },
		{ "http://127.0.0.1:%u", BYTES("\xff\xff\xff"), "does not speak HTTP/1" },
		{ "http://127.0.0.1:%u", BYTES("HTTP/1.1 407 x\n\n"), "wants a user" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		unsigned int number = lab_proxy(lies[i].form);
		int proxy;

		lab_flow(NULL);
		proxy = lab_accept(number);
		lab_say(proxy, lies[i].answer, lies[i].n);
		lab_refused(i == 3 ? -EACCES : -ECONNREFUSED, lies[i].reason);
		close(proxy);
		lab_down(number);
		lab.n_ports = lab.flows.endpoints.n = 0;
	}
}

static void test_ends_early(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	const struct linger now = { .l_onoff = 1 };
	int proxy;

	lab_flow(NULL);
	proxy = lab_accept(first);
	lab_hear(proxy, BYTES(HELLO));
	lab_say(proxy, "\x05", 1);
	close(proxy);
	lab_refused(-ECONNREFUSED, "ended the connection before it had answered");

	lab_flow(NULL);
	proxy = lab_accept(first);
	lab_hear(proxy, BYTES(HELLO));
	setsockopt(proxy, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(proxy);
	lab_refused(-ECONNREFUSED, "broke the connection off: Connection reset by peer");
}

static void test_huge_head(void **state)
{
	static char line[1024];
	unsigned int first = lab_proxy("http://127.0.0.1:%u");
	int proxy;

	memset(line, 'x', sizeof(line));
	memcpy(line, "A:", 2);
	line[sizeof(line) - 1] = '\n';
	lab_flow(NULL);
	proxy = lab_accept(first);
	say_text(proxy, "HTTP/1.1 200 OK\n");
	while (lab.answer.n == 0) {
		(void)!send(proxy, line, sizeof(line), MSG_NOSIGNAL | MSG_DONTWAIT);
		lab_turn();
	}
	lab_refused(-ECONNREFUSED, "answered with more than 16 KB");
	close(proxy);
}

static void test_cancelled(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	uint64_t id = lab_flow(NULL);
	int proxy = lab_accept(first);

	lab_hear(proxy, BYTES(HELLO));
	flows_cancelled(&lab.flows, id, lab.now_ms);
	lab_hear_end(proxy, 0);
	flows_cancelled(&lab.flows, id, lab.now_ms);
	flows_cancelled(&lab.flows, 12345, lab.now_ms);
	assert_int_equal(lab.answer.n, 0);
	assert_int_equal(flows_wait_ms(&lab.flows, lab.now_ms), -1);
	close(proxy);
}

/* many at once, answered in another order; one bucket has several of them */
static void test_many(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	int proxies[16];

	for (unsigned int i = 0; i < 8; i++)
		lab_flow(NULL);
	for (unsigned int i = 0; i < 8; i++)
		proxies[i] = lab_accept(first);
	lab.next_id += FLOWS_BUCKETS - 8;
	for (unsigned int i = 8; i < 16; i++) {
		lab_flow(NULL);
		proxies[i] = lab_accept(first);
	}
	for (unsigned int i = 16; i-- > 0;) {
		lab_hear(proxies[i], BYTES(HELLO));
		lab_say(proxies[i], BYTES(GO_ON));
		lab_hear(proxies[i], BYTES(REQUEST));
		lab_say(proxies[i], BYTES(REACHED));
		close(lab_answered());
		assert_int_equal(lab.answer.id,
				 i < 8 ? LAB_FLOW + i : LAB_FLOW + FLOWS_BUCKETS + i - 8);
		close(proxies[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reached, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_payload_behind, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_names, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_long_name, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_name_by_scheme, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_refused, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_failover, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_failed_is_last, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_told_once, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_all_down, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_user_refused, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_hangs, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_slow, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_times, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_lies, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_ends_early, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_huge_head, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_cancelled, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_many, lab_begin, lab_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
