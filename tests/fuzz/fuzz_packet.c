/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Headers of any bytes
 *
 * The input is a packet. It is read in both directions, which must mirror each
 * other; and cut, which may take payload away but never change the ends nor
 * make a packet readable that was not.
 */

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "flow/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

/* reads no further than packet_parse() did */
static void require_route(const uint8_t *data, size_t n)
{
	uint8_t *exact = malloc(n);

	require(exact != NULL);
	memcpy(exact, data, n);
	(void)packet_has_route(exact);
	free(exact);
}

/* on exactly so much memory; a failure may not write the view */
static int parse(const uint8_t *data, size_t n, bool is_inbound, struct packet_view *view)
{
	struct packet_view untouched;
	uint8_t *exact = malloc(n ? n : 1);
	int r;

	require(exact != NULL);
	if (n)
		memcpy(exact, data, n);
	memset(&untouched, 0xa5, sizeof(untouched));
	memcpy(view, &untouched, sizeof(untouched));
	r = packet_parse(exact, n, is_inbound, view);
	require(r >= 0 && r <= PACKET_E_SHAPE);
	if (r) {
		require(memcmp(view, &untouched, sizeof(untouched)) == 0);
	} else {
		require(view->payload > exact && view->payload <= exact + n);
		require(view->n_payload <= (size_t)(exact + n - view->payload));
		(void)packet_has_sum(view);
		view->payload = data + (view->payload - exact);
	}
	free(exact);
	return r;
}

static void require_mirrored(const struct packet_view *out, const struct packet_view *in)
{
	const struct sl_tuple *a = &out->tuple, *b = &in->tuple;
	bool has_ports = a->proto == IPPROTO_TCP || a->proto == IPPROTO_UDP ||
			 a->proto == IPPROTO_UDPLITE || a->proto == IPPROTO_SCTP ||
			 a->proto == IPPROTO_DCCP;

	require(a->proto == b->proto);
	require(memcmp(a->laddr, b->raddr, 16) == 0 && memcmp(a->raddr, b->laddr, 16) == 0);
	if (has_ports)
		require(a->lport == b->rport && a->rport == b->lport);
	else
		require(a->lport == b->lport && a->rport == 0 && b->rport == 0);
	require(out->payload == in->payload && in->n_payload <= out->n_payload);
	require(out->n_payload == in->n_payload || a->proto == IPPROTO_UDP);
	require(out->tcp_seq == in->tcp_seq && out->is_tcp_start == in->is_tcp_start);
}

static void require_cut(const uint8_t *data, size_t n, int whole_r, const struct packet_view *whole)
{
	struct packet_view view;

	if (parse(data, n, false, &view))
		return;
	require(whole_r == 0);
	require(memcmp(&view.tuple, &whole->tuple, sizeof(view.tuple)) == 0);
	require(view.payload == whole->payload && view.n_payload <= whole->n_payload);
	require(view.tcp_seq == whole->tcp_seq && view.is_tcp_start == whole->is_tcp_start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet_view out, in;
	int r = parse(data, size, false, &out);

	require(parse(data, size, true, &in) == r);
	if (r == 0) {
		require_mirrored(&out, &in);
		require_route(data, size);
	}
	for (size_t n = size < 128 ? size : 128; n; n--)
		require_cut(data, n - 1, r, &out);
	return 0;
}
