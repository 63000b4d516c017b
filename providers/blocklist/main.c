/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: blocklist - a bundled filter
 *
 * Drops flows whose host name, or a domain it lies in, is in one of the lists
 * given with the option `list` (repeatable). The lists are read when the
 * options arrive, before the provider says that it is ready; after that it
 * touches no file, so it needs no right but its channel.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <sluice/filter.h>

#include "list.h"

#define LISTS_MAX 256U
#define REASON_BYTES 128U

struct blocklist {
	struct names names;
	char *paths[LISTS_MAX]; /* as the user wrote them */
	uint16_t n_lists;
};

/* 208000 → "208,000": @text of 32 bytes holds any number */
static const char *group(size_t value, char text[32])
{
	char digits[32];
	int n = snprintf(digits, sizeof(digits), "%zu", value);
	int out = 0;

	for (int i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			text[out++] = ',';
		text[out++] = digits[i];
	}
	text[out] = '\0';
	return text;
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void tell_report(struct sluice_filter *filter, const char *path,
			const struct list_report *report)
{
	const struct list_bad *first = &report->bad[0];
	char names[32], bad[32];

	for (size_t i = 0; i < report->n_bad && i < LIST_BAD_KEPT; i++)
		sluice_filter_log(filter, LOG_WARNING, "list %s: line %u: %s: \"%s\"", path,
				  report->bad[i].line, list_strerror(report->bad[i].error),
				  report->bad[i].text);
	group(report->n_names, names);
	if (report->n_bad == 0)
		sluice_filter_log(filter, LOG_INFO, "list %s: %s name%s, 0 bad lines", path, names,
				  plural(report->n_names));
	else
		sluice_filter_log(filter, LOG_INFO,
				  "list %s: %s name%s, %s bad line%s (first: line %u: %s)", path,
				  names, plural(report->n_names), group(report->n_bad, bad),
				  plural(report->n_bad), first->line, list_strerror(first->error));
}

static int refuse_empty(struct sluice_filter *filter, const char *path,
			const struct list_report *report)
{
	const struct list_bad *first = &report->bad[0];

	if (report->n_bad == 0)
		return sluice_filter_fail(filter, -ENODATA,
					  "list %s: no name in it: give a hosts file or a file "
					  "with one domain per line",
					  path);
	return sluice_filter_fail(filter, -ENODATA,
				  "list %s: no name in it, %zu bad line%s (first: line %u: %s): "
				  "give a hosts file or a file with one domain per line",
				  path, report->n_bad, plural(report->n_bad), first->line,
				  list_strerror(first->error));
}

static int refuse_unreadable(struct sluice_filter *filter, const char *path, int error)
{
	if (error == -ESPIPE)
		return sluice_filter_fail(filter, error,
					  "list %s: not a regular file, but it is read again after "
					  "a restart: save it to a file and give that",
					  path);
	return sluice_filter_fail(filter, error,
				  "list %s: cannot read it: %s: check the file and try again", path,
				  strerror(-error));
}

static int add_list(struct sluice_filter *filter, struct blocklist *blocklist, const char *path,
		    int fd)
{
	struct list_report report;
	int r;

	if (fd < 0)
		return sluice_filter_fail(filter, -EBADF,
					  "list %s: came without its open file: start the filter "
					  "with `sluice run --filter blocklist:list=FILE`",
					  path);
	if (blocklist->n_lists == LISTS_MAX)
		return sluice_filter_fail(filter, -E2BIG,
					  "list %s: more than %u lists: join some of them", path,
					  LISTS_MAX);
	r = list_read(&blocklist->names, fd, blocklist->n_lists, &report);
	if (r)
		return refuse_unreadable(filter, path, r);
	if (report.n_names == 0)
		return refuse_empty(filter, path, &report);
	blocklist->paths[blocklist->n_lists] = strdup(path);
	if (!blocklist->paths[blocklist->n_lists])
		return sluice_filter_fail(filter, -ENOMEM, "list %s: no memory", path);
	blocklist->n_lists++;
	tell_report(filter, path, &report);
	return 0;
}

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	if (strcmp(key, "list") == 0)
		return add_list(filter, data, value, fd);
	return sluice_filter_fail(filter, -EINVAL,
				  "unknown option \"%s\": blocklist knows list=FILE (repeatable)",
				  key);
}

static int on_start(struct sluice_filter *filter, void *data)
{
	struct blocklist *blocklist = data;

	if (blocklist->n_lists > 0)
		return 0;
	return sluice_filter_fail(filter, -EINVAL,
				  "no list given: add one, as in `--filter "
				  "blocklist:list=/etc/sluice/ads.hosts`");
}

/* a long path gives way to its last component: the line and the name matter more */
static void write_reason(const struct blocklist *blocklist, const struct names_hit *hit,
			 char *reason)
{
	const char *path = blocklist->paths[hit->list];
	const char *slash = strrchr(path, '/');
	int n;

	n = snprintf(reason, REASON_BYTES, "list %s line %u: %.*s", path, hit->line,
		     (int)hit->length, hit->text);
	if (n >= (int)REASON_BYTES && slash)
		(void)snprintf(reason, REASON_BYTES, "list %s line %u: %.*s", slash + 1, hit->line,
			       (int)hit->length, hit->text);
}

/* lists do not change while we run, so a verdict holds for the name; without one it reaches no
 * further than the flow */
static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	const struct blocklist *blocklist = data;
	char reason[REASON_BYTES];
	struct names_hit hit;

	if (flow->host_reading == SLUICE_READABLE)
		sluice_filter_answer_name(filter, flow->id, "its host is read first");
	else if (names_find(&blocklist->names, flow->host, &hit)) {
		write_reason(blocklist, &hit, reason);
		sluice_filter_answer_for(filter, flow->id, SLUICE_DROP, SLUICE_THIS_NAME, reason);
	} else {
		sluice_filter_answer_for(filter, flow->id, SLUICE_ALLOW, SLUICE_THIS_NAME,
					 "not listed");
	}
}

int main(void)
{
	struct blocklist blocklist = { 0 };
	struct sluice_filter_ops ops = { .size = sizeof(ops),
					 .name = "blocklist",
					 .option = on_option,
					 .start = on_start,
					 .new_flow = on_flow };
	int status = sluice_filter_main(&ops, &blocklist);

	for (uint16_t i = 0; i < blocklist.n_lists; i++)
		free(blocklist.paths[i]);
	names_deinit(&blocklist.names);
	return status;
}
