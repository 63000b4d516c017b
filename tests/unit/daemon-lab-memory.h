/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: Steps of the tests of verdict memory in the daemon */

#include "running-lab.h"

/** memory_entry() - NULL: none */
const struct sl_memory *memory_entry(const struct lab *lab, const struct lab_packet *packet);
/** memory_is_in_force() - would the kernel allow it by itself? */
bool memory_is_in_force(const struct lab *lab, const struct lab_packet *packet);
/** memory_connect() - the first packet of a conversation meets the queue. Return: its index */
unsigned int memory_connect(struct lab *lab, const struct lab_packet *packet);
/** memory_judged() - the packet is held, filter 0 is asked and answers. Return: its index */
unsigned int memory_judged(struct lab *lab, const struct lab_packet *packet, uint8_t verdict,
			   enum memory_scope scope);
/** memory_put() - tcp is allowed for good */
void memory_put(struct lab *lab);
void memory_check_asked(struct lab *lab, const struct lab_packet *packet);
void memory_check_known(struct lab *lab, const struct lab_packet *packet, enum fate fate);
/** memory_resolve() - tcp's address gets a name. Return: the answer, which is still held */
unsigned int memory_resolve(struct lab *lab, const char *name, uint64_t *ret_token);
void memory_resolved(struct lab *lab, const char *name);
