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

enum { FLOW_TAKE = 48, FLOW_OPENED, FLOW_SOCKET, FLOW_CANCEL, FLOW_ASK_END };
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
