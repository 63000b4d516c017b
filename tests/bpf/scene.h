/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Sockets and flows as the other programs and the daemon would write them
 *
 * A packet is told by its ends. "Server" is one governed socket, COOKIE, that
 * packets come in for.
 */

#include "lab.h"

#define COOKIE 0x5105UL
#define SENDER_UID 1000 /* of every socket of set_sock() */
#define SENDER_CGROUP 4000 /* where its creator was */

/** own_netns() - cookie of the network namespace that packets of a test run are in */
uint64_t own_netns(void);

bool ends_is_v6(const struct lab_ends *ends);
bool ends_is_echo(const struct lab_ends *ends);
const char *ends_text(const struct lab_ends *ends);
void ends_packet(struct lab_packet *packet, const struct lab_ends *ends);

/** ends_counted() - what a match counts: all that follows 8 bytes of transport header */
uint64_t ends_counted(const struct lab_ends *ends);

/** ends_tuple(), ends_key() - as the programs must see the packet */
struct sl_tuple ends_tuple(const struct lab_ends *ends, enum sl_dir dir);
struct sl_flow_key ends_key(const struct lab_ends *ends, enum sl_dir dir, uint64_t cookie);

/** lab_set() - ends the process when the map refuses; lab_get() - whether there is one */
void lab_set(struct lab *lab, const char *map, const void *key, const void *value);
bool lab_get(struct lab *lab, const char *map, const void *key, void *value);

void set_sock(struct lab *lab, uint64_t cookie, uint32_t flags);
void set_flow(struct lab *lab, const struct sl_flow_key *key, enum sl_verdict verdict);

/** set_server() - and nothing else; @addr: what it is bound to, NULL: any */
void set_server(struct lab *lab, const struct lab_ends *ends, const char *addr);

/** set_bind() - an entry that leads to COOKIE, whether there is such a socket or not */
void set_bind(struct lab *lab, const struct lab_ends *ends, const char *addr);

/** flags_of() - of a socket; UINT32_MAX: not there */
uint32_t flags_of(struct lab *lab, uint64_t cookie);

/** is_held_as() - the packet's ends lead to this socket, which is known to be judged */
bool is_held_as(struct lab *lab, const struct lab_ends *ends, enum sl_dir dir, uint64_t cookie);
