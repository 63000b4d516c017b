/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Remembering
 *
 * Joins verdict memory (flow/memory.h) with the filters, the names and the
 * kernel. What follows from the answers of all filters, and allows, is put
 * into sl_memory: the next flow of that kind is allowed in the kernel, which
 * tells us with an event (struct sl_remembered). What is refused comes to the
 * queue all the same, so that the application meets the same error, and is
 * answered here without asking.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/daemon.h"

#define US_MAX_AS_NS (UINT64_MAX / 1000)

static void renew(struct daemon *daemon)
{
	int r = plane_renew(daemon->plane, memory_generation(daemon->memory));

	if (r < 0 && !daemon->wants_renew)
		log_error("cannot tell the kernel to forget: %s; trying again", strerror(-r));
	daemon->wants_renew = r < 0;
}

static void on_renew(uint32_t generation, void *data)
{
	renew(data);
}

static void on_withdraw(const struct sl_memory_key *key, void *data)
{
	struct daemon *daemon = data;
	int r = plane_forget_memory(daemon->plane, key);

	if (r < 0 && r != -ENOENT) /* then nothing of it may stay */
		memory_renew(daemon->memory);
}

void remember_names_changed(const struct sl_app *app, const uint8_t address[16], void *data)
{
	struct daemon *daemon = data;

	memory_names_changed(daemon->memory, app, address);
}

int remember_open(struct daemon *daemon)
{
	static const struct memory_ops ops = { on_withdraw, on_renew, ruling_conclude };
	const struct memory_limits limits = { MEMORY_ANSWERS_MAX, MEMORY_CONCLUSIONS_MAX,
					      daemon->seed };
	uint32_t generation = 0;
	int r = plane_generation(daemon->plane, &generation);

	if (r == 0) /* a predecessor's answers are not ours to give */
		r = memory_new(&limits, generation + 1, &ops, daemon, &daemon->memory);
	if (r < 0)
		return r;
	renew(daemon);
	return 0;
}

void remember_tick(struct daemon *daemon)
{
	if (daemon->wants_renew)
		renew(daemon);
}

void remember_forget(struct daemon *daemon, unsigned int filter)
{
	memory_forget(daemon->memory, filter);
}

/* the name that is told of the flow comes first: of several answers that agree, the first one's
 * reason is told. One that does not stand yet would be asked for, and is one more to agree */
static void put_host_first(const struct flow *flow, struct names_name names[NAMES_PER_ADDRESS_MAX],
			   size_t *n)
{
	struct names_name host = { flow->host, MEMORY_NEVER };
	size_t i = 0;

	while (i < MIN(*n, NAMES_PER_ADDRESS_MAX) && strcmp(names[i].name, flow->host) != 0)
		i++;
	if (i < MIN(*n, NAMES_PER_ADDRESS_MAX))
		host = names[i];
	else if (flow->is_hypothetical && *n < NAMES_PER_ADDRESS_MAX)
		(*n)++;
	else
		return;
	memmove(&names[1], &names[0], i * sizeof(names[0]));
	names[0] = host;
}

/* an address of one link, or a group there: on another link it is another machine (RFC 4291) */
static bool is_of_link(const uint8_t address[16])
{
	return (address[0] == 0xfe && (address[1] & 0xc0) == 0x80) ||
	       (address[0] == 0xff && (address[1] & 0x0f) <= 2);
}

/* false: no filter has, or may have, said anything that covers it */
static bool put_question(struct daemon *daemon, const struct flow *flow,
			 struct names_name names[NAMES_PER_ADDRESS_MAX],
			 struct memory_question *ret_question)
{
	/* on loopback, and on one link, each flow is judged by itself: an entry of the kernel's
	 * says no interface. Nor does it say on whose behalf a proxy's is */
	if (flow->side->through || flow->direction != SL_DIR_OUT || flow->key.lo ||
	    is_of_link(flow->key.raddr) || !flow->side->identity ||
	    !flow->side->identity->who.start_ns)
		return false;
	*ret_question = (struct memory_question){ .names = names };
	if (flow->side->identity->has_path)
		ret_question->exe = identity_exe(flow->side->identity);
	ret_question->to.app = sl_app_of(&flow->side->identity->who, flow->side->netns);
	memcpy(ret_question->to.raddr, flow->key.raddr, sizeof(ret_question->to.raddr));
	ret_question->to.rport = flow->key.rport;
	ret_question->to.proto = flow->key.proto;
	ret_question->n_names = names_all(daemon->names, &ret_question->to.app, flow->key.raddr,
					  daemon_now_us(), names, NAMES_PER_ADDRESS_MAX);
	if (flow->host[0])
		put_host_first(flow, names, &ret_question->n_names);
	return true;
}

/* what its first bytes say is its one name; to the kernel, which does not read them, an address
 * has the names that the program knows */
static void take_read_host(const struct flow *flow, struct names_name *name,
			   struct memory_question *question)
{
	if (flow->host_source < FLOW_HOST_TLS)
		return;
	*name = (struct names_name){ flow->host, MEMORY_NEVER };
	question->n_names = 1;
}

bool remember_find(struct daemon *daemon, const struct flow *flow, unsigned int filter,
		   struct memory_answer *ret_answer)
{
	struct names_name names[NAMES_PER_ADDRESS_MAX];
	struct memory_question question;

	if (!put_question(daemon, flow, names, &question))
		return false;
	take_read_host(flow, &names[0], &question);
	return memory_find(daemon->memory, filter, &question, ret_answer) == 0;
}

bool remember_entry(struct daemon *daemon, const struct flow *flow, struct sl_memory_key *ret_key,
		    struct sl_memory *ret_entry)
{
	struct names_name names[NAMES_PER_ADDRESS_MAX];
	struct memory_question question;

	if (!put_question(daemon, flow, names, &question) ||
	    plane_get_memory(daemon->plane, &question.to, ret_entry) < 0)
		return false;
	*ret_key = question.to;
	return ret_entry->generation == memory_generation(daemon->memory) &&
	       ret_entry->expiry_ns / 1000 > daemon_now_us();
}

void remember_answer(struct daemon *daemon, struct flow *flow, unsigned int filter,
		     enum memory_scope scope, enum sl_verdict verdict, const char *reason)
{
	struct names_name names[NAMES_PER_ADDRESS_MAX];
	struct memory_question question;

	/* what has no name after it was read is no word on what has not been read */
	if (scope == MEMORY_FLOW || (flow->host_reading && !flow->host[0]) ||
	    !put_question(daemon, flow, names, &question))
		return;
	memory_learn(daemon->memory, filter, &question, flow->host, scope, verdict, reason);
}

void remember_decided(struct daemon *daemon, const struct flow *flow)
{
	struct names_name names[NAMES_PER_ADDRESS_MAX];
	struct sl_memory entry = { .generation = memory_generation(daemon->memory) };
	struct memory_question question;
	struct memory_answer answer;

	if (flow->verdict != SL_ALLOW ||
	    (memory_count_answers(daemon->memory) == 0 && !ruling_is_any(daemon)) ||
	    !put_question(daemon, flow, names, &question) ||
	    memory_conclude(daemon->memory, daemon->n_filters, &question, &answer))
		return;
	if (answer.verdict != SL_ALLOW)
		return;
	entry.expiry_ns = MIN(answer.expiry_us, US_MAX_AS_NS) * 1000;
	(void)plane_set_memory(daemon->plane, &question.to, &entry); /* else it is asked again */
}

/* each filter's word is a rule's or remembered; the last one's is shown */
static void describe(struct daemon *daemon, struct flow *flow)
{
	struct memory_answer answer;
	bool is_ruled = false;

	flow->provider = (int8_t)(daemon->n_filters - 1);
	flow->is_remembered = true;
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		is_ruled = ruling_find(daemon, flow, i, &answer) == 0;
		if (is_ruled)
			flow_set_step(flow, i, FLOW_RULED, 0);
	}
	if (is_ruled || (flow->provider >= 0 &&
			 remember_find(daemon, flow, (unsigned int)flow->provider, &answer)))
		texts_say(daemon->texts, &flow->reason, answer.reason);
	else
		texts_say(daemon->texts, &flow->reason, "allowed before");
}

void remember_event(struct daemon *daemon, const struct sl_remembered *event)
{
	struct flow *flow = judge_open(daemon, &event->tuple, &event->held, event->ifindex);

	if (!flow)
		return;
	describe(daemon, flow);
	judge_take_over(daemon, flow);
}
