/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: How a list of rules lies in memory; for rules.c and rules-find.c alone */

#include "policy/rules.h"

#define RULES_NONE UINT32_MAX
#define RULES_ANY_PORT 17U /* a span; others are log2 of their ports: 0 … 16 */
#define RULES_SHAPES_MAX (18U * (129U + _RULES_BY_N))

enum rules_direction { RULES_BOTH, RULES_OUTBOUND, RULES_INBOUND }; /* of the wire */
enum rules_host_kind { RULES_ANY_HOST, RULES_THIS_HOST, RULES_DOMAIN };

/** enum rules_anchor - the condition under which a rule is found: rules_anchor_of() */
enum rules_anchor {
	RULES_BY_HOST,
	RULES_BY_DOMAIN,
	RULES_BY_REMOTE,
	RULES_BY_EXE,
	RULES_BY_UID,
	RULES_BY_LOCAL_PORT, /* one port */
	RULES_BY_NOTHING,
	_RULES_BY_N,
};

/**
 * struct rules_rule - texts are offsets, 0: none; no holes: lists are compared as bytes
 *
 * A range of ports may need two chains: rules_key_of(). A place in one is a node, 2 * rule + which
 * of its chains, counted from 1.
 */
struct rules_rule {
	uint32_t next[2]; /* nodes; 0: it is the last */
	uint32_t host, exe, interface, cgroup, reason;
	uint32_t uid;
	uint16_t rport, rport_last, lport, lport_last;
	uint8_t action, direction, protocol, family, bits, host_kind, has_uid, anchor;
	uint8_t remote[16], local[16];
	uint8_t lfamily, lbits, pad[2];
};
_Static_assert(sizeof(struct rules_rule) == 84, "rules_rule");

/** struct rules_key - of a chain; @value: not owned */
struct rules_key {
	enum rules_anchor anchor;
	uint8_t bits;  /* RULES_BY_REMOTE */
	uint8_t span;  /* of remote ports */
	uint16_t port; /* the first of its span */
	const void *value;
	size_t n_value;
};

/** struct rules_slot - a chain of @n; nodes, 0: the slot is free */
struct rules_slot {
	uint32_t hash, first, last, n;
};

/** struct rules_shape - a kind of key that is in use, and the length of its longest chain */
struct rules_shape {
	uint8_t anchor, bits, span;
	uint32_t longest;
};

/* the first rules that have a condition: before them nobody needs to know */
enum rules_first {
	RULES_FIRST_HOST,
	RULES_FIRST_EXE,
	RULES_FIRST_INTERFACE,
	RULES_FIRST_CGROUP,
	RULES_FIRST_LOCAL,
	RULES_FIRST_UID,
	RULES_FIRST_PORT_OUT, /* a local port, and may match outbound flows */
	RULES_FIRST_PORT_IN,
	_RULES_FIRST_N,
};

/** struct rules_scope - what of the rules that may match a flow hangs on what is not known of it */
struct rules_scope {
	uint32_t first[_RULES_FIRST_N];
	uint8_t host_actions; /* of those that have a host: a bit each */
};

struct rules {
	uint64_t seed;
	uint8_t otherwise;
	uint32_t n, n_places;
	struct rules_rule *rules;
	uint32_t n_chains, n_slots;
	struct rules_slot *slots; /* open addressing */
	uint32_t n_text, n_text_places;
	char *text;
	struct rules_scope
		scopes[2]; /* of all rules; of those that name loopback: rules_scope_of() */
	struct rules_loopback loopback;
	uint32_t work; /* the sum of all that is longest */
	unsigned int n_shapes;
	struct rules_shape shapes[RULES_SHAPES_MAX];
};

/** rules_names_loopback() - its address, or network, is one of loopback: a wider one is not */
bool rules_names_loopback(const struct rules_rule *rule);
/** rules_note_loopback() - of one that does */
void rules_note_loopback(struct rules *rules, const struct rules_rule *rule);
static inline const struct rules_scope *rules_scope_of(const struct rules *rules,
						       const struct rules_question *flow)
{
	return &rules->scopes[flow->is_loopback];
}

/**
 * rules_key_of() - of the chain in which @rule stands under @anchor
 * @which: 0 or 1: a range of ports is found by the span, as long as it or up to twice, in which it
 *         begins, and by that in which it ends: often the same
 */
struct rules_key rules_key_of(const struct rules *rules, const struct rules_rule *rule,
			      enum rules_anchor anchor, unsigned int which);
static inline uint16_t rules_port_in(unsigned int span, uint16_t port)
{
	return span == RULES_ANY_PORT ? 0 : (uint16_t)(port >> span << span);
}

uint32_t rules_hash(const struct rules *rules, const struct rules_key *key);
/** rules_slot_of() - NULL: no rule has this key */
struct rules_slot *rules_slot_of(const struct rules *rules, const struct rules_key *key,
				 uint32_t hash);
