/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A proxy in memory, for the handshakes of providers/socks
 *
 * lab_talk() plays it, once for each way in which its bytes may come in pieces: whole, one at a
 * time, and cut in two at every place. The outcome, what was said and what was left over must
 * be the same each time.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "providers/socks/handshake.h"

struct lab_said {
	size_t n;
	uint8_t bytes[HANDSHAKE_OUTPUT_BYTES];
};

struct lab_outcome {
	struct handshake handshake;
	struct lab_said said;
	size_t n_used; /* of what the proxy has sent; what follows is the flow's */
};

/** lab_url() - an upstream; the URL must be right */
struct upstream lab_url(const char *url);

/** lab_to() - a destination; @address: numeric, or NULL for none */
struct destination lab_to(const char *host, const char *address, uint16_t port);

/** lab_talk() - @upstream's proxy answers @bytes, whatever is said to it */
struct lab_outcome lab_talk(const struct upstream *upstream, const struct destination *destination,
			    const void *bytes, size_t n);

/** lab_expect() - @error and @reason: of what did not work; 0, NULL */
void lab_expect(const struct lab_outcome *outcome, enum handshake_state state, int error,
		const char *reason);

void lab_expect_said(const struct lab_outcome *outcome, const void *bytes, size_t n);
