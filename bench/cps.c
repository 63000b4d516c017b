/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Both ends of the connection benchmarks
 *
 *	cps serve PORT                          echoes until it is killed
 *	cps connect ADDRESS PORT SECONDS        connect, one byte there and back, close
 *	cps stream ADDRESS PORT SECONDS         one connection, as fast as it goes
 *
 * One thread, one connection at a time. The server answers on both families.
 * It tells the two tests apart by the first byte: 'e' is echoed, 's' begins a
 * stream that is read and thrown away. Prints one JSON object.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define N_SAMPLES 4000000U /* connect times kept; more than any run makes */
#define STREAM_BYTES (256U * 1024)

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static int fail(const char *what)
{
	fprintf(stderr, "cps: %s: %s\n", what, strerror(errno));
	return 1;
}

static void answer(int fd)
{
	static char buffer[STREAM_BYTES];
	ssize_t n = read(fd, buffer, 1);

	if (n == 1 && buffer[0] == 'e')
		n = write(fd, buffer, 1);
	while (n > 0)
		n = read(fd, buffer, sizeof(buffer));
}

static int serve(uint16_t port)
{
	struct sockaddr_in6 end = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int on = 1, off = 0;
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0)
		return fail("socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(listener, (struct sockaddr *)&end, sizeof(end)) < 0 || listen(listener, 4096) < 0)
		return fail("listen");
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		answer(fd);
		close(fd);
	}
}

static int dial(const struct sockaddr_storage *end, socklen_t n)
{
	int fd = socket(end->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)end, n) < 0)
		return -1; /* the program ends then */
	return fd;
}

/* reset instead of TIME_WAIT: else the ports run out within seconds */
static void hang_up(int fd)
{
	struct linger at_once = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int run_connects(const struct sockaddr_storage *end, socklen_t n_end, uint64_t seconds)
{
	static uint32_t took_ns[N_SAMPLES];
	uint64_t began = now_ns(), until = began + seconds * 1000000000U;
	size_t n = 0;
	char byte = 'e';
	double spent;

	while (now_ns() < until && n < N_SAMPLES) {
		uint64_t dialled = now_ns();
		int fd = dial(end, n_end);

		if (fd < 0)
			return fail("connect");
		took_ns[n++] = (uint32_t)(now_ns() - dialled);
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			return fail("echo");
		hang_up(fd);
	}
	spent = (double)(now_ns() - began) / 1e9;
	qsort(took_ns, n, sizeof(*took_ns), by_size);
	printf("{\"n\": %zu, \"per_s\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", n,
	       (double)n / spent, took_ns[n / 2] / 1e3, took_ns[n * 99 / 100] / 1e3);
	return 0;
}

static int run_stream(const struct sockaddr_storage *end, socklen_t n_end, uint64_t seconds)
{
	static char buffer[STREAM_BYTES] = "s";
	uint64_t n_bytes = 0, began, until;
	int fd = dial(end, n_end);

	if (fd < 0)
		return fail("connect");
	/* BBR paces: its figure would be the pacing's. Not every kernel offers a choice */
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
	began = now_ns();
	until = began + seconds * 1000000000U;
	while (now_ns() < until) {
		ssize_t n = write(fd, buffer, sizeof(buffer));

		if (n < 0)
			return fail("write");
		n_bytes += (uint64_t)n;
	}
	printf("{\"bytes\": %llu, \"gbit_s\": %.2f}\n", (unsigned long long)n_bytes,
	       (double)n_bytes * 8 / (double)(now_ns() - began));
	close(fd);
	return 0;
}

static int parse_end(const char *address, const char *port, struct sockaddr_storage *ret_end)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret_end;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_end;
	uint16_t n = htons((uint16_t)strtoul(port, NULL, 10));

	if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = n;
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, address, &in6->sin6_addr) != 1)
		return -EINVAL;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = n;
	return sizeof(*in6);
}

int main(int argc, char **argv)
{
	struct sockaddr_storage end = { 0 };
	int n;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve((uint16_t)strtoul(argv[2], NULL, 10));
	if (argc != 5 || (n = parse_end(argv[2], argv[3], &end)) < 0) {
		fputs("usage: cps serve PORT | cps connect|stream ADDRESS PORT SECONDS\n", stderr);
		return 2;
	}
	if (!strcmp(argv[1], "stream"))
		return run_stream(&end, (socklen_t)n, strtoul(argv[4], NULL, 10));
	return run_connects(&end, (socklen_t)n, strtoul(argv[4], NULL, 10));
}
