/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Packet filters: their beginning and end, and what they say */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"

static int on_packets(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct space *space = data;

	packets_read(space->daemon, space->place);
	return 0;
}

static int prepare(struct daemon *daemon, uint32_t n_copy)
{
	struct packets *packets = &daemon->packet_filters;
	uint8_t *buffer;
	int r;

	if (!packets->asked) {
		r = asked_new(packets_settle, daemon, &packets->asked);
		if (r < 0)
			return r;
		if (plane_count_packets(daemon->plane, packets->base) < 0)
			memset(packets->base, 0, sizeof(packets->base));
	}
	if (packets->buffer && n_copy <= packets->n_copy)
		return 0;
	buffer = malloc((size_t)PACKETS_BATCH * (n_copy + PACKETS_ABOUT_BYTES));
	if (!buffer)
		return -ENOMEM;
	free(packets->buffer);
	packets->buffer = buffer;
	packets->n_copy = n_copy;
	return 0;
}

int packets_listen(struct daemon *daemon, struct space *space)
{
	const struct netns *netns = plane_netns(daemon->plane, space->place);
	int r;

	if (!netns->packet_num || space->packet_source || netns->sockets[NETNS_PACKETS] < 0)
		return 0;
	r = prepare(daemon, PACKETS_COPY_LEAST);
	if (r < 0)
		return r;
	return sd_event_add_io(daemon->event, &space->packet_source, netns->sockets[NETNS_PACKETS],
			       EPOLLIN, on_packets, space);
}

void packets_unlisten(struct space *space)
{
	space->packet_source = sd_event_source_disable_unref(space->packet_source);
}

/* ---- a packet filter comes, or goes ---- */

static int make_room(struct packet_filter *filter, uint32_t n_copy)
{
	uint8_t *out;

	if (filter->out && n_copy <= filter->n_copy)
		return 0;
	out = malloc(PACKETS_BATCH * packets_room(n_copy));
	if (!out)
		return -ENOMEM;
	free(filter->out);
	filter->out = out;
	return 0;
}

bool packets_are_unknown(const struct daemon *daemon)
{
	if (plane_packets_left(daemon->plane) != SL_PACKETS_CLOSED)
		return false;
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		const struct filter *filter = &daemon->filters[i];
		bool fails_open = filter->session.state == SESSION_FAILED && !filter->is_closed;

		if (!filter->packets.is_known && !fails_open)
			return true;
	}
	return false;
}

/* the rules first: a packet that meets none of ours would be let go by those of nobody */
static int put_in_force(struct daemon *daemon)
{
	struct packets *packets = &daemon->packet_filters;
	int r;

	asked_set_closed(packets->asked, packets->closed);
	packets->is_provisional = packets_are_unknown(daemon);
	packets_put_rules(daemon);
	if (packets->wants_set)
		return -ENOMEM;
	r = plane_packets(daemon->plane, packets->n_copy,
			  packets->closed != 0 || packets->is_provisional);
	for (unsigned int i = 0; i < plane_n_places(daemon->plane) && r >= 0; i++)
		if (daemon->namespaces.spaces[i])
			r = packets_listen(daemon, daemon->namespaces.spaces[i]);
	return r < 0 ? r : 0;
}

static void take_next(struct packet_filter *filter)
{
	free(filter->ruling.rules);
	filter->ruling = filter->next;
	filter->next = (struct packet_ruling){ 0 };
}

int packets_ready(struct daemon *daemon, unsigned int index, const struct wire_ready *ready)
{
	struct packets *packets = &daemon->packet_filters;
	struct filter *filter = &daemon->filters[index];
	uint32_t n_copy = ready->copy ? ready->copy : PACKETS_COPY_LEAST;
	int r;

	filter->packets.is_known = true;
	if (!ready->packets) {
		if (filter->packets.is_one) /* another program by now; nobody speaks for it */
			return -EPROTO;
		return 0;
	}
	r = prepare(daemon, MAX(n_copy, packets->n_copy));
	if (r == 0)
		r = make_room(&filter->packets, n_copy);
	if (r < 0)
		return r;
	filter->packets.is_one = true;
	filter->packets.n_copy = n_copy;
	packets->filters |= (uint16_t)(1U << index);
	if (filter->is_closed)
		packets->closed |= (uint16_t)(1U << index);
	take_next(&filter->packets);
	r = put_in_force(daemon);
	if (r == 0) /* what its predecessor has left */
		asked_again(packets->asked, index);
	packets_flush(daemon);
	return r;
}

void packets_lost(struct daemon *daemon, unsigned int index)
{
	struct packet_filter *filter = &daemon->filters[index].packets;

	free(filter->next.rules);
	filter->next = (struct packet_ruling){ 0 };
	if (!filter->is_one)
		return;
	asked_lose(daemon->packet_filters.asked, index);
	filter->n_out = filter->at_out = 0;
	packets_resume(daemon);
}

/* ---- verdicts ---- */

int packets_take_verdict(struct daemon *daemon, unsigned int index,
			 const struct wire_message *message)
{
	const struct wire_packet_verdict *said = WIRE_BODY(message, struct wire_packet_verdict);
	struct packet_filter *filter = &daemon->filters[index].packets;
	struct asked_outcome outcome;

	if (!filter->is_one)
		return -EPROTO;
	asked_answer(daemon->packet_filters.asked, index, said->first, said->n,
		     (enum asked_verdict)said->verdict, daemon_now_us(), &outcome);
	if (outcome.n_taken)
		providers_answered(&daemon->filters[index]);
	filter->n_dropped += outcome.n_dropped;
	filter->n_delayed += outcome.n_delayed;
	filter->n_late += outcome.n_late;
	filter->n_failed += outcome.n_failed;
	return 0;
}

void packets_heard(struct daemon *daemon, unsigned int index)
{
	if (daemon->filters[index].packets.is_one)
		asked_heard(daemon->packet_filters.asked, index);
}

/* what the kernel does not take, for want of memory, it is told again */
void packets_flush(struct daemon *daemon)
{
	struct packets *packets = &daemon->packet_filters;
	unsigned int n;

	if (packets->n_answers == 0)
		return;
	n = plane_answer_packets(daemon->plane, packets->answers, packets->n_answers);
	packets->n_answers -= n;
	memmove(packets->answers, packets->answers + n,
		packets->n_answers * sizeof(packets->answers[0]));
	packets_resume(daemon);
}

bool packets_wait(const struct daemon *daemon)
{
	return daemon->packet_filters.asked && asked_n(daemon->packet_filters.asked) > 0;
}

void packets_tick(struct daemon *daemon, uint64_t now_us)
{
	struct packets *packets = &daemon->packet_filters;
	uint64_t n_failed[ASKED_FILTERS_MAX] = { 0 };

	if (!packets->asked)
		return;
	asked_tick(packets->asked, now_us, n_failed);
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		struct packet_filter *filter = &daemon->filters[i].packets;

		filter->n_failed += n_failed[i];
		if (filter->is_one && daemon->filters[i].session.state == SESSION_FAILED)
			filter->n_failed += asked_fail(packets->asked, i);
		if (asked_is_late(packets->asked, i)) /* it need not be told what has failed */
			filter->n_out = filter->at_out = 0;
	}
	if (packets->is_provisional && !packets_are_unknown(daemon) && put_in_force(daemon) < 0)
		packets->is_provisional = true; /* once more */
	if (packets->wants_set)
		packets_put_rules(daemon);
	packets_flush(daemon);
	packets_resume(daemon);
	packets_look_again(daemon, now_us);
}

void packets_postpone(struct daemon *daemon, uint64_t us)
{
	if (daemon->packet_filters.asked)
		asked_postpone(daemon->packet_filters.asked, us);
}

static void end_unread(struct daemon *daemon, unsigned int place)
{
	struct packets *packets = &daemon->packet_filters;
	enum asked_fate fate =
		packets->closed || packets_are_unknown(daemon) ? ASKED_IS_DROPPED : ASKED_PASSES;
	struct queue_packet read[PACKETS_BATCH];

	for (unsigned int i = 0; i <= PACKETS_LENGTH_MAX / PACKETS_BATCH; i++) {
		int n = plane_read_packets(daemon->plane, place, packets->buffer, read);

		for (int j = 0; j < n; j++)
			if (read[j].bytes)
				packets_settle(read[j].id, SL_CROWD_NOBODY, fate, daemon);
		packets_flush(daemon);
		if (n < (int)PACKETS_BATCH)
			break;
	}
}

void packets_end(struct daemon *daemon)
{
	struct packets *packets = &daemon->packet_filters;

	if (!packets->asked)
		return;
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		(void)asked_fail(packets->asked, i);
	packets_flush(daemon);
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++)
		end_unread(daemon, i);
}

void packets_close(struct daemon *daemon)
{
	struct packets *packets = &daemon->packet_filters;

	for (unsigned int i = 0; i < FILTERS_MAX; i++) {
		free(daemon->filters[i].packets.out);
		free(daemon->filters[i].packets.ruling.rules);
		free(daemon->filters[i].packets.next.rules);
	}
	packets->asked = asked_free(packets->asked);
	free(packets->buffer);
}
