/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: Flows whose first bytes are read for their host; the test plays sluice-names */

#include "peek-lab.h"

int naming_one_closed(void **state);
int naming_one_open(void **state);
int naming_two_closed(void **state);

/** naming_ask() - a filter is asked about a flow, and this is known of its host. Return: its id */
uint64_t naming_ask(struct lab *lab, unsigned int filter, enum flow_reading reading,
		    enum flow_host source, const char *host);
/** naming_told() - a filter is told of a flow of unknown host, which can be read. Return: its id */
uint64_t naming_told(struct lab *lab, unsigned int filter);
/** naming_come() - a connection comes, and the first filter is told of it. Return: its id */
uint64_t naming_come(struct lab *lab);
/** naming_wish() - FLOW_NAME */
void naming_wish(struct lab *lab, unsigned int filter, uint64_t id);
/** naming_begin() - a connection of which every filter wants the name. Return: its id */
uint64_t naming_begin(struct lab *lab);
/** naming_look() - sluice-names is to read exactly this. Return: the token */
uint64_t naming_look(struct lab *lab, uint8_t kind, uint32_t seq, const char *text);
void naming_say(struct lab *lab, uint64_t token, uint8_t answer, enum flow_host source,
		const char *name);
/** naming_hello() - the connection comes, and its first bytes: "hello". Return: their packet */
unsigned int naming_hello(struct lab *lab);
/** naming_tell() - sluice-names is to read "hello", and says that it names this host, by TLS */
void naming_tell(struct lab *lab, const char *name);
