/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: blocklist - a bundled filter
 *
 * Drops flows whose host name, or a domain it lies in, is in one of the lists
 * given with the option `list`, unless an exception names it: a rule `@@…` of any list, or
 * a name in a list given with the option `allow`. Lists come compiled (table.h),
 * each in a folder of its own, and are exchanged there while we run (lists.h).
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "lists.h"

#define REASON_BYTES 128U
#define TELL_MS 100 /* until a full channel is tried again */

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	struct lists *lists = data;
	int is_allow = strcmp(key, "allow") == 0, r;

	if (is_allow || strcmp(key, "list") == 0)
		r = lists_add(lists, filter, value, fd, is_allow);
	else
		r = sluice_filter_fail(filter, -EINVAL,
				       "unknown option \"%s\": blocklist knows list=FILE and "
				       "allow=FILE (repeatable)",
				       key);
	lists->is_refused |= r < 0;
	return r;
}

static int on_start(struct sluice_filter *filter, void *data)
{
	struct lists *lists = data;

	lists->is_started = 1;
	for (uint16_t i = 0; i < lists->n; i++)
		if (!lists->lists[i].is_allow)
			return 0;
	lists->is_refused = 1;
	return sluice_filter_fail(filter, -EINVAL,
				  "no list given: add one, as in `--filter "
				  "blocklist:list=/etc/sluice/ads.hosts`");
}

static void write_reason(const struct list *list, const struct table_hit *hit, int is_allowed,
			 char reason[REASON_BYTES])
{
	const char *what = is_allowed ? "exception " : "";

	if (hit->line)
		(void)snprintf(reason, REASON_BYTES, "%s line %u: %s%s", list->label, hit->line,
			       what, hit->name);
	else
		(void)snprintf(reason, REASON_BYTES, "%s : %s%s", list->label, what, hit->name);
}

/* When a list changes we say so, so a verdict holds for the name; without one it reaches no further
 * than the flow */
static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	char reason[REASON_BYTES] = "not listed";
	const struct list *list;
	struct table_hit hit;
	int is_allowed;

	if (flow->host_reading == SLUICE_READABLE) {
		(void)sluice_filter_answer_name(filter, flow->id, "its host is read first");
		return;
	}
	is_allowed = lists_find(data, flow->host, &list, &hit);
	if (list)
		write_reason(list, &hit, is_allowed, reason);
	(void)sluice_filter_answer_for(filter, flow->id, is_allowed ? SLUICE_ALLOW : SLUICE_DROP,
				       SLUICE_THIS_NAME, reason);
}

/* Return: as sluice_filter_process() */
static int turn(struct lists *lists, struct sluice_filter *filter)
{
	struct pollfd fds[] = {
		{ .fd = sluice_filter_get_fd(filter), .events = sluice_filter_get_events(filter) },
		{ .fd = lists->watch, .events = POLLIN },
	};
	int is_all_told = lists_tell(lists, filter) == 0 && !lists->is_rejudge_due;

	if (poll(fds, 2, is_all_told ? -1 : TELL_MS) < 0 && errno != EINTR)
		return -errno;
	/* a flow is judged by the lists of before or of after, and what was said by those of before
	 * is taken back before anything is said by these */
	if (fds[1].revents && lists_update(lists, filter))
		lists->is_rejudge_due = 1;
	if (lists->is_rejudge_due)
		lists->is_rejudge_due = sluice_filter_rejudge(filter) == -ENOBUFS;
	return sluice_filter_process(filter);
}

int main(void)
{
	struct lists lists = { .watch = -1 };
	const struct sluice_filter_ops ops = { .size = sizeof(ops),
					       .name = "blocklist",
					       .option = on_option,
					       .start = on_start,
					       .new_flow = on_flow };
	struct sluice_filter *filter;
	int r = sluice_filter_new(&ops, &lists, &filter);

	if (r) {
		fprintf(stderr, "blocklist: %s\n",
			r == -ENOTCONN ? "not started by Sluice: run it with `sluice run --filter "
					 "blocklist:list=FILE -- COMMAND`"
				       : strerror(-r));
		return 1;
	}
	while (r == 0)
		r = turn(&lists, filter);
	/* the daemon has the words of a refusal and shows them; once is enough */
	if (r != -ESHUTDOWN && !lists.is_refused)
		fprintf(stderr, "blocklist: %s\n", sluice_filter_error(filter));
	sluice_filter_free(filter);
	lists_deinit(&lists);
	return r != -ESHUTDOWN || lists.is_refused;
}
