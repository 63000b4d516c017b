/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "pump.h"

#define UNREAD_MS 60000U /* how long a proxy may refuse what nobody waits for */

struct pump *pump_new(struct link *link, int program)
{
	struct pump *pump = calloc(1, sizeof(*pump));

	if (pump) {
		pump->link = link;
		pump->program = program;
	}
	return pump;
}

/* Return: bytes, 0 at the end, -errno */
static ssize_t read_program(struct pump *pump, uint8_t *bytes, size_t n)
{
	ssize_t r = recv(pump->program, bytes, n, MSG_DONTWAIT);

	return r < 0 ? -errno : r;
}

/* the program's bytes, then its end. Return: PUMP_GOES_ON when no more can be done now */
static enum pump_state push_up(struct pump *pump)
{
	uint8_t bytes[TLS_READ_MAX];
	ssize_t n;
	int r;

	while (!pump->is_up_read) {
		r = link_flush(pump->link);
		if (r < 0)
			return r == -EAGAIN ? PUMP_GOES_ON : PUMP_LINK_LOST;
		n = read_program(pump, bytes, sizeof(bytes));
		if (n < 0)
			return n == -EAGAIN ? PUMP_GOES_ON : PUMP_PROGRAM_LOST;
		pump->is_up_read = n == 0;
		r = n ? (int)link_write(pump->link, bytes, (size_t)n) : link_end(pump->link);
		if (r < 0 && r != -EAGAIN)
			return PUMP_LINK_LOST;
	}
	r = link_flush(pump->link);
	if (r < 0)
		return r == -EAGAIN ? PUMP_GOES_ON : PUMP_LINK_LOST;
	if (!pump->is_up_done)
		(void)shutdown(pump->link->fd, SHUT_WR);
	pump->is_up_done = true;
	return PUMP_GOES_ON;
}

/* what is buffered for it. Return: 0 when nothing is, -EAGAIN, -errno */
static int drain_down(struct pump *pump)
{
	while (pump->at_down < pump->n_down) {
		ssize_t n = send(pump->program, pump->down + pump->at_down,
				 pump->n_down - pump->at_down, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		pump->at_down += (uint32_t)n;
	}
	return 0;
}

static enum pump_state push_down(struct pump *pump)
{
	while (!pump->is_down_done && !pump->is_unread) {
		int r = drain_down(pump);
		ssize_t n;

		if (r < 0)
			return r == -EAGAIN ? PUMP_GOES_ON : PUMP_PROGRAM_LOST;
		n = link_read(pump->link, pump->down, sizeof(pump->down));
		if (n < 0)
			return n == -EAGAIN ? PUMP_GOES_ON : PUMP_LINK_LOST;
		pump->at_down = 0;
		pump->n_down = (uint32_t)n;
		pump->is_down_done = n == 0;
		if (n == 0)
			(void)shutdown(pump->program, SHUT_WR);
	}
	return PUMP_GOES_ON;
}

enum pump_state pump_turn(struct pump *pump)
{
	enum pump_state state = push_up(pump);

	if (state == PUMP_GOES_ON)
		state = push_down(pump);
	/* reading may have given TLS something to say */
	if (state == PUMP_GOES_ON && !pump->is_up_done)
		state = push_up(pump);
	if (state == PUMP_GOES_ON && pump->is_up_done && (pump->is_down_done || pump->is_unread))
		state = PUMP_OVER;
	return state;
}

void pump_unread(struct pump *pump)
{
	const unsigned int most = UNREAD_MS;

	pump->is_unread = true;
	(void)setsockopt(pump->link->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &most, sizeof(most));
}

short pump_program_events(const struct pump *pump)
{
	short events = 0;

	if (!pump->is_up_read && !link_needs_sending(pump->link))
		events |= POLLIN;
	if (pump->at_down < pump->n_down && !pump->is_unread)
		events |= POLLOUT;
	return events;
}

short pump_link_events(const struct pump *pump)
{
	short events = 0;

	if (!pump->is_down_done && pump->at_down == pump->n_down && !pump->is_unread)
		events |= POLLIN;
	if (link_needs_sending(pump->link))
		events |= POLLOUT;
	return events;
}
