/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Static rules from options
 *
 *	rule=ACTION[;KEY=VALUE…]       one more rule; ACTION: ask, allow, drop, silent; KEY: address, local-address,
 *	                               host, domain, exe, uid, protocol, port, local-port (N or
 *	                               N-M), direction (in, out), interface, reason
 *	otherwise=ACTION               of flows that no rule matches
 *	fill-rules=N                   N rules in front that drop addresses of 10.200.0.0/14
 *	next-rule=…, next-otherwise=…  the same for the set that replaces it
 *	replace-port=N                 at the first flow to that remote port it is replaced
 */

#include <stdbool.h>
#include <stdint.h>

#include <sluice/filter.h>

#define N_STATIC_RULES 16

struct rule_texts {
	char fields[N_STATIC_RULES][256];
	unsigned int n;
	enum sluice_rule_action otherwise;
	bool is_given;
};

struct rule_options {
	struct rule_texts now, next;
	unsigned long n_fill, replace_port;
};

/** rule_option() - Return: was it one of these? */
bool rule_option(struct rule_options *options, const char *key, const char *value);
/** rule_options_give() - to sluiced; none, if no option was given. Return: 0, negative errno */
int rule_options_give(struct sluice_filter *filter, struct rule_options *options);
/** rule_options_replace() - if this flow is the one to do it */
void rule_options_replace(struct sluice_filter *filter, struct rule_options *options,
			  const struct sluice_flow *flow);
