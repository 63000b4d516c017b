/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dial.h"

static const uint8_t HELLO[] = { 5, 1, 0 }, WELCOME[] = { 5, 0 };

static int connect_to(const struct sockaddr *to, socklen_t n_to)
{
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, to, n_to) < 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static bool read_all(int fd, uint8_t *bytes, size_t n)
{
	return recv(fd, bytes, n, MSG_WAITALL) == (ssize_t)n;
}

/* Return: bytes in @request */
static size_t put_request(const struct sockaddr *to, uint8_t request[22])
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)to;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)to;
	bool is_4 = to->sa_family == AF_INET;
	size_t n = is_4 ? 4 : 16;

	memcpy(request, (uint8_t[]){ 5, 1, 0, is_4 ? 1 : 4 }, 4);
	memcpy(request + 4, is_4 ? (const void *)&in->sin_addr : &in6->sin6_addr, n);
	memcpy(request + 4 + n, is_4 ? &in->sin_port : &in6->sin6_port, 2);
	return 4 + n + 2;
}

/* Return: has the server connected us? */
static bool ask(int fd, const struct sockaddr *to)
{
	uint8_t answer[16], request[22];
	size_t n = put_request(to, request);

	return write(fd, HELLO, sizeof(HELLO)) == sizeof(HELLO) &&
	       read_all(fd, answer, sizeof(WELCOME)) && !memcmp(answer, WELCOME, sizeof(WELCOME)) &&
	       write(fd, request, n) == (ssize_t)n && read_all(fd, answer, 4) && answer[1] == 0 &&
	       read_all(fd, answer, answer[3] == 1 ? 4 : 16) && read_all(fd, answer, 2);
}

static int dial_by(const char *server, const struct sockaddr *to)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	char address[INET_ADDRSTRLEN];
	unsigned int port;
	int fd;

	if (sscanf(server, "%15[0-9.]:%u", address, &port) != 2 ||
	    inet_pton(AF_INET, address, &in.sin_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	in.sin_port = htons((uint16_t)port);
	fd = connect_to((struct sockaddr *)&in, sizeof(in));
	if (fd >= 0 && !ask(fd, to)) {
		close(fd);
		errno = ECONNREFUSED;
		return -1;
	}
	return fd;
}

int dial(const struct sockaddr *to, socklen_t n_to)
{
	const char *server = getenv("SOCKS");

	return server ? dial_by(server, to) : connect_to(to, n_to);
}
