/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <string.h>

#include "wire/rule.h"

#define NAME_BYTES_MAX 253U /* RFC 1035, in its written form */
#define LABEL_BYTES_MAX 63U

static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

static const char *ports_problem(uint16_t first, uint16_t last)
{
	if (!first && last)
		return "a range of ports begins at 1";
	if (last && last < first) /* 0: only the first */
		return "a range of ports ends before it begins";
	return NULL;
}

static bool has_bits_behind(const uint8_t address[16], unsigned int bits)
{
	for (unsigned int i = bits; i < 128; i++)
		if (address[i / 8] & 0x80U >> i % 8)
			return true;
	return false;
}

static const char *read_bits(const char *text, unsigned int offset, uint8_t *ret_bits)
{
	unsigned int bits = 0;

	if (!*text || strlen(text) > 3)
		return "the address has no proper prefix length";
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return "the address has no proper prefix length";
		bits = 10 * bits + (unsigned int)(*text - '0');
	}
	if (bits + offset > 128)
		return "the prefix is longer than the address";
	*ret_bits = (uint8_t)(bits + offset);
	return NULL;
}

const char *wire_rule_network(const char *text, uint8_t ret_address[16], uint8_t *ret_bits,
			      uint8_t *ret_family)
{
	char address[INET6_ADDRSTRLEN] = "";
	size_t n = text ? strcspn(text, "/") : 0;
	bool is_v4;

	if (!text)
		return NULL;
	is_v4 = !memchr(text, ':', n);
	if (n < sizeof(address))
		memcpy(address, text, n);
	memcpy(ret_address, v4_prefix, is_v4 ? sizeof(v4_prefix) : 0);
	if (inet_pton(is_v4 ? AF_INET : AF_INET6, address, ret_address + (is_v4 ? 12 : 0)) != 1)
		return "not an address";
	*ret_bits = 128;
	if (text[n]) {
		const char *problem = read_bits(text + n + 1, is_v4 ? 96 : 0, ret_bits);

		if (problem)
			return problem;
	}
	/* ::ffff:192.0.2.0/120 is IPv4 as well */
	is_v4 = *ret_bits >= 96 && memcmp(ret_address, v4_prefix, sizeof(v4_prefix)) == 0;
	*ret_family = is_v4 ? 4 : 6;
	return NULL;
}

static const char *network_problem(const uint8_t address[16], uint8_t bits, uint8_t family)
{
	bool is_v4 = memcmp(address, v4_prefix, sizeof(v4_prefix)) == 0;

	if (family != 0 && family != 4 && family != 6)
		return "the address family is neither 4 nor 6";
	if (has_bits_behind(address, bits))
		return "the address has bits behind its prefix";
	if (family == 4 && (bits < 96 || !is_v4))
		return "the address is not of IPv4";
	if (family == 6 && bits >= 96 && is_v4)
		return "the address is not of IPv6";
	if (!family && bits)
		return "an address without its family";
	return NULL;
}

/* what names of flows are made of: other bytes are \DDD in them, four for one */
static bool is_of_names(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       strchr("-_.\\", c);
}

static const char *cgroup_problem(const char *cgroup)
{
	size_t n = strlen(cgroup);

	if (n && cgroup[0] != '/')
		return "the cgroup does not begin with /";
	if (n > 1 && cgroup[n - 1] == '/')
		return "the cgroup ends with /";
	return NULL;
}

/* a rule that no flow can meet is none, and was meant to be one */
static const char *label_problem(const char *host)
{
	struct in_addr address;
	size_t n;

	if (inet_pton(AF_INET, host, &address) == 1)
		return "the host is an address, which is no name";
	for (; *host; host += n + (host[n] == '.')) {
		n = strcspn(host, ".");
		if (n > LABEL_BYTES_MAX && !memchr(host, '\\', n))
			return "the host has a part of more than 63 bytes";
	}
	return NULL;
}

static const char *host_problem(const struct wire_rule *rule)
{
	const char *host = rule->host;
	size_t n = strlen(host);

	if (!rule->host_kind)
		return n ? "a host that is not to be matched" : NULL;
	if (n == 0)
		return "the host is empty";
	if (n > NAME_BYTES_MAX)
		return "the host is longer than a name can be";
	if (host[0] == '.' || host[n - 1] == '.' || strstr(host, ".."))
		return "the host has a part that is empty";
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)host[i] <= ' ' || (unsigned char)host[i] > '~')
			return "the host is not ASCII: write international names in punycode";
	if (strchr(host, '*'))
		return "the host has a *: a domain is a name and all below it";
	for (size_t i = 0; i < n; i++)
		if (!is_of_names(host[i]))
			return "the host has a character that no name has";
	return label_problem(host);
}

const char *wire_rule_problem(const struct wire_rule *rule)
{
	const char *problem = network_problem(rule->remote, rule->bits, rule->family);

	if (!problem)
		problem = network_problem(rule->local, rule->lbits, rule->lfamily);
	if (!problem)
		problem = ports_problem(rule->rport, rule->rport_last);
	if (!problem)
		problem = ports_problem(rule->lport, rule->lport_last);
	if (!problem)
		problem = host_problem(rule);
	if (!problem && rule->exe[0] && rule->exe[0] != '/')
		problem = "the path of the program does not begin with /";
	return problem ? problem : cgroup_problem(rule->cgroup);
}
