/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Streams of several connections, in turns, to their far ends
 *
 *	streams ADDRESS PORT N
 *
 * For each line of the standard input it sends on N connections for so many milliseconds, as
 * fast as it goes, to a `cps serve`, and prints a JSON object when the server has said on each
 * that it has all of it. So nothing is counted that is still on its way, in whatever stands
 * between the two: a relay has megabytes in its buffers (bench/pulses.c asks the own kernel).
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dial.h"

#define BLOCK_BYTES                                                                                \
	(256U * 1024) /* of bench/cps.c: the first byte says whether it is the last one */
#define N_MOST 1000U

struct stream {
	uint32_t at; /* in the block */
	bool is_last, has_answer;
};

static struct pollfd fds[N_MOST];
static struct stream streams[N_MOST];

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static int fail(const char *what, int error)
{
	fprintf(stderr, "streams: %s: %s\n", what, strerror(error));
	return 1;
}

/* Return: a connection, or a negative errno */
static int begin(const char *address, const char *port)
{
	struct sockaddr_in end = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
	int fd;

	if (inet_pton(AF_INET, address, &end.sin_addr) != 1)
		return -EINVAL;
	fd = dial((const struct sockaddr *)&end, sizeof(end));
	if (fd < 0 || write(fd, "m", 1) != 1 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return fd;
}

/* Return: bytes, or a negative errno */
static ssize_t send_some(unsigned int i, bool is_over)
{
	static char block[BLOCK_BYTES] = "s", last[BLOCK_BYTES] = "e";
	struct stream *stream = &streams[i];
	ssize_t n;

	if (stream->at == 0)
		stream->is_last = is_over;
	n = write(fds[i].fd, (stream->is_last ? last : block) + stream->at,
		  BLOCK_BYTES - stream->at);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	stream->at = (stream->at + (uint32_t)n) % BLOCK_BYTES;
	if (stream->is_last && stream->at == 0)
		fds[i].events = POLLIN;
	return n;
}

/* Return: 1 when the server has all, 0, or a negative errno */
static int hear(unsigned int i)
{
	char byte;
	ssize_t n = read(fds[i].fd, &byte, 1);

	if (n != 1)
		return n < 0 ? -errno : -ECONNRESET;
	streams[i].has_answer = true;
	fds[i].events = 0;
	return 1;
}

static int pulse(unsigned int n, uint64_t ns)
{
	uint64_t began = now_ns(), n_bytes = 0;
	unsigned int n_answers = 0;

	for (unsigned int i = 0; i < n; i++) {
		streams[i] = (struct stream){ 0 };
		fds[i].events = POLLOUT;
	}
	while (n_answers < n) {
		bool is_over = now_ns() >= began + ns;

		if (poll(fds, n, -1) < 0)
			return fail("poll", errno);
		for (unsigned int i = 0; i < n; i++) {
			ssize_t r = 0;

			if (!fds[i].revents)
				continue;
			if (fds[i].events & POLLIN)
				n_answers += (r = hear(i)) > 0;
			else
				n_bytes += (uint64_t)((r = send_some(i, is_over)) > 0 ? r : 0);
			if (r < 0)
				return fail("a stream", (int)-r);
		}
	}
	printf("{\"bytes\": %llu, \"gbit_s\": %.3f}\n", (unsigned long long)n_bytes,
	       (double)n_bytes * 8 / (double)(now_ns() - began));
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int n = argc == 4 ? (unsigned int)strtoul(argv[3], NULL, 10) : 0;
	char line[32];
	int r = 0;

	if (n < 1 || n > N_MOST) {
		fputs("usage: streams ADDRESS PORT N\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	for (unsigned int i = 0; i < n; i++) {
		fds[i].fd = begin(argv[1], argv[2]);
		if (fds[i].fd < 0)
			return fail("connect", -fds[i].fd);
	}
	while (r == 0 && fgets(line, sizeof(line), stdin))
		r = pulse(n, strtoul(line, NULL, 10) * 1000000U);
	return r;
}
