/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Connections that are broken in the middle
 *
 * What a program and a proxy say to each other is translated on its way. Where another program
 * takes the rules away, or what conntrack knows, it is not for a moment. The end that speaks then
 * gets a reset that the other never hears of: who only reads would wait for ever. Or conntrack
 * takes what comes afterwards for invalid, and it is repeated in vain. So both ends are looked at
 * again and again, and what is broken is ended.
 *
 * Nor does a connection come whose SYN conntrack takes for a packet of an older one with the same ends, which was not
 * translated: of another program, or of a time before this proxy, reset by its peer in the last 10 s. The SYN would
 * leave, and does not (bpf/egress.bpf.c). Once conntrack has forgotten the older one, TCP's next try arrives.
 *
 * Of UDP conntrack forgets what has been silent for half a minute, or two if much was said. A program that
 * waits for longer would not hear of its peer, as what the proxy writes would not be translated. So it is
 * told again and again that the flow is there, until the flow is idle.
 */
#include <errno.h>
#include <netinet/in.h>

#include "base/log.h"
#include "daemon/judge/judge.h"

#define MISSED_US 100000U /* and a SYN is sent again after 1 s */
#define COMES_US 15000U	  /* the last packet of its handshake waits for a processor, say */
#define LOOK_US 1000000U  /* between two rounds */
#define KEEP_US 10000000U /* of UDP */
#define KEEP_S 140	  /* an idle flow has ended by then: IDLE_UDP_US, and a tenth to find it */
#define LOOKS_A_TICK (PLANE_COUNTS_MAX / _END_N)
#define REPEATS 3 /* on loopback, where nothing is lost */

/* the two sockets of a connection */
enum { PROXY, PROGRAM, _END_N };

static bool is_worth_looking(const struct divert *divert)
{
	return divert->is_told && divert->client && !divert->is_abandoned && !divert->is_over;
}

static void keep(struct daemon *daemon, struct divert *divert, uint64_t now_us)
{
	if (divert->tuple.proto != IPPROTO_UDP || !divert->is_told || divert->is_over ||
	    now_us - divert->kept_us < KEEP_US)
		return;
	divert->kept_us = now_us;
	plane_keep_translated(daemon->plane, &divert->tuple, divert->zone, KEEP_S);
}

static bool is_broken(const struct plane_count counts[_END_N])
{
	if (counts[PROGRAM].error)
		return false;
	if (counts[PROXY].error) /* the program has got its FIN, if there was one */
		return counts[PROXY].error == -ENOENT && !counts[PROGRAM].has_fin;
	return counts[PROXY].n_repeats >= REPEATS || counts[PROGRAM].n_repeats >= REPEATS;
}

/* neither hears of the other's end */
static void end_both(struct daemon *daemon, const struct plane_end ends[_END_N])
{
	(void)plane_destroy(daemon->plane, &ends[PROGRAM]);
	(void)plane_destroy(daemon->plane, &ends[PROXY]);
}

static void look(struct daemon *daemon, struct divert **diverts, unsigned int n)
{
	struct plane_count counts[LOOKS_A_TICK][_END_N];
	struct plane_end ends[LOOKS_A_TICK][_END_N] = { 0 };
	unsigned int n_known = 0;

	for (unsigned int i = 0; i < n; i++) {
		const struct flow *flow = flow_table_find_id(daemon->flows, diverts[i]->flow);

		if (!flow)
			continue;
		ends[n_known][PROXY] = (struct plane_end){
			.cookie = diverts[i]->client,
			.tuple = plane_accepted(daemon->plane, &diverts[i]->tuple, diverts[i]->port)
		};
		ends[n_known++][PROGRAM] = live_end_of(flow);
	}
	plane_count(daemon->plane, ends[0], n_known * _END_N, counts[0]);
	for (unsigned int i = 0; i < n_known; i++)
		if (is_broken(counts[i]))
			end_both(daemon, ends[i]);
}

static void look_on(struct daemon *daemon, uint64_t now_us)
{
	struct divert *found[LOOKS_A_TICK];
	unsigned int n, n_worth = 0;
	bool is_round;

	n = diverts_walk(daemon->diverts, found, LOOKS_A_TICK, &is_round);
	for (unsigned int i = 0; i < n; i++) {
		keep(daemon, found[i], now_us);
		if (is_worth_looking(found[i]))
			found[n_worth++] = found[i];
	}
	if (n_worth)
		look(daemon, found, n_worth);
	if (is_round)
		daemon->diverts_looked_us = now_us;
}

void divert_miss(struct daemon *daemon, const struct divert *divert)
{
	if (divert->is_client && divert->tuple.proto == IPPROTO_TCP &&
	    daemon->n_missed < DIVERT_MISSED_MAX)
		daemon->missed[daemon->n_missed++] =
			(struct divert_missed){ divert->flow, daemon_now_us() };
}

bool divert_may_come(const struct daemon *daemon, const struct divert *divert)
{
	uint64_t now_us = daemon_now_us();

	for (unsigned int i = 0; divert->is_client && i < daemon->n_missed; i++)
		if (daemon->missed[i].flow == divert->flow)
			return now_us - daemon->missed[i].since_us < COMES_US;
	return false;
}

/* Return: is it none of those that are waited for any more? */
static bool has_left(struct daemon *daemon, const struct divert *divert)
{
	if (divert && divert->is_leaving && !divert_may_come(daemon, divert)) {
		divert_ended(daemon, divert->flow);
		return true;
	}
	return !divert || !divert->is_client;
}

static void look_for_missed(struct daemon *daemon, uint64_t now_us)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < daemon->n_missed; i++) {
		struct divert_missed missed = daemon->missed[i];
		const struct divert *divert = diverts_find_flow(daemon->diverts, missed.flow);

		if (has_left(daemon, divert))
			continue;
		if (daemon->is_deaf) /* it may be there, and cannot be taken */
			missed.since_us = now_us;
		if (now_us - missed.since_us < MISSED_US)
			daemon->missed[n++] = missed;
		else
			plane_untranslate(daemon->plane, &divert->tuple, 0);
	}
	daemon->n_missed = n;
}

void divert_mend(struct daemon *daemon, uint64_t now_us)
{
	if (daemon->diverts)
		look_for_missed(daemon, now_us);
	if (daemon->diverts && diverts_n(daemon->diverts) &&
	    now_us - daemon->diverts_looked_us >= LOOK_US)
		look_on(daemon, now_us);
}

/* what a program has sent and nobody has read yet would be sent again when the rules are gone, to
 * where it wanted to go */
void divert_end_all(struct daemon *daemon)
{
	struct flow *flow = flow_table_oldest_open(daemon->flows);

	for (; flow; flow = flow_next(flow)) {
		const struct plane_end end = live_end_of(flow);

		if (flow->is_diverted)
			(void)plane_destroy(daemon->plane, &end);
	}
}
