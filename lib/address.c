/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <sluice/filter.h>

const char *sluice_address_to_text(const uint8_t address[16], char *text, size_t n)
{
	struct in6_addr in6;
	const char *done;

	if (n == 0)
		return text;
	memcpy(&in6, address, sizeof(in6));
	if (IN6_IS_ADDR_V4MAPPED(&in6))
		done = inet_ntop(AF_INET, address + 12, text, (socklen_t)n);
	else
		done = inet_ntop(AF_INET6, address, text, (socklen_t)n);
	if (!done)
		text[0] = '\0';
	return text;
}
