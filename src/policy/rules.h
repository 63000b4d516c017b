/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Static rules of a filter
 *
 * An ordered list by which sluiced answers in a filter's place. A rule is a
 * conjunction of conditions and an action; the first rule that matches decides,
 * and if none does, what the list says of the rest.
 *
 *	rules_new() ─▶ rules_add()… ─▶ rules_set_otherwise()    a list is built while it arrives
 *	                                      │ in force: never changed again
 *	                               rules_find()             replaced as a whole
 *
 * Names: the kernel sees an address, and an application may know it by several
 * names. A list decides only if it says the same under each of them; so does the
 * rest of Sluice (flow/memory.h). What is not known of a flow, its program, its local
 * end, its interface or its host, may be anything: the list decides only if that
 * changes nothing.
 *
 * Finding does not look at each rule. Every rule stands in a chain, under one of its
 * conditions (a name, or of a prefix, a program, a user, a local port that which is
 * rarest) and its remote ports: a range is found by the span of 2, 4, 8, … ports in
 * which it begins or ends. A question looks into the chain of each prefix length that
 * is in use, of each domain above its name, and so on; the lowest rule of them that
 * matches is the first. So the cost follows the kinds of rules and not their number,
 * except for rules that share all that: those are looked at one after the other. A
 * list for which that may be more than RULES_WORK_MAX is refused, so that no filter
 * can keep sluiced from the others by what it leaves with it.
 *
 * Loopback: what leaves by lo for 127.0.0.0/8 or ::1 is allowed, unless a rule says otherwise whose
 * address is in there. Rules without an address, wider networks and what the list says of the rest
 * do not reach it (docs/decisions/0019).
 *
 * This module is pure; it takes memory in rules_new() and rules_add() alone.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/rule.h"

#define RULES_TEXT_MAX (16U << 20) /* names, paths and reasons of one list together */
#define RULES_WORK_MAX 4096U	   /* rules looked at for one question, at most: some 25 us */

enum rules_action { RULES_ASK, RULES_ALLOW, RULES_DROP, RULES_DROP_SILENT }; /* of the wire */

enum rules_error {
	_RULES_E_SUCCESS,
	RULES_E_ASK, /* the filter wants to be asked */
	RULES_E_VARIES, /* it depends on what is not known, or on the name: ask, and remember nothing */
};

/** struct rules_question - a flow; @exe, @cgroup, @interface or @local NULL, knows_… false: not known */
struct rules_question {
	bool is_inbound, is_loopback, knows_uid, knows_local_port;
	uint8_t protocol;
	uint8_t remote[16];
	const uint8_t *local;		  /* 16 bytes */
	uint16_t remote_port, local_port; /* 0: it has none (ICMP) */
	uint32_t uid;
	const char *exe;
	const char *cgroup;	  /* NULL: not known */
	const char *interface;	  /* its name: names change, and so may what a list says */
	const char *const *hosts; /* all names it may be meant by, in lower case */
	size_t n_hosts;
	bool may_have_host; /* without @hosts: it may want one all the same */
};

struct rules_answer {
	enum rules_action action; /* never RULES_ASK */
	uint32_t number;	  /* of the rule, counted from 1; 0: none that reaches it */
	const char *reason;	  /* as long as the list */
};

/** struct rules_loopback - a part of it: the smallest network of IPv4 that holds what is meant, and
 *  the one address of IPv6 */
struct rules_loopback {
	uint32_t network, mask; /* host order; @mask 0: none */
	bool has_ipv6;
};

struct rules;

/** rules_new() - an empty list that asks; @seed: of its hash. Return: 0 or -ENOMEM */
int rules_new(uint64_t seed, struct rules **ret_rules);
/** rules_free() - NULL is fine. Return: NULL */
struct rules *rules_free(struct rules *rules);

/**
 * rules_add() - one more rule, after those that are there
 * @ret_problem: out: on failure: what is wrong, a constant for people
 *
 * Return: 0; -EINVAL: a bad rule; -E2BIG, -EFBIG, -EOVERFLOW: a limit; -ENOMEM. After a
 *         failure the list is as before it.
 */
int rules_add(struct rules *rules, const struct wire_rule *rule, const char **ret_problem);
void rules_set_otherwise(struct rules *rules, enum rules_action action);

uint32_t rules_count(const struct rules *rules);
/**
 * rules_get() - rule @number, counted from 1, as it came: but names are in lower case, and a port
 *               alone is the last of its range too
 *
 * Return: false: there is none.
 */
bool rules_get(const struct rules *rules, uint32_t number, struct wire_rule *ret_rule);
/** rules_otherwise() - what becomes of a flow that none matches; NULL: no list, it is asked */
enum rules_action rules_otherwise(const struct rules *rules);
/** rules_have_host() - does any rule ask for a host? @is_loopback: any that names loopback */
bool rules_have_host(const struct rules *rules, bool is_loopback);
/** rules_loopback() - what of loopback they may not allow; NULL: no list. An allowing rule, or one
 *  of inbound flows, changes nothing there */
struct rules_loopback rules_loopback(const struct rules *rules);
/** rules_join_loopback() - the smallest that holds both */
struct rules_loopback rules_join_loopback(const struct rules_loopback *a,
					  const struct rules_loopback *b);
/** rules_are_idle() - every flow is asked about: as good as no list */
bool rules_are_idle(const struct rules *rules);
/** rules_are_equal() - the same rules in the same order; NULL: no list */
bool rules_are_equal(const struct rules *a, const struct rules *b);

/** rules_find() - Return: 0 or a RULES_E_ */
int rules_find(const struct rules *rules, const struct rules_question *question,
	       struct rules_answer *ret_answer);
