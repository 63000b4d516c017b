/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Fail classes
 *
 * What becomes of a flow that a filter does not judge. Real flows (judge.c) and
 * hypothetical ones (explain.c) fail alike.
 */
#include <stdio.h>

#include "daemon/daemon.h"

void fail_say(const struct filter *filter, enum flow_how how, bool is_closed,
	      char ret_reason[FLOW_REASON_BYTES])
{
	snprintf(ret_reason, FLOW_REASON_BYTES, "%s %s: fails %s", filter->name,
		 how == FLOW_LATE ? "did not answer in time" : "does not run",
		 is_closed ? "closed" : "open");
}

/* filters that were not asked yet have no time left either */
bool fail_is_closed_from(const struct daemon *daemon, unsigned int asked)
{
	for (unsigned int i = asked; i < daemon->n_filters; i++)
		if (daemon->filters[i].is_closed)
			return true;
	return false;
}
