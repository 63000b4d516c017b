/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "socks-udp-lab.h"

int udp_try(uint64_t socket, uint8_t last, const char *host, uint64_t *ret_id)
{
	const struct sluice_flow flow = {
		.size = sizeof(flow),
		.id = lab.next_id++,
		.protocol = IPPROTO_UDP,
		.remote_address = { [10] = 0xff, [11] = 0xff, 192, 0, 2, last },
		.remote_port = 53,
		.host = host ? host : "",
		.host_source = host ? SLUICE_HOST_DNS : SLUICE_HOST_NONE,
		.socket = socket,
	};

	*ret_id = flow.id;
	return flows_begin(&lab.flows, &flow, lab.now_ms);
}

uint64_t udp_begin(uint64_t socket, uint8_t last, const char *host)
{
	uint64_t id;

	assert_int_equal(udp_try(socket, last, host, &id), 0);
	return id;
}

int udp_bind_relay(uint16_t *ret_port)
{
	struct sockaddr_in here = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(here);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_return_code(bind(fd, (struct sockaddr *)&here, n), errno);
	assert_return_code(getsockname(fd, (struct sockaddr *)&here, &n), errno);
	*ret_port = ntohs(here.sin_port);
	return fd;
}

struct udp_side udp_associate(unsigned int number, const char *bound)
{
	struct udp_side side = { .control = lab_accept(number) };
	uint8_t answer[10] = { 5, 0, 0, 1 };
	uint16_t port;

	side.relay = udp_bind_relay(&port);
	lab_hear(side.control, BYTES(HELLO));
	lab_say(side.control, BYTES(GO_ON));
	lab_hear(side.control, BYTES(REQUEST));
	assert_int_equal(inet_pton(AF_INET, bound, answer + 4), 1);
	answer[8] = (uint8_t)(port >> 8);
	answer[9] = (uint8_t)port;
	lab_say(side.control, answer, sizeof(answer));
	return side;
}

void udp_leave(struct udp_side *side)
{
	close(side->control);
	close(side->relay);
}

int udp_open(uint64_t id)
{
	int ends[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
			   errno);
	flows_opened(&lab.flows, id, ends[0], lab.now_ms);
	return ends[1];
}

static void wait_for(int fd)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };

	for (int i = 0; poll(&one, 1, 1) == 0; i++) {
		assert_true(i < 5000);
		lab_turn();
	}
}

void udp_expect_up(struct udp_side *side, const void *bytes, size_t n)
{
	socklen_t n_client = sizeof(side->client);
	uint8_t got[2048];

	wait_for(side->relay);
	assert_int_equal(recvfrom(side->relay, got, sizeof(got), 0,
				  (struct sockaddr *)&side->client, &n_client),
			 n);
	assert_memory_equal(got, bytes, n);
}

void udp_send_down(const struct udp_side *side, int fd, const void *bytes, size_t n)
{
	assert_int_equal(sendto(fd, bytes, n, 0, (const struct sockaddr *)&side->client,
				sizeof(side->client)),
			 n);
}

void udp_expect_down(int program, const void *bytes, size_t n)
{
	uint8_t got[2048];

	wait_for(program);
	assert_int_equal(recv(program, got, sizeof(got), 0), n);
	assert_memory_equal(got, bytes, n);
}

void udp_expect_nothing(int fd)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };

	lab_turn();
	assert_int_equal(poll(&one, 1, 0), 0);
}

void udp_expect_opened(uint64_t id)
{
	assert_int_equal(lab_answered(), -1);
	assert_int_equal(lab.answer.id, id);
}

struct udp_one udp_stand(unsigned int number)
{
	struct udp_one one = { .id = udp_begin(1, 7, NULL) };

	one.side = udp_associate(number, "127.0.0.1");
	udp_expect_opened(one.id);
	return one;
}
