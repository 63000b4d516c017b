/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What real clients send is read right
 *
 * The corpus and its format: tests/names/make-corpus. Each flow of TCP is read
 * at every cut; the datagrams of QUIC in order, each twice, and backwards.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "quic-lab.h"

#define FLOWS_MIN 200U /* in all files together */
#define PAYLOADS_MAX 16U

struct flow {
	const char *client;
	const char *reason;
	const char *name; /* "" for none */
	bool is_outer;
	size_t n_payloads;
	struct buffer payloads[PAYLOADS_MAX];
};

static size_t n_flows;

static unsigned int base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = strchr(digits, c);

	assert_true(c && at);
	return (unsigned int)(at - digits);
}

static void put_base64(struct buffer *buffer, const char *text)
{
	unsigned int bits = 0, n_bits = 0;

	for (; *text && *text != '='; text++) {
		bits = bits << 6 | base64_digit(*text);
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		put_uint(buffer, 1, bits >> n_bits & 0xff);
	}
}

/* @line is taken to pieces */
static void read_line(char *line, struct flow *flow)
{
	char *rest = line, *payload;

	flow->client = strsep(&rest, " ");
	flow->reason = strsep(&rest, " ");
	flow->name = strsep(&rest, " ");
	flow->is_outer = rest && strncmp(rest, "outer ", 6) == 0;
	strsep(&rest, " ");
	assert_non_null(rest);
	rest[strcspn(rest, "\n")] = '\0';
	if (strcmp(flow->name, "-") == 0)
		flow->name = "";
	for (flow->n_payloads = 0; (payload = strsep(&rest, ",")); flow->n_payloads++) {
		assert_true(flow->n_payloads < PAYLOADS_MAX);
		flow->payloads[flow->n_payloads].n = 0;
		put_base64(&flow->payloads[flow->n_payloads], payload);
	}
}

static void check(const struct flow *flow, const struct sniff *sniff)
{
	if (strcmp(sniff_reason_text(sniff->reason), flow->reason) != 0 ||
	    strcmp(sniff->name, flow->name) != 0 || sniff->is_outer != flow->is_outer)
		fail_msg("%s: %s '%s', expected %s '%s'", flow->client,
			 sniff_reason_text(sniff->reason), sniff->name, flow->reason, flow->name);
}

static void read_tcp(const struct flow *flow, enum sniff_protocol protocol)
{
	const struct buffer *payload = &flow->payloads[0];
	struct sniff sniff = payload->n < 4096 ? lab_read(payload->bytes, payload->n)
					       : lab_read_whole(payload->bytes, payload->n);

	check(flow, &sniff);
	assert_int_equal(sniff.protocol, protocol);
}

/* @step: 1 or, backwards, -1 */
static void read_quic(const struct flow *flow, int step, unsigned int n_times)
{
	struct sniff sniff = { .answer = SNIFF_MORE };

	sniff_quic_start(&lab.quic);
	for (size_t i = 0; i < flow->n_payloads && sniff.answer == SNIFF_MORE; i++) {
		lab.datagram = flow->payloads[step > 0 ? i : flow->n_payloads - 1 - i];
		for (unsigned int time = 0; time < n_times; time++)
			sniff = lab_push();
	}
	check(flow, &sniff);
	assert_int_equal(sniff.protocol, SNIFF_QUIC);
}

/* the beginning was missed: the name, or none, but not another one */
static void read_quic_from(const struct flow *flow, size_t from)
{
	struct sniff sniff = { .answer = SNIFF_MORE };

	sniff_quic_start(&lab.quic);
	for (size_t i = from; i < flow->n_payloads; i++) {
		lab.datagram = flow->payloads[i];
		sniff = lab_push();
	}
	if (sniff.answer == SNIFF_NAME)
		check(flow, &sniff);
}

static void read_flow(const struct flow *flow, enum sniff_protocol protocol)
{
	if (protocol != SNIFF_QUIC) {
		read_tcp(flow, protocol);
		return;
	}
	read_quic(flow, 1, 1);
	read_quic(flow, 1, 2);
	for (size_t from = 1; from < flow->n_payloads; from++)
		read_quic_from(flow, from);
	/* what a server has answered cannot be understood before the beginning */
	if (strncmp(flow->client, "live-", 5) != 0)
		read_quic(flow, -1, 1);
}

static void read_file(const char *path, enum sniff_protocol protocol)
{
	static struct flow flow;
	_cleanup_free_ char *line = NULL;
	FILE *file = fopen(path, "re");
	size_t size = 0;

	assert_non_null(file);
	while (getline(&line, &size, file) > 0) {
		read_line(line, &flow);
		read_flow(&flow, protocol);
		n_flows++;
	}
	fclose(file);
}

static void test_tls(void **state)
{
	read_file(CORPUS "/tls", SNIFF_TLS);
}

static void test_http1(void **state)
{
	read_file(CORPUS "/http1", SNIFF_HTTP1);
}

static void test_h2c(void **state)
{
	read_file(CORPUS "/h2c", SNIFF_H2C);
}

static void test_quic(void **state)
{
	read_file(CORPUS "/quic", SNIFF_QUIC);
}

static void test_size(void **state)
{
	print_message("%zu flows\n", n_flows);
	assert_true(n_flows >= FLOWS_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls),  cmocka_unit_test(test_http1),
		cmocka_unit_test(test_h2c),  cmocka_unit_test(test_quic),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
