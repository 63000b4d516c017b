/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "flow/asked.h"

struct packet {
	uint64_t handle;
	uint16_t crowd;
	uint16_t filters; /* whose verdict is not there; 0: it is decided, or is delayed */
};

struct waiting {
	struct packet packet;
	uint64_t since_us;
};

struct delayed {
	struct packet packet;
	uint64_t id, until_us;
};

/* how many of each crowd */
struct crowds {
	uint16_t n, of[SL_CROWDS];
};

struct asked {
	asked_fn fn;
	void *data;
	uint16_t closed;
	uint64_t first, next; /* numbers in the ring */
	struct waiting ring[ASKED_MAX];
	struct delayed delayed[ASKED_DELAYED_MAX];
	struct crowds all, put_off; /* that wait, in the ring or beside it; beside it */
	struct {
		uint64_t told,
			answered; /* the largest number that it was told of, or has answered */
		uint64_t late;	  /* until it has answered this one; 0: it is not late */
		uint64_t trial;	  /* asked of it while it was late; 0: none was */
	} filters[ASKED_FILTERS_MAX];
	uint16_t may_try; /* a bit for each that is late, and gets the next packet */
};

int asked_new(asked_fn fn, void *data, struct asked **ret_asked)
{
	struct asked *asked = calloc(1, sizeof(*asked));

	if (!asked)
		return -ENOMEM;
	asked->fn = fn;
	asked->data = data;
	asked->first = asked->next = 1;
	*ret_asked = asked;
	return 0;
}

struct asked *asked_free(struct asked *asked)
{
	free(asked);
	return NULL;
}

void asked_set_closed(struct asked *asked, uint16_t closed)
{
	asked->closed = closed;
}

unsigned int asked_n(const struct asked *asked)
{
	return (unsigned int)(asked->next - asked->first);
}

unsigned int asked_n_delayed(const struct asked *asked)
{
	return asked->put_off.n;
}

unsigned int asked_room(const struct asked *asked)
{
	return ASKED_MAX - asked_n(asked);
}

static struct waiting *at(struct asked *asked, uint64_t id)
{
	return &asked->ring[id % ASKED_MAX];
}

const uint16_t *asked_crowds(const struct asked *asked)
{
	return asked->all.of;
}

bool asked_has_place(const struct asked *asked, unsigned int crowd)
{
	return sl_has_place(asked->all.of[crowd], asked->all.n, ASKED_MAX);
}

static void come(struct crowds *crowds, unsigned int crowd)
{
	crowds->n++;
	crowds->of[crowd]++;
}

static void leave(struct crowds *crowds, unsigned int crowd)
{
	crowds->n--;
	crowds->of[crowd]--;
}

/* of the packet that is next: those behind it fail until its fate is known */
static void begin_trials(struct asked *asked, uint16_t filters)
{
	for (unsigned int i = 0; i < ASKED_FILTERS_MAX; i++)
		if (filters & 1U << i)
			asked->filters[i].trial = asked->next;
	asked->may_try &= (uint16_t)~filters;
}

uint64_t asked_add(struct asked *asked, uint64_t handle, unsigned int crowd, uint16_t filters,
		   uint64_t now_us)
{
	*at(asked, asked->next) = (struct waiting){
		.packet = { .handle = handle, .crowd = (uint16_t)crowd, .filters = filters },
		.since_us = now_us
	};
	come(&asked->all, crowd);
	if (filters & asked->may_try)
		begin_trials(asked, filters & asked->may_try);
	return asked->next++;
}

void asked_told(struct asked *asked, unsigned int filter, uint64_t id)
{
	asked->filters[filter].told = id;
}

static void forget_decided(struct asked *asked)
{
	while (asked->first < asked->next && at(asked, asked->first)->packet.filters == 0)
		asked->first++;
}

/* Return: false: another filter's verdict is still to come */
static bool settle(struct asked *asked, struct packet *packet, uint16_t bit, bool is_dropped)
{
	packet->filters = is_dropped ? 0 : packet->filters & (uint16_t)~bit;
	if (packet->filters)
		return false;
	leave(&asked->all, packet->crowd);
	asked->fn(packet->handle, packet->crowd, is_dropped ? ASKED_IS_DROPPED : ASKED_PASSES,
		  asked->data);
	return true;
}

static void settle_waiting(struct asked *asked, struct waiting *waiting, uint16_t bit,
			   bool is_dropped)
{
	(void)settle(asked, &waiting->packet, bit, is_dropped);
}

static void settle_delayed(struct asked *asked, unsigned int i, uint16_t bit, bool is_dropped)
{
	struct delayed *delayed = &asked->delayed[i];
	unsigned int crowd = delayed->packet.crowd;

	if (!settle(asked, &delayed->packet, bit, is_dropped))
		return;
	leave(&asked->put_off, crowd);
	*delayed = asked->delayed[asked->put_off.n];
}

/* ---- verdicts ---- */

static bool delay(struct asked *asked, uint64_t id, struct waiting *waiting, uint64_t now_us)
{
	unsigned int crowd = waiting->packet.crowd;

	if (!sl_has_place(asked->put_off.of[crowd], asked->put_off.n, ASKED_DELAYED_MAX))
		return false;
	asked->delayed[asked->put_off.n] = (struct delayed){ .packet = waiting->packet,
							     .id = id,
							     .until_us = now_us + ASKED_DELAY_US };
	come(&asked->put_off, crowd);
	waiting->packet.filters = 0;
	return true;
}

static void answer_waiting(struct asked *asked, uint64_t id, uint16_t bit,
			   enum asked_verdict verdict, uint64_t now_us,
			   struct asked_outcome *outcome)
{
	struct waiting *waiting = at(asked, id);

	if (!(waiting->packet.filters & bit))
		return;
	outcome->n_taken++;
	if (verdict != ASKED_DELAY) {
		outcome->n_dropped += verdict == ASKED_DROP;
		settle_waiting(asked, waiting, bit, verdict == ASKED_DROP);
		return;
	}
	if (delay(asked, id, waiting, now_us)) {
		outcome->n_delayed++;
		return;
	}
	outcome->n_failed++;
	settle_waiting(asked, waiting, bit, asked->closed & bit);
}

static void answer_delayed(struct asked *asked, uint64_t first, uint64_t end, uint16_t bit,
			   enum asked_verdict verdict, struct asked_outcome *outcome)
{
	for (unsigned int i = asked->put_off.n; i-- > 0;) {
		struct delayed *delayed = &asked->delayed[i];

		if (delayed->id < first || delayed->id >= end || !(delayed->packet.filters & bit))
			continue;
		outcome->n_taken++;
		outcome->n_dropped += verdict == ASKED_DROP;
		settle_delayed(asked, i, bit, verdict == ASKED_DROP);
	}
}

static void be_in_time(struct asked *asked, unsigned int filter)
{
	asked->filters[filter].late = asked->filters[filter].trial = 0;
	asked->may_try &= (uint16_t) ~(1U << filter);
}

void asked_answer(struct asked *asked, unsigned int filter, uint64_t first, uint32_t n,
		  enum asked_verdict verdict, uint64_t now_us, struct asked_outcome *ret_outcome)
{
	uint64_t end = first + n < first ? UINT64_MAX : first + n;
	uint64_t stop = MIN(end, asked->next);
	uint16_t bit = (uint16_t)(1U << filter);

	*ret_outcome = (struct asked_outcome){ 0 };
	if (verdict != ASKED_DELAY)
		answer_delayed(asked, first, end, bit, verdict, ret_outcome);
	for (uint64_t id = MAX(first, asked->first); id < stop; id++)
		answer_waiting(asked, id, bit, verdict, now_us, ret_outcome);
	ret_outcome->n_late = n - MIN(n, ret_outcome->n_taken);
	if (stop > first)
		asked->filters[filter].answered = MAX(asked->filters[filter].answered, stop - 1);
	if (asked->filters[filter].answered >= asked->filters[filter].late)
		be_in_time(asked, filter);
	forget_decided(asked);
}

/* ---- those who do not answer ---- */

bool asked_is_late(const struct asked *asked, unsigned int filter)
{
	return asked->filters[filter].late != 0 && !(asked->may_try & 1U << filter);
}

static bool is_on_trial(struct asked *asked, unsigned int filter)
{
	uint64_t id = asked->filters[filter].trial;

	return id >= asked->first && id < asked->next &&
	       at(asked, id)->packet.filters & 1U << filter;
}

void asked_heard(struct asked *asked, unsigned int filter)
{
	if (asked->filters[filter].late && !is_on_trial(asked, filter))
		asked->may_try |= (uint16_t)(1U << filter);
}

static unsigned int fail_waiting(struct asked *asked, uint16_t bit)
{
	unsigned int n = 0;

	for (uint64_t id = asked->first; id < asked->next; id++) {
		if (!(at(asked, id)->packet.filters & bit))
			continue;
		settle_waiting(asked, at(asked, id), bit, asked->closed & bit);
		n++;
	}
	return n;
}

static unsigned int fail_delayed(struct asked *asked, uint16_t bit, uint64_t until_us)
{
	unsigned int n = 0;

	for (unsigned int i = asked->put_off.n; i-- > 0;) {
		struct delayed *delayed = &asked->delayed[i];

		if (!(delayed->packet.filters & bit) || delayed->until_us > until_us)
			continue;
		settle_delayed(asked, i, bit, asked->closed & bit);
		n++;
	}
	return n;
}

void asked_lose(struct asked *asked, unsigned int filter)
{
	be_in_time(asked, filter);
	asked->filters[filter].told = 0;
}

unsigned int asked_fail(struct asked *asked, unsigned int filter)
{
	uint16_t bit = (uint16_t)(1U << filter);
	unsigned int n = fail_waiting(asked, bit) + fail_delayed(asked, bit, UINT64_MAX);

	asked_lose(asked, filter);
	forget_decided(asked);
	return n;
}

static bool give_back(struct asked *asked, struct packet *packet, uint16_t bit)
{
	if (!(packet->filters & bit))
		return false;
	packet->filters = 0;
	leave(&asked->all, packet->crowd);
	asked->fn(packet->handle, packet->crowd, ASKED_AGAIN, asked->data);
	return true;
}

void asked_again(struct asked *asked, unsigned int filter)
{
	uint16_t bit = (uint16_t)(1U << filter);

	for (uint64_t id = asked->first; id < asked->next; id++)
		(void)give_back(asked, &at(asked, id)->packet, bit);
	for (unsigned int i = asked->put_off.n; i-- > 0;) {
		unsigned int crowd = asked->delayed[i].packet.crowd;

		if (!give_back(asked, &asked->delayed[i].packet, bit))
			continue;
		leave(&asked->put_off, crowd);
		asked->delayed[i] = asked->delayed[asked->put_off.n];
	}
	forget_decided(asked);
}

/* one that has answered what it was told behind this packet has passed over it: it loses this alone,
 * and is late for nothing. What it was not told is not its fault either */
static unsigned int fail(struct asked *asked, struct waiting *waiting, uint64_t id,
			 unsigned int filter)
{
	uint16_t bit = (uint16_t)(1U << filter);

	if (asked->filters[filter].answered < MIN(id, asked->filters[filter].told)) {
		asked->filters[filter].late = asked->filters[filter].told;
		return fail_waiting(asked, bit);
	}
	settle_waiting(asked, waiting, bit, asked->closed & bit);
	return 1;
}

void asked_tick(struct asked *asked, uint64_t now_us, uint64_t ret_n_failed[ASKED_FILTERS_MAX])
{
	for (uint64_t id = asked->first; id < asked->next; id++) {
		struct waiting *waiting = at(asked, id);

		if (waiting->since_us + ASKED_DEADLINE_US > now_us)
			break;
		for (unsigned int i = 0; i < ASKED_FILTERS_MAX; i++)
			if (waiting->packet.filters & 1U << i)
				ret_n_failed[i] += fail(asked, waiting, id, i);
	}
	for (unsigned int i = 0; i < ASKED_FILTERS_MAX && asked->put_off.n; i++)
		ret_n_failed[i] += fail_delayed(asked, (uint16_t)(1U << i), now_us);
	forget_decided(asked);
}

void asked_postpone(struct asked *asked, uint64_t us)
{
	for (uint64_t id = asked->first; id < asked->next; id++)
		at(asked, id)->since_us += us;
	for (unsigned int i = 0; i < asked->put_off.n; i++)
		asked->delayed[i].until_us += us;
}
