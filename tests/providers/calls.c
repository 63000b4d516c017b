/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: System calls that Python does not have
 *
 *	calls connect|send|sendmsg|sendzc ADDRESS PORT	by io_uring
 *	calls sq-connect|sq-send|… ADDRESS PORT		the same, by the kernel's thread (SQPOLL)
 *	calls sendmmsg PORT ADDRESS…			a datagram to each by one call, and again
 *							after half a second
 *
 * Prints the name of the error of the call, or how much it did.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RING_BYTES 4096 /* a ring of one entry fits */
#define MESSAGES_MAX 16
#define PAUSE_US 500000
#define OP_SEND_ZC 47 /* linux 6.0 */

struct ring {
	int fd;
	struct io_uring_params params;
	char *rings; /* both: IORING_FEAT_SINGLE_MMAP */
	struct io_uring_sqe *sqe;
};

static int say(long result)
{
	if (result < 0)
		puts(strerrorname_np((int)-result));
	else
		printf("%ld\n", result);
	return 0;
}

static bool ring_open(struct ring *ring, bool has_thread)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;

	memset(ring, 0, sizeof(*ring));
	if (has_thread)
		ring->params.flags = IORING_SETUP_SQPOLL;
	ring->fd = (int)syscall(SYS_io_uring_setup, 1, &ring->params);
	if (ring->fd < 0)
		return false;
	ring->rings = mmap(NULL, RING_BYTES, prot, flags, ring->fd, IORING_OFF_SQ_RING);
	ring->sqe = mmap(NULL, sizeof(*ring->sqe), prot, flags, ring->fd, IORING_OFF_SQES);
	return ring->rings != MAP_FAILED && ring->sqe != MAP_FAILED;
}

static _Atomic uint32_t *at(const struct ring *ring, uint32_t offset)
{
	return (_Atomic uint32_t *)(void *)(ring->rings + offset);
}

/* its one entry; Return: what the operation did, or negative errno */
static long ring_run(struct ring *ring)
{
	const struct io_uring_cqe *cqe = (void *)(ring->rings + ring->params.cq_off.cqes);
	unsigned int flags = IORING_ENTER_GETEVENTS;

	if (ring->params.flags & IORING_SETUP_SQPOLL)
		flags |= IORING_ENTER_SQ_WAKEUP;
	*at(ring, ring->params.sq_off.array) = 0;
	atomic_fetch_add(at(ring, ring->params.sq_off.tail), 1);
	if (syscall(SYS_io_uring_enter, ring->fd, 1, 1, flags, NULL, 0) < 0)
		return -errno;
	return cqe->res;
}

static socklen_t read_address(const char *text, const char *port, struct sockaddr_storage *to)
{
	struct sockaddr_in *four = (void *)to;
	struct sockaddr_in6 *six = (void *)to;

	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)strtoul(port, NULL, 10));
		return sizeof(*four);
	}
	inet_pton(AF_INET6, text, &six->sin6_addr);
	six->sin6_family = AF_INET6;
	six->sin6_port = htons((uint16_t)strtoul(port, NULL, 10));
	return sizeof(*six);
}

static int by_ring(const char *kind, const char *address, const char *port)
{
	bool has_thread = strncmp(kind, "sq-", 3) == 0, is_connect;
	static char byte[] = "x";
	struct sockaddr_storage to;
	socklen_t n = read_address(address, port, &to);
	struct iovec part = { byte, 1 };
	struct msghdr message = { &to, n, &part, 1, NULL, 0, 0 };
	struct ring ring;

	kind += has_thread ? 3 : 0;
	is_connect = strcmp(kind, "connect") == 0;
	if (!ring_open(&ring, has_thread))
		return say(-errno);
	memset(ring.sqe, 0, sizeof(*ring.sqe));
	ring.sqe->fd = socket(to.ss_family, is_connect ? SOCK_STREAM : SOCK_DGRAM, 0);
	ring.sqe->addr = (uintptr_t)byte;
	ring.sqe->len = 1;
	if (is_connect) {
		ring.sqe->opcode = IORING_OP_CONNECT;
		ring.sqe->addr = (uintptr_t)&to;
		ring.sqe->len = 0;
		ring.sqe->off = n;
	} else if (strcmp(kind, "sendmsg") == 0) {
		ring.sqe->opcode = IORING_OP_SENDMSG;
		ring.sqe->addr = (uintptr_t)&message;
	} else if (strcmp(kind, "sendzc") == 0) {
		ring.sqe->opcode = OP_SEND_ZC; /* with an address of its own */
		ring.sqe->off = (uintptr_t)&to;
		ring.sqe->file_index = n; /* addr_len: its low 16 bits */
	} else {
		ring.sqe->opcode = IORING_OP_SEND;
		if (connect(ring.sqe->fd, (struct sockaddr *)&to, n) < 0)
			return say(-errno);
	}
	return say(ring_run(&ring));
}

static int sendmmsg_to(const char *port, char **addresses, int n)
{
	struct sockaddr_storage to[MESSAGES_MAX];
	struct mmsghdr messages[MESSAGES_MAX];
	static char byte[] = "x";
	struct iovec part = { byte, 1 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), sent;

	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < n && i < MESSAGES_MAX; i++) {
		struct msghdr *message = &messages[i].msg_hdr;

		message->msg_name = &to[i];
		message->msg_namelen = read_address(addresses[i], port, &to[i]);
		message->msg_iov = &part;
		message->msg_iovlen = 1;
	}
	sent = sendmmsg(fd, messages, (unsigned int)n, 0);
	say(sent < 0 ? -errno : sent);
	usleep(PAUSE_US);
	sent = sendmmsg(fd, messages, (unsigned int)n, 0);
	return say(sent < 0 ? -errno : sent);
}

int main(int argc, char **argv)
{
	if (argc >= 4 && strcmp(argv[1], "sendmmsg") == 0)
		return sendmmsg_to(argv[2], argv + 3, argc - 3);
	if (argc == 4)
		return by_ring(argv[1], argv[2], argv[3]);
	fputs("usage: calls OPERATION ADDRESS PORT\n", stderr);
	return 2;
}
