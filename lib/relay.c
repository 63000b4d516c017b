/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: One relay: how it begins and ends
 */

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "lib/relay-internal.h"

enum { PROGRAM = SLUICE_RELAY_PROGRAM, UPSTREAM = SLUICE_RELAY_UPSTREAM };

/* ---- the beginning ---- */

/* what close(2) does: sends what waits and the end behind it, or a reset at once */
static int set_linger(int fd, bool is_reset)
{
	const struct linger linger = { .l_onoff = is_reset };

	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0 ? -errno : 0;
}

static int set_options(int fd)
{
	int on = 1, r = set_linger(fd, true);

	if (r < 0)
		return r;
	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ? -errno : 0;
}

struct epoll_event relay_event(const struct sluice_relay *relay, unsigned int side, uint32_t events)
{
	return (struct epoll_event){ .events = events,
				     .data.u64 = (uintptr_t)relay | RELAY_EVENT | side };
}

/* the descriptor is the side's after that, or still the caller's */
static int begin(struct sluice_relay *relay, unsigned int side, int *fd, bool is_set, int how)
{
	struct epoll_event event = relay_event(relay, side, RELAY_READS);
	int r = is_set ? 0 : set_options(*fd);

	if (r < 0)
		return r;
	if (epoll_ctl(relay->set->epoll, how, *fd, &event) < 0)
		return -errno;
	relay->sides[side].fd = TAKE_FD(*fd);
	relay->sides[side].may_write = true;
	return 0;
}

static struct sluice_relay *new_relay(struct sluice_relays *relays)
{
	struct sluice_relay *relay = relays_reserve(relays) == 0 ? calloc(1, sizeof(*relay)) : NULL;

	if (!relay)
		return NULL;
	relay->set = relays;
	relay->began_us = relays_now_us(relays);
	relay->sides[PROGRAM].fd = relay->sides[UPSTREAM].fd = -1;
	for (unsigned int i = 0; i < ARRAY_SIZE(relay->timers); i++)
		relay->timers[i] = (struct relay_timer){ .due_us = RELAY_NEVER, .at = i };
	relay->before = &relays->all;
	relay->next = relays->all;
	if (relay->next)
		relay->next->before = &relay->next;
	relays->all = relay;
	relays->n++;
	return relay;
}

static void close_reset(int fd)
{
	if (fd < 0)
		return;
	(void)set_linger(fd, true);
	close(fd);
}

static int add(struct sluice_relays *relays, int program, int upstream, bool is_set, int how,
	       const struct sluice_relay_ops *ops, void *data, struct sluice_relay **ret_relay)
{
	struct sluice_relay *relay = new_relay(relays);
	int r = relay ? begin(relay, PROGRAM, &program, is_set, EPOLL_CTL_ADD) : -ENOMEM;

	if (r == 0)
		r = begin(relay, UPSTREAM, &upstream, false, how);
	if (r < 0) {
		close_reset(program);
		close_reset(upstream);
		if (relay)
			relay_free(relay);
		return r;
	}
	relay->ops = ops;
	relay->data = data;
	if (ret_relay)
		*ret_relay = relay;
	return 0;
}

int sluice_relays_add(struct sluice_relays *relays, int program, int upstream,
		      const struct sluice_relay_ops *ops, void *data,
		      struct sluice_relay **ret_relay)
{
	return add(relays, program, upstream, false, EPOLL_CTL_ADD, ops, data, ret_relay);
}

int relays_add_known(struct sluice_relays *relays, int program, int upstream, bool is_polled,
		     const struct sluice_relay_ops *ops, void *data,
		     struct sluice_relay **ret_relay)
{
	return add(relays, program, upstream, true, is_polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, ops,
		   data, ret_relay);
}

/* ---- the end ---- */

/* Somebody else may have the socket, too: the daemon for a moment, when it has just sent it. Then close(2)
 * leaves it in the set, with an event about what is gone. Return: for the caller to close, -1: it is closed */
static int leave(struct sluice_relay *relay, unsigned int side)
{
	int fd = TAKE_FD(relay->sides[side].fd);

	if (fd >= 0)
		(void)epoll_ctl(relay->set->epoll, EPOLL_CTL_DEL, fd, NULL);
	return fd;
}

void relay_free(struct sluice_relay *relay)
{
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++) {
		relay_way_drop(relay->set, &relay->ways[i]);
		close_fd(leave(relay, i));
	}
	relays_remove(relay);
	free(relay);
}

/* Return: a negative errno */
static int error_of(const struct relay_side *broken)
{
	int error = -broken->error;
	socklen_t n = sizeof(error);

	if (!error)
		(void)getsockopt(broken->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	return error && error != EPIPE ? -error
				       : -ECONNRESET; /* EPIPE: after its end a reset came */
}

/* Return: true, for who says that it is gone */
static bool finish(struct sluice_relay *relay, enum sluice_relay_how how)
{
	struct sluice_relay_end end = {
		.size = sizeof(end),
		.how = how,
		.bytes = { relay->ways[PROGRAM].bytes, relay->ways[UPSTREAM].bytes },
	};

	if (how == SLUICE_RELAY_RESET) {
		end.side = relay->broken;
		end.error = error_of(&relay->sides[relay->broken]);
	}
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++)
		close_fd(leave(relay, i));
	relay->state = RELAY_GONE;
	if (RELAY_OPS_SET(relay->ops, done))
		relay->ops->done(relay, &end, relay->data);
	relay_free(relay);
	return true;
}

/* what was written is sent, and the end behind it */
static bool finish_orderly(struct sluice_relay *relay, enum sluice_relay_how how)
{
	/* who still has something to send is reset by the kernel then, as after any close(2) */
	const int linger_s = RELAY_LINGER_S;

	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++) {
		int fd = leave(relay, i);

		if (!relay->ways[i].has_read_end) /* else there is no FIN_WAIT_2 */
			(void)setsockopt(fd, IPPROTO_TCP, TCP_LINGER2, &linger_s, sizeof(linger_s));
		(void)set_linger(fd, false);
		close(fd);
	}
	return finish(relay, how);
}

void relay_break(struct sluice_relay *relay, unsigned int side, int error)
{
	struct relay_side *broken = &relay->sides[side];

	if (!broken->error && error != -EAGAIN)
		broken->error = error;
	if (broken->is_broken)
		return;
	broken->is_broken = true;
	broken->may_write = false;
	broken->may_read = true;
	/* all that the program has sent is there, and that it does not want the rest is known */
	if (relay->state == RELAY_RELEASED && side == PROGRAM && relay->ways[PROGRAM].has_read_end)
		return;
	if (relay->state != RELAY_OPEN && relay->state != RELAY_RELEASED)
		return;
	relay->state = RELAY_BROKEN;
	relay->broken = (enum sluice_relay_side)side;
	relay->look_us = 0;
}

void relay_note(struct sluice_relay *relay, unsigned int side, uint32_t events)
{
	struct relay_side *noted = &relay->sides[side];

	noted->may_read = noted->may_read || (events & ~(uint32_t)EPOLLOUT) != 0;
	noted->may_write = noted->may_write || (events & EPOLLOUT) != 0;
	noted->has_hung_up = noted->has_hung_up || (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
	noted->is_urgent = noted->is_urgent || (events & EPOLLPRI) != 0;
	if (events & EPOLLERR)
		relay_break(relay, side, 0);
}

/* ---- what the kernel still has of bytes that were written ---- */

static bool get_info(int fd, struct tcp_info *ret_info)
{
	socklen_t n = sizeof(*ret_info);

	memset(ret_info, 0, sizeof(*ret_info));
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, ret_info, &n) == 0;
}

/* the other side has the end of what was written, or never will */
static bool is_acknowledged(const struct tcp_info *info)
{
	enum {
		FIN_WAIT_1 = 4,
		LAST_ACK = 9,
		CLOSING = 11
	}; /* of <netinet/tcp.h>, which is older */

	return info->tcpi_state != FIN_WAIT_1 && info->tcpi_state != LAST_ACK &&
	       info->tcpi_state != CLOSING;
}

/* @moved: another number each time that it is called after something has moved. Looks again and again,
 * because no event tells. Return: was it the same for @most_us? */
static bool has_stalled(struct sluice_relay *relay, uint64_t moved, uint64_t most_us)
{
	uint64_t now_us = relays_now_us(relay->set);

	if (!relay->look_us || moved != relay->moved) {
		relay->look_us = RELAY_LOOK_US;
		relay->moved = moved;
		relay->moved_us = now_us;
	}
	if (now_us - relay->moved_us >= most_us)
		return true;
	relays_wake_at(relay->set, &relay->timers[0], now_us + relay->look_us);
	relay->look_us = MIN(2 * relay->look_us, RELAY_LOOK_MOST_US);
	return false;
}

/* ---- what a turn comes to. Return: is the relay gone? ---- */

static void ask_end(struct sluice_relay *relay)
{
	uint64_t now_us = relays_now_us(relay->set);

	if (relay->ask_us && now_us >= relay->ask_us && relay->ask_end(relay)) {
		relay->ask_end = NULL;
		return;
	}
	if (now_us >= relay->ask_us)
		relay->ask_us = now_us + RELAY_ASK_US;
	relays_wake_at(relay->set, &relay->timers[0], relay->ask_us);
}

static bool end_open(struct sluice_relay *relay)
{
	if (relay->ways[PROGRAM].has_ended && relay->ways[UPSTREAM].has_ended)
		return finish_orderly(relay, SLUICE_RELAY_CLOSED);
	if (relay->ask_end &&
	    (relay->sides[PROGRAM].has_hung_up || relay->ways[PROGRAM].has_read_end))
		ask_end(relay);
	return false;
}

/* Upstream is closed when it has all that the program has sent: data of its own that came after
 * close(2) would make the kernel reset it, and throw away what it has not got yet */
static bool end_released(struct sluice_relay *relay)
{
	const struct relay_way *way = &relay->ways[PROGRAM];
	struct tcp_info info;

	if (!get_info(relay->sides[UPSTREAM].fd, &info))
		return finish(relay, SLUICE_RELAY_STALLED);
	if (way->has_ended && (relay->ways[UPSTREAM].has_read_end || is_acknowledged(&info)))
		return finish_orderly(relay, SLUICE_RELAY_RELEASED);
	if (has_stalled(relay, way->bytes - info.tcpi_notsent_bytes - info.tcpi_unacked,
			RELAY_RELEASED_STALL_US))
		return finish(relay, SLUICE_RELAY_STALLED);
	return false;
}

/* Has the other side got what came before, as far as it takes it? A reset does not wait for a
 * program that does not read */
static bool is_drained(struct sluice_relay *relay)
{
	const struct relay_way *way = &relay->ways[relay->broken];
	bool is_read = way->has_read_end && !way->first && !way->pipe;
	struct tcp_info info;

	if (relay->sides[!relay->broken].is_broken || (is_read && !way->bytes))
		return true;
	if (!get_info(relay->sides[!relay->broken].fd, &info))
		return true;
	if (is_read && !info.tcpi_notsent_bytes)
		return true;
	if (way->first && way->first->due_us > relays_now_us(relay->set))
		return false;
	return has_stalled(relay, way->bytes - info.tcpi_notsent_bytes, RELAY_BROKEN_STALL_US);
}

/* Connect(2) of a program that is reset before it has run again fails, though it was connected: behind its
 * handshake it has some time, unless it is seen to be there. What it has sent proves nothing: with Fast Open that
 * comes before connect(2) is over */
static bool may_be_connecting(struct sluice_relay *relay)
{
	uint64_t grown_us = relay->began_us + RELAY_YOUNG_US;

	if (relay->broken == SLUICE_RELAY_PROGRAM || relay->sides[PROGRAM].has_hung_up ||
	    relays_now_us(relay->set) >= grown_us)
		return false;
	relays_wake_at(relay->set, &relay->timers[0], grown_us);
	return true;
}

static bool end_broken(struct sluice_relay *relay)
{
	return is_drained(relay) && !may_be_connecting(relay) && finish(relay, SLUICE_RELAY_RESET);
}

static bool end_abandoned(struct sluice_relay *relay)
{
	return finish(relay, SLUICE_RELAY_ABANDONED);
}

static bool (*const ends[])(struct sluice_relay *relay) = {
	[RELAY_OPEN] = end_open,
	[RELAY_RELEASED] = end_released,
	[RELAY_BROKEN] = end_broken,
	[RELAY_ABANDONED] = end_abandoned,
};

size_t relay_turn(struct sluice_relay *relay)
{
	size_t n = 0;

	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++) {
		/* it had no memory: that is tried again */
		relay->sides[i].may_read |= relay->sides[i].is_starved;
		relay->sides[i].is_starved = false;
		n += relay_move(relay, i);
	}
	if (relay->state == RELAY_BROKEN) {
		relay_way_end(relay, !relay->broken);
		n += relay_move(relay, relay->broken);
	}
	if (ends[relay->state](relay))
		return n;
	relay->is_queued = false;
	if (relay_has_more(relay, PROGRAM) || relay_has_more(relay, UPSTREAM))
		relays_queue(relay);
	return n;
}

void sluice_relay_release(struct sluice_relay *relay)
{
	if (relay->state != RELAY_OPEN)
		return;
	relay->state = RELAY_RELEASED;
	relay_way_drop(relay->set, &relay->ways[UPSTREAM]);
	relay->ways[UPSTREAM].is_discarded = true;
	relays_queue(relay);
	relays_rearm(relay->set);
}

void sluice_relay_reset(struct sluice_relay *relay)
{
	if (relay->state == RELAY_GONE)
		return;
	relay->state = RELAY_ABANDONED;
	relays_queue(relay);
	relays_rearm(relay->set);
}
