/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HOSTILE_CHANNEL 3

enum hostile_kind {
	HOSTILE_BREAKS,	 /* the protocol: its process is ended. The one after it behaves */
	HOSTILE_HANGS,	 /* the same, after a while */
	HOSTILE_LIES,	 /* goes on, and allows the flow */
	HOSTILE_ANSWERS, /* says the verdict itself, for each flow */
};

struct hostile_attempt {
	const char *name;
	enum hostile_kind kind;
	void (*make)(uint64_t id); /* NULL: hostile_escape() */
};

/** hostile_find() - by its name; NULL: none */
const struct hostile_attempt *hostile_find(const char *name);
/** hostile_escape() - tries everything that a provider must not be able to do, says what succeeded */
void hostile_escape(const char *flows, const char *list, const char *state);
/** hostile_say() - a line on stderr */
void hostile_say(const char *what, const char *whom, const char *outcome);

/* hostile.c: records, written by hand */
enum { HELLO = 1, WELCOME, OPTION, START, READY, PING, PONG, STOP, STOPPED, LOG };
enum { FLOW_NEW = 16, FLOW_VERDICT, FLOW_CLOSED, FLOW_FORGET, FLOW_UPDATE };
enum { RULES_BEGIN = 21, RULE, RULES_COMMIT };
enum { RULE_BYTES = 1221, RULE_LOCAL_PORT = 15, RULE_REMOTE = 19 }; /* of the body */
enum {
	VERDICT_BYTES = 138,
	UPDATE_BYTES = 137,
	LOG_BYTES = 513,
	HELLO_BYTES = 37,
	READY_BYTES = 268
};
enum { ALLOW, DROP };

/* hostile-rules.c: attempts, see the table in hostile-says.c */
void hostile_rule_of_no_set(uint64_t id);
void hostile_commit_of_no_set(uint64_t id);
void hostile_endless_set(uint64_t id);
void hostile_begin_flood(uint64_t id);
void hostile_set_flood(uint64_t id);
void hostile_large_set(uint64_t id);
void hostile_alike_rules(uint64_t id);
void hostile_half_a_set(uint64_t id);

bool hostile_send(const void *bytes, size_t n);
/** hostile_header() - and a body of zeros. Return: bytes of both */
size_t hostile_header(uint8_t *to, uint16_t type, uint16_t n_body);
/** hostile_record() - @n_head bytes of the body, then zeros. Return: false: nobody is there */
bool hostile_record(uint16_t type, uint16_t n_body, const void *head, size_t n_head);
bool hostile_judge(uint64_t id, uint8_t verdict, uint8_t scope);
void hostile_hello(uint32_t version);
