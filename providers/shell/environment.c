/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "environment.h"

#define N_VARIABLES 24

struct list {
	char **items;
	size_t n;
	bool is_broken; /* no memory for one of them */
};

static bool is_plain(const char *value, size_t i)
{
	char c = value[i];

	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("._:/@+,=", c)) || (c == '-' && i > 0);
}

static char *put_byte(char *end, char c)
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned char byte = (unsigned char)c;

	*end++ = '%';
	*end++ = digits[byte >> 4];
	*end++ = digits[byte & 15];
	return end;
}

static void add(struct list *list, const char *name, const char *value)
{
	size_t n_name = strlen(name), n = strlen(value);
	char *item = malloc(n_name + 1 + 3 * n + 1), *end = item;

	if (!item || list->n == N_VARIABLES - 1) {
		free(item);
		list->is_broken = true;
		return;
	}
	memcpy(end, name, n_name);
	end += n_name;
	*end++ = '=';
	for (size_t i = 0; i < n; i++) {
		if (is_plain(value, i))
			*end++ = value[i];
		else
			end = put_byte(end, value[i]);
	}
	*end = '\0';
	list->items[list->n++] = item;
}

static void add_number(struct list *list, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add(list, name, text);
}

static void add_address(struct list *list, const char *name, const uint8_t address[16])
{
	char text[46];

	add(list, name, sluice_address_to_text(address, text, sizeof(text)));
}

static void add_protocol(struct list *list, uint8_t protocol)
{
	static const struct {
		uint8_t protocol;
		const char *name;
	} names[] = { { IPPROTO_TCP, "tcp" },
		      { IPPROTO_UDP, "udp" },
		      { IPPROTO_ICMP, "icmp" },
		      { IPPROTO_ICMPV6, "icmpv6" } }; /* as in flow records */

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].protocol == protocol) {
			add(list, "protocol", names[i].name);
			return;
		}
	add_number(list, "protocol", protocol);
}

char **environment_new(const struct sluice_flow *flow)
{
	struct list list = { .items = calloc(N_VARIABLES, sizeof(char *)) };

	if (!list.items)
		return NULL;
	add(&list, "PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
	add(&list, "LANG", "C.UTF-8");
	add_number(&list, "flow", flow->id);
	add(&list, "direction", flow->direction == SLUICE_INBOUND ? "inbound" : "outbound");
	add_protocol(&list, flow->protocol);
	add(&list, "host", flow->host);
	add_address(&list, "address", flow->remote_address);
	add_number(&list, "port", flow->remote_port);
	add_address(&list, "local_address", flow->local_address);
	add_number(&list, "local_port", flow->local_port);
	add_number(&list, "pid", flow->pid);
	add_number(&list, "uid", flow->uid);
	add_number(&list, "gid", flow->gid);
	add(&list, "exe", flow->exe);
	add(&list, "command", flow->command);
	add(&list, "cgroup", flow->cgroup);
	add(&list, "unit", flow->unit);
	add(&list, "container", flow->container);
	add(&list, "interface", flow->interface);
	if (!list.is_broken)
		return list.items;
	environment_free(list.items);
	return NULL;
}

void environment_free(char **environment)
{
	for (size_t i = 0; environment && environment[i]; i++)
		free(environment[i]);
	free(environment);
}
