/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Both ends of the connection benchmarks
 *
 *	cps serve PORT                              echoes until it is killed
 *	cps connect ADDRESS PORT SECONDS [THREADS [OPEN [ORDERS]]]
 *						    connect, one byte there and back, close
 *
 * Each thread has one connection at a time. OPEN more are opened before the clock
 * starts, to the ports behind PORT, and stay open. The server answers on both
 * families. It tells the tests apart by the first byte: 'e' is echoed, 's' begins a
 * stream (bench/pulses.c) that is read and thrown away, 'm' one (bench/streams.c) of which it
 * says when each block that begins with an 'e' is there. Prints one JSON object; with
 * ORDERS, a FIFO, says "ready" to standard error, and prints one for each byte that
 * comes through it.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dial.h"

#define N_SAMPLES 1000000U /* connect times kept of each thread; more than any run makes */
#define N_THREADS 64U
#define N_ANSWERING 128U /* threads of the server: connections that it has at once */
#define N_SERVERS 4U	 /* processes, each of which may have so many descriptors only */
#define STREAM_BYTES (256U * 1024)

struct target {
	struct sockaddr_storage end;
	socklen_t n_end;
};

struct load {
	struct target target;
	uint64_t ns; /* of one measurement */
	unsigned int n_threads, n_open;
};

struct worker {
	pthread_t thread;
	const struct target *target;
	uint64_t until_ns;
	uint32_t *took_ns;
	size_t n;
	unsigned int n_resets; /* of connections that were open: a veth pair reorders, rarely */
	const char *failed;    /* the call; with @error */
	int error;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static int fail(const char *what, int error)
{
	fprintf(stderr, "cps: %s: %s\n", what, strerror(error));
	return 1;
}

/* Return: 0 in the child, which ends with us; its pid or -1 here */
static pid_t start_child(void)
{
	pid_t pid = fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* ---- the server ---- */

struct server {
	int listener; /* PORT, shared by all processes */
	int own; /* PORT + 1, 2, …: for what stays open, as each destination has its own ports */
	int left_open; /* epoll: what stays until the peer ends it */
};

static void close_ended(const struct server *server)
{
	struct epoll_event event;

	for (;;)
		if (epoll_wait(server->left_open, &event, 1, -1) == 1)
			close(event.data.fd);
}

static void *keep_open(void *data)
{
	const struct server *server = data;

	for (;;) {
		int fd = accept4(server->own, NULL, NULL, SOCK_CLOEXEC);
		struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

		if (fd >= 0 && epoll_ctl(server->left_open, EPOLL_CTL_ADD, fd, &event) < 0)
			close(fd);
	}
	return NULL;
}

/* Return: as read(2) */
static ssize_t read_block(int fd, char *block)
{
	ssize_t n = 1;

	for (size_t at = 0; n > 0 && at<STREAM_BYTES; at += n> 0 ? (size_t)n : 0)
		n = read(fd, block + at, STREAM_BYTES - at);
	return n;
}

static void answer_blocks(int fd, char *block)
{
	ssize_t n;

	do {
		n = read_block(fd, block);
		if (n > 0 && block[0] == 'e')
			n = write(fd, block, 1);
	} while (n > 0);
}

static void *answer_all(void *data)
{
	const struct server *server = data;
	char *buffer = malloc(STREAM_BYTES);

	while (buffer) {
		int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, buffer, 1);

		if (n == 1 && buffer[0] == 'e')
			n = write(fd, buffer, 1);
		if (n == 1 && buffer[0] == 'm')
			answer_blocks(fd, buffer);
		while (n > 0)
			n = read(fd, buffer, STREAM_BYTES);
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in6 end = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int on = 1, off = 0;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&end, sizeof(end)) < 0 || listen(fd, 4096) < 0)
		return -1;
	return fd;
}

static int serve_here(struct server *server, uint16_t port)
{
	pthread_t thread;

	server->own = listen_on(port);
	if (server->own < 0)
		return fail("listen", errno);
	server->left_open = epoll_create1(EPOLL_CLOEXEC);
	if (pthread_create(&thread, NULL, keep_open, server))
		return fail("pthread_create", ENOMEM);
	for (unsigned int i = 0; i < N_ANSWERING / N_SERVERS; i++)
		if (pthread_create(&thread, NULL, answer_all, server))
			return fail("pthread_create", ENOMEM);
	close_ended(server);
	return 0;
}

static int serve(uint16_t port)
{
	struct server server = { .listener = listen_on(port) };

	if (server.listener < 0)
		return fail("listen", errno);
	for (uint16_t i = 1; i < N_SERVERS; i++)
		if (start_child() == 0)
			return serve_here(&server, port + i);
	return serve_here(&server, port + N_SERVERS);
}

/* ---- the client ---- */

/* reset instead of TIME_WAIT: else the ports run out within seconds */
static void hang_up(int fd)
{
	struct linger at_once = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

static void *connect_often(void *data)
{
	struct worker *worker = data;
	char byte = 'e';

	while (now_ns() < worker->until_ns && worker->n < N_SAMPLES) {
		uint64_t dialled = now_ns();
		int fd = dial((const struct sockaddr *)&worker->target->end, worker->target->n_end);

		if (fd < 0) {
			worker->failed = "connect";
			worker->error = errno;
			break;
		}
		worker->took_ns[worker->n++] = (uint32_t)(now_ns() - dialled);
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			worker->n_resets++;
		hang_up(fd);
	}
	return NULL;
}

static int open_some(const struct target *target, unsigned int n)
{
	struct linger at_once = { .l_onoff = 1 }; /* when we are killed: see hang_up() */

	for (unsigned int i = 0; i < n; i++) {
		int fd = dial((const struct sockaddr *)&target->end, target->n_end);

		if (fd < 0)
			return fail("opening connections that stay", errno);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	}
	return 0;
}

/* in a child, which holds them until we end */
static int open_in_child(const struct target *target, unsigned int n)
{
	int done[2];
	char byte = 0;

	if (pipe(done) < 0)
		return fail("pipe", errno);
	if (start_child() == 0) {
		if (open_some(target, n) || write(done[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(done[1]);
	if (read(done[0], &byte, 1) != 1)
		return 1;
	close(done[0]);
	return 0;
}

static int open_more(const struct target *target, unsigned int n)
{
	struct target other = *target;
	in_port_t *port = target->end.ss_family == AF_INET
				  ? &((struct sockaddr_in *)&other.end)->sin_port
				  : &((struct sockaddr_in6 *)&other.end)->sin6_port;
	uint16_t first = ntohs(*port);

	for (uint16_t i = 1; i <= N_SERVERS; i++) {
		*port = htons((uint16_t)(first + i));
		if (open_in_child(&other, n / N_SERVERS))
			return 1;
	}
	return 0;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Return: how many samples are in @all */
static size_t gather(const struct worker *workers, unsigned int n_threads, uint32_t *all,
		     unsigned int *n_resets)
{
	size_t n = 0;

	*n_resets = 0;
	for (unsigned int i = 0; i < n_threads; i++) {
		memcpy(all + n, workers[i].took_ns, workers[i].n * sizeof(*all));
		n += workers[i].n;
		*n_resets += workers[i].n_resets;
	}
	qsort(all, n, sizeof(*all), by_size);
	return n;
}

static int run_connects(const struct load *load)
{
	static struct worker workers[N_THREADS];
	static uint32_t *all;
	unsigned int n_threads = load->n_threads, n_resets;
	uint64_t began;
	double spent;
	size_t n;

	if (!all)
		all = calloc(n_threads, N_SAMPLES * sizeof(*all));
	began = now_ns();
	for (unsigned int i = 0; i < n_threads; i++) {
		uint32_t *took_ns =
			workers[i].took_ns ? workers[i].took_ns : calloc(N_SAMPLES, sizeof(*all));

		workers[i] = (struct worker){ .target = &load->target,
					      .until_ns = began + load->ns,
					      .took_ns = took_ns };
		if (!all || !workers[i].took_ns ||
		    pthread_create(&workers[i].thread, NULL, connect_often, &workers[i]))
			return fail("starting a thread", ENOMEM);
	}
	for (unsigned int i = 0; i < n_threads; i++)
		pthread_join(workers[i].thread, NULL);
	spent = (double)(now_ns() - began) / 1e9;
	for (unsigned int i = 0; i < n_threads; i++)
		if (workers[i].failed)
			return fail(workers[i].failed, workers[i].error);
	n = gather(workers, n_threads, all, &n_resets);
	if (!n)
		return fail("connect", ETIMEDOUT);
	printf("{\"n\": %zu, \"per_s\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"resets\": %u}\n",
	       n, (double)n / spent, all[n / 2] / 1e3, all[n * 99 / 100] / 1e3, n_resets);
	return 0;
}

static int parse_end(const char *address, const char *port, struct target *ret_target)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&ret_target->end;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret_target->end;
	uint16_t n = htons((uint16_t)strtoul(port, NULL, 10));

	if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = n;
		ret_target->n_end = sizeof(*in);
		return 0;
	}
	if (inet_pton(AF_INET6, address, &in6->sin6_addr) != 1)
		return -EINVAL;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = n;
	ret_target->n_end = sizeof(*in6);
	return 0;
}

/* Return: 0 when nobody can send orders any more */
static int obey(const char *path, const struct load *load)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
	char order;

	if (fd < 0)
		return fail(path, errno);
	fputs("ready\n", stderr);
	while (r == 0 && read(fd, &order, 1) == 1) {
		r = run_connects(load);
		fflush(stdout);
	}
	close(fd);
	return r;
}

static bool parse_load(int argc, char **argv, struct load *ret_load)
{
	*ret_load = (struct load){ .n_threads = 1 };
	if (argc < 5 || argc > 8 || parse_end(argv[2], argv[3], &ret_load->target) < 0)
		return false;
	ret_load->ns = (uint64_t)(strtod(argv[4], NULL) * 1e9);
	if (argc > 5)
		ret_load->n_threads = (unsigned int)strtoul(argv[5], NULL, 10);
	if (argc > 6)
		ret_load->n_open = (unsigned int)strtoul(argv[6], NULL, 10);
	return ret_load->n_threads >= 1 && ret_load->n_threads <= N_THREADS;
}

int main(int argc, char **argv)
{
	struct load load;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve((uint16_t)strtoul(argv[2], NULL, 10));
	if (!parse_load(argc, argv, &load)) {
		fputs("usage: cps serve PORT | "
		      "cps connect ADDRESS PORT SECONDS [THREADS [OPEN [ORDERS]]]\n",
		      stderr);
		return 2;
	}
	if (open_more(&load.target, load.n_open))
		return 1;
	return argc > 7 ? obey(argv[7], &load) : run_connects(&load);
}
