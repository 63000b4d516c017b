/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/daemon.h"

/* is it asked about flows that go on, or does it start? */
static bool is_filter_busy(const struct filter *filter)
{
	return (filter->session.state != SESSION_RUNNING &&
		filter->session.state != SESSION_FAILED) ||
	       filter->rejudge_us || filter->ruling.rejudge_us || filter->has_rules ||
	       rejudge_is_busy(&filter->rejudge) || rejudge_is_busy(&filter->ruling.rejudge);
}

static bool is_space_busy(const struct space *space)
{
	return space && (space->owners.is_wanted || space->owners.is_fought);
}

/* what was refused, for want of memory mostly, is tried again */
static bool has_failed(const struct daemon *daemon)
{
	return daemon->wants_requeue || daemon->wants_renew || daemon->wants_loopback ||
	       daemon->packet_filters.wants_set || daemon->packet_filters.is_provisional ||
	       plane_n_late(daemon->plane) > 0;
}

static bool is_busy(const struct daemon *daemon)
{
	if (daemon->pace.has_heard || flow_table_n_held(daemon->flows) || packets_wait(daemon) ||
	    daemon->peekings.first || daemon->explanations || daemon->n_answers ||
	    daemon->watches.n || daemon->n_settled || has_failed(daemon) ||
	    daemon->names_session.state != SESSION_RUNNING)
		return true;
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (is_filter_busy(&daemon->filters[i]))
			return true;
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++)
		if (is_space_busy(daemon->namespaces.spaces[i]))
			return true;
	return false;
}

uint64_t pace_next(struct daemon *daemon)
{
	struct pace *pace = &daemon->pace;

	pace->n_quiet = is_busy(daemon) ? 0 : pace->n_quiet + 1;
	pace->is_slow = pace->n_quiet > PACE_QUIET_TICKS;
	pace->has_heard = false;
	pace->has_ticked = true;
	return pace->is_slow ? PACE_SLOW_US : TICK_US;
}

bool pace_hasten(struct daemon *daemon)
{
	struct pace *pace = &daemon->pace;
	bool is_woken = pace->is_slow && !pace->has_ticked;

	pace->has_ticked = false;
	if (is_woken)
		pace->is_slow = false;
	return is_woken;
}
