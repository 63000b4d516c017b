/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "kernel/fake-world.h"

/* ---- scripted failures ---- */

int fake_enter(struct fake *fake, enum fake_op op)
{
	struct script *script = &fake->script;

	fake->n_calls[op]++;
	fake->n_calls[FAKE_ANY]++;
	if ((script->op != op && script->op != FAKE_ANY) || script->n_left == 0)
		return 0;
	if (!script->is_always && --script->n_left)
		return 0;
	script->has_failed = true;
	return -script->error;
}

void fake_fail(struct fake *fake, enum fake_op op, unsigned int nth, int error)
{
	fake->script = (struct script){ .op = op, .n_left = nth, .error = error };
}

void fake_fail_always(struct fake *fake, enum fake_op op, int error)
{
	fake->script = (struct script){ .op = op, .n_left = 1, .error = error, .is_always = true };
}

bool fake_has_failed(const struct fake *fake)
{
	return fake->script.has_failed;
}

unsigned int fake_n_calls(const struct fake *fake, enum fake_op op)
{
	return fake->n_calls[op];
}

/* ---- events ---- */

void fake_put_event(struct fake *fake, const struct sl_event *event)
{
	if (fake->n_events == FAKE_EVENTS_MAX)
		abort();
	fake->events[fake->n_events++].event = *event;
}

void fake_put_remembered(struct fake *fake, const struct sl_remembered *event)
{
	if (fake->n_events == FAKE_EVENTS_MAX)
		abort();
	fake->events[fake->n_events++].remembered = *event;
}

void fake_put_seen(struct fake *fake, uint64_t cookie, uint32_t pid)
{
	if (fake->n_events == FAKE_EVENTS_MAX || eventfd_write(fake->events_fd, 1) < 0)
		abort();
	fake->events[fake->n_events++].seen =
		(struct sl_seen){ .event.kind = SL_EV_NETNS, .netns = cookie, .pid = pid };
}

static int fake_drain(struct plane *plane, plane_event_fn fn, void *data)
{
	struct fake *fake = fake_of(plane);
	unsigned int n = MIN(fake->n_events, PLANE_EVENTS_A_ROUND);
	int r = fake_enter(fake, FAKE_DRAIN);
	eventfd_t told;

	(void)eventfd_read(fake->events_fd, &told);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < n; i++)
		fn(&fake->events[i].event, data);
	fake->n_events -= n;
	memmove(fake->events, fake->events + n, fake->n_events * sizeof(fake->events[0]));
	return n == PLANE_EVENTS_A_ROUND;
}

/* ---- open, close ---- */

static int fake_open(const struct kernel *kernel, const struct plane_config *config, int *kept,
		     struct plane **ret_plane, const char **ret_error)
{
	struct fake *fake = CONTAINER_OF((struct kernel *)(uintptr_t)kernel, struct fake, kernel);
	struct fake_plane *opened;
	int r = fake_enter(fake, FAKE_OPEN);

	*ret_error = "opening the fake plane";
	if (r < 0)
		return r;
	opened = calloc(1, sizeof(*opened));
	if (!opened)
		return -ENOMEM;
	opened->fake = fake;
	opened->plane.events_fd = fake->events_fd;
	opened->plane.was_adopted = fake->is_installed;
	opened->plane.queue_kind = "fake";
	opened->plane.proxies_id = config->proxies ? FAKE_PROXIES_ID : 0;
	opened->plane.packets = opened->plane.packets_left = fake->packet_class;
	opened->plane.loopback = fake->loopback;
	opened->plane.orders = fake->orders;
	opened->plane.n_packet_copy = PACKETS_COPY_LEAST;
	fake_adopt(fake, &opened->plane, kept);
	fake->netns[0].has_rules |= !fake->is_installed;
	fake->is_installed = true;
	fake->n_planes++;
	*ret_plane = &opened->plane;
	return 0;
}

struct sl_order *fake_order(struct fake *fake)
{
	return &fake->orders[sl_order_of(fake->netns[0].cookie)];
}

static void fake_close(struct plane *plane)
{
	fake_of(plane)->n_planes--;
	for (unsigned int i = 0; i < plane->n_places; i++)
		netns_close(&plane->places[i]);
	free(CONTAINER_OF(plane, struct fake_plane, plane));
}

static void fake_remove(struct plane *plane)
{
	fake_of(plane)->is_installed = false;
}

bool fake_is_installed(const struct fake *fake)
{
	return fake->is_installed;
}

unsigned int fake_n_planes(const struct fake *fake)
{
	return fake->n_planes;
}

static const struct plane_ops fake_ops = {
	.open = fake_open,
	.close = fake_close,
	.remove = fake_remove,
	.join = fake_join,
	.leave = fake_leave,
	.refuse = fake_refuse,
	.forget = fake_forget,
	.census = fake_census,
	.was_touched = fake_was_touched,
	.relax = fake_relax,
	.peek = fake_peek,
	.loopback = fake_loopback,
	.divert = fake_divert,
	.accept = fake_accept,
	.receive = fake_receive,
	.connect_datagrams = fake_connect_datagrams,
	.untranslate = fake_untranslate,
	.keep_translated = fake_keep_translated,
	.begin_anew = fake_begin_anew,
	.repair = fake_repair,
	.packets = fake_set_packets,
	.read_packets = fake_read_packets,
	.answer_packets = fake_answer_packets,
	.recount_packets = fake_recount_packets,
	.set_packet_rules = fake_set_packet_rules,
	.find_packet = fake_find_packet,
	.count_packets = fake_count_packets,
	.read = fake_read,
	.answer = fake_answer,
	.replace = fake_replace,
	.requeue = fake_requeue,
	.find_held = fake_find_held,
	.forget_held = fake_forget_held,
	.find_proc = fake_find_proc,
	.find_cgroup = fake_find_cgroup,
	.find_query = fake_find_query,
	.find_sock = fake_find_sock,
	.set_flow = fake_set_flow,
	.get_flow = fake_get_flow,
	.forget_flow = fake_forget_flow,
	.next_flow = fake_next_flow,
	.set_peek = fake_set_peek,
	.find_peek = fake_find_peek,
	.forget_peek = fake_forget_peek,
	.destroy = fake_destroy,
	.hold_again = fake_hold_again,
	.count = fake_count,
	.end_rests = fake_end_rests,
	.set_memory = fake_set_memory,
	.get_memory = fake_get_memory,
	.forget_memory = fake_forget_memory,
	.renew = fake_renew,
	.generation = fake_get_generation,
	.secret = fake_secret,
	.drain = fake_drain,
	.read_link = fake_read_link,
};

struct fake *fake_new(void)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	if (!fake)
		return NULL;
	fake->kernel.ops = &fake_ops;
	fake_make_maps(fake);
	fake_make_netns(fake, FAKE_HOME);
	fake->events_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fake->events_fd < 0 ? fake_free(fake) : fake;
}

struct fake *fake_free(struct fake *fake)
{
	if (!fake)
		return NULL;
	fake_free_maps(fake);
	free(fake->packets);
	fake_close_clients(fake);
	fake_close_netns(fake);
	close_fd(fake->events_fd);
	free(fake);
	return NULL;
}

const struct kernel *fake_kernel(struct fake *fake)
{
	return &fake->kernel;
}
