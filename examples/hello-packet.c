/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A packet filter: nothing goes to, or comes from, the port that the option names. */
#include <errno.h>
#include <stdlib.h>

#include <sluice/packet.h>

static unsigned int port;

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	char *end;

	port = (unsigned int)strtoul(value, &end, 10);
	if (port && port <= 65535 && !*end)
		return 0;
	return sluice_filter_fail(filter, -EINVAL, "%s: not a port: %s", key, value);
}

static unsigned int read16(const struct sluice_packet *packet, size_t at)
{
	return at + 2 <= packet->n_bytes ? packet->bytes[at] << 8U | packet->bytes[at + 1] : 0;
}

static enum sluice_packet_verdict on_packet(struct sluice_filter *filter,
					    const struct sluice_packet *packet, void *data)
{
	int is_v4 = packet->bytes[0] >> 4 == 4;
	unsigned int protocol = packet->bytes[is_v4 ? 9 : 6];
	size_t ports = is_v4 ? (packet->bytes[0] & 15U) * 4U : 40;

	if (protocol != 6 && protocol != 17) /* TCP, UDP */
		return SLUICE_PACKET_ALLOW;
	if (read16(packet, ports) == port || read16(packet, ports + 2) == port)
		return SLUICE_PACKET_DROP;
	return SLUICE_PACKET_ALLOW;
}

int main(void)
{
	const struct sluice_filter_ops ops = { .size = sizeof(ops),
					       .name = "hello-packet",
					       .option = on_option,
					       .packet = on_packet };

	return sluice_filter_main(&ops, NULL);
}
