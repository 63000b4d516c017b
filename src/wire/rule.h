/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What a RULE may say
 *
 * The record's own limits hold for each field; here is what they cannot say.
 * The library looks before it sends, so that its caller hears of it in the call
 * itself, and sluiced looks at what comes: both by this one function.
 */

#include "wire/provider-records.h"

#define WIRE_RULES_MAX 65536U /* of one set */

/** wire_rule_problem() - Return: what is wrong, a constant for people; NULL: nothing */
const char *wire_rule_problem(const struct wire_rule *rule);

/** wire_rule_network() - "192.0.2.0/24"; @text NULL: any. Return: NULL, or what is wrong */
const char *wire_rule_network(const char *text, uint8_t ret_address[16], uint8_t *ret_bits,
			      uint8_t *ret_family);
