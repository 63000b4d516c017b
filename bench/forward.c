/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A forwarder of TCP, as small as one can be over <sluice/relay.h>
 *
 *	forward ADDRESS PORT N TO-ADDRESS
 *
 * Listens on N ports from PORT on, connects each connection with the same port of TO-ADDRESS
 * (both IPv4), and relays. It is what bench/relay measures: what a relay costs without all
 * that leads a program's connection to one. Says "ready", and ends when it is killed.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/relay.h>

#define N_EVENTS 64
#define BACKLOG 4096

/* what is polled: a listener, or a connection that is being made for one that was accepted */
struct source {
	int fd;
	int accepted; /* -1: @fd listens */
	struct sockaddr_in to;
};

static int fail(const char *what, int error)
{
	fprintf(stderr, "forward: %s: %s\n", what, strerror(error));
	return 1;
}

static int watch(int epoll, struct source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, source->fd, &event);
}

/* ---- connections ---- */

static void relay(struct sluice_relays *relays, int accepted, int fd)
{
	int r = sluice_relays_add(relays, accepted, fd, NULL, NULL, NULL);

	if (r < 0)
		fail("relay", -r);
}

static void wait_connected(int epoll, const struct source *listener, int accepted, int fd)
{
	struct source *source = malloc(sizeof(*source));

	if (source) {
		*source = (struct source){ .fd = fd, .accepted = accepted, .to = listener->to };
		if (watch(epoll, source, EPOLLOUT | EPOLLONESHOT) == 0)
			return;
	}
	free(source);
	close(accepted);
	close(fd);
}

static void connect_on(int epoll, struct sluice_relays *relays, const struct source *listener,
		       int accepted)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = fd < 0 ? -1
		       : connect(fd, (const struct sockaddr *)&listener->to, sizeof(listener->to));

	if (r == 0) {
		relay(relays, accepted, fd);
	} else if (fd >= 0 && errno == EINPROGRESS) {
		wait_connected(epoll, listener, accepted, fd);
	} else {
		fail("connect", errno);
		close(accepted);
		if (fd >= 0)
			close(fd);
	}
}

static void finish(int epoll, struct sluice_relays *relays, struct source *source)
{
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	epoll_ctl(epoll, EPOLL_CTL_DEL, source->fd, NULL);
	if (error) {
		fail("connect", error);
		close(source->fd);
		close(source->accepted);
	} else {
		relay(relays, source->accepted, source->fd);
	}
	free(source);
}

static void act(int epoll, struct sluice_relays *relays, struct source *source)
{
	int accepted;

	if (!source) {
		sluice_relays_process(relays);
	} else if (source->accepted >= 0) {
		finish(epoll, relays, source);
	} else {
		accepted = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (accepted >= 0)
			connect_on(epoll, relays, source, accepted);
	}
}

/* ---- the beginning ---- */

static int listen_on(const struct sockaddr_in *address)
{
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -1;
	return fd;
}

static int open_listeners(int epoll, struct sockaddr_in here, struct sockaddr_in to, uint16_t n)
{
	struct source *sources = calloc(n, sizeof(*sources));

	for (uint16_t i = 0; sources && i < n; i++) {
		uint16_t port = (uint16_t)(ntohs(here.sin_port) + i);
		struct sockaddr_in address = here;

		address.sin_port = to.sin_port = htons(port);
		sources[i] = (struct source){ .fd = listen_on(&address), .accepted = -1, .to = to };
		if (sources[i].fd < 0 || watch(epoll, &sources[i], EPOLLIN) < 0) {
			free(sources);
			return -errno;
		}
	}
	return sources ? 0 : -ENOMEM;
}

static int run(int epoll, struct sluice_relays *relays)
{
	struct epoll_event events[N_EVENTS];

	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, events, N_EVENTS, -1);

		if (n < 0 && errno != EINTR)
			return fail("epoll_wait", errno);
		for (int i = 0; i < n; i++)
			act(epoll, relays, events[i].data.ptr);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in here = { .sin_family = AF_INET }, to = here;
	struct epoll_event event = { .events = EPOLLIN };
	struct sluice_relays *relays;
	int epoll, r;

	if (argc != 5 || inet_pton(AF_INET, argv[1], &here.sin_addr) != 1 ||
	    inet_pton(AF_INET, argv[4], &to.sin_addr) != 1) {
		fputs("usage: forward ADDRESS PORT N TO-ADDRESS\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	here.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	r = sluice_relays_new(&relays);
	if (r < 0 || epoll < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, sluice_relays_get_fd(relays), &event) < 0)
		return fail("epoll", r < 0 ? -r : errno);
	r = open_listeners(epoll, here, to, (uint16_t)strtoul(argv[3], NULL, 10));
	return r < 0 ? fail("listen", -r) : run(epoll, relays);
}
