/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: A daemon with packet filters, and packets that meet their queue */

#include "daemon-lab.h"
#include "wire/packets.h"

enum { ALLOW, DROP, DELAY };

/** packets_udp - from 192.0.2.1:40000 to 198.51.100.9:53; packets_tuple(): its ends */
#define PACKETS_UDP_BYTES 512
extern const uint8_t packets_udp[PACKETS_UDP_BYTES];
struct sl_tuple packets_tuple(void);

/** packets_lab() - all of @n_filters run, and filter packets */
struct lab *packets_lab(unsigned int n_filters, bool is_closed);
int packets_one_open(void **state);
int packets_one_closed(void **state);
int packets_tear_down(void **state);

void packets_start(struct lab *lab, unsigned int index);
void packets_say_ready(struct lab *lab, unsigned int index);
/** packets_wait_for_start() - the first filter, which has ended, is started again */
void packets_wait_for_start(struct lab *lab);

/** packets_come() - one of packets_udp meets the queue. Return: its index */
unsigned int packets_come(struct lab *lab, bool is_inbound);
enum fake_state packets_fate(const struct lab *lab, unsigned int packet);

/** packets_take() - Return: the number of the packet that a filter is shown, and it alone; 0: none */
uint64_t packets_take(struct lab *lab, unsigned int filter, struct wire_packet *ret_packet);
void packets_answer(struct lab *lab, unsigned int filter, uint64_t id, uint8_t verdict);
/** packets_answer_all() - @n that it is shown, in however many records */
void packets_answer_all(struct lab *lab, unsigned int filter, unsigned int n, uint8_t verdict);
