/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced and what the user of a proxy says: which flows may come to it, now and later */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "base/macros.h"
#include "daemon/judge/judge.h"
#include "divert-lab.h"
#include "running-lab.h"
#include "wire/settings.h"

#define PROXY 0U
#define SECOND 1U
#define OTHER_PORT 9

static int set_up(void **state)
{
	*state = divert_lab(0, 2, true);
	return 0;
}

static int set_up_behind_a_filter(void **state)
{
	*state = divert_lab(1, 1, true);
	return 0;
}

static int tear_down(void **state)
{
	lab_free(*state);
	return 0;
}

/* what the command line does. Return: the file, which is the caller's */
static int file_of(const struct wire_settings_head *head, const enum wire_settings_part *parts,
		   const struct wire_rule *rules)
{
	int fd = memfd_create("settings", MFD_CLOEXEC);

	for (unsigned int i = 0; i < head->n; i++)
		assert_int_equal(wire_settings_write(fd, head, i, parts[i], &rules[i]), 0);
	assert_int_equal(wire_settings_commit(fd, head), 0);
	return fd;
}

/* one rule of a port. Return: as file_of() */
static int port(enum wire_settings_part part, uint16_t number)
{
	const struct wire_settings_head head = { 1, 1 };
	const struct wire_rule rule = { .rport = number };

	return file_of(&head, &part, &rule);
}

static void choose(struct lab *lab, int fd)
{
	choosing_take(lab->daemon, PROXY, &fd);
	assert_int_equal(fd, -1);
}

/* a flow to an address more. Return: which proxy is asked first */
static unsigned int asked(struct lab *lab, uint8_t last)
{
	struct lab_packet packet = tcp;
	uint64_t id;

	packet.last = last;
	lab_put(lab, &packet);
	id = lab_take_flow(lab, PROXY);
	if (id) {
		lab_judge(lab, PROXY, id, 1);
		return PROXY;
	}
	id = lab_take_flow(lab, SECOND);
	assert_int_not_equal(id, 0);
	lab_judge(lab, SECOND, id, 1);
	return SECOND;
}

static void test_each_part(void **state)
{
	static const struct {
		enum wire_settings_part part;
		bool is_it;
		unsigned int asked;
	} cases[] = {
		{ WIRE_SETTINGS_APPS, true, PROXY },	  { WIRE_SETTINGS_APPS, false, SECOND },
		{ WIRE_SETTINGS_INCLUDED, true, PROXY },  { WIRE_SETTINGS_INCLUDED, false, SECOND },
		{ WIRE_SETTINGS_EXCLUDED, true, SECOND }, { WIRE_SETTINGS_EXCLUDED, false, PROXY },
	};
	struct lab *lab = *state;

	assert_int_equal(asked(lab, 10), PROXY); /* who says nothing wants all */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		choose(lab, port(cases[i].part, cases[i].is_it ? tcp.rport : OTHER_PORT));
		assert_int_equal(asked(lab, (uint8_t)(11 + i)), cases[i].asked);
	}
}

/* excluded ones are looked at first, in whatever order they came */
static void test_excluded_and_included(void **state)
{
	const enum wire_settings_part parts[] = { WIRE_SETTINGS_INCLUDED, WIRE_SETTINGS_EXCLUDED };
	const struct wire_rule rules[] = { { .rport = tcp.rport }, { .rport = tcp.rport } };
	const struct wire_settings_head both = { 1, 2 };

	choose(*state, file_of(&both, parts, rules));
	assert_int_equal(asked(*state, 10), SECOND);
}

/* the other half of the same file, and then its head */
static void test_the_file_changes(void **state)
{
	const struct wire_settings_head next = { 2, 0 };
	struct lab *lab = *state;
	int fd = port(WIRE_SETTINGS_EXCLUDED, tcp.rport), kept = dup(fd), none = -1;

	choose(lab, fd);
	assert_int_equal(asked(lab, 10), SECOND);
	assert_int_equal(wire_settings_commit(kept, &next), 0);
	assert_int_equal(asked(lab, 11), SECOND); /* nobody has said so yet */
	choosing_take(lab->daemon, PROXY, &none);
	assert_int_equal(asked(lab, 12), PROXY);
	close(kept);
}

/* ---- they change while they are read ---- */

static struct {
	int fd; /* -1: nothing is written */
	unsigned int n_changes;
} writer = { .fd = -1 };

int __real_wire_settings_read(int fd, const struct wire_settings_head *head, unsigned int number,
			      enum wire_settings_part *ret_part, struct wire_rule *ret_rule);
int __wrap_wire_settings_read(int fd, const struct wire_settings_head *head, unsigned int number,
			      enum wire_settings_part *ret_part, struct wire_rule *ret_rule);

/* one rule more each time; the second ones are written where those of before the first were */
static void write_next(void)
{
	const struct wire_settings_head head = { 2 + writer.n_changes, 1 + writer.n_changes };
	const struct wire_rule rule = { .rport = tcp.rport };

	for (unsigned int i = 0; i < head.n; i++)
		assert_int_equal(
			wire_settings_write(writer.fd, &head, i,
					    i ? WIRE_SETTINGS_EXCLUDED : WIRE_SETTINGS_INCLUDED,
					    &rule),
			0);
	assert_int_equal(wire_settings_commit(writer.fd, &head), 0);
	writer.n_changes++;
}

int __wrap_wire_settings_read(int fd, const struct wire_settings_head *head, unsigned int number,
			      enum wire_settings_part *ret_part, struct wire_rule *ret_rule)
{
	while (writer.fd >= 0 && writer.n_changes < 2)
		write_next();
	return __real_wire_settings_read(fd, head, number, ret_part, ret_rule);
}

/* of the last ones the first rule alone would include what the second excludes */
static void test_a_change_while_they_are_read(void **state)
{
	int fd = port(WIRE_SETTINGS_INCLUDED, OTHER_PORT);

	writer.fd = dup(fd);
	choose(*state, fd);
	writer.fd = close_fd(writer.fd);
	assert_int_equal(writer.n_changes, 2);
	assert_int_equal(asked(*state, 10), SECOND);
}

/* what cannot be read changes nothing */
static void test_files_that_are_wrong(void **state)
{
	const struct wire_rule nonsense = { .rport = 9, .rport_last = 1 };
	const enum wire_settings_part part = WIRE_SETTINGS_INCLUDED;
	const struct wire_settings_head one = { 1, 1 }, many = { 1, WIRE_SETTINGS_MAX + 1 },
					none = { 0, 0 };
	struct lab *lab = *state;
	int fds[] = { memfd_create("empty", MFD_CLOEXEC),
		      port(WIRE_SETTINGS_INCLUDED, OTHER_PORT),
		      port(WIRE_SETTINGS_INCLUDED, OTHER_PORT),
		      port(WIRE_SETTINGS_INCLUDED, OTHER_PORT),
		      port((enum wire_settings_part)_WIRE_SETTINGS_N, OTHER_PORT),
		      file_of(&one, &part, &nonsense) };

	choose(lab, port(WIRE_SETTINGS_EXCLUDED, tcp.rport));
	assert_int_equal(ftruncate(fds[1], 20), 0);
	assert_int_equal(wire_settings_commit(fds[2], &many), 0);
	assert_int_equal(wire_settings_commit(fds[3], &none), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		choose(lab, fds[i]);
		assert_int_equal(asked(lab, (uint8_t)(10 + i)), SECOND);
	}
}

/* a filter that fails open is late: a proxy that fails closed counts where the flow may be its own */
static void test_a_late_filter(void **state)
{
	static const struct {
		struct lab_packet packet;
		uint16_t excluded;
		enum fate fate;
	} cases[] = {
		{ { .proto = IPPROTO_TCP, .lport = 40000, .rport = 443, .last = 1 },
		  OTHER_PORT,
		  FATE_REJECTED },
		{ { .proto = IPPROTO_TCP, .lport = 40000, .rport = 443, .last = 2 },
		  443,
		  FATE_ALLOWED },
		{ { .proto = IPPROTO_ICMP, .lport = 40000, .last = 3 }, OTHER_PORT, FATE_ALLOWED },
	};
	struct lab *lab = *state;
	unsigned int no;

	lab->daemon->filters[0].is_closed = false;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = port(WIRE_SETTINGS_EXCLUDED, cases[i].excluded);

		choosing_take(lab->daemon, 1, &fd);
		no = lab_put(lab, &cases[i].packet);
		assert_int_not_equal(lab_take_flow(lab, 0), 0);
		lab_live(lab, FLOW_DEADLINE_US + TICK_US);
		assert_int_equal(lab_fate(lab, no), cases[i].fate);
	}
}

/* whatever allocation fails: those of before stay, and none of it leaks */
static void test_no_memory(void **state)
{
	struct lab *lab = *state;
	bool has_failed = true;

	choose(lab, port(WIRE_SETTINGS_EXCLUDED, tcp.rport));
	for (unsigned int nth = 1; has_failed; nth++) {
		int fd = port(WIRE_SETTINGS_INCLUDED, tcp.rport);

		assert_in_range(nth, 1, 100);
		alloc_fail(nth, false);
		alloc_enter();
		choosing_take(lab->daemon, PROXY, &fd);
		alloc_leave();
		has_failed = alloc_has_failed();
		alloc_forgive();
		assert_int_equal(asked(lab, (uint8_t)(10 + nth)), has_failed ? SECOND : PROXY);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_part, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_excluded_and_included, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_file_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_change_while_they_are_read, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_files_that_are_wrong, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_late_filter, set_up_behind_a_filter,
						tear_down),
		cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("daemon-chosen", tests, NULL, NULL);
}
