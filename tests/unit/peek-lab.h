/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: A daemon whose filters look at what flows carry */

#include "daemon-lab.h"
#include "flow/peek.h"

#define SEQ 1000U /* of the first byte that leaves */
#define ACK 0x10U
#define FIN 0x01U
#define SYN 0x02U
#define RST 0x04U
#define DEADLINE (FLOW_DEADLINE_US + TICK_US)

enum { ALLOW, DROP, SILENT };

extern const struct lab_packet peek_syn, peek_datagram;

/** peek_out(), peek_in() - segments of the connection that peek_syn begins */
struct lab_packet peek_out(uint32_t at, const char *text);
struct lab_packet peek_in(uint8_t flags, uint32_t seq, const char *text);
struct lab *peek_start(unsigned int n_filters, bool is_closed);
int peek_one_closed(void **state);
int peek_one_open(void **state);
int peek_two_closed(void **state);
int peek_tear_down(void **state);

/** peek_at(), peek_answer(), peek_pause_flow() - what a filter says */
void peek_at(struct lab *lab, unsigned int filter, uint64_t id, bool has_in, uint64_t bytes);
void peek_answer(struct lab *lab, unsigned int filter, uint64_t id, uint8_t direction, uint64_t n,
		 uint64_t more);
void peek_pause_flow(struct lab *lab, uint64_t id, uint8_t is_pause);

/** peek_expect() - a filter is shown exactly this. Return: is it the end? */
bool peek_expect(struct lab *lab, unsigned int filter, uint64_t offset, const char *text);
void peek_expect_nothing(struct lab *lab, unsigned int filter);
/** peek_looked_at() - a connection that every filter looks at. Return: its id */
uint64_t peek_looked_at(struct lab *lab, bool has_in, uint64_t bytes);
unsigned int peek_put_text(struct lab *lab, uint32_t at, const char *text);
/** peek_connect() - the program's TCP has the connection, and reads @seq first */
void peek_connect(struct lab *lab, const struct lab_packet *first, uint32_t seq);
bool peek_is_destroyed(struct lab *lab);
