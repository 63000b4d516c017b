/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: socks when memory runs out
 *
 * Flows of UDP and of TCP are told again and again, and each time another allocation fails. A flow is
 * carried, or refused; a datagram may be lost, as any may be; nothing is left behind.
 */

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "base/macros.h"
#include "socks-udp-lab.h"

#define TELLINGS_MAX 200U

int __real_flows_begin(struct flows *flows, const struct sluice_flow *flow, uint64_t now_ms);
int __wrap_flows_begin(struct flows *flows, const struct sluice_flow *flow, uint64_t now_ms);
void __real_flows_opened(struct flows *flows, uint64_t id, int fd, uint64_t now_ms);
void __wrap_flows_opened(struct flows *flows, uint64_t id, int fd, uint64_t now_ms);
void __real_flows_event(struct flows *flows, void *what, uint64_t now_ms);
void __wrap_flows_event(struct flows *flows, void *what, uint64_t now_ms);

int __wrap_flows_begin(struct flows *flows, const struct sluice_flow *flow, uint64_t now_ms)
{
	int r;

	alloc_enter();
	r = __real_flows_begin(flows, flow, now_ms);
	alloc_leave();
	return r;
}

void __wrap_flows_opened(struct flows *flows, uint64_t id, int fd, uint64_t now_ms)
{
	alloc_enter();
	__real_flows_opened(flows, id, fd, now_ms);
	alloc_leave();
}

void __wrap_flows_event(struct flows *flows, void *what, uint64_t now_ms)
{
	alloc_enter();
	__real_flows_event(flows, what, now_ms);
	alloc_leave();
}

/* Return: is it taken, and not refused at once? */
static bool begin(uint64_t socket, uint8_t last, uint64_t *ret_id)
{
	int r = udp_try(socket, last, NULL, ret_id);

	if (r == 0 && lab.answer.n == lab.answer.n_seen)
		return true;
	if (r == 0 && lab.answer.error == 0)
		return true; /* it is opened by what is there */
	assert_true(alloc_has_failed());
	if (r < 0)
		assert_int_equal(r, -ENOMEM);
	else
		lab_refused(-ECONNREFUSED, "no memory");
	return false;
}

/* an answer that comes before the program's descriptor is kept, or lost */
static int carry(struct udp_side *side, uint64_t id)
{
	struct pollfd pollfd = { .events = POLLIN };
	int program;

	flows_datagram(&lab.flows, id, "up", 2, lab.now_ms);
	udp_expect_up(side, BYTES(PEER "\x07" PORT "up"));
	udp_send_down(side, side->relay, BYTES(PEER "\x07" PORT "down"));
	lab_turn();
	program = pollfd.fd = udp_open(id);
	lab_turn();
	if (poll(&pollfd, 1, 0))
		udp_expect_down(program, BYTES("down"));
	else
		assert_true(alloc_has_failed());
	assert_int_equal(send(program, "x", 1, 0), 1);
	udp_expect_up(side, BYTES(PEER "\x07" PORT "x"));
	return program;
}

/* its association ends, and its next datagram asks for another one: without memory, a second later */
static void carry_again(unsigned int first, int program)
{
	struct pollfd pollfd = { .fd = lab.listeners[first], .events = POLLIN };
	struct udp_side side;
	int n = 0;

	do {
		assert_true(n++ < 3);
		if (n > 2)
			alloc_forgive();
		lab_pass(1000);
		assert_int_equal(send(program, "again", 5, 0), 5);
		lab_turn();
	} while (poll(&pollfd, 1, 0) == 0);
	assert_true(n == 1 || alloc_has_failed());
	side = udp_associate(first, "127.0.0.1");
	udp_expect_up(&side, BYTES(PEER "\x07" PORT "again"));
	udp_leave(&side);
}

static void expect_nothing_left(void)
{
	for (unsigned int i = 0; i < FLOWS_BUCKETS; i++)
		assert_true(LIST_EMPTY(&lab.flows.associations[i]) &&
			    LIST_EMPTY(&lab.flows.peers_by_id[i]) && !lab.flows.buckets[i]);
}

static void tell_udp(void)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	struct udp_side side;
	uint64_t id, other;
	int program;

	if (!begin(1, 7, &id)) {
		expect_nothing_left();
		return;
	}
	side = udp_associate(first, "127.0.0.1");
	udp_expect_opened(id);
	if (begin(1, 8, &other))
		udp_expect_opened(other);
	program = carry(&side, id);
	lab_pass(10000); /* it has stood for a while */
	udp_leave(&side);
	lab_turn();
	carry_again(first, program);
	close(program);
}

static void tell_tcp(void)
{
	const struct sluice_flow flow = {
		.size = sizeof(flow),
		.id = 1000,
		.protocol = IPPROTO_TCP,
		.remote_address = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 7 },
		.remote_port = 443,
		.host = ""
	};
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	int r = flows_begin(&lab.flows, &flow, lab.now_ms), proxy;

	assert_true(r == 0 || (r == -ENOMEM && alloc_has_failed()));
	if (r < 0) {
		expect_nothing_left();
		return;
	}
	proxy = lab_accept(first);
	lab_hear(proxy, BYTES(HELLO));
	lab_say(proxy, BYTES(GO_ON));
	lab_hear(proxy, BYTES("\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"));
	lab_say(proxy, BYTES("\x05\x00\x00\x01\0\0\0\0\0\0"));
	close(lab_answered());
	close(proxy);
}

static bool tell(unsigned int nth, bool is_always, void *data)
{
	void (*const *story)(void) = data;
	unsigned int n_blocks;
	bool has_failed;

	assert_int_equal(lab_begin(NULL), 0);
	n_blocks = alloc_blocks();
	alloc_fail(nth, is_always);
	(*story)();
	has_failed = alloc_has_failed();
	alloc_forgive();
	assert_int_equal(lab_finish(NULL), 0);
	assert_true(alloc_blocks() <= n_blocks);
	return has_failed;
}

static void test_udp(void **state)
{
	static void (*const story)(void) = tell_udp;

	alloc_tell_each(tell, (void *)&story, false, 1, 5, TELLINGS_MAX);
	alloc_tell_each(tell, (void *)&story, true, 1, 5, TELLINGS_MAX);
}

static void test_tcp(void **state)
{
	static void (*const story)(void) = tell_tcp;

	alloc_tell_each(tell, (void *)&story, false, 1, 0, TELLINGS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_tcp),
	};

	return cmocka_run_group_tests_name("socks-memory-out", tests, NULL, NULL);
}
