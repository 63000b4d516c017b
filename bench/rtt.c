/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Round trips of one byte
 *
 *	rtt serve PORT			echoes, one connection after the other, until it is killed
 *	rtt ADDRESS PORT SECONDS	over one connection, each timed; prints one JSON object
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 4000000U
#define PAUSE_US 200 /* as a program that talks, not one that floods */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int go_round(int sock)
{
	char byte = 'e';

	return send(sock, &byte, 1, 0) == 1 && recv(sock, &byte, 1, 0) == 1 ? 0 : -1;
}

static int serve(uint16_t port)
{
	struct sockaddr_in end = { .sin_family = AF_INET, .sin_port = htons(port) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, sock;
	char byte;

	if (bind(listener, (struct sockaddr *)&end, sizeof(end)) < 0 || listen(listener, 8) < 0)
		return 1;
	while ((sock = accept(listener, NULL, NULL)) >= 0) {
		(void)setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		while (recv(sock, &byte, 1, 0) == 1 && send(sock, &byte, 1, 0) == 1)
			;
		close(sock);
	}
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in end = { .sin_family = AF_INET };
	uint32_t *took = calloc(SAMPLES_MAX, sizeof(*took));
	int sock = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	uint64_t until, begun;
	size_t n = 0;

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve((uint16_t)strtoul(argv[2], NULL, 10));
	if (argc != 4 || !took || inet_pton(AF_INET, argv[1], &end.sin_addr) != 1)
		return 2;
	end.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	(void)setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(sock, (struct sockaddr *)&end, sizeof(end)) < 0 || go_round(sock) < 0) {
		perror("rtt");
		return 1;
	}
	until = now_ns() + strtoul(argv[3], NULL, 10) * 1000000000U;
	while (n < SAMPLES_MAX && (begun = now_ns()) < until) {
		if (go_round(sock) < 0)
			return 1;
		took[n++] = (uint32_t)(now_ns() - begun);
		usleep(PAUSE_US);
	}
	qsort(took, n, sizeof(*took), compare);
	printf("{\"n\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", n, took[n / 2] / 1e3,
	       took[n * 99 / 100] / 1e3);
	return 0;
}
