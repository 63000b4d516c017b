/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A provider that attacks
 *
 *	attempt=NAME          what it does, once: one of the table below, or `escape`
 *	flows=, list=, state=  for `escape`: the instance's flow records, the list of
 *	                      another filter, the folder of the instance
 *
 * It speaks the protocol by hand (sluice-wire(7)), since libsluice would not
 * say these things. A breaking attempt is made by its first process; those
 * started after it behave, so that one instance can have many attempts.
 * When it behaves it allows everything.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostile.h"

#define RECORD_BYTES 65536

static struct {
	char attempt[64], flows[256], list[256], state[256];
	unsigned int session; /* 1: the first process */
	bool is_done;
	uint8_t record[RECORD_BYTES];
} me;

/* ---- speaking ---- */

bool hostile_send(const void *bytes, size_t n)
{
	return send(HOSTILE_CHANNEL, bytes, n, MSG_NOSIGNAL) >= 0;
}

size_t hostile_header(uint8_t *to, uint16_t type, uint16_t n_body)
{
	memset(to, 0, 8 + (size_t)n_body);
	memcpy(to, &type, 2);
	memcpy(to + 2, &n_body, 2);
	return 8 + (size_t)n_body;
}

bool hostile_record(uint16_t type, uint16_t n_body, const void *head, size_t n_head)
{
	uint8_t bytes[2048];
	size_t n = hostile_header(bytes, type, n_body);

	memcpy(bytes + 8, head, n_head);
	return hostile_send(bytes, n);
}

bool hostile_judge(uint64_t id, uint8_t verdict, uint8_t scope)
{
	uint8_t head[10];

	memcpy(head, &id, 8);
	head[8] = verdict;
	head[9] = scope;
	return hostile_record(FLOW_VERDICT, VERDICT_BYTES, head, sizeof(head));
}

void hostile_hello(uint32_t version)
{
	uint8_t head[HELLO_BYTES] = { [4] = 1, [5] = 'h' };

	memcpy(head, &version, 4);
	hostile_record(HELLO, HELLO_BYTES, head, sizeof(head));
}

void hostile_say(const char *what, const char *whom, const char *outcome)
{
	fprintf(stderr, "attempt %s %s: %s\n", what, whom, outcome);
}

/* ---- the session ---- */

static void take_option(const char *key, const char *value)
{
	static const struct {
		const char *key;
		char *to;
		size_t n;
	} options[] = {
		{ "attempt", me.attempt, sizeof(me.attempt) },
		{ "flows", me.flows, sizeof(me.flows) },
		{ "list", me.list, sizeof(me.list) },
		{ "state", me.state, sizeof(me.state) },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (!strcmp(key, options[i].key))
			snprintf(options[i].to, options[i].n, "%s", value);
}

static void ready(uint32_t error)
{
	hostile_record(READY, READY_BYTES, &error, sizeof(error));
}

static void take_flow(uint64_t id)
{
	const struct hostile_attempt *attempt = hostile_find(me.attempt);
	bool is_first = !me.is_done;

	me.is_done = true;
	if (attempt->kind == HOSTILE_ANSWERS) {
		attempt->make(id);
		return;
	}
	if (is_first && !attempt->make)
		hostile_escape(me.flows, me.list, me.state);
	else if (is_first && (attempt->kind == HOSTILE_LIES || me.session == 1))
		attempt->make(id);
	hostile_judge(id, ALLOW, 0);
}

/* Return: false at the end */
static bool take_record(ssize_t n)
{
	uint16_t type;
	uint64_t number = 0;

	if (n < 9)
		return false;
	memcpy(&type, me.record, sizeof(type));
	memcpy(&number, me.record + 8, n < 16 ? 1 : 8);
	switch (type) {
	case WELCOME:
		memcpy(&me.session, me.record + 12, sizeof(me.session));
		return true;
	case OPTION:
		take_option((const char *)me.record + 8, (const char *)me.record + 40);
		return true;
	case START:
		ready(hostile_find(me.attempt) ? 0 : EINVAL);
		return true;
	case PING:
		return hostile_record(PONG, 8, &number, sizeof(number));
	case FLOW_NEW:
		take_flow(number);
		return true;
	}
	return type != STOP;
}

int main(void)
{
	ssize_t n;

	fcntl(HOSTILE_CHANNEL, F_SETFL, 0); /* reading waits */
	hostile_hello(1);
	do {
		n = recv(HOSTILE_CHANNEL, me.record, sizeof(me.record), 0);
	} while (take_record(n));
	return n < 0;
}
