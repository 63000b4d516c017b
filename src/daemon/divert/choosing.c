/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Which flows may come to a proxy
 *
 * What its user says (wire/settings.h) comes before what the proxy itself says by its rules: a flow
 * has to be meant by both. Those that are not go on as if the proxy was not there, its fail class
 * included. New settings are for flows to come; what is open stays where it is.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"
#include "wire/settings.h"

#define TRIES 100 /* they change once a second at most */

static struct chosen free_chosen(struct chosen *chosen)
{
	rules_free(chosen->apps);
	rules_free(chosen->flows);
	return (struct chosen){ 0 };
}

/* those that count, of a file */
struct source {
	int fd;
	struct wire_settings_head head;
};

/* a part of them becomes rules of @list with @action. Return: how many, or -errno */
static int add_part(struct rules *list, const struct source *source, enum wire_settings_part wanted,
		    enum rules_action action)
{
	enum wire_settings_part part;
	struct wire_rule rule;
	const char *problem;
	int n = 0, r = 0;

	for (unsigned int i = 0; r == 0 && i < source->head.n; i++) {
		r = wire_settings_read(source->fd, &source->head, i, &part, &rule);
		if (r == 0 && part == wanted) {
			rule.action = (uint8_t)action;
			r = rules_add(list, &rule, &problem);
			n++;
		}
	}
	return r < 0 ? r : n;
}

/* who includes nothing includes all. Return: 0 or -errno */
static int include(struct rules *list, const struct source *source, enum wire_settings_part part)
{
	int n = add_part(list, source, part, RULES_ASK);

	rules_set_otherwise(list, n > 0 ? RULES_ALLOW : RULES_ASK);
	return MIN(n, 0);
}

static int read_once(struct daemon *daemon, const struct source *source, struct chosen *chosen)
{
	int r = rules_new(daemon->seed, &chosen->apps);

	if (r == 0)
		r = rules_new(daemon->seed, &chosen->flows);
	if (r == 0)
		r = include(chosen->apps, source, WIRE_SETTINGS_APPS);
	if (r == 0)
		r = MIN(add_part(chosen->flows, source, WIRE_SETTINGS_EXCLUDED, RULES_ALLOW), 0);
	return r < 0 ? r : include(chosen->flows, source, WIRE_SETTINGS_INCLUDED);
}

/* of one generation: what is written while we read is read again. Return: 0 or -errno */
static int read_chosen(struct daemon *daemon, int fd, struct chosen *chosen)
{
	struct source source = { .fd = fd };
	int r = -EAGAIN;

	for (unsigned int i = 0; i < TRIES && r == -EAGAIN; i++) {
		*chosen = free_chosen(chosen);
		r = wire_settings_open(fd, &source.head);
		if (r < 0)
			return r;
		r = read_once(daemon, &source, chosen);
		if (!wire_settings_is_current(fd, &source.head))
			r = -EAGAIN;
	}
	return r;
}

void choosing_take(struct daemon *daemon, unsigned int index, int *fd)
{
	struct filter *filter = &daemon->filters[index];
	struct chosen fresh = { 0 };
	int r;

	if (*fd >= 0) {
		close_fd(filter->settings_fd);
		filter->settings_fd = TAKE_FD(*fd);
	}
	r = read_chosen(daemon, filter->settings_fd, &fresh);
	if (r < 0) {
		(void)free_chosen(&fresh);
		log_error("%s: its settings cannot be read: %s: those of before stay", filter->name,
			  strerror(-r));
		return;
	}
	(void)free_chosen(&filter->chosen);
	filter->chosen = fresh;
	if (rules_are_idle(fresh.apps))
		filter->chosen.apps = rules_free(fresh.apps);
	if (rules_are_idle(fresh.flows))
		filter->chosen.flows = rules_free(fresh.flows);
	if (daemon->memory) /* the kernel has been told what followed from those of before */
		remember_forget(daemon, index);
}

bool choosing_may(struct daemon *daemon, unsigned int index, const struct flow *flow)
{
	return divert_may(daemon, index, flow) && ruling_is_chosen(daemon, flow, index);
}

void choosing_close(struct daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		daemon->filters[i].chosen = free_chosen(&daemon->filters[i].chosen);
		daemon->filters[i].settings_fd = close_fd(daemon->filters[i].settings_fd);
	}
}
