/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"

static void say(struct space *space, int r)
{
	const char *id = space->daemon->instance.id;
	const struct netns *netns = plane_netns(space->daemon->plane, space->place);
	struct owners *owners = &space->owners;
	uint64_t now = daemon_now_us();

	if (owners->said_us && now - owners->said_us < OWNERS_LINE_US) {
		owners->n_unsaid++;
		return;
	}
	if (r > 0)
		log_warning("another program removed or changed table inet sluice_%s in network "
			    "namespace %u: it is back (%" PRIu64
			    " more of these lines were left out)",
			    id, netns->inode, owners->n_unsaid);
	else
		log_error("another program removed or changed table inet sluice_%s in network "
			  "namespace %u, and it cannot be put back yet: %s",
			  id, netns->inode, strerror(-r));
	owners->said_us = now;
	owners->n_unsaid = 0;
}

static int look(struct space *space)
{
	struct owners *owners = &space->owners;
	int r = plane_repair(space->daemon->plane, space->place);

	/* once more after a repair: who changed it may not have been done */
	owners->is_wanted = r != 0;
	if (r > 0)
		space->daemon->n_restored++;
	if (r && r != -EAGAIN)
		say(space, r);
	owners->error = r < 0 && r != -EAGAIN ? r : 0;
	return r;
}

int owners_look(struct daemon *daemon)
{
	int worst = 0;

	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++) {
		struct space *space = daemon->namespaces.spaces[i];
		int r = space ? look(space) : 0;

		if (r < 0 || worst == 0)
			worst = r;
	}
	return worst;
}

void owners_want(struct daemon *daemon)
{
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++)
		if (daemon->namespaces.spaces[i])
			daemon->namespaces.spaces[i]->owners.is_wanted = true;
}

static void look_if_allowed(struct space *space)
{
	struct owners *owners = &space->owners;

	owners->is_wanted = true;
	if (owners->n_left > 0) {
		owners->n_left--;
		(void)look(space);
		return;
	}
	/* what is announced meanwhile waits in the socket */
	(void)sd_event_source_set_enabled(owners->source, SD_EVENT_OFF);
	if (!owners->is_fought)
		log_warning(
			"another program keeps changing table inet sluice_%s: from now on it is "
			"put back at most %u times a second",
			space->daemon->instance.id, 1000000 / OWNERS_PAUSE_US);
	owners->is_fought = true;
}

static int on_rules(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct space *space = data;

	if (plane_was_touched(space->daemon->plane, space->place))
		look_if_allowed(space);
	return 0;
}

static void refill(struct owners *owners, uint64_t now_us)
{
	uint64_t n = (now_us - owners->refilled_us) / OWNERS_PAUSE_US;

	if (n == 0)
		return;
	owners->refilled_us += n * OWNERS_PAUSE_US;
	owners->n_left = (unsigned int)MIN(owners->n_left + n, OWNERS_BURST);
	if (owners->n_left == OWNERS_BURST)
		owners->is_fought = false;
}

static void tick(struct space *space, uint64_t now_us)
{
	struct owners *owners = &space->owners;

	refill(owners, now_us);
	if (owners->n_left == 0)
		return;
	(void)sd_event_source_set_enabled(owners->source, SD_EVENT_ON);
	/* that nothing has changed since the last repair is the usual case, and free */
	if (owners->is_wanted && look(space) != 0)
		owners->n_left--;
}

void owners_tick(struct daemon *daemon, uint64_t now_us)
{
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++)
		if (daemon->namespaces.spaces[i] && daemon->namespaces.spaces[i]->owners.source)
			tick(daemon->namespaces.spaces[i], now_us);
}

int owners_watch(struct space *space)
{
	const struct netns *netns = plane_netns(space->daemon->plane, space->place);
	struct owners *owners = &space->owners;

	owners->n_left = OWNERS_BURST;
	owners->refilled_us = daemon_now_us();
	return sd_event_add_io(space->daemon->event, &owners->source, netns->sockets[NETNS_WATCH],
			       EPOLLIN, on_rules, space);
}

void owners_close(struct space *space)
{
	space->owners.source = sd_event_source_disable_unref(space->owners.source);
}
