/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "record-target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return check_record(&wire_canary_channel, data, size);
}
