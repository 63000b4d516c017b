/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Static rules against their oracle (tests/unit/rules-world.h): the input is a list of events. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/rules-world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rules_world *world = rules_world_new();
	const char *problem = NULL;

	for (; world && !problem && size >= RULES_WORLD_EVENT_BYTES;
	     size -= RULES_WORLD_EVENT_BYTES) {
		problem = rules_world_step(world, data);
		data += RULES_WORLD_EVENT_BYTES;
	}
	if (problem) {
		fprintf(stderr, "%s\n", problem);
		abort();
	}
	rules_world_free(world);
	return 0;
}
