/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Static rules of a filter in the world for verdict memory
 *
 * A random list, replaced as a whole, is kept twice: as policy/rules.h has it, and
 * as it came, for the oracle, which knows everything of a flow and looks at one
 * rule after the other, under one name after the other.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/sluice-abi.h"
#include "policy/rules.h"

#define RULED_MAX 6U
#define RULED_NAMES 12U

struct ruled {
	struct rules *list; /* NULL: none */
	struct wire_rule records[RULED_MAX];
	unsigned int n;
	enum rules_action otherwise;
};

/** struct ruled_flow - all of a flow; @hosts: of its address, no matter which */
struct ruled_flow {
	const struct sl_memory_key *to;
	const char *exe; /* NULL: the kernel's key has no path */
	uint16_t lport;
	const char *const *hosts;
	size_t n_hosts;
};

/** ruled_name() - the name @n of the world: three domains have four each */
void ruled_name(unsigned int n, char name[16]);
/** ruled_exe() - a program may have two paths */
void ruled_exe(const struct sl_app *app, bool is_other, char exe[16]);

/** ruled_replace() - by the list that is number @salt. Return: NULL, or what is wrong */
const char *ruled_replace(struct ruled *ruled, uint64_t salt);
void ruled_free(struct ruled *ruled);

/** ruled_under() - what the oracle says if @host, NULL: none, is the only name */
enum rules_action ruled_under(const struct ruled *ruled, const struct ruled_flow *flow,
			      const char *host);
/** ruled_agreed() - what it says under all names; RULES_ASK when they differ */
enum rules_action ruled_agreed(const struct ruled *ruled, const struct ruled_flow *flow);
/** ruled_find() - the list's word: rules_find(). @knows_all: false: without the local port */
int ruled_find(const struct ruled *ruled, const struct ruled_flow *flow, bool knows_all,
	       enum rules_action *ret_action);
/** ruled_verdict() - of an action that is not RULES_ASK */
enum sl_verdict ruled_verdict(enum rules_action action);
