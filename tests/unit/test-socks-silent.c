/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Proxies that have been asked to connect and say nothing yet
 *
 * A destination that gives no answer is not the proxy's fault: connect(2) of the program waits as
 * long as it would without a proxy, and the proxy is as good as before.
 */

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "socks-flows-lab.h"

#define BYTES(text) (text), sizeof(text) - 1
#define HELLO "\x05\x01\x00"
#define GO_ON "\x05\x00"
#define REQUEST "\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"
#define REACHED "\x05\x00\x00\x01\x0a\x00\x00\x01\x04\x38"
#define CONNECT "CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n\r\n"
#define LONG_MS 600000U /* longer than any program waits */

/* a SOCKS5 proxy that is asked for the flow, and has nothing to say yet */
static int accept_asked(unsigned int number)
{
	int proxy = lab_accept(number);

	lab_hear(proxy, BYTES(HELLO));
	lab_say(proxy, BYTES(GO_ON));
	lab_hear(proxy, BYTES(REQUEST));
	return proxy;
}

static void assert_still_held(void)
{
	assert_int_equal(lab.answer.n, lab.answer.n_seen);
	assert_int_equal(flows_wait_ms(&lab.flows, lab.now_ms), -1);
	assert_int_equal(lab.answer.n_logged, 0);
}

static void expect_reached(int proxy, const void *answer, size_t n)
{
	lab_say(proxy, answer, n);
	close(lab_answered());
	close(proxy);
}

/* it comes late, and is as good as if it had come at once; no other proxy is asked */
static void test_socks5(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	unsigned int second = lab_proxy("socks5://127.0.0.1:%u");
	int proxy;

	lab_flow(NULL);
	proxy = accept_asked(first);
	lab_pass(10000);
	assert_still_held();
	lab_pass(LONG_MS);
	assert_still_held();
	lab_nobody_at(second);
	expect_reached(proxy, BYTES(REACHED));

	/* it is none that has failed */
	lab_flow(NULL);
	expect_reached(accept_asked(first), BYTES(REACHED));
}

static void test_http(void **state)
{
	int proxy;
	unsigned int first = lab_proxy("http://127.0.0.1:%u");

	lab_flow(NULL);
	proxy = lab_accept(first);
	lab_hear(proxy, BYTES(CONNECT));
	lab_pass(10000);
	assert_still_held();
	lab_pass(LONG_MS);
	assert_still_held();
	expect_reached(proxy, BYTES("HTTP/1.1 200 OK\r\n\r\n"));
}

/* who has never said a word may hang: another one is asked, and the last one is waited for */
static void test_http_of_two(void **state)
{
	unsigned int first = lab_proxy("http://127.0.0.1:%u");
	unsigned int second = lab_proxy("http://127.0.0.1:%u");
	int proxies[2];

	lab_flow(NULL);
	proxies[0] = lab_accept(first);
	lab_hear(proxies[0], BYTES(CONNECT));
	lab_pass(10000);
	proxies[1] = lab_accept(second);
	lab_hear(proxies[1], BYTES(CONNECT));
	assert_non_null(strstr(lab.answer.logged, "does not answer in time"));
	lab_pass(LONG_MS);
	assert_int_equal(lab.answer.n, 0);
	expect_reached(proxies[1], BYTES("HTTP/1.1 200 OK\r\n\r\n"));
	lab_hear_end(proxies[0], 0);
	close(proxies[0]);
}

/* the first byte of an answer, and no more of it: its time begins there */
static void test_half_answer(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	int proxy;

	lab_flow(NULL);
	proxy = accept_asked(first);
	lab_pass(LONG_MS);
	lab_say(proxy, REACHED, 1);
	lab_turn();
	assert_int_equal(flows_wait_ms(&lab.flows, lab.now_ms), 10000);
	lab_pass(9999);
	assert_int_equal(lab.answer.n, 0);
	lab_pass(1);
	lab_refused(-ECONNREFUSED, "does not answer in time");
	close(proxy);
}

/* the proxy dies while it is waited for: another one is asked */
static void test_dies(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	unsigned int second = lab_proxy("socks5://127.0.0.1:%u");
	int proxy;

	lab_flow(NULL);
	proxy = accept_asked(first);
	lab_pass(LONG_MS);
	close(proxy);
	expect_reached(accept_asked(second), BYTES(REACHED));
}

/* the program gives up */
static void test_cancelled(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	uint64_t id = lab_flow(NULL);
	int proxy = accept_asked(first);

	lab_pass(LONG_MS);
	flows_cancelled(&lab.flows, id, lab.now_ms);
	lab_hear_end(proxy, 0);
	close(proxy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_socks5, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_http, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_http_of_two, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_half_answer, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_dies, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_cancelled, lab_begin, lab_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
