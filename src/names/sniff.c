/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Which protocol, and what the answer looks like
 *
 * The first reader that knows the bytes as its own gives the answer. Preface
 * before request: that of HTTP/2 is made to look like a request of HTTP/1.
 */

#include <string.h>

#include "base/macros.h"
#include "names/sniff-read.h"

struct reader {
	enum sniff_protocol protocol;
	int (*read)(const uint8_t *bytes, size_t n_bytes, struct sniff *sniff);
};

static const struct reader tcp_readers[] = {
	{ SNIFF_TLS, tls_read },
	{ SNIFF_H2C, h2c_read },
	{ SNIFF_HTTP1, http1_read },
};

#define REASON_ANSWER(name, number, answer, text) [name] = answer,
static const enum sniff_answer reason_answers[] = { SNIFF_REASONS(REASON_ANSWER) };
#undef REASON_ANSWER

#define REASON_TEXT(name, number, answer, text) [name] = text,
static const char *const reason_texts[] = { SNIFF_REASONS(REASON_TEXT) };
#undef REASON_TEXT

const char *sniff_reason_text(enum sniff_reason reason)
{
	return (size_t)reason < ARRAY_SIZE(reason_texts) ? reason_texts[reason] : "?";
}

static int read_tcp(const uint8_t *bytes, size_t n_bytes, struct sniff *sniff)
{
	if (n_bytes == 0)
		return SNIFF_E_MORE;
	for (size_t i = 0; i < ARRAY_SIZE(tcp_readers); i++) {
		int r = tcp_readers[i].read(bytes, n_bytes, sniff);

		if (r == SNIFF_E_UNKNOWN)
			continue;
		sniff->protocol = tcp_readers[i].protocol;
		return r;
	}
	return SNIFF_E_UNKNOWN;
}

static void finish(struct sniff *sniff, int reason)
{
	sniff->reason = (enum sniff_reason)reason;
	sniff->answer = reason_answers[reason];
	if (sniff->answer != SNIFF_MORE)
		sniff->needs = sniff->limit = 0;
	if (sniff->answer != SNIFF_NAME) {
		sniff->name[0] = '\0';
		sniff->is_outer = false;
	}
}

void sniff_tcp(const uint8_t *bytes, size_t n_bytes, struct sniff *ret_sniff)
{
	struct sniff sniff = { .limit = SNIFF_TCP_MAX };
	size_t n = MIN(n_bytes, SNIFF_TCP_MAX);
	int r = read_tcp(bytes, n, &sniff);

	if (r == SNIFF_E_MORE && sniff.needs <= n)
		sniff.needs = (uint32_t)n + 1;
	if (r == SNIFF_E_MORE && sniff.needs > SNIFF_TCP_MAX)
		r = SNIFF_E_TOO_LARGE;
	finish(&sniff, r);
	*ret_sniff = sniff;
}

void sniff_quic_start(struct sniff_quic *quic)
{
	*quic = (struct sniff_quic){ .answer = { .answer = SNIFF_MORE, .reason = SNIFF_E_MORE } };
}

void sniff_quic_push(struct sniff_quic *quic, const uint8_t *datagram, size_t n_bytes,
		     struct sniff *ret_sniff)
{
	struct sniff sniff = { .limit = SNIFF_QUIC_DATAGRAMS_MAX };
	int r;

	if (quic->answer.answer == SNIFF_MORE) {
		r = quic_read(quic, datagram, n_bytes, &sniff);
		quic->n_datagrams++;
		if (r == SNIFF_E_MORE && quic->n_datagrams == SNIFF_QUIC_DATAGRAMS_MAX)
			r = SNIFF_E_TOO_LARGE;
		sniff.protocol = r == SNIFF_E_UNKNOWN ? SNIFF_UNKNOWN : SNIFF_QUIC;
		finish(&sniff, r);
		quic->answer = sniff;
	}
	*ret_sniff = quic->answer;
}
