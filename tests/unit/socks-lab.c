/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <stdlib.h>

#include "socks-lab.h"

#define EVERY_CUT_MAX 1024U /* of longer answers a sample is cut */

struct upstream lab_url(const char *url)
{
	char error[UPSTREAM_ERROR_BYTES] = "";
	struct upstream upstream;

	if (upstream_parse(url, &upstream, error) < 0)
		fail_msg("%s: %s", url, error);
	return upstream;
}

struct destination lab_to(const char *host, const char *address, uint16_t port)
{
	struct destination destination = { .port = port };

	if (host)
		memcpy(destination.host, host, strlen(host) + 1);
	if (address && strchr(address, ':')) {
		assert_int_equal(inet_pton(AF_INET6, address, destination.address), 1);
	} else if (address) {
		memset(destination.address + 10, 0xff, 2);
		assert_int_equal(inet_pton(AF_INET, address, destination.address + 12), 1);
	}
	return destination;
}

static void take_output(struct lab_outcome *outcome)
{
	size_t n;
	const uint8_t *output = handshake_output(&outcome->handshake, &n);

	assert_true(n <= sizeof(outcome->said.bytes) - outcome->said.n);
	memcpy(outcome->said.bytes + outcome->said.n, output, n);
	outcome->said.n += n;
	handshake_sent(&outcome->handshake, n);
}

/* in copies of their exact size, so that nobody reads beyond them */
static void feed(struct lab_outcome *outcome, const uint8_t *bytes, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);
	size_t used;

	assert_non_null(exact);
	memcpy(exact, bytes, n);
	used = handshake_feed(&outcome->handshake, exact, n);
	free(exact);
	assert_true(used <= n);
	if (outcome->handshake.state == HANDSHAKE_GOES_ON)
		assert_int_equal(used, n);
	outcome->n_used += used;
	take_output(outcome);
}

/* the first @n_first bytes, and the rest in pieces of @n_piece */
static struct lab_outcome talk(const struct upstream *upstream,
			       const struct destination *destination, const uint8_t *bytes,
			       size_t n, size_t n_first, size_t n_piece)
{
	struct lab_outcome outcome = { 0 };

	handshake_begin(&outcome.handshake, upstream, destination);
	take_output(&outcome);
	feed(&outcome, bytes, n_first);
	for (size_t at = n_first; at < n; at += n_piece)
		feed(&outcome, bytes + at, n - at < n_piece ? n - at : n_piece);
	return outcome;
}

static void expect_same(const struct lab_outcome *one, const struct lab_outcome *other)
{
	assert_int_equal(one->handshake.state, other->handshake.state);
	assert_int_equal(one->handshake.error, other->handshake.error);
	assert_string_equal(one->handshake.reason, other->handshake.reason);
	assert_int_equal(one->n_used, other->n_used);
	lab_expect_said(one, other->said.bytes, other->said.n);
}

struct lab_outcome lab_talk(const struct upstream *upstream, const struct destination *destination,
			    const void *bytes, size_t n)
{
	struct lab_outcome whole = talk(upstream, destination, bytes, n, n, 1), other;

	other = talk(upstream, destination, bytes, n, 0, 1);
	expect_same(&whole, &other);
	for (size_t cut = 1; cut < n; cut += 1 + n / EVERY_CUT_MAX) {
		other = talk(upstream, destination, bytes, n, cut, n);
		expect_same(&whole, &other);
	}
	return whole;
}

void lab_expect(const struct lab_outcome *outcome, enum handshake_state state, int error,
		const char *reason)
{
	assert_string_equal(outcome->handshake.reason, reason ? reason : "");
	assert_int_equal(outcome->handshake.state, state);
	assert_int_equal(outcome->handshake.error, error);
}

void lab_expect_said(const struct lab_outcome *outcome, const void *bytes, size_t n)
{
	assert_int_equal(outcome->said.n, n);
	assert_memory_equal(outcome->said.bytes, bytes, n);
}
