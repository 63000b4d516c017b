/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What a hostile provider says, leaves unsaid, and takes
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hostile.h"

#define HUGE_BYTES 65536

static bool update(uint64_t id, uint8_t verdict)
{
	uint8_t head[9];

	memcpy(head, &id, 8);
	head[8] = verdict;
	return hostile_record(FLOW_UPDATE, UPDATE_BYTES, head, sizeof(head));
}

static bool forget(uint8_t again)
{
	return hostile_record(FLOW_FORGET, 1, &again, 1);
}

static bool log_text(const char *text)
{
	char head[LOG_BYTES] = { 3 };

	snprintf(head + 1, sizeof(head) - 1, "%s", text);
	return hostile_record(LOG, LOG_BYTES, head, sizeof(head));
}

/* clang-format off */
/* ---- attempts that break the protocol: it is ended, with a notice ---- */

static void one_byte(uint64_t id) { hostile_send("x", 1); }
static void cut_record(uint64_t id) { hostile_send("\x11\0\x8a\0\0\0\0\0x", 9); }
static void unknown_type(uint64_t id) { hostile_record(999, 8, &id, 8); }
static void wrong_size(uint64_t id) { hostile_record(FLOW_VERDICT, 9, &id, 8); }
static void long_tail(uint64_t id) { hostile_record(FLOW_FORGET, 700, &id, 1); }
static void wrong_direction(uint64_t id) { hostile_record(FLOW_NEW, 200, &id, 8); }
static void closes_for_us(uint64_t id) { hostile_record(FLOW_CLOSED, 24, &id, 8); }
static void stops_us(uint64_t id) { hostile_record(STOP, 1, "\1", 1); }
static void hello_twice(uint64_t id) { hostile_hello(1); }
static void ready_twice(uint64_t id) { hostile_record(READY, READY_BYTES, "\0\0\0\0", 4); }
static void verdict_limit(uint64_t id) { hostile_judge(id, 3, 0); }
static void scope_limit(uint64_t id) { hostile_judge(id, ALLOW, 255); }
static void update_limit(uint64_t id) { update(id, 200); }
static void verdict_flood(uint64_t id) { while (hostile_judge(id + 77, ALLOW, 0)) ; }
static void duplicate_flood(uint64_t id) { while (hostile_judge(id, ALLOW, 0)) ; }
static void update_flood(uint64_t id) { while (update(id, ALLOW)) ; }
static void forget_flood(uint64_t id) { while (forget(1)) ; }
static void log_flood(uint64_t id) { while (log_text("flood")) ; }
static void pong_flood(uint64_t id) { while (hostile_record(PONG, 8, &id, 8)) ; }

static void random_bytes(uint64_t id)
{
	uint8_t bytes[600];

	srand((unsigned int)id);
	do {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)rand();
	} while (hostile_send(bytes, 1 + (size_t)rand() % sizeof(bytes)));
}

static void huge_record(uint64_t id)
{
	static uint8_t huge[HUGE_BYTES];

	hostile_header(huge, FLOW_VERDICT, VERDICT_BYTES);
	hostile_send(huge, HUGE_BYTES);
}

static void unended_string(uint64_t id)
{
	uint8_t bytes[8 + LOG_BYTES];
	size_t n = hostile_header(bytes, LOG, LOG_BYTES);

	memset(bytes + 9, 'A', LOG_BYTES - 1);
	hostile_send(bytes, n);
}

static void reserved_bits(uint64_t id)
{
	uint8_t bytes[9];

	hostile_header(bytes, FLOW_FORGET, 1);
	bytes[7] = 1;
	hostile_send(bytes, sizeof(bytes));
}

/* ---- attempts that hang: it is killed for its silence ---- */

static void zero_length(uint64_t id)
{
	hostile_send("", 0);
	for (;;) /* as if it had ended */
		pause();
}
static void never_reads(uint64_t id) { for (;;) pause(); }
static void closes_channel(uint64_t id) { close(HOSTILE_CHANNEL); for (;;) pause(); }
static void half_closes(uint64_t id) { shutdown(HOSTILE_CHANNEL, SHUT_WR); for (;;) pause(); }
static void spins(uint64_t id) { for (;;) ; }
/* pretends to live without reading a word */
static void forged_pongs(uint64_t id)
{
	for (uint64_t token = 0;; token++) {
		hostile_record(PONG, 8, &token, 8);
		usleep(100000);
	}
}

/* ---- attempts that lie or take too much: it goes on, and nothing comes of it ---- */

/* about a flow that another filter is asked about, or nobody is */
static void sequential_ids(uint64_t id)
{
	for (uint64_t i = 1; i <= 200; i++) {
		hostile_judge(id + i, ALLOW, 1);
		hostile_judge(id - i, ALLOW, 1);
	}
}

static void update_ids(uint64_t id)
{
	for (uint64_t i = 1; i <= 200; i++) {
		update(id + i, ALLOW);
		update(id - i, DROP);
	}
}

static void extreme_ids(uint64_t id)
{
	static const uint64_t ids[] = { 0, 1, UINT64_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1 };

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		hostile_judge(ids[i], ALLOW, 2);
		update(ids[i], ALLOW);
	}
}

/* by now it is the turn of the next filter */
static void verdict_twice(uint64_t id)
{
	hostile_judge(id, ALLOW, 0);
	hostile_judge(id, ALLOW, 0);
	hostile_judge(id, DROP, 0);
}

static void update_allow(uint64_t id) { hostile_judge(id, ALLOW, 0); update(id, ALLOW); }

static void address_scope(uint64_t id) { hostile_judge(id, ALLOW, 1); }
static void name_scope(uint64_t id) { hostile_judge(id, ALLOW, 2); }

static void promise_and_forget(uint64_t id)
{
	hostile_judge(id, ALLOW, 1);
	forget(0);
	hostile_judge(id, ALLOW, 2);
	forget(1);
}

static void terminal_text(uint64_t id)
{
	log_text("\033]0;owned\a\033[2J\nsluiced: forged line\r\x7f\xc2\x9b");
	fprintf(stderr, "\033[31mprinted\033c\nsluiced: forged print\n");
}

static void prints_a_lot(uint64_t id)
{
	for (int i = 0; i < 20000; i++)
		fprintf(stderr, "print %d\n", i);
}

static void *print_for_ever(void *unused)
{
	for (;;)
		fprintf(stderr, "for ever\n");
	return NULL;
}

static void print_thread(uint64_t id)
{
	pthread_t thread;

	pthread_create(&thread, NULL, print_for_ever, NULL);
}

static void leak_descriptors(uint64_t id)
{
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	uint8_t bytes[9];
	struct iovec part = { bytes, hostile_header(bytes, FLOW_FORGET, 1) };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int fds[] = { HOSTILE_CHANNEL, HOSTILE_CHANNEL, open("/dev/zero", O_RDONLY), open("/proc/self", O_RDONLY) };

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	for (int i = 0; i < 2000; i++)
		(void)sendmsg(HOSTILE_CHANNEL, &message, MSG_NOSIGNAL);
	close(fds[2]);
	close(fds[3]);
}

static void say_limit(const char *what, unsigned long n, bool is_stopped)
{
	char text[64];

	snprintf(text, sizeof(text), "%s at %lu", is_stopped ? "refused" : "succeeded", n);
	hostile_say(what, "bomb", text);
}

static void fd_bomb(uint64_t id)
{
	unsigned long n = 0;

	while (n < 100000 && dup(0) >= 0)
		n++;
	say_limit("descriptor", n, n < 2000);
	for (int fd = 4; fd < 2000; fd++)
		close(fd);
}

static void memory_bomb(uint64_t id)
{
	const size_t step = 64U << 20;
	unsigned long n = 0;

	while (n < 1024 && mmap(NULL, step, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED)
		n++;
	say_limit("memory", n * 64, n < 1024);
}

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return NULL;
}

static void thread_bomb(uint64_t id)
{
	pthread_attr_t attributes;
	pthread_t thread;
	unsigned long n = 0;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	while (n < 2000 && pthread_create(&thread, &attributes, wait_for_ever, NULL) == 0)
		n++;
	say_limit("thread", n, n < 2000);
}

static void *spin_thread(void *unused)
{
	for (;;)
		;
	return NULL;
}

static void spin_and_answer(uint64_t id)
{
	pthread_t thread;

	for (int i = 0; i < 4; i++)
		pthread_create(&thread, NULL, spin_thread, NULL);
}

static void slow_reader(uint64_t id) { usleep(300000); }

static void mute(uint64_t id)
{
}

static const struct hostile_attempt attempts[] = {
	{ "one-byte", HOSTILE_BREAKS, one_byte },
	{ "cut-record", HOSTILE_BREAKS, cut_record },
	{ "unknown-type", HOSTILE_BREAKS, unknown_type },
	{ "wrong-size", HOSTILE_BREAKS, wrong_size },
	{ "long-tail", HOSTILE_BREAKS, long_tail },
	{ "wrong-direction", HOSTILE_BREAKS, wrong_direction },
	{ "closes-for-us", HOSTILE_BREAKS, closes_for_us },
	{ "stops-us", HOSTILE_BREAKS, stops_us },
	{ "hello-twice", HOSTILE_BREAKS, hello_twice },
	{ "ready-twice", HOSTILE_BREAKS, ready_twice },
	{ "verdict-limit", HOSTILE_BREAKS, verdict_limit },
	{ "scope-limit", HOSTILE_BREAKS, scope_limit },
	{ "update-limit", HOSTILE_BREAKS, update_limit },
	{ "random-bytes", HOSTILE_BREAKS, random_bytes },
	{ "huge-record", HOSTILE_BREAKS, huge_record },
	{ "unended-string", HOSTILE_BREAKS, unended_string },
	{ "reserved-bits", HOSTILE_BREAKS, reserved_bits },
	{ "verdict-flood", HOSTILE_BREAKS, verdict_flood },
	{ "duplicate-flood", HOSTILE_BREAKS, duplicate_flood },
	{ "update-flood", HOSTILE_BREAKS, update_flood },
	{ "forget-flood", HOSTILE_BREAKS, forget_flood },
	{ "log-flood", HOSTILE_BREAKS, log_flood },
	{ "pong-flood", HOSTILE_BREAKS, pong_flood },
	{ "rule-of-no-set", HOSTILE_BREAKS, hostile_rule_of_no_set },
	{ "commit-of-no-set", HOSTILE_BREAKS, hostile_commit_of_no_set },
	{ "endless-set", HOSTILE_BREAKS, hostile_endless_set },
	{ "begin-flood", HOSTILE_BREAKS, hostile_begin_flood },
	{ "set-flood", HOSTILE_BREAKS, hostile_set_flood },
	{ "large-set", HOSTILE_LIES, hostile_large_set },
	{ "alike-rules", HOSTILE_LIES, hostile_alike_rules },
	{ "half-a-set", HOSTILE_LIES, hostile_half_a_set },
	{ "zero-length", HOSTILE_HANGS, zero_length },
	{ "never-reads", HOSTILE_HANGS, never_reads },
	{ "closes-channel", HOSTILE_HANGS, closes_channel },
	{ "half-closes", HOSTILE_HANGS, half_closes },
	{ "spins", HOSTILE_HANGS, spins },
	{ "forged-pongs", HOSTILE_HANGS, forged_pongs },
	{ "sequential-ids", HOSTILE_LIES, sequential_ids },
	{ "update-ids", HOSTILE_LIES, update_ids },
	{ "extreme-ids", HOSTILE_LIES, extreme_ids },
	{ "verdict-twice", HOSTILE_ANSWERS, verdict_twice },
	{ "update-allow", HOSTILE_ANSWERS, update_allow },
	{ "address-scope", HOSTILE_ANSWERS, address_scope },
	{ "name-scope", HOSTILE_ANSWERS, name_scope },
	{ "promise-and-forget", HOSTILE_ANSWERS, promise_and_forget },
	{ "leak-descriptors", HOSTILE_LIES, leak_descriptors },
	{ "terminal-text", HOSTILE_LIES, terminal_text },
	{ "prints-a-lot", HOSTILE_LIES, prints_a_lot },
	{ "print-thread", HOSTILE_LIES, print_thread },
	{ "slow-reader", HOSTILE_LIES, slow_reader },
	{ "fd-bomb", HOSTILE_LIES, fd_bomb },
	{ "memory-bomb", HOSTILE_LIES, memory_bomb },
	{ "thread-bomb", HOSTILE_LIES, thread_bomb },
	{ "spin-and-answer", HOSTILE_LIES, spin_and_answer },
	{ "mute", HOSTILE_ANSWERS, mute },
	{ "escape", HOSTILE_LIES, NULL },
};

/* clang-format on */

const struct hostile_attempt *hostile_find(const char *name)
{
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		if (!strcmp(attempts[i].name, name))
			return &attempts[i];
	return NULL;
}
