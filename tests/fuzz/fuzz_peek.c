/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Any order of segments, answers and times: tests/unit/peek-world.h checks it */
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/peek-world.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
	if (n_bytes <= 4096)
		(void)peek_world_run(bytes, n_bytes);
	return 0;
}
