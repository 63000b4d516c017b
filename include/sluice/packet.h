/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SLUICE_PACKET_H
#define SLUICE_PACKET_H

/**
 * DOC: Packet filter providers (since 0.1)
 *
 * A filter whose ops have `packet` is shown each IP packet that leaves a governed
 * program, and each that comes in for one, and says what becomes of it. It cannot
 * change one. A session may judge flows as well (new_flow); without new_flow it
 * allows every flow, so that its packets are all it judges.
 *
 * A flow has its verdict before its first packet is shown, and its last packets may
 * be shown after flow_closed. A packet that comes in is shown before its program sees
 * it. Packets on loopback are not shown, nor what the kernel sends for nobody: resets,
 * and answers to a closed connection. One that the kernel will cut into several, or has
 * joined of several, is shown as the one that it is meanwhile, with the length of all.
 *
 * A verdict is waited for SLUICE_PACKET_DEADLINE_MS. Then the filter's fail class
 * decides, and decides at once about each further packet until the filter has
 * answered what it was asked last. The same holds while it does not run, and for
 * what finds no place in the queue, of 4096 packets. A packet that was delayed is
 * the fail class's after SLUICE_PACKET_DELAY_MS; so is one that would be delayed
 * while SLUICE_PACKET_DELAYED_MAX are, of all filters. With several packet filters
 * each one has to allow a packet; all are asked at once. `sluice status` counts.
 *
 * Threads, errors: as in <sluice/filter.h>.
 */

#include <sluice/filter.h>

#ifdef __cplusplus
extern "C" {
#endif

/* limits of sluiced; why they are what they are: docs/decisions/0017 */
#define SLUICE_PACKET_BYTES 128	      /* shown of a packet, if packet_bytes is 0 */
#define SLUICE_PACKET_BYTES_MAX 32000 /* a larger packet_bytes is taken as this */
#define SLUICE_PACKET_DEADLINE_MS 1000
#define SLUICE_PACKET_DELAY_MS 10000
#define SLUICE_PACKET_DELAYED_MAX 1024
#define SLUICE_PACKET_RULES_MAX 512

/**
 * struct sluice_packet - a packet; valid only inside the callback that gets it
 * @size: bytes of this struct in the library in use; newer fields are appended
 *
 * What is not known of its program is 0.
 */
struct sluice_packet {
	size_t size;
	uint64_t id; /* never used twice within a session */
	enum sluice_direction direction;
	uint32_t ifindex;	/* interface it leaves by, or came in by */
	const char *interface;	/* its name; never NULL */
	const uint8_t *bytes;	/* from the IP header on; IPv4 or IPv6 */
	size_t n_bytes;		/* of them, as many as the filter wants to see */
	uint32_t length;	/* of the whole packet */
	bool is_segmented;	/* larger than it is on the wire */
	uint64_t flow_id;	/* as in struct sluice_flow */
	uint64_t cookie;	/* of the socket */
	uint32_t pid, uid;	/* of the program that uses the socket */
};

/**
 * struct sluice_packet_rule - a static rule: which packets, and what becomes of them
 * @size: sizeof(struct sluice_packet_rule)
 *
 * As struct sluice_rule: a rule matches a packet that meets every condition, and what
 * is 0 or NULL is no condition.
 */
struct sluice_packet_rule {
	size_t size;
	enum sluice_rule_action action; /* ASK: it comes to `packet`; ALLOW; DROP */
	enum sluice_rule_direction direction; /* of the packet */
	uint8_t protocol;
	uint16_t remote_port, remote_port_last;
	uint16_t local_port, local_port_last;
	const char *remote_address; /* "192.0.2.7", "192.0.2.0/24", "2001:db8::/32" */
	const char *interface;	    /* name, at most 15 bytes */
};

/**
 * sluice_filter_packet_release() - decide about a packet that was delayed
 * @packet_id: of struct sluice_packet, for which `packet` returned SLUICE_PACKET_DELAY
 * @verdict:   SLUICE_PACKET_ALLOW or SLUICE_PACKET_DROP
 *
 * One that was decided by the fail class meanwhile is no error.
 *
 * Since 0.1. Return: as sluice_filter_answer().
 */
SLUICE_API int sluice_filter_packet_release(struct sluice_filter *filter, uint64_t packet_id,
					    enum sluice_packet_verdict verdict);

/**
 * sluice_filter_packet_rules() - rules by which the kernel decides in the filter's place
 * @rules:     copied, with their strings; the first that matches a packet decides
 * @n:         at most SLUICE_PACKET_RULES_MAX
 * @otherwise: what becomes of a packet that no rule matches: ASK (so it is without
 *             rules), ALLOW or DROP
 *
 * They take the place of those of before, as a whole, and are the filter's word: they
 * hold while its process is hung, or dead and being started again. What they drop on its way
 * out is lost, but that send(2) gives EPERM to who sends datagrams, from the second of a
 * flow on. In the start callback: no packet is judged before they are in force.
 *
 * Since 0.1. Return: 0; -EINVAL for a rule that cannot be, or without ops->packet;
 *         -E2BIG for too many, or a newer struct than the library's; -EAGAIN when the
 *         channel is full: call it again later; -ENOMEM; -ESHUTDOWN after a stop.
 */
SLUICE_API int sluice_filter_packet_rules(struct sluice_filter *filter,
					  const struct sluice_packet_rule *rules, size_t n,
					  enum sluice_rule_action otherwise);

#ifdef __cplusplus
}
#endif
#endif
