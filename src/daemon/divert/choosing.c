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

static struct chosen free_chosen(struct chosen *chosen)
{
	rules_free(chosen->apps);
	rules_free(chosen->flows);
	return (struct chosen){ 0 };
}

/* @part of the file becomes rules of @list with @action. Return: how many, or -errno */
static int add_part(struct rules *list, int fd, enum wire_settings_part wanted,
		    enum rules_action action)
{
	struct wire_settings_head head;
	enum wire_settings_part part;
	struct wire_rule rule;
	const char *problem;
	int n = 0, r = wire_settings_open(fd, &head);

	for (unsigned int i = 0; r == 0 && i < head.n; i++) {
		r = wire_settings_read(fd, &head, i, &part, &rule);
		if (r == 0 && part == wanted) {
			rule.action = (uint8_t)action;
			r = rules_add(list, &rule, &problem);
			n++;
		}
	}
	return r < 0 ? r : n;
}

/* who includes nothing includes all. Return: 0 or -errno */
static int include(struct rules *list, int fd, enum wire_settings_part part)
{
	int n = add_part(list, fd, part, RULES_ASK);

	rules_set_otherwise(list, n > 0 ? RULES_ALLOW : RULES_ASK);
	return MIN(n, 0);
}

static int read_chosen(struct daemon *daemon, int fd, struct chosen *chosen)
{
	int r = rules_new(daemon->seed, &chosen->apps);

	if (r == 0)
		r = rules_new(daemon->seed, &chosen->flows);
	if (r == 0)
		r = include(chosen->apps, fd, WIRE_SETTINGS_APPS);
	if (r == 0)
		r = MIN(add_part(chosen->flows, fd, WIRE_SETTINGS_EXCLUDED, RULES_ALLOW), 0);
	return r < 0 ? r : include(chosen->flows, fd, WIRE_SETTINGS_INCLUDED);
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
		log_error("%s: its settings cannot be read: %s: those of before stay",
			  filter->name, strerror(-r));
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
