/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: DNS answers
 *
 * From the bytes of one DNS message to the name that was asked and the
 * addresses it leads to. The message comes from the network and is hostile
 * until proven otherwise: any byte sequence gives a result, nothing is read
 * outside of it, the work is bounded by its length.
 *
 * An address belongs to the name when a chain of CNAME records leads from the
 * question to its owner, in whatever order the records stand. Everything else
 * in the answer section is ignored: it says nothing about what the asker will
 * use. DNAME needs no care, its synthesized CNAME is in the answer as well.
 * HTTPS and SVCB records give the addresses of their hints.
 *
 * This module is pure: no descriptor, no clock, no allocation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_TEXT_BYTES 254U    /* longest host name in text, 253, and its NUL: RFC 1035 2.3.4 */
#define DNS_ADDRESSES_MAX 64U  /* more addresses of one name are dropped and is_cut is set */
#define DNS_CHAIN_MAX 16U      /* CNAMEs followed; resolvers stop at 8 to 16 */
#define DNS_MESSAGE_MAX 65535U /* the largest message TCP can carry */

enum dns_error {
	_DNS_E_SUCCESS,
	DNS_E_NOT_ANSWER, /* a query, an error, or a name without a text form */
	DNS_E_MALFORMED,  /* breaks the format, up to the end of the answer section */
};

struct dns_address {
	uint8_t address[16]; /* IPv4 is v4-mapped */
	uint32_t ttl_s;	     /* the smallest on the way from the name */
};

struct dns_answer {
	char name[DNS_TEXT_BYTES]; /* lower case, no final dot, odd bytes as \DDD */
	size_t n_addresses;
	bool is_cut;
	struct dns_address addresses[DNS_ADDRESSES_MAX];
};

/**
 * dns_read_answer() - read one message
 * @bytes:      without the length that TCP puts before it
 * @ret_answer: out: on 0 only; may have no address
 *
 * A message with the TC bit may end in the middle of a record.
 *
 * Return: 0 or enum dns_error.
 */
int dns_read_answer(const uint8_t *bytes, size_t n_bytes, struct dns_answer *ret_answer);
