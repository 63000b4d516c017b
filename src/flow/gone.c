/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "flow/gone.h"

/* cookies are numbers in a row */
void gone_note(struct gone *gone, const struct sl_flow_key *key)
{
	gone->keys[key->cookie % GONE_N] = *key;
}

bool gone_has(const struct gone *gone, const struct sl_flow_key *key)
{
	const struct sl_flow_key *told = &gone->keys[key->cookie % GONE_N];

	return told->cookie == key->cookie && told->rport == key->rport &&
	       told->proto == key->proto && !memcmp(told->raddr, key->raddr, sizeof(key->raddr));
}
