/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: DNS messages under construction
 *
 * A name is dotted text; "" is the root. A number behind @ is a pointer: "www@12", which is
 * www before the name of the question.
 */

#include "names/dns.h"

enum { A = 1, CNAME = 5, AAAA = 28, DNAME = 39, HTTPS = 65, ANY = 255 };

#define HEADER 12 /* bytes; the question's name stands behind them */

struct dns_packet {
	uint8_t bytes[DNS_MESSAGE_MAX];
	size_t n;
};

/** dns_begin() - an answer to the question for @name, up to its records; to be freed */
struct dns_packet *dns_begin(unsigned int n_answers, const char *name, unsigned int type);
void dns_put(struct dns_packet *packet, const void *bytes, size_t n);
void dns_put_record(struct dns_packet *packet, const char *owner, unsigned int type, uint32_t ttl_s,
		    const void *data, size_t n);
void dns_put_cname(struct dns_packet *packet, const char *owner, uint32_t ttl_s,
		   const char *target);
/** dns_put_a() - the address is 192.0.2.@last */
void dns_put_a(struct dns_packet *packet, const char *owner, uint32_t ttl_s, uint8_t last);
