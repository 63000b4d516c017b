/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: An HTTP/1 request, given any bytes
 *
 * The first byte says where it is cut. A small oracle that knows nothing of
 * targets: a name must stand in the head, letter for letter.
 */

#include "sniff-target.h"

static void check_name_is_there(const uint8_t *bytes, size_t n)
{
	struct sniff sniff = read_exact(bytes, n);
	size_t n_name = strlen(sniff.name);

	/* the fuzzer finds the preface of HTTP/2, where names are compressed */
	if (sniff.answer != SNIFF_NAME || sniff.protocol != SNIFF_HTTP1)
		return;
	for (size_t at = 0; at + n_name <= n; at++)
		if (strncasecmp((const char *)bytes + at, sniff.name, n_name) == 0)
			return;
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	check_tcp(data + 1, size - 1, data[0] * 31U);
	check_name_is_there(data + 1, size - 1);
	return 0;
}
