/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"

static void say(struct daemon *daemon, int r)
{
	struct owners *owners = &daemon->owners;
	uint64_t now = daemon_now_us();

	if (owners->said_us && now - owners->said_us < OWNERS_LINE_US) {
		owners->n_unsaid++;
		return;
	}
	if (r > 0)
		log_warning("another program removed or changed table inet sluice_%s: it is back "
			    "(%" PRIu64 " more of these lines were left out)",
			    daemon->instance.id, owners->n_unsaid);
	else
		log_error("another program removed or changed table inet sluice_%s, and it cannot "
			  "be put back yet: %s",
			  daemon->instance.id, strerror(-r));
	owners->said_us = now;
	owners->n_unsaid = 0;
}

int owners_look(struct daemon *daemon)
{
	struct owners *owners = &daemon->owners;
	int r = plane_repair(daemon->plane);

	/* once more after a repair: who changed it may not have been done */
	owners->is_wanted = r != 0;
	if (r > 0)
		owners->n_restored++;
	if (r && r != -EAGAIN)
		say(daemon, r);
	owners->error = r < 0 && r != -EAGAIN ? r : 0;
	return r;
}

static void look_if_allowed(struct daemon *daemon)
{
	struct owners *owners = &daemon->owners;

	owners->is_wanted = true;
	if (owners->n_left > 0) {
		owners->n_left--;
		(void)owners_look(daemon);
		return;
	}
	/* what is announced meanwhile waits in the socket */
	(void)sd_event_source_set_enabled(owners->source, SD_EVENT_OFF);
	if (!owners->is_fought)
		log_warning(
			"another program keeps changing table inet sluice_%s: from now on it is "
			"put back at most %u times a second",
			daemon->instance.id, 1000000 / OWNERS_PAUSE_US);
	owners->is_fought = true;
}

static int on_rules(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct daemon *daemon = data;

	if (plane_was_touched(daemon->plane))
		look_if_allowed(daemon);
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

void owners_tick(struct daemon *daemon, uint64_t now_us)
{
	struct owners *owners = &daemon->owners;

	refill(owners, now_us);
	if (owners->n_left == 0)
		return;
	(void)sd_event_source_set_enabled(owners->source, SD_EVENT_ON);
	/* that nothing has changed since the last repair is the usual case, and free */
	if (owners->is_wanted && owners_look(daemon) != 0)
		owners->n_left--;
}

int owners_watch(struct daemon *daemon)
{
	struct owners *owners = &daemon->owners;

	owners->n_left = OWNERS_BURST;
	owners->refilled_us = daemon_now_us();
	return sd_event_add_io(daemon->event, &owners->source, plane_watch_fd(daemon->plane),
			       EPOLLIN, on_rules, daemon);
}

void owners_close(struct daemon *daemon)
{
	daemon->owners.source = sd_event_source_disable_unref(daemon->owners.source);
}
