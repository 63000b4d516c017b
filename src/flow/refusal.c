/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/ip_icmp.h>
#include <string.h>

#include "flow/refusal.h"

#define IP_HEADER 20U
#define ICMP_HEADER 8U
#define TTL 64

static void put16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static uint32_t checksum(const uint8_t *bytes, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return ~sum & 0xffff;
}

static void put_ip(uint8_t *to, uint8_t proto, size_t n, const uint8_t from[16],
		   const uint8_t dest[16])
{
	memset(to, 0, IP_HEADER);
	to[0] = 0x45; /* version 4, no options */
	put16(to + 2, (uint32_t)n);
	to[8] = TTL;
	to[9] = proto;
	memcpy(to + 12, from + 12, 4);
	memcpy(to + 16, dest + 12, 4);
	put16(to + 10, checksum(to, IP_HEADER));
}

void refusal_write(const struct sl_tuple *tuple, const uint8_t quote[REFUSAL_QUOTE],
		   uint8_t to[REFUSAL_BYTES])
{
	uint8_t *icmp = to + IP_HEADER, *quoted = icmp + ICMP_HEADER;

	put_ip(to, IPPROTO_ICMP, REFUSAL_BYTES, tuple->laddr, tuple->laddr);
	put_ip(quoted, (uint8_t)tuple->proto, IP_HEADER + REFUSAL_QUOTE, tuple->laddr,
	       tuple->raddr);
	memcpy(quoted + IP_HEADER, quote, REFUSAL_QUOTE);
	memset(icmp, 0, ICMP_HEADER);
	icmp[0] = ICMP_DEST_UNREACH;
	icmp[1] = ICMP_PORT_UNREACH;
	put16(icmp + 2, checksum(icmp, REFUSAL_BYTES - IP_HEADER));
}

bool refusal_spend(struct refusal_credit *credit, uint64_t now_us)
{
	uint64_t full_us = (uint64_t)REFUSAL_CREDIT * REFUSAL_CREDIT_EARNED_US;

	if (now_us - credit->earned_us > full_us)
		credit->earned_us = now_us - full_us;
	if (now_us - credit->earned_us < REFUSAL_CREDIT_EARNED_US)
		return false;
	credit->earned_us += REFUSAL_CREDIT_EARNED_US;
	return true;
}
