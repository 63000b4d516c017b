/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow/pace.h"

bool pace_take(struct pace *pace, uint64_t now_us)
{
	uint64_t burst_us = PACE_BURST * PACE_INTERVAL_US;
	uint64_t full = now_us > burst_us ? now_us - burst_us : 0; /* just booted: not below 0 */

	if (pace->earned_us < full || pace->earned_us > now_us)
		pace->earned_us = full;
	if (now_us - pace->earned_us < PACE_INTERVAL_US)
		return false;
	pace->earned_us += PACE_INTERVAL_US;
	return true;
}

bool pace_wait(struct pace *pace, uint32_t packet_id, uint32_t mark)
{
	if (pace->n == PACE_WAITING_MAX)
		return false;
	pace->waiting[(pace->first + pace->n++) % PACE_WAITING_MAX] =
		(struct paced){ .packet_id = packet_id, .mark = mark };
	return true;
}

bool pace_next(struct pace *pace, uint64_t now_us, struct paced *ret_paced)
{
	if (pace->n == 0 || !pace_take(pace, now_us))
		return false;
	*ret_paced = pace->waiting[pace->first];
	pace->first = (pace->first + 1) % PACE_WAITING_MAX;
	pace->n--;
	return true;
}
