/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What is around sluice-keeper
 *
 * Linked with -Wl,--wrap for what needs root, which does nothing then, and for what the keeper
 * executes, which are functions here: a sluiced that has it start all kinds of children and
 * dies, its successor, and the children. The rest of the keeper is true: it forks,
 * keeps, watches and puts away. The test is `sluice run`.
 */

#include <stdbool.h>
#include <stddef.h>

/** struct keeper_lab - what the processes of a telling leave to the test */
struct keeper_lab {
	unsigned int n_daemons; /* that were started */
	unsigned int n_up[2];	/* children of the first one, and of the others */
	bool has_taken_over;	/* a successor that was told all, and has its children */
	unsigned int n_blocks;	/* of memory that the keeper had at its end */
};

extern struct keeper_lab *keeper_lab; /* shared by them */

/** keeper_lab_open() - a folder, in which are programs that cannot be executed. Return: 0 or -1 */
int keeper_lab_open(void);
void keeper_lab_close(void);

/** keeper_lab_path() - of a file in that folder */
void keeper_lab_path(char *path, size_t n, const char *name);
/** keeper_lab_make() - an empty file there */
void keeper_lab_make(const char *name);
