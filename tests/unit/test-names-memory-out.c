/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluice-names: every allocation fails once
 *
 * Its main() runs in a process of its own for each telling, and the test is sluiced: it has
 * answers read, a datagram, a stream in two pieces, and what is none. In the nth telling
 * the nth allocation fails, until a telling has fewer; then again with all behind the nth
 * failing as well. It says what it always says, or ends before it reads anything, with the reason.
 * All that it allocates is while it gives up its rights: what is hostile is read without.
 */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "alloc.h"
#include "base/macros.h"
#include "base/sandbox.h"
#include "dns-packet.h"
#include "wire/channel.h"
#include "wire/names-records.h"

#define TELLINGS_MAX 20U
#define WITHIN_MS 30000 /* what takes longer hangs */
#define STREAM 7U

#define MORE 1U	     /* status of DONE */
#define MALFORMED 3U /* the same */

int names_main(void); /* main() of src/names, by that name */

static struct shared {
	unsigned int n_start;  /* allocations until its rights were given up */
	unsigned int n_blocks; /* that are left at the end */
} * shared;

static struct alloc_counts *counts;

int __real_sandbox_enter(enum sandbox_profile profile);
int __wrap_sandbox_enter(enum sandbox_profile profile);
int __wrap_sandbox_enter(enum sandbox_profile profile)
{
	int r = __real_sandbox_enter(profile);

	shared->n_start = alloc_count();
	return r;
}

/* Return: is it still there? */
static bool next(int sock, struct wire_message *message)
{
	static uint8_t buffer[WIRE_RECORD_MAX];
	struct pollfd in = { .fd = sock, .events = POLLIN };
	int fd = -1;

	assert_int_equal(poll(&in, 1, WITHIN_MS), 1);
	return channel_recv(sock, &wire_names_channel, 1, buffer, message, NULL, &fd) == 0;
}

static bool look(int sock, const struct wire_look *look, const void *bytes, size_t n, bool is_named,
		 unsigned int status)
{
	struct wire_message message;
	const struct wire_name *name;
	const struct wire_done *done;

	if (channel_send(sock, &wire_names_channel, WIRE_LOOK, look, bytes, n, -1) < 0)
		return false;
	if (is_named) {
		if (!next(sock, &message))
			return false;
		assert_int_equal(message.record->type, WIRE_NAME);
		name = WIRE_BODY(&message, struct wire_name);
		assert_int_equal(name->token, look->token);
		assert_string_equal(name->name, "a.example");
	}
	if (!next(sock, &message))
		return false;
	assert_int_equal(message.record->type, WIRE_DONE);
	done = WIRE_BODY(&message, struct wire_done);
	assert_int_equal(done->token, look->token);
	assert_int_equal(done->status, status);
	return true;
}

/* Return: was all of it answered? */
static bool tell_answers(int sock)
{
	struct dns_packet *packet = dns_begin(1, "a.example", A);
	struct wire_look piece = { .token = 2, .stream = STREAM, .seq = 100, .kind = LOOK_DNS };
	uint8_t bytes[512];
	size_t n;
	bool is_answered;

	dns_put_a(packet, "@12", 300, 1);
	n = packet->n;
	bytes[0] = (uint8_t)(n >> 8);
	bytes[1] = (uint8_t)n;
	memcpy(bytes + 2, packet->bytes, n);
	free(packet);
	is_answered = look(sock, &(struct wire_look){ .token = 1, .kind = LOOK_DNS }, bytes + 2, n,
			   true, 0) &&
		      look(sock, &piece, bytes, 9, false, MORE);
	piece.seq += 9;
	piece.token++;
	is_answered = is_answered && look(sock, &piece, bytes + 9, n - 7, true, 0);
	if (is_answered)
		assert_int_equal(channel_send(sock, &wire_names_channel, WIRE_FORGET,
					      &(struct wire_forget){ .stream = STREAM }, NULL, 0,
					      -1),
				 0);
	return is_answered && look(sock, &(struct wire_look){ .token = 4, .kind = LOOK_DNS },
				   bytes + 2, n - 1, false, MALFORMED);
}

/* the first bytes of connections, by each reader, and of a datagram. Return: were all answered? */
static bool tell_bytes(int sock)
{
	static const struct {
		uint8_t kind, answer;
		const char *bytes;
	} looks[] = { { LOOK_CONNECTION, 0, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n" },
		      { LOOK_CONNECTION, 2, "\x16\x03\x01\x02" },
		      { LOOK_CONNECTION, 2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
		      { LOOK_CONNECTION, 1, "SSH-2.0-x\r\n" },
		      { LOOK_DATAGRAM, 1, "hello" } };
	struct wire_message message;

	for (uint64_t i = 0; i < ARRAY_SIZE(looks); i++) {
		const struct wire_look look = { .token = 10 + i, .kind = looks[i].kind };
		const struct wire_host *host;

		if (channel_send(sock, &wire_names_channel, WIRE_LOOK, &look, looks[i].bytes,
				 strlen(looks[i].bytes), -1) < 0 ||
		    !next(sock, &message))
			return false;
		assert_int_equal(message.record->type, WIRE_HOST);
		host = WIRE_BODY(&message, struct wire_host);
		assert_int_equal(host->token, look.token);
		assert_int_equal(host->answer, looks[i].answer);
		assert_string_equal(host->name, looks[i].answer ? "" : "a.example");
	}
	return true;
}

static bool tell(unsigned int nth, bool is_always, void *data)
{
	_cleanup_close_ int sock = -1, theirs = -1, err = memfd_create("err", MFD_CLOEXEC);
	char text[1024] = "";
	bool is_answered;
	int status;
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	assert_int_equal(channel_pair(&sock, &theirs), 0);
	alloc_fail(nth, is_always);
	pid = fork();
	if (pid == 0) {
		sock = close_fd(sock);
		alloc_be(names_main, theirs, err, &shared->n_blocks);
	}
	theirs = close_fd(theirs);
	is_answered = tell_answers(sock) && tell_bytes(sock);
	sock = close_fd(sock);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)!pread(err, text, sizeof(text) - 1, 0);
	if (status != W_EXITCODE(!is_answered, 0))
		fail_msg("allocation %u: status %#x: %s", nth, status, text);
	assert_true(is_answered || strstr(text, strerror(ENOMEM)));
	assert_true(is_answered || counts->has_failed);
	assert_int_equal(counts->n, shared->n_start);
	assert_int_equal(shared->n_blocks, 0);
	return counts->has_failed;
}

static void test_one_fails(void **state)
{
	alloc_tell_each(tell, NULL, false, 1, 0, TELLINGS_MAX);
}

static void test_all_fail(void **state)
{
	alloc_tell_each(tell, NULL, true, 1, 0, TELLINGS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_fails),
		cmocka_unit_test(test_all_fail),
	};

	counts = alloc_share(NULL);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (!counts || shared == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests_name("names-memory-out", tests, NULL, NULL);
}
