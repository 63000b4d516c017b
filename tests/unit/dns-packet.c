/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns-packet.h"

void dns_put(struct dns_packet *packet, const void *bytes, size_t n)
{
	assert_true(packet->n + n <= sizeof(packet->bytes));
	memcpy(packet->bytes + packet->n, bytes, n);
	packet->n += n;
}

static void put_u16(struct dns_packet *packet, unsigned int value)
{
	uint8_t bytes[] = { (uint8_t)(value >> 8), (uint8_t)value };

	dns_put(packet, bytes, sizeof(bytes));
}

static void put_u32(struct dns_packet *packet, uint32_t value)
{
	put_u16(packet, value >> 16);
	put_u16(packet, value & 0xffff);
}

static void put_name(struct dns_packet *packet, const char *text)
{
	while (*text && *text != '@') {
		uint8_t n = (uint8_t)strcspn(text, ".@");

		dns_put(packet, &n, 1);
		dns_put(packet, text, n);
		text += n;
		text += *text == '.';
	}
	if (*text == '@')
		put_u16(packet, 0xc000U | (unsigned int)strtoul(text + 1, NULL, 10));
	else
		dns_put(packet, "", 1);
}

struct dns_packet *dns_begin(unsigned int n_answers, const char *name, unsigned int type)
{
	struct dns_packet *packet = calloc(1, sizeof(*packet));

	assert_non_null(packet);
	put_u16(packet, 0x1234);
	put_u16(packet, 0x8180);
	put_u16(packet, 1);
	put_u16(packet, n_answers);
	put_u32(packet, 0);
	put_name(packet, name);
	put_u16(packet, type);
	put_u16(packet, 1);
	return packet;
}

void dns_put_record(struct dns_packet *packet, const char *owner, unsigned int type, uint32_t ttl_s,
		    const void *data, size_t n)
{
	put_name(packet, owner);
	put_u16(packet, type);
	put_u16(packet, 1);
	put_u32(packet, ttl_s);
	put_u16(packet, (unsigned int)n);
	dns_put(packet, data, n);
}

void dns_put_cname(struct dns_packet *packet, const char *owner, uint32_t ttl_s, const char *target)
{
	size_t at;

	dns_put_record(packet, owner, CNAME, ttl_s, "", 0);
	at = packet->n;
	put_name(packet, target);
	packet->bytes[at - 1] = (uint8_t)(packet->n - at);
}

void dns_put_a(struct dns_packet *packet, const char *owner, uint32_t ttl_s, uint8_t last)
{
	uint8_t address[] = { 192, 0, 2, last };

	dns_put_record(packet, owner, A, ttl_s, address, sizeof(address));
}
