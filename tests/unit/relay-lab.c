/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"
#include "relay-lab.h"

#define PIECE 65000U
#define PATIENCE_MS 20000U

/* not the relays' clock, which a test may have stopped */
static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- sockets ---- */

static int listen_here(struct sockaddr_in *ret_address)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret_address, &n), 0);
	return fd;
}

void lab_pair(int ret_fds[2])
{
	struct sockaddr_in address;
	int listener = listen_here(&address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ret_fds[0] = fd;
	ret_fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ret_fds[1] >= 0);
	close(listener);
}

static void on_done(struct sluice_relay *relay, const struct sluice_relay_end *end, void *data)
{
	struct lab_relay *seen = data;

	assert_ptr_equal(relay, seen->relay);
	assert_int_equal(end->size, sizeof(*end));
	seen->end = *end;
	seen->n_done++;
}

static void on_read_end(struct sluice_relay *relay, enum sluice_relay_side side, void *data)
{
	struct lab_relay *seen = data;

	assert_ptr_equal(relay, seen->relay);
	seen->n_read_ends[side]++;
	if (seen->at_end)
		seen->at_end(relay);
}

static const struct sluice_relay_ops ops = { .size = sizeof(ops),
					     .done = on_done,
					     .read_end = on_read_end };

int lab_try(struct sluice_relays *relays, struct lab_relay *ret_relay)
{
	int program[2], upstream[2];

	*ret_relay = (struct lab_relay){ 0 };
	lab_pair(program);
	lab_pair(upstream);
	ret_relay->ends[PROGRAM] = program[0];
	ret_relay->ends[UPSTREAM] = upstream[1];
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++)
		assert_int_equal(fcntl(ret_relay->ends[i], F_SETFL, O_NONBLOCK), 0);
	return sluice_relays_add(relays, program[1], upstream[0], &ops, ret_relay,
				 &ret_relay->relay);
}

void lab_add(struct sluice_relays *relays, struct lab_relay *ret_relay)
{
	assert_int_equal(lab_try(relays, ret_relay), 0);
}

void lab_drop(struct lab_relay *relay)
{
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++)
		relay->ends[i] = close_fd(relay->ends[i]);
}

int lab_set_up(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	assert_non_null(lab);
	assert_int_equal(sluice_relays_new(&lab->relays), 0);
	lab_add(lab->relays, &lab->one);
	*state = lab;
	return 0;
}

int lab_tear_down(void **state)
{
	struct lab *lab = *state;

	assert_null(sluice_relays_free(lab->relays));
	lab_drop(&lab->one);
	free(lab);
	return 0;
}

/* ---- the loop ---- */

bool lab_is_readable(const struct sluice_relays *relays, int timeout_ms)
{
	struct pollfd fd = { .fd = sluice_relays_get_fd(relays), .events = POLLIN };

	return poll(&fd, 1, timeout_ms) > 0;
}

void lab_work(struct sluice_relays *relays)
{
	while (lab_is_readable(relays, 0))
		assert_int_equal(sluice_relays_process(relays), 0);
}

bool lab_wait(struct sluice_relays *relays, bool (*has_come)(const struct lab_relay *relay),
	      const struct lab_relay *relay)
{
	uint64_t began = now_ms();

	while (!has_come(relay)) {
		if (now_ms() - began > PATIENCE_MS)
			return false;
		if (lab_is_readable(relays, 10))
			assert_int_equal(sluice_relays_process(relays), 0);
	}
	return true;
}

bool lab_is_done(const struct lab_relay *relay)
{
	return relay->n_done > 0;
}

/* ---- bytes ---- */

#define PERIOD 65521U /* a prime: no page, buffer or pipe is as long */

/* Return: PIECE bytes of those that this side sends, from there on */
static const uint8_t *bytes_at(unsigned int from, uint64_t at)
{
	static uint8_t pattern[PERIOD + PIECE];
	static bool is_there;

	if (!is_there) {
		for (uint32_t i = 0, x = 1; i < PERIOD; i++, x = x * 1664525 + 1013904223)
			pattern[i] = (uint8_t)(x >> 24);
		memcpy(pattern + PERIOD, pattern, PIECE); /* which is less than a period */
		is_there = true;
	}
	return pattern + (at + from * 1000) % PERIOD;
}

size_t lab_send(struct lab_relay *relay, unsigned int from, size_t n)
{
	size_t n_sent = 0;
	ssize_t r = 0;

	for (; n_sent < n; n_sent += (size_t)r) {
		r = send(relay->ends[from], bytes_at(from, relay->n_sent[from]),
			 MIN(n - n_sent, PIECE), MSG_NOSIGNAL);
		if (r < 0)
			break;
		relay->n_sent[from] += (uint64_t)r;
	}
	assert_true(r >= 0 || errno == EAGAIN);
	return n_sent;
}

static bool is_full(struct sluice_relays *relays, struct lab_relay *relay, unsigned int from)
{
	struct pollfd fd = { .fd = relay->ends[from], .events = POLLOUT };

	lab_work(relays);
	return poll(&fd, 1, 50) == 0 && !lab_is_readable(relays, 0);
}

size_t lab_fill(struct sluice_relays *relays, struct lab_relay *relay, unsigned int from)
{
	size_t n = 0;

	do
		n += lab_send(relay, from, SIZE_MAX);
	while (!is_full(relays, relay, from));
	return n;
}

int lab_receive(struct lab_relay *relay, unsigned int to)
{
	static uint8_t bytes[PIECE];
	ssize_t n;

	while ((n = recv(relay->ends[to], bytes, sizeof(bytes), 0)) > 0) {
		assert_memory_equal(bytes, bytes_at(!to, relay->n_received[to]), (size_t)n);
		relay->n_received[to] += (uint64_t)n;
	}
	relay->has_end[to] = n == 0;
	return n == 0 || errno == EAGAIN ? 0 : -errno;
}

void lab_stream(struct sluice_relays *relays, struct lab_relay *relay, unsigned int from, size_t n)
{
	uint64_t began = now_ms();
	size_t n_sent = 0;

	while (relay->n_received[!from] < relay->n_sent[from] || n_sent < n) {
		n_sent += lab_send(relay, from, n - n_sent);
		if (lab_is_readable(relays, 1))
			assert_int_equal(sluice_relays_process(relays), 0);
		assert_int_equal(lab_receive(relay, !from), 0);
		assert_true(now_ms() - began < PATIENCE_MS);
	}
}

/* ---- ends ---- */

void lab_end(struct lab_relay *relay, unsigned int side)
{
	assert_int_equal(shutdown(relay->ends[side], SHUT_WR), 0);
}

void lab_close(struct lab_relay *relay, unsigned int side)
{
	relay->ends[side] = close_fd(relay->ends[side]);
}

void lab_reset(struct lab_relay *relay, unsigned int side)
{
	const struct linger linger = { .l_onoff = 1 };

	assert_int_equal(
		setsockopt(relay->ends[side], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	lab_close(relay, side);
}

/* Return: what the last read(2) gave, as lab_receive() */
static int receive_all(struct sluice_relays *relays, struct lab_relay *relay, unsigned int to)
{
	uint64_t began = now_ms();
	int r = 0;

	while (r == 0 && !relay->has_end[to]) {
		assert_true(now_ms() - began < PATIENCE_MS);
		if (lab_is_readable(relays, 1))
			assert_int_equal(sluice_relays_process(relays), 0);
		r = lab_receive(relay, to);
	}
	return r;
}

void lab_expect_end(struct sluice_relays *relays, struct lab_relay *relay, unsigned int to)
{
	assert_int_equal(receive_all(relays, relay, to), 0);
	assert_int_equal(relay->n_received[to], relay->n_sent[!to]);
}

uint64_t lab_expect_reset(struct sluice_relays *relays, struct lab_relay *relay, unsigned int to)
{
	assert_int_equal(receive_all(relays, relay, to), -ECONNRESET);
	return relay->n_received[to];
}

void lab_expect_done(struct sluice_relays *relays, struct lab_relay *relay,
		     enum sluice_relay_how how)
{
	assert_true(lab_wait(relays, lab_is_done, relay));
	lab_work(relays);
	assert_int_equal(relay->n_done, 1);
	assert_int_equal(relay->end.how, how);
}
