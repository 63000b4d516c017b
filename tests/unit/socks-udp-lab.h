/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Flows of UDP by a proxy that is the test
 *
 * The programs' sockets are those of one machine, each told by its number; their peers are
 * 192.0.2.0/24, port 53. Addresses of BND.ADDR are of IPv4.
 */

#include <netinet/in.h>

#include "socks-flows-lab.h"

#define BYTES(text) (text), sizeof(text) - 1
#define HELLO "\x05\x01\x00"
#define GO_ON "\x05\x00"
#define REQUEST "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"
#define NO_COMMAND "\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"
#define HEAD "\x00\x00\x00\x01"
#define PEER HEAD "\xc0\x00\x02"
#define PORT "\x00\x35"

/* a proxy's side of an association */
struct udp_side {
	int control, relay;
	struct sockaddr_in client; /* who sent to it last */
};

/* a flow of socket 1 with 192.0.2.7, which is opened */
struct udp_one {
	uint64_t id;
	struct udp_side side;
};

/** udp_try() - a program sends from @socket, 0: nobody knows, to 192.0.2.@last, whose name is @host or
 *  not known. Return: as flows_begin() */
int udp_try(uint64_t socket, uint8_t last, const char *host, uint64_t *ret_id);
/** udp_begin() - and it is taken. Return: its id */
uint64_t udp_begin(uint64_t socket, uint8_t last, const char *host);

/** udp_bind_relay() - a socket on loopback. Return: the caller's */
int udp_bind_relay(uint16_t *ret_port);
/** udp_associate() - proxy @number does what it is asked for, and names @bound. Return: for udp_leave() */
struct udp_side udp_associate(unsigned int number, const char *bound);
void udp_leave(struct udp_side *side);
/** udp_stand() - all of it, by proxy @number */
struct udp_one udp_stand(unsigned int number);

/** udp_open() - the flow's descriptor comes. Return: the program's end of it, the caller's */
int udp_open(uint64_t id);
/** udp_expect_opened() - that is the next answer */
void udp_expect_opened(uint64_t id);

/** udp_expect_up() - this datagram comes to the proxy next */
void udp_expect_up(struct udp_side *side, const void *bytes, size_t n);
/** udp_send_down() - by @fd, to who sent last */
void udp_send_down(const struct udp_side *side, int fd, const void *bytes, size_t n);
/** udp_expect_down() - this datagram comes to the program next */
void udp_expect_down(int program, const void *bytes, size_t n);
void udp_expect_nothing(int fd);
