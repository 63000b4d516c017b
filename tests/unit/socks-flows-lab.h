/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The provider socks without its daemon, with proxies on loopback
 *
 * The test is the daemon (sluice_proxy_open() and the like are its own), the proxies and the
 * time. What it waits for comes by itself, so nothing here is a matter of how long it takes.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "providers/socks/flows.h"

#define LAB_FLOW 7U /* id of the first flow */
#define LAB_PORTS_MAX 4U

/* what the daemon was told of the last flow that it was told of */
struct lab_answer {
	unsigned int n, n_seen; /* how many answers of all flows; that the test has waited for */
	uint64_t id;
	int error;
	char reason[256];
	int forwarded; /* the test's; -1: none */
	int closed_fd, closed_error;
	unsigned int n_closed, n_logged;
	char logged[512]; /* the last line */
	unsigned int n_upstreams; /* sockets that were said to be a flow's, of which flow the last one is, */
	uint64_t upstream_of;
	bool is_upstream_late; /* and one was connected before that */
};

struct lab {
	struct flows flows;
	uint64_t now_ms;
	uint64_t next_id;
	int listeners[LAB_PORTS_MAX]; /* -1: nobody listens there any more */
	uint16_t ports[LAB_PORTS_MAX];
	struct upstream upstreams[LAB_PORTS_MAX];
	unsigned int n_ports;
	struct lab_answer answer;
};

extern struct lab lab;

/** lab_begin() - setup of a test */
int lab_begin(void **state);

/** lab_finish() - teardown; descriptors that are left are a failure */
int lab_finish(void **state);

/** lab_proxy() - one more upstream, @form with %u for its port. Return: its number */
unsigned int lab_proxy(const char *form);

/** lab_down() - nobody listens there any more */
void lab_down(unsigned int number);

/** lab_up() - again, at the same port */
void lab_up(unsigned int number);

/** lab_flow() - a program connects to 192.0.2.7 port 443, @host: its name or NULL. Return: id */
uint64_t lab_flow(const char *host);

/** lab_accept() - Return: the connection that the provider made there, blocking */
int lab_accept(unsigned int number);

/** lab_nobody_at() - no connection waits there */
void lab_nobody_at(unsigned int number);

/** lab_turn() - the provider does all that it can now */
void lab_turn(void);

void lab_say(int fd, const void *bytes, size_t n);

/** lab_hear() - exactly these bytes come next */
void lab_hear(int fd, const void *bytes, size_t n);

/** lab_hear_end() - the provider has closed its side; or, for @error, reset it */
void lab_hear_end(int fd, int error);

/** lab_answered() - the next answer is that the proxy is reached. Return: what was forwarded, the
 *  test's; -1: it was opened */
int lab_answered(void);

/** lab_refused() - the next answer is this one */
void lab_refused(int error, const char *reason);

/** lab_pass() - so much time */
void lab_pass(unsigned int ms);
