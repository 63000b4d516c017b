/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Records over a real socket pair
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/macros.h"
#include "wire/channel.h"
#include "wire/names-records.h"
#include "wire/provider-records.h"

struct ends {
	int daemon;
	int peer;
	uint8_t buffer[WIRE_RECORD_MAX];
	struct wire_message message;
	size_t n;
	int fd;
};

static int setup(void **state)
{
	struct ends *ends = calloc(1, sizeof(*ends));

	*state = ends;
	ends->fd = -1;
	return channel_pair(&ends->daemon, &ends->peer);
}

static int teardown(void **state)
{
	struct ends *ends = *state;

	close_fd(ends->daemon);
	close_fd(ends->peer);
	close_fd(ends->fd);
	free(ends);
	return 0;
}

static int n_open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int send_ping(struct ends *ends, uint64_t token, int fd)
{
	struct wire_ping ping = { .token = token };

	return channel_send(ends->daemon, &wire_provider_channel, WIRE_PING, &ping, NULL, 0, fd);
}

static int receive(struct ends *ends)
{
	return channel_recv(ends->peer, &wire_provider_channel, 0, ends->buffer, &ends->message,
			    &ends->n, &ends->fd);
}

static void test_a_record_arrives_alone(void **state)
{
	struct ends *ends = *state;

	assert_int_equal(send_ping(ends, 7, -1), 0);
	assert_int_equal(send_ping(ends, 8, -1), 0);
	assert_int_equal(receive(ends), 0);
	assert_int_equal(ends->message.record->type, WIRE_PING);
	assert_int_equal(WIRE_BODY(&ends->message, struct wire_ping)->token, 7);
	assert_int_equal(ends->n, 16);
	assert_int_equal(ends->fd, -1);
	assert_int_equal(receive(ends), 0);
	assert_int_equal(WIRE_BODY(&ends->message, struct wire_ping)->token, 8);
	assert_int_equal(receive(ends), -EAGAIN);
}

static void test_a_descriptor_travels_and_is_close_on_exec(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDONLY);
	struct ends *ends = *state;
	struct stat sent, got;

	assert_true(null >= 0);
	assert_int_equal(send_ping(ends, 1, null), 0);
	assert_int_equal(receive(ends), 0);
	assert_true(ends->fd >= 0 && ends->fd != null);
	assert_true(fcntl(ends->fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fstat(null, &sent), 0);
	assert_int_equal(fstat(ends->fd, &got), 0);
	assert_int_equal(sent.st_rdev, got.st_rdev);
	/* the sender keeps its own */
	assert_true(fcntl(null, F_GETFD) >= 0);
}

static void send_two_descriptors(int sock, const uint8_t *bytes, size_t n, int fd)
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = n };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
	int fds[2] = { fd, fd };

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
	assert_int_equal(sendmsg(sock, &message, 0), n);
}

static void test_a_second_descriptor_is_closed(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDONLY);
	struct wire_ping ping = { .token = 1 };
	struct ends *ends = *state;
	uint8_t bytes[64];
	int n_before;
	size_t n;

	assert_int_equal(
		wire_encode(&wire_provider_channel, WIRE_PING, &ping, bytes, sizeof(bytes), &n), 0);
	n_before = n_open_fds();
	send_two_descriptors(ends->daemon, bytes, n, null);
	assert_int_equal(receive(ends), 0);
	assert_int_equal(n_open_fds(), n_before + 1);
}

static void test_a_refused_record_leaves_no_descriptor(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDONLY);
	struct ends *ends = *state;
	uint8_t bad[3] = { 6, 0, 8 };
	int n_before = n_open_fds();

	assert_int_equal(channel_send_raw(ends->daemon, bad, sizeof(bad), null), 0);
	assert_int_equal(receive(ends), WIRE_E_SHORT);
	assert_int_equal(n_open_fds(), n_before);
	assert_int_equal(ends->fd, -1);
}

static void test_a_record_of_the_wrong_end_is_refused(void **state)
{
	struct wire_pong pong = { .token = 1 };
	struct ends *ends = *state;

	assert_int_equal(
		channel_send(ends->daemon, &wire_provider_channel, WIRE_PONG, &pong, NULL, 0, -1),
		0);
	assert_int_equal(receive(ends), WIRE_E_TYPE);
}

static void test_an_oversized_record_is_refused(void **state)
{
	static uint8_t huge[WIRE_RECORD_MAX + 1];
	struct ends *ends = *state;

	assert_int_equal(channel_send_raw(ends->daemon, huge, sizeof(huge), -1), 0);
	assert_int_equal(receive(ends), WIRE_E_TAIL);
	assert_int_equal(receive(ends), -EAGAIN);
}

static void test_a_tail_arrives_behind_its_body(void **state)
{
	static uint8_t tail[WIRE_TAIL_MAX];
	struct wire_look look = { .token = 3, .kind = 1 };
	struct ends *ends = *state;

	memset(tail, 't', sizeof(tail));
	assert_int_equal(channel_send(ends->daemon, &wire_names_channel, WIRE_LOOK, &look, tail,
				      sizeof(tail), -1),
			 0);
	assert_int_equal(channel_recv(ends->peer, &wire_names_channel, 0, ends->buffer,
				      &ends->message, NULL, &ends->fd),
			 0);
	assert_int_equal(ends->message.n_tail, sizeof(tail));
	assert_memory_equal(ends->message.tail, tail, sizeof(tail));
}

static void test_a_full_channel_says_so_and_recovers(void **state)
{
	struct ends *ends = *state;
	uint64_t n = 0;
	int r;

	while ((r = send_ping(ends, n, -1)) == 0)
		n++;
	assert_int_equal(r, -EAGAIN);
	assert_true(n > 100);
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(receive(ends), 0);
		assert_int_equal(WIRE_BODY(&ends->message, struct wire_ping)->token, i);
	}
	assert_int_equal(send_ping(ends, n, -1), 0);
}

static void test_a_closed_peer_is_epipe_after_the_last_record(void **state)
{
	struct ends *ends = *state;

	assert_int_equal(send_ping(ends, 5, -1), 0);
	ends->daemon = close_fd(ends->daemon);
	assert_int_equal(receive(ends), 0);
	assert_int_equal(receive(ends), -EPIPE);
	assert_int_equal(channel_send_raw(ends->peer, ends->buffer, 8, -1), -EPIPE);
}

static void test_an_unencodable_record_is_not_sent(void **state)
{
	struct wire_stop stop = { .reason = 200 };
	struct ends *ends = *state;

	assert_int_equal(
		channel_send(ends->daemon, &wire_provider_channel, WIRE_STOP, &stop, NULL, 0, -1),
		-EINVAL);
	assert_int_equal(receive(ends), -EAGAIN);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_record_arrives_alone),
		TEST(test_a_descriptor_travels_and_is_close_on_exec),
		TEST(test_a_second_descriptor_is_closed),
		TEST(test_a_refused_record_leaves_no_descriptor),
		TEST(test_a_record_of_the_wrong_end_is_refused),
		TEST(test_an_oversized_record_is_refused),
		TEST(test_a_tail_arrives_behind_its_body),
		TEST(test_a_full_channel_says_so_and_recovers),
		TEST(test_a_closed_peer_is_epipe_after_the_last_record),
		TEST(test_an_unencodable_record_is_not_sent),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
