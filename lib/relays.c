/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A set of relays: what is polled, whose turn it is, and timers
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"
#include "lib/relay-internal.h"

/* ---- timers: a heap of those that are set ---- */

uint64_t relays_now_us(struct sluice_relays *relays)
{
	struct timespec now;

	if (!relays->now_us || !relays->is_processing) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		relays->now_us = (uint64_t)now.tv_sec * 1000000U + (uint64_t)now.tv_nsec / 1000U;
	}
	return relays->now_us;
}

int relays_reserve(struct sluice_relays *relays)
{
	size_t n = relays->n_places ? 2 * relays->n_places : 64;
	struct relay_timer **heap;

	if (2 * (relays->n + 1) <= relays->n_places)
		return 0;
	heap = reallocarray(relays->heap, n, sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	relays->heap = heap;
	relays->n_places = n;
	return 0;
}

static bool is_before(const struct relay_timer *a, const struct relay_timer *b)
{
	return a->due_us < b->due_us || (a->due_us == b->due_us && a->served < b->served);
}

static void place(struct sluice_relays *relays, size_t at, struct relay_timer *timer)
{
	relays->heap[at] = timer;
	timer->heap_at = (uint32_t)at;
}

static void sift_up(struct sluice_relays *relays, struct relay_timer *timer, size_t at)
{
	for (; at > 0 && is_before(timer, relays->heap[(at - 1) / 2]); at = (at - 1) / 2)
		place(relays, at, relays->heap[(at - 1) / 2]);
	place(relays, at, timer);
}

static void sift_down(struct sluice_relays *relays, struct relay_timer *timer, size_t at)
{
	for (size_t child; (child = 2 * at + 1) < relays->n_heap; at = child) {
		if (child + 1 < relays->n_heap &&
		    is_before(relays->heap[child + 1], relays->heap[child]))
			child++;
		if (!is_before(relays->heap[child], timer))
			break;
		place(relays, at, relays->heap[child]);
	}
	place(relays, at, timer);
}

static void forget_timer(struct sluice_relays *relays, struct relay_timer *timer)
{
	struct relay_timer *last;
	size_t at = timer->heap_at;

	if (timer->due_us == RELAY_NEVER)
		return;
	timer->due_us = RELAY_NEVER;
	last = relays->heap[--relays->n_heap];
	if (last == timer)
		return;
	if (at > 0 && is_before(last, relays->heap[(at - 1) / 2]))
		sift_up(relays, last, at);
	else
		sift_down(relays, last, at);
}

void relays_wake_at(struct sluice_relays *relays, struct relay_timer *timer, uint64_t due_us)
{
	if (timer->due_us <= due_us)
		return;
	if (timer->due_us == RELAY_NEVER)
		timer->heap_at = (uint32_t)relays->n_heap++;
	timer->due_us = due_us;
	sift_up(relays, timer, timer->heap_at);
}

void relays_serve(struct sluice_relays *relays, struct relay_timer *timer)
{
	uint64_t due_us = timer->due_us;

	forget_timer(relays, timer);
	timer->served = ++relays->n_served;
	relays_wake_at(relays, timer, due_us);
}

static struct sluice_relay *relay_of(struct relay_timer *timer)
{
	return CONTAINER_OF(timer - timer->at, struct sluice_relay, timers);
}

static void queue_due(struct sluice_relays *relays)
{
	while (relays->n_heap && relays->heap[0]->due_us <= relays_now_us(relays)) {
		struct relay_timer *timer = relays->heap[0];

		forget_timer(relays, timer);
		relays_queue(relay_of(timer));
	}
}

/* has the timer been set, and not run out? */
static bool is_waiting(const struct sluice_relays *relays)
{
	return relays->armed_us > RELAY_AT_ONCE && relays->armed_us != RELAY_NEVER;
}

void relays_rearm(struct sluice_relays *relays)
{
	uint64_t due_us = relays->n_heap ? relays->heap[0]->due_us : 0;
	struct itimerspec when = { 0 };

	if (relays->is_processing)
		return;
	if (relays->queue)
		due_us = RELAY_AT_ONCE;
	if (due_us == relays->armed_us ||
	    (is_waiting(relays) && (!due_us || relays->armed_us < due_us)))
		return; /* one call too early is cheaper than a system call each time */
	when.it_value.tv_sec = (time_t)(due_us / 1000000U);
	when.it_value.tv_nsec = (long)(due_us % 1000000U) * 1000;
	(void)timerfd_settime(relays->timer, TFD_TIMER_ABSTIME, &when, NULL);
	relays->armed_us = due_us;
}

/* ---- turns ---- */

void relays_queue(struct sluice_relay *relay)
{
	struct sluice_relays *relays = relay->set;

	if (relay->is_queued)
		return;
	relay->is_queued = true;
	relay->next_queued = NULL;
	*relays->queue_end = relay;
	relays->queue_end = &relay->next_queued;
}

static struct sluice_relay *take_first(struct sluice_relays *relays)
{
	struct sluice_relay *relay = relays->queue;

	relays->queue = relay->next_queued;
	if (!relays->queue)
		relays->queue_end = &relays->queue;
	return relay;
}

static void take_turns(struct sluice_relays *relays)
{
	size_t n_bytes = 0;

	for (unsigned int n = 0;
	     relays->queue && n < RELAY_PROCESS_TURNS && n_bytes < RELAY_PROCESS_BYTES; n++)
		n_bytes += relay_turn(take_first(relays));
}

static void note_timer(struct sluice_relays *relays)
{
	if (relays->armed_us != RELAY_AT_ONCE)	/* else it is still to be silenced, or to ring on */
		relays->armed_us = RELAY_NEVER; /* it has run out, and is readable */
}

void relays_begin(struct sluice_relays *relays)
{
	relays->is_processing = true;
}

void relays_note(struct sluice_relays *relays, const struct epoll_event *event)
{
	uintptr_t pointer = (uintptr_t)event->data.u64 & ~(uintptr_t)RELAY_EVENT_BITS;
	struct sluice_relay *relay = (struct sluice_relay *)pointer;

	if (pointer == (uintptr_t)relays) {
		note_timer(relays);
		return;
	}
	relay_note(relay, event->data.u64 & 1, event->events);
	relays_queue(relay);
}

void relays_run(struct sluice_relays *relays)
{
	relays->now_us = 0;
	if (relays->n_heap)
		queue_due(relays);
	take_turns(relays);
}

void relays_end(struct sluice_relays *relays)
{
	relays->is_processing = false;
	relays->now_us = 0;
	relays_rearm(relays);
}

int sluice_relays_process(struct sluice_relays *relays)
{
	struct epoll_event events[RELAY_EVENTS];
	int n = epoll_wait(relays->epoll, events, RELAY_EVENTS, 0);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	relays_begin(relays);
	for (int i = 0; i < n; i++)
		relays_note(relays, &events[i]);
	relays_run(relays);
	relays_end(relays);
	return 0;
}

/* ---- the set ---- */

static int watch_timer(struct sluice_relays *relays)
{
	struct epoll_event event = { .events = EPOLLIN,
				     .data.u64 = (uintptr_t)relays | RELAY_EVENT };

	return epoll_ctl(relays->epoll, EPOLL_CTL_ADD, relays->timer, &event) < 0 ? -errno : 0;
}

int relays_new_in(int epoll, struct sluice_relays **ret_relays)
{
	struct sluice_relays *relays = calloc(1, sizeof(*relays));
	struct sigaction action;
	int r;

	if (!relays)
		return -ENOMEM;
	relays->epoll = epoll;
	relays->queue_end = &relays->queue;
	relays->ignores_sigpipe =
		sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
	relays->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	r = relays->timer < 0 ? -errno : watch_timer(relays);
	if (r < 0) {
		sluice_relays_free(relays);
		return r;
	}
	*ret_relays = relays;
	return 0;
}

int sluice_relays_new(struct sluice_relays **ret_relays)
{
	_cleanup_close_ int epoll = epoll_create1(EPOLL_CLOEXEC);
	int r = epoll < 0 ? -errno : relays_new_in(epoll, ret_relays);

	if (r < 0)
		return r;
	(*ret_relays)->has_epoll = true;
	TAKE_FD(epoll);
	return 0;
}

struct sluice_relays *sluice_relays_free(struct sluice_relays *relays)
{
	if (!relays)
		return NULL;
	while (relays->all)
		relay_free(relays->all);
	relay_pool_deinit(&relays->pool);
	close_fd(relays->timer);
	if (relays->has_epoll)
		close_fd(relays->epoll);
	free(relays->heap);
	free(relays);
	return NULL;
}

void relays_remove(struct sluice_relay *relay)
{
	struct sluice_relays *relays = relay->set;

	for (unsigned int i = 0; i < ARRAY_SIZE(relay->timers); i++)
		forget_timer(relays, &relay->timers[i]);
	*relay->before = relay->next;
	if (relay->next)
		relay->next->before = relay->before;
	relays->n--;
}

int sluice_relays_get_fd(const struct sluice_relays *relays)
{
	return relays->epoll;
}

size_t sluice_relays_count(const struct sluice_relays *relays)
{
	return relays->n;
}
