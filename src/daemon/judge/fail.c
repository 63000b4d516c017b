/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Fail classes
 *
 * What becomes of a flow that a filter does not judge. Real flows (asking.c) and
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
unsigned int fail_late(struct daemon *daemon, const struct flow *flow, unsigned int asked,
		       enum sl_verdict *ret_verdict, char ret_reason[FLOW_REASON_BYTES])
{
	bool is_closed = daemon->filters[asked].is_closed;
	struct memory_answer answer;

	for (unsigned int i = asked + 1; i < daemon->n_filters; i++) {
		int ruled;

		if (daemon->filters[i].is_proxy && !choosing_may(daemon, i, flow))
			continue;
		ruled = ruling_find(daemon, flow, i, &answer);
		if (ruled == RULING_E_ASK) {
			is_closed |= daemon->filters[i].is_closed;
		} else if (ruled == 0 && answer.verdict != SL_ALLOW && !is_closed) {
			*ret_verdict = answer.verdict;
			snprintf(ret_reason, FLOW_REASON_BYTES, "%s", answer.reason);
			return i;
		}
	}
	*ret_verdict = is_closed ? SL_REJECT : SL_ALLOW;
	fail_say(&daemon->filters[asked], FLOW_LATE, is_closed, ret_reason);
	return asked;
}
