/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: A daemon with proxies, whose processes the test plays: they come behind the filters */

#include "daemon-lab.h"

/** divert_lab() - all of them run */
struct lab *divert_lab(unsigned int n_filters, unsigned int n_proxies, bool is_closed);
/** divert_set_up() - with one proxy, which fails closed; for cmocka */
int divert_set_up(void **state);

/** divert_next() - the next record that a provider got. Return: its type; 0: none */
uint16_t divert_next(struct lab *lab, unsigned int index);
/** divert_expect() - it has this type. Return: its flow; what came along is lab->passed */
uint64_t divert_expect(struct lab *lab, unsigned int index, uint16_t type);
/** divert_expect_end() - it is told how the program has ended */
void divert_expect_end(struct lab *lab, unsigned int index, uint64_t id, uint8_t full);

void divert_take_flow(struct lab *lab, unsigned int index, uint64_t id);
/** divert_say_opened() - @error: as errno(3), 0: it is reached */
void divert_say_opened(struct lab *lab, unsigned int index, uint64_t id, int error);
void divert_ask_end(struct lab *lab, unsigned int index, uint64_t id);

/** divert_open_flow() - a proxy is asked of the packet, takes it and opens it. Return: its flow */
uint64_t divert_open_flow(struct lab *lab, unsigned int index, const struct lab_packet *packet);

/** divert_connect() - its connection comes to our listener. Return: the program's end, the caller's */
int divert_connect(struct lab *lab, const struct lab_packet *packet);
/** divert_begin() - a flow that is opened, and its connection is the proxy's. Return: the flow; the caller's: both ends */
uint64_t divert_begin(struct lab *lab, unsigned int index, const struct lab_packet *packet,
		      int *ret_program, int *ret_own);
/** divert_expect_stranger() - a connection from there is closed, and the proxy hears nothing of it */
void divert_expect_stranger(struct lab *lab, unsigned int index, const struct lab_packet *packet);
/** divert_leave() - the program closes its last descriptor */
void divert_leave(struct lab *lab, const struct lab_packet *packet);

/** divert_is_connected() - these are the two ends of one connection */
bool divert_is_connected(int one, int other);
/** divert_is_closed() - nobody has the other end */
bool divert_is_closed(int fd);

/** divert_fill() - questions, until the channel of a proxy is full. Return: how many flows wait */
unsigned int divert_fill(struct lab *lab, unsigned int index);

/** divert_member() - of the record of a flow, as text; valid until the next call */
const char *divert_member(struct lab *lab, uint64_t id, const char *name);
