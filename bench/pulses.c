/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: One connection's stream, in turns
 *
 *	pulses ADDRESS PORT
 *
 * For each line of the standard input it sends for so many milliseconds, as fast as it
 * goes, to a `cps serve`, and prints a JSON object when the peer has all of it. Without
 * a line it has connected, no more.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STREAM_BYTES (256U * 1024)

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static int fail(const char *what, int error)
{
	fprintf(stderr, "pulses: %s: %s\n", what, strerror(error));
	return 1;
}

/* Return: a connection, or a negative errno */
static int dial(const char *address, const char *port)
{
	struct sockaddr_in end = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
	int fd;

	if (inet_pton(AF_INET, address, &end.sin_addr) != 1)
		return -EINVAL;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&end, sizeof(end)) < 0)
		return -errno;
	return fd;
}

/* until the peer has acknowledged all */
static void drain(int fd)
{
	const struct timespec pause = { .tv_nsec = 20000 };
	int n = 0;

	while (ioctl(fd, SIOCOUTQ, &n) == 0 && n > 0)
		nanosleep(&pause, NULL);
}

static int pulse(int fd, uint64_t ns)
{
	static char buffer[STREAM_BYTES] = "s";
	uint64_t began = now_ns(), n_bytes = 0;

	while (now_ns() < began + ns) {
		ssize_t n = write(fd, buffer, sizeof(buffer));

		if (n < 0)
			return fail("write", errno);
		n_bytes += (uint64_t)n;
	}
	drain(fd);
	printf("{\"bytes\": %llu, \"gbit_s\": %.3f}\n", (unsigned long long)n_bytes,
	       (double)n_bytes * 8 / (double)(now_ns() - began));
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	char line[32];
	int fd, r = 0;

	if (argc != 3) {
		fputs("usage: pulses ADDRESS PORT\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	fd = dial(argv[1], argv[2]);
	if (fd < 0)
		return fail("connect", -fd);
	while (r == 0 && fgets(line, sizeof(line), stdin))
		r = pulse(fd, strtoul(line, NULL, 10) * 1000000U);
	close(fd);
	return r;
}
