/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Fetches by HTTP/1.0 with the C library alone, for a build without a dynamic linker
 *
 *	static-fetch HOST PORT PATH
 *
 * Scenario 171 builds it with musl-gcc -static: nothing can be preloaded into it. The answer's head
 * and body go to standard output. It exits with the errno of what failed, and 200 for a host that is
 * not resolved.
 */

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOT_RESOLVED 200

/* Return: 0 or an errno */
static int copy(int from, int to)
{
	char bytes[16384];
	ssize_t n;

	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		for (ssize_t at = 0, r; at < n; at += r) {
			r = write(to, bytes + at, (size_t)(n - at));
			if (r < 0)
				return errno;
		}
	return n < 0 ? errno : 0;
}

static int fetch(const struct addrinfo *address, const char *host, const char *path)
{
	int fd = socket(address->ai_family, SOCK_STREAM, 0), r;

	if (fd < 0 || connect(fd, address->ai_addr, address->ai_addrlen) < 0 ||
	    dprintf(fd, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path, host) < 0)
		r = errno;
	else
		r = copy(fd, STDOUT_FILENO);
	if (fd >= 0)
		close(fd);
	return r;
}

int main(int argc, char **argv)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *address;
	int r;

	if (argc != 4) {
		fputs("usage: static-fetch HOST PORT PATH\n", stderr);
		return 255;
	}
	if (getaddrinfo(argv[1], argv[2], &hints, &address))
		return NOT_RESOLVED;
	r = fetch(address, argv[1], argv[3]);
	freeaddrinfo(address);
	return r;
}
