/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A proxy that attacks
 *
 *	attempt=NAME	what it does with each flow: one of the table below
 *
 * It speaks the protocol by hand (sluice-wire(7)), since libsluice would not say these things. What
 * breaks the protocol is done by its first process alone; those started after it decline
 * everything, as it does itself when it goes on.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"

#define RECORD_BYTES 65536
#define FLOOD 200000
#define LATE_S 6 /* a flow has 5 */

enum { FLOW_TAKE = 48, FLOW_OPENED, FLOW_SOCKET, FLOW_CANCEL, FLOW_ASK_END, FLOW_UPSTREAM = 55 };
enum { OPENED_BYTES = 141, HELLO_PROXY = 2 };

static char attempt[64];
static uint32_t session; /* 1: the first process */
static uint64_t before;	 /* the flow before this one */
static uint64_t late;	 /* a flow that is answered then; 0: none */
static time_t late_s;

static bool say(uint16_t type, uint16_t n_body, const void *head, size_t n_head)
{
	uint8_t bytes[1024] = { 0 };

	memcpy(bytes, &type, 2);
	memcpy(bytes + 2, &n_body, 2);
	memcpy(bytes + 8, head, n_head);
	return send(HOSTILE_CHANNEL, bytes, 8U + n_body, MSG_NOSIGNAL) >= 0;
}

static void take(uint64_t id)
{
	say(FLOW_TAKE, 8, &id, sizeof(id));
}

static void opened(uint64_t id, uint32_t error)
{
	uint8_t head[12];

	memcpy(head, &id, 8);
	memcpy(head + 8, &error, 4);
	say(FLOW_OPENED, OPENED_BYTES, head, sizeof(head));
}

static void ask_end(uint64_t id)
{
	say(FLOW_ASK_END, 8, &id, sizeof(id));
}

static void upstream(uint64_t id, uint64_t cookie)
{
	const uint64_t head[2] = { id, cookie };

	say(FLOW_UPSTREAM, sizeof(head), head, sizeof(head));
}

static void decline(uint64_t id)
{
	say(FLOW_VERDICT, VERDICT_BYTES, &id, sizeof(id));
}

/* ---- attempts ---- */

/* that takes it: the rest comes too late */
static void open_untaken(uint64_t id)
{
	opened(id, 0);
	opened(id, ECONNREFUSED);
	decline(id);
}

static void others_ids(uint64_t id)
{
	for (uint64_t other = id - 5; other < id + 5; other++) {
		if (other == id)
			continue;
		take(other);
		opened(other, 0);
		ask_end(other);
	}
	decline(id);
}

static void extreme_ids(uint64_t id)
{
	const uint64_t ids[] = { 0, 1, UINT64_MAX, UINT64_MAX - 1, 1ULL << 63 };

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		take(ids[i]);
		opened(ids[i], 0);
		ask_end(ids[i]);
	}
	decline(id);
}

static void take_twice(uint64_t id)
{
	take(id);
	take(id);
	opened(id, ECONNREFUSED);
	opened(id, 0);
	take(id);
}

static void open_twice(uint64_t id)
{
	take(id);
	opened(id, 0);
	opened(id, 0);
	opened(id, ECONNREFUSED);
}

/* one that it had, and that is over */
static void open_again(uint64_t id)
{
	take(before);
	opened(before, 0);
	opened(before, EACCES);
	ask_end(before);
	decline(before);
	take(id);
	opened(id, ECONNREFUSED);
	opened(id, 0);
}

static void verdict_after_take(uint64_t id)
{
	take(id);
	decline(id);
	opened(id, ECONNREFUSED);
}

static void strange_errno(uint64_t id)
{
	take(id);
	opened(id, 4095);
}

static void errno_limit(uint64_t id)
{
	take(id);
	opened(id, 4096);
}

static void filter_update(uint64_t id)
{
	say(FLOW_UPDATE, UPDATE_BYTES, &id, sizeof(id));
}

static void own_socket(uint64_t id)
{
	say(FLOW_SOCKET, 8, &id, sizeof(id));
}

static void say_nothing(uint64_t id)
{
	(void)id;
}

/* with every answer to a PING, and in time for none of its flows */
static void answer_late(uint64_t id)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	late = id;
	late_s = now.tv_sec + LATE_S;
}

static void die(uint64_t id)
{
	_exit((int)(id % 2));
}

static void take_flood(uint64_t id)
{
	for (unsigned int i = 0; i < FLOOD; i++)
		take(id + 1 + i);
	decline(id);
}

static void ask_flood(uint64_t id)
{
	take(id);
	opened(id, 0);
	for (unsigned int i = 0; i < FLOOD; i++)
		ask_end(id);
}

/* sockets that are not its own, for flows that are not; and for one that it has not taken */
static void others_upstreams(uint64_t id)
{
	const uint64_t ids[] = { id - 1, id, id + 1, 0, UINT64_MAX, before };

	for (uint64_t cookie = 0; cookie < 200; cookie++)
		upstream(ids[cookie % (sizeof(ids) / sizeof(ids[0]))], cookie);
	upstream(id, UINT64_MAX);
	decline(id);
	upstream(id, 1);
}

static void upstream_flood(uint64_t id)
{
	for (unsigned int i = 0; i < FLOOD; i++)
		upstream(id, i);
	decline(id);
}

/* ---- it leaves, or its session does: what it has taken is the next process's ---- */

static void wait_for_the_end(void)
{
	for (;;)
		pause();
}

static void close_session(uint64_t id)
{
	take(id);
	close(HOSTILE_CHANNEL);
	wait_for_the_end();
}

/* what it says still arrives; what it is told does not */
static void shut_session(uint64_t id)
{
	shutdown(HOSTILE_CHANNEL, SHUT_RD);
	take(id);
	wait_for_the_end();
}

static void say_empty(uint64_t id)
{
	take(id);
	(void)send(HOSTILE_CHANNEL, "", 0, MSG_NOSIGNAL);
	wait_for_the_end();
}

/* before it has the descriptor */
static void open_and_die(uint64_t id)
{
	take(id);
	opened(id, 0);
	_exit(0);
}

static void read_no_more(uint64_t id)
{
	take(id);
	wait_for_the_end();
}

/* errors that connect(2) does not have, or not as its last word */
static void odd_errors(uint64_t id)
{
	static const uint32_t odd[] = {
		EINPROGRESS, EINTR, EAGAIN, EALREADY, EISCONN, EBADF, 1, 512
	};
	static unsigned int n;

	take(id);
	opened(id, odd[n++ % (sizeof(odd) / sizeof(odd[0]))]);
}

static void say_with(uint64_t id, uint16_t type, const int *fds, size_t n_fds)
{
	uint8_t control[CMSG_SPACE(16 * sizeof(int))] = { 0 }, bytes[16] = { 0 };
	struct iovec part = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = CMSG_SPACE(n_fds * sizeof(int)) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
	const uint16_t n_body = sizeof(id);

	memcpy(bytes, &type, 2);
	memcpy(bytes + 2, &n_body, 2);
	memcpy(bytes + 8, &id, sizeof(id));
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	(void)sendmsg(HOSTILE_CHANNEL, &message, MSG_NOSIGNAL);
}

/* with records that have none: the more the better */
static void give_descriptors(uint64_t id)
{
	int fds[16];

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		fds[i] = HOSTILE_CHANNEL;
	for (size_t n = 1; n <= sizeof(fds) / sizeof(fds[0]); n++)
		say_with(id, FLOW_TAKE, fds, n);
	opened(id, ECONNREFUSED);
}

static const struct {
	const char *name;
	bool is_of_first; /* it ends the session */
	void (*make)(uint64_t id);
} attempts[] = {
	{ "open-untaken", false, open_untaken },
	{ "others-ids", false, others_ids },
	{ "extreme-ids", false, extreme_ids },
	{ "take-twice", false, take_twice },
	{ "open-twice", false, open_twice },
	{ "open-again", false, open_again },
	{ "verdict-after-take", false, verdict_after_take },
	{ "strange-errno", false, strange_errno },
	{ "errno-limit", true, errno_limit },
	{ "filter-update", true, filter_update },
	{ "own-socket", true, own_socket },
	{ "holds", true, take },
	{ "silent", true, say_nothing },
	{ "late", false, answer_late },
	{ "dies", false, die },
	{ "take-flood", true, take_flood },
	{ "ask-flood", true, ask_flood },
	{ "others-upstreams", false, others_upstreams },
	{ "upstream-flood", true, upstream_flood },
	{ "closes-session", true, close_session },
	{ "shuts-session", true, shut_session },
	{ "says-nothing", true, say_empty },
	{ "opens-and-dies", true, open_and_die },
	{ "reads-no-more", true, read_no_more },
	{ "odd-errors", false, odd_errors },
	{ "gives-descriptors", false, give_descriptors },
};

/* ---- the session ---- */

static void take_flow(uint64_t id)
{
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		if (!strcmp(attempt, attempts[i].name) &&
		    (!attempts[i].is_of_first || session == 1)) {
			attempts[i].make(id);
			before = id;
			return;
		}
	decline(id);
}

static void answer_the_late(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!late || now.tv_sec < late_s)
		return;
	take(late);
	opened(late, 0);
	late = 0;
}

static void hello(void)
{
	uint8_t head[HELLO_BYTES] = { [0] = 1, [4] = HELLO_PROXY, [5] = 'h' };

	say(HELLO, HELLO_BYTES, head, sizeof(head));
}

/* Return: false at the end */
static bool take_record(const uint8_t *record, ssize_t n)
{
	const uint32_t no_error = 0;
	uint64_t number = 0;
	uint16_t type;

	if (n < 9)
		return false;
	memcpy(&type, record, sizeof(type));
	memcpy(&number, record + 8, n < 16 ? 1 : 8);
	switch (type) {
	case WELCOME:
		memcpy(&session, record + 12, sizeof(session));
		return true;
	case OPTION:
		snprintf(attempt, sizeof(attempt), "%.60s", (const char *)record + 40);
		return true;
	case START:
		if (!strcmp(attempt, "exits"))
			return false;
		return say(READY, READY_BYTES, &no_error, sizeof(no_error));
	case PING:
		answer_the_late();
		return say(PONG, 8, &number, sizeof(number));
	case FLOW_NEW:
		take_flow(number);
		return true;
	}
	return type != STOP;
}

int main(void)
{
	static uint8_t record[RECORD_BYTES];
	ssize_t n;

	fcntl(HOSTILE_CHANNEL, F_SETFL, 0); /* reading waits */
	hello();
	do {
		n = recv(HOSTILE_CHANNEL, record, sizeof(record), 0);
	} while (take_record(record, n));
	return n < 0;
}
