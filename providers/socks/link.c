/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link.h"

/* Return: bytes, 0 at the end, -errno */
static ssize_t receive(int fd, void *bytes, size_t n, int flags)
{
	ssize_t r = recv(fd, bytes, n, flags | MSG_DONTWAIT);

	return r < 0 ? -errno : r;
}

static ssize_t transmit(int fd, const void *bytes, size_t n)
{
	ssize_t r = send(fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	return r < 0 ? -errno : r;
}

int link_flush(struct link *link)
{
	const uint8_t *bytes;
	size_t n;

	while (link->tls && (bytes = tls_output(link->tls, &n), n > 0)) {
		ssize_t r = transmit(link->fd, bytes, n);

		if (r < 0)
			return (int)r;
		tls_sent(link->tls, (size_t)r);
	}
	return 0;
}

bool link_needs_sending(struct link *link)
{
	size_t n = 0;

	if (link->tls)
		tls_output(link->tls, &n);
	return n > 0;
}

void link_acknowledge(const struct link *link)
{
	const int yes = 1;

	(void)setsockopt(link->fd, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof(yes));
}

/* more for TLS to read. Return: 0, -EAGAIN; -ECONNRESET also for an end that TLS does not know of */
static int fill(struct link *link)
{
	uint8_t bytes[TLS_READ_MAX];
	ssize_t n = receive(link->fd, bytes, sizeof(bytes), 0);

	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	return tls_input(link->tls, bytes, (size_t)n);
}

int link_begin(struct link *link)
{
	int r, r_flush;

	if (!link->tls)
		return 0;
	do {
		r = tls_handshake(link->tls);
		/* also what tells the peer why it failed */
		r_flush = link_flush(link);
		if (r == -EAGAIN && r_flush < 0 && r_flush != -EAGAIN)
			r = r_flush;
	} while (r == -EAGAIN && (r = fill(link)) == 0);
	return r;
}

static ssize_t read_tls(struct link *link, void *bytes, size_t n,
			ssize_t (*read_some)(struct tls *tls, void *bytes, size_t n))
{
	ssize_t r;

	do {
		r = read_some(link->tls, bytes, n);
	} while (r == -EAGAIN && (r = fill(link)) == 0);
	return r;
}

ssize_t link_peek(struct link *link, void *bytes, size_t n)
{
	return link->tls ? read_tls(link, bytes, n, tls_peek)
			 : receive(link->fd, bytes, n, MSG_PEEK);
}

ssize_t link_read(struct link *link, void *bytes, size_t n)
{
	return link->tls ? read_tls(link, bytes, n, tls_read) : receive(link->fd, bytes, n, 0);
}

int link_take(struct link *link, size_t n)
{
	uint8_t bytes[4096];

	while (n > 0) {
		ssize_t r = link_read(link, bytes, n < sizeof(bytes) ? n : sizeof(bytes));

		if (r <= 0)
			return r < 0 ? (int)r : -ECONNRESET;
		n -= (size_t)r;
	}
	return 0;
}

ssize_t link_write(struct link *link, const void *bytes, size_t n)
{
	int r;

	if (!link->tls)
		return transmit(link->fd, bytes, n);
	r = link_flush(link); /* first what is there, so that it does not grow */
	if (r == 0)
		r = tls_write(link->tls, bytes, n);
	if (r == 0) {
		r = link_flush(link);
		return r == 0 || r == -EAGAIN ? (ssize_t)n : r;
	}
	return r;
}

int link_end(struct link *link)
{
	if (link->tls)
		tls_end(link->tls);
	return link_flush(link);
}

void link_close(struct link *link, bool is_reset)
{
	const struct linger now = { .l_onoff = 1 };

	tls_free(link->tls);
	link->tls = NULL;
	if (link->fd < 0)
		return;
	if (is_reset)
		(void)setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(link->fd);
	link->fd = -1;
}
