/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verdict memory against its oracle (tests/unit/memory-world.h): the input is a list of events. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/memory-world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *world = world_new();
	const char *problem = NULL;

	for (; world && !problem && size >= WORLD_EVENT_BYTES; size -= WORLD_EVENT_BYTES) {
		problem = world_step(world, data);
		data += WORLD_EVENT_BYTES;
	}
	if (problem) {
		fprintf(stderr, "%s\n", problem);
		abort();
	}
	world_free(world);
	return 0;
}
