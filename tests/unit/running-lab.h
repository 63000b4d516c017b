/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A daemon whose filters all run
 *
 * Where most stories of sluiced begin: see daemon-lab.h.
 */

#include "daemon-lab.h"

/* from one program to one place, but for the port */
extern const struct lab_packet tcp, tcp6, tcp_in, udp;
extern const struct lab_packet tcp_again;  /* where tcp goes, another conversation */
extern const struct lab_packet dns_answer; /* of a name server that was asked */

/** started_lab() - sluiced runs, no filter has said anything; running_lab(): all filters run */
struct lab *started_lab(unsigned int n_filters, bool is_closed);
struct lab *running_lab(unsigned int n_filters, bool is_closed);

/* the same for cmocka; closed, if nothing else is said */
int running_one(void **state);
int running_one_open(void **state);
int running_two(void **state);
int running_none(void **state);
int running_tear_down(void **state);
