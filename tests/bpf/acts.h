/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What a governed program does with sockets
 *
 * In a network namespace of its own that has a loopback and an interface behind which there is
 * nobody. Whatever leaves by the second is counted.
 */

#include "lab.h"

/** acts_open_world() - a namespace and its interfaces. Return: 0 or a negative errno */
int acts_open_world(void);
/** acts_open_wire() - Return: a descriptor for acts_n_left(), or a negative errno */
int acts_open_wire(void);
/** acts_n_left() - packets of programs that left since the last call */
unsigned int acts_n_left(int wire);

/** acts_do() - each kind of socket there is. Return: NULL, or what did not work */
const char *acts_do(struct lab *lab);
