/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A bench for the programs of bpf/
 *
 * The programs are loaded into the running kernel and called on packets made
 * here (BPF_PROG_TEST_RUN); nothing is attached and no packet leaves. The maps
 * are private to this process and filled from here.
 *
 * A test run takes the Ethernet header off before the program sees the packet,
 * so lab_run() puts one in front: as in netfilter, offset 0 is the IP header.
 *
 * A test run has a socket of its own, whose cookie is made when the program
 * asks. Cookies of one processor are consecutive, so the cookie that comes
 * next is known to whoever has just made one on the same processor; see
 * lab_run_as().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/sluice-abi.h"

#define LAB_PACKET_BYTES 512U
#define LAB_PAYLOAD 11U /* bytes behind each transport header made here */

struct lab_packet {
	uint8_t bytes[LAB_PACKET_BYTES];
	size_t n;
	size_t n_headers; /* IP and extension headers, before the transport header */
};

/** struct lab_ends - as it stands in the packet; ICMP: sport is the identifier */
struct lab_ends {
	const char *src, *dst; /* both IPv4 or both IPv6 */
	uint16_t sport, dport;
	uint8_t proto;
};

struct bpf_object;
struct lab;

/** lab_new() - Return: 0, or a negative errno when BPF cannot be loaded here */
int lab_new(struct lab **ret_lab);
struct lab *lab_free(struct lab *lab);

/** lab_object() - what is loaded, for tests that attach it */
struct bpf_object *lab_object(struct lab *lab);

/** lab_map() - a map's descriptor; ends the process when there is no such map */
int lab_map(struct lab *lab, const char *name);

/** lab_empty() - removes every entry of a hash map */
void lab_empty(struct lab *lab, const char *name);

/** lab_clear() - empties every map that a program of ours writes */
void lab_clear(struct lab *lab);

/** lab_n_entries() - how many entries a hash map has */
size_t lab_n_entries(struct lab *lab, const char *name);

/** lab_run() - what the program returns. Return: 0 or 1, or a negative errno. */
int lab_run(struct lab *lab, const char *program, const struct lab_packet *packet);

/**
 * lab_run_as() - the same, on a packet of a socket whose cookie is known before
 * @prepare_fn: fills the maps for that cookie; called once for each attempt
 *
 * Only for runs in which the program asks for the cookie.
 *
 * Return: as lab_run(), -EAGAIN when the cookie was never the foreseen one.
 */
typedef void (*lab_prepare_fn)(struct lab *lab, uint64_t cookie, void *data);
int lab_run_as(struct lab *lab, const char *program, const struct lab_packet *packet,
	       lab_prepare_fn prepare_fn, void *data, uint64_t *ret_cookie);

/** lab_each_program() - name and size as verified of every program loaded */
typedef void (*lab_program_fn)(const char *name, unsigned int n_verified, void *data);
int lab_each_program(struct lab *lab, lab_program_fn fn, void *data);

/** lab_address() - 16 bytes as abi/sluice-abi.h writes addresses */
void lab_address(const char *text, uint8_t to[16]);

/** lab_ipv4() - a packet with @n_options bytes (times of 4) of IP options */
void lab_ipv4(struct lab_packet *packet, const struct lab_ends *ends, size_t n_options);

/** lab_ipv6() - a packet with extension headers of the kinds of @kinds, each 8 bytes or 16 */
void lab_ipv6(struct lab_packet *packet, const struct lab_ends *ends, const uint8_t *kinds,
	      size_t n_kinds);
