/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BENCH_DIAL_H
#define BENCH_DIAL_H

#include <sys/socket.h>

/**
 * dial() - a TCP connection, as a program of a benchmark makes it
 *
 * With SOCKS=ADDRESS:PORT (IPv4) in the environment it goes by that SOCKS5 server, as that of a
 * program does which knows of one.
 *
 * Return: a blocking descriptor, or -1 with errno; of what the server refuses: ECONNREFUSED
 */
int dial(const struct sockaddr *to, socklen_t n_to);

#endif
