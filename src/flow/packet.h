/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Headers of a queued packet
 *
 * The only foreign bytes sluiced reads: IP, TCP, UDP and ICMP headers, to
 * find a packet's ends. Payload is located, never looked at. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/sluice-abi.h"

enum packet_error {
	_PACKET_E_SUCCESS,
	PACKET_E_SHORT,	  /* headers are cut */
	PACKET_E_VERSION, /* neither IPv4 nor IPv6 */
	PACKET_E_SHAPE,	  /* a length that cannot be, a fragment that is not the first */
};

struct packet_view {
	struct sl_tuple tuple;
	bool is_ipv4;
	uint32_t tcp_seq;  /* of the first payload byte */
	uint32_t tcp_ack;  /* if is_tcp_ack */
	bool is_tcp_start; /* SYN without ACK */
	bool is_tcp_syn, is_tcp_ack, is_tcp_fin, is_tcp_reset, is_tcp_urgent;
	bool is_fragment;	  /* the first one of several, or cut: the rest is not here */
	const uint8_t *transport; /* the header behind IP's, up to the end of the packet */
	size_t n_transport;
	const uint8_t *payload;
	size_t n_payload;
};

/** packet_parse() - Return: 0 or enum packet_error; @ret_view is written on 0 only */
int packet_parse(const uint8_t *bytes, size_t n_bytes, bool is_inbound,
		 struct packet_view *ret_view);

/**
 * packet_has_sum() - TCP and UDP: is the checksum that of its bytes? True of others, and where UDP has
 *                    none
 */
bool packet_has_sum(const struct packet_view *view);

/**
 * packet_has_route() - it names further stations than its destination, or may name some
 *
 * Such a packet ends elsewhere than where it is judged to go. @bytes: packet_parse() took them.
 */
bool packet_has_route(const uint8_t *bytes);
