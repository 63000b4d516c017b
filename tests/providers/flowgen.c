/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Makes flows and says what the application saw
 *
 *	flowgen tcp|udp|udp-once|icmp ADDRESS PORT COUNT [STRIDE [TIMEOUT_MS [parallel]]]
 *
 * Flow i goes to ADDRESS + i % STRIDE (STRIDE 1: always ADDRESS). tcp: a
 * connect(2), then close. udp: a connected datagram, then the answer or the
 * error. udp-once: one unconnected sendto(2), and nothing is waited for.
 * icmp: an echo request on a connected ping socket. `parallel` begins all
 * flows (tcp only) before it waits for the first.
 *
 * Prints one JSON object: how often each errno came (0: it worked; ETIMEDOUT
 * also when nothing came within TIMEOUT_MS), and how long it took.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define N_ERRNO 134
#define N_PARALLEL 1000

struct job {
	struct sockaddr_storage first;
	socklen_t n_first;
	unsigned long stride, count;
	int timeout_ms;
	unsigned long by_errno[N_ERRNO];
	uint32_t *took_us;
	unsigned long n_done;
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int parse_end(const char *address, const char *port, struct job *job)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&job->first;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&job->first;
	uint16_t n = htons((uint16_t)strtoul(port, NULL, 10));

	if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = n;
		job->n_first = sizeof(*in);
		return 0;
	}
	if (inet_pton(AF_INET6, address, &in6->sin6_addr) != 1)
		return -EINVAL;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = n;
	job->n_first = sizeof(*in6);
	return 0;
}

/* the end of flow @i: the last four bytes of the address count up */
static struct sockaddr_storage end_of(const struct job *job, unsigned long i)
{
	struct sockaddr_storage end = job->first;
	uint8_t *last = end.ss_family == AF_INET
				? (uint8_t *)&((struct sockaddr_in *)&end)->sin_addr
				: ((struct sockaddr_in6 *)&end)->sin6_addr.s6_addr + 12;
	uint32_t n;

	memcpy(&n, last, sizeof(n));
	n = htonl(ntohl(n) + (uint32_t)(i % job->stride));
	memcpy(last, &n, sizeof(n));
	return end;
}

static void record(struct job *job, int error, uint64_t began_us)
{
	job->by_errno[error < N_ERRNO ? error : 0]++;
	job->took_us[job->n_done++] = (uint32_t)(now_us() - began_us);
}

static int wait_for(const struct job *job, int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, job->timeout_ms) > 0 ? 0 : ETIMEDOUT;
}

static int socket_error(int fd)
{
	int error = 0;
	socklen_t n = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 ? errno : error;
}

static int begin_tcp(const struct job *job, unsigned long i, int *ret_fd)
{
	struct sockaddr_storage end = end_of(job, i);
	int fd = socket(end.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	*ret_fd = fd;
	if (connect(fd, (const struct sockaddr *)&end, job->n_first) < 0 && errno != EINPROGRESS)
		return errno;
	return 0;
}

static int end_tcp(const struct job *job, int fd)
{
	int error = wait_for(job, fd, POLLOUT);

	return error ? error : socket_error(fd);
}

static int one_tcp(const struct job *job, unsigned long i, int *ret_fd)
{
	int error = begin_tcp(job, i, ret_fd);

	return error ? error : end_tcp(job, *ret_fd);
}

/* one message on a connected socket: its answer, or the error that came instead */
static int exchange(const struct job *job, unsigned long i, int type, int protocol,
		    const void *message, size_t n_message, int *ret_fd)
{
	struct sockaddr_storage end = end_of(job, i);
	char answer[256];
	int fd = socket(end.ss_family, type | SOCK_CLOEXEC, protocol);
	int error;

	if (fd < 0)
		return errno;
	*ret_fd = fd;
	if (connect(fd, (const struct sockaddr *)&end, job->n_first) < 0 ||
	    send(fd, message, n_message, 0) < 0)
		return errno;
	error = wait_for(job, fd, POLLIN);
	if (error)
		return error;
	return recv(fd, answer, sizeof(answer), 0) < 0 ? errno : 0;
}

static int one_udp(const struct job *job, unsigned long i, int *ret_fd)
{
	return exchange(job, i, SOCK_DGRAM, 0, "x", 1, ret_fd);
}

static int one_udp_once(const struct job *job, unsigned long i, int *ret_fd)
{
	struct sockaddr_storage end = end_of(job, i);
	int fd = socket(end.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	*ret_fd = fd;
	return sendto(fd, "x", 1, 0, (const struct sockaddr *)&end, job->n_first) < 0 ? errno : 0;
}

static int one_icmp(const struct job *job, unsigned long i, int *ret_fd)
{
	bool is_v4 = job->first.ss_family == AF_INET;
	uint8_t echo[16] = { [0] = is_v4 ? ICMP_ECHO : 128 };

	return exchange(job, i, SOCK_DGRAM, is_v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, echo,
			sizeof(echo), ret_fd);
}

static void run_each(struct job *job, int (*one)(const struct job *, unsigned long, int *))
{
	for (unsigned long i = 0; i < job->count; i++) {
		uint64_t began_us = now_us();
		int fd = -1;
		int error = one(job, i, &fd);

		record(job, error, began_us);
		if (fd >= 0)
			close(fd);
	}
}

static void run_parallel(struct job *job)
{
	uint64_t began_us = now_us();
	int fds[N_PARALLEL], errors[N_PARALLEL];

	for (unsigned long i = 0; i < job->count; i++) {
		fds[i] = -1;
		errors[i] = begin_tcp(job, i, &fds[i]);
	}
	for (unsigned long i = 0; i < job->count; i++)
		record(job, errors[i] ? errors[i] : end_tcp(job, fds[i]), began_us);
	for (unsigned long i = 0; i < job->count; i++)
		close(fds[i]);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void print_result(struct job *job)
{
	const char *comma = "";

	qsort(job->took_us, job->n_done, sizeof(job->took_us[0]), by_size);
	printf("{\"pid\": %d, \"count\": %lu, \"errors\": {", getpid(), job->n_done);
	for (int e = 0; e < N_ERRNO; e++) {
		if (!job->by_errno[e])
			continue;
		printf("%s\"%s\": %lu", comma, e ? strerrorname_np(e) : "0", job->by_errno[e]);
		comma = ", ";
	}
	printf("}, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u}\n",
	       job->took_us[job->n_done / 2], job->took_us[job->n_done * 99 / 100],
	       job->took_us[job->n_done - 1]);
}

static const struct {
	const char *name;
	int (*one)(const struct job *job, unsigned long i, int *ret_fd);
} kinds[] = {
	{ "tcp", one_tcp },
	{ "udp", one_udp },
	{ "udp-once", one_udp_once },
	{ "icmp", one_icmp },
};

static int usage(void)
{
	fputs("usage: flowgen tcp|udp|udp-once|icmp ADDRESS PORT COUNT "
	      "[STRIDE [TIMEOUT_MS [parallel]]]\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct job job = { .stride = 1, .timeout_ms = 10000 };
	bool is_parallel = argc > 7;
	size_t kind = 0;

	if (argc < 5 || parse_end(argv[2], argv[3], &job) < 0)
		return usage();
	while (kind < sizeof(kinds) / sizeof(kinds[0]) && strcmp(argv[1], kinds[kind].name))
		kind++;
	job.count = strtoul(argv[4], NULL, 10);
	if (argc > 5)
		job.stride = strtoul(argv[5], NULL, 10);
	if (argc > 6)
		job.timeout_ms = (int)strtoul(argv[6], NULL, 10);
	if (kind == sizeof(kinds) / sizeof(kinds[0]) || !job.count || !job.stride ||
	    (is_parallel && (kind || job.count > N_PARALLEL)))
		return usage();
	job.took_us = calloc(job.count, sizeof(job.took_us[0]));
	if (!job.took_us)
		return 1;
	if (is_parallel)
		run_parallel(&job);
	else
		run_each(&job, kinds[kind].one);
	print_result(&job);
	free(job.took_us);
	return 0;
}
