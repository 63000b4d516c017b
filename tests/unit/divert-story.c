/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "divert-story.h"

#define OPENED 443U
#define WAITING 80U
#define DECLINED 81U
#define REFUSED 82U

static const struct lab_packet packets[] = {
	{ .proto = IPPROTO_TCP, .lport = 40000, .rport = OPENED, .last = 9, .uid = 1 },
	{ .proto = IPPROTO_TCP, .lport = 40001, .rport = WAITING, .last = 9, .uid = 2 },
	{ .proto = IPPROTO_TCP, .lport = 40002, .rport = DECLINED, .last = 9, .uid = 3 },
	{ .proto = IPPROTO_TCP, .lport = 40003, .rport = REFUSED, .last = 9, .uid = 4 },
};

struct lab *divert_story_lab(void)
{
	struct lab_config config = { .n_filters = 1, .is_closed = { true }, .is_proxy = { true } };

	return lab_new(&config);
}

static void judge(struct divert_story *story, uint64_t id, uint16_t dport)
{
	struct wire_flow_verdict declined = { .id = id, .reason = "declined" };
	struct wire_flow_opened opened = { .id = id, .error = dport == REFUSED ? EHOSTUNREACH : 0 };

	if (dport != OPENED && dport != WAITING && dport != REFUSED) {
		(void)story->say(story->lab, WIRE_FLOW_VERDICT, &declined, NULL, 0);
		return;
	}
	story->n_waiting += dport != REFUSED;
	(void)story->say(story->lab, WIRE_FLOW_TAKE, &(struct wire_flow_take){ .id = id }, NULL, 0);
	if (dport == WAITING)
		return;
	story->n_opened += dport == OPENED;
	(void)story->say(story->lab, WIRE_FLOW_OPENED, &opened, NULL, 0);
}

static void hear(struct divert_story *story, uint16_t type)
{
	const struct wire_flow_new *asked = WIRE_BODY(&story->lab->message, struct wire_flow_new);

	switch (type) {
	case WIRE_FLOW_NEW:
		judge(story, asked->id, asked->dport);
		break;
	case WIRE_FLOW_SOCKET:
		assert_true(story->lab->passed >= 0);
		story->n_sockets++;
		story->n_waiting--;
		break;
	case WIRE_FLOW_CANCEL:
		story->n_cancels++;
		story->n_waiting--;
		break;
	case WIRE_FLOW_END:
		story->n_ends++;
		break;
	default:
		break;
	}
}

static void answer(struct divert_story *story)
{
	uint16_t type;

	if (story->pid != story->lab->filters[0].pid)
		story->n_waiting = 0;
	story->pid = story->lab->filters[0].pid;
	while ((type = divert_next(story->lab, 0)))
		hear(story, type);
}

static void pass(struct divert_story *story, uint64_t us)
{
	lab_live(story->lab, us);
	answer(story);
}

void divert_story_tell(struct divert_story *story)
{
	struct lab *lab = story->lab;
	_cleanup_close_ int program = -1;

	story->pid = lab->filters[0].pid;
	for (unsigned int i = 0; i < ARRAY_SIZE(packets); i++) {
		story->no[i] = lab_put(lab, &packets[i]);
		answer(story);
	}
	if (lab_fate(lab, story->no[0]) == FATE_DIVERTED)
		program = divert_connect(lab, &packets[0]);
	pass(story, TICK_US);
	pass(story, TICK_US); /* who could not be heard is heard now */
	divert_leave(lab, &packets[0]);
	pass(story, TICK_US);
}

void divert_story_check(struct divert_story *story)
{
	struct lab *lab = story->lab;

	for (unsigned int i = 0; i < ARRAY_SIZE(packets); i++)
		lab_end_socket(lab, &packets[i]);
	pass(story, TICK_US);
	pass(story, FLOW_DEADLINE_US + TICK_US);
	for (unsigned int i = 0; i < fake_n_packets(lab->kernel); i++)
		assert_int_not_equal(lab_fate(lab, i), FATE_HELD);
	assert_true(lab_fate(lab, story->no[0]) != FATE_ALLOWED);
	assert_true(lab_fate(lab, story->no[1]) != FATE_ALLOWED);
	assert_true(lab_fate(lab, story->no[2]) != FATE_DIVERTED);
	assert_true(lab_fate(lab, story->no[3]) != FATE_ALLOWED &&
		    lab_fate(lab, story->no[3]) != FATE_DIVERTED);
	assert_int_equal(flow_table_n_held(lab->daemon->flows), 0);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	assert_int_equal(story->n_waiting, 0);
}
