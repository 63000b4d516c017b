/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "lists.h"

#define CURRENT "current"

static_assert(_SLUICE_UNUSABLE_N == _LIST_E_N - 1, "enum sluice_unusable is enum list_error");
static_assert((int)SLUICE_UNUSABLE_ZONE == LIST_E_ZONE - 1, "in the same order");

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

static void log_report(struct sluice_filter *filter, const char *path,
		       const struct list_report *report)
{
	const struct list_bad *first = &report->bad[0];
	uint32_t n_names = report->n_names + report->n_exceptions;
	char names[32], bad[32];

	for (size_t i = 0; i < report->n_bad && i < LIST_BAD_KEPT && report->bad[i].line; i++)
		sluice_filter_log(filter, LOG_WARNING, "list %s: line %u: %s: \"%s\"", path,
				  report->bad[i].line, list_strerror(report->bad[i].error),
				  report->bad[i].text);
	group(n_names, names);
	if (report->n_bad == 0)
		sluice_filter_log(filter, LOG_INFO, "list %s: %s name%s, 0 unusable lines", path,
				  names, plural(n_names));
	else if (first->line)
		sluice_filter_log(filter, LOG_INFO,
				  "list %s: %s name%s, %s unusable line%s (first: line %u: %s)",
				  path, names, plural(n_names), group(report->n_bad, bad),
				  plural(report->n_bad), first->line, list_strerror(first->error));
	else /* its number is too high to be kept */
		sluice_filter_log(filter, LOG_INFO, "list %s: %s name%s, %s unusable line%s", path,
				  names, plural(n_names), group(report->n_bad, bad),
				  plural(report->n_bad));
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
				  "list %s: no name in it, %u unusable line%s (first: line %u: "
				  "%s): give a hosts file or a file with one domain per line",
				  path, report->n_bad, plural(report->n_bad), first->line,
				  list_strerror(first->error));
}

static int is_empty(const struct table *table)
{
	return table->head->n_entries == 0;
}

/* Return: 0, -EINVAL: it is no compiled list, or another negative errno */
static int open_current(int folder, struct table *ret_table, ino_t *ret_inode)
{
	int fd = openat(folder, CURRENT, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0)
		return -errno;
	r = fstat(fd, &st) < 0 ? -errno : table_open(fd, ret_table);
	(void)close(fd);
	if (r == 0)
		*ret_inode = st.st_ino;
	return r;
}

static void put_in_force(struct list *list, const struct table *table, ino_t inode)
{
	table_close(&list->table);
	list->table = *table;
	list->inode = inode;
	list->loaded_s = (uint64_t)time(NULL);
	list->is_told = 0;
}

static int is_taken(const struct lists *lists, const char *path, const char *label)
{
	for (uint16_t i = 0; i < lists->n; i++)
		if (strcmp(lists->lists[i].label, label) == 0 &&
		    strcmp(lists->lists[i].path, path) != 0)
			return 1;
	return 0;
}

/* a long path gives way to its last component: the line and the name matter more. Hits are counted
 * by it: two paths have two */
static void write_label(const struct lists *lists, const char *path, char label[LISTS_LABEL_BYTES])
{
	const char *slash = strrchr(path, '/');
	const char *last = slash ? slash + 1 : path;

	if (snprintf(label, LISTS_LABEL_BYTES, "list %s", path) < (int)LISTS_LABEL_BYTES)
		return;
	(void)snprintf(label, LISTS_LABEL_BYTES, "list %s", last);
	if (is_taken(lists, path, label))
		(void)snprintf(label, LISTS_LABEL_BYTES, "list %u, %s", lists->n + 1U, last);
}

/* a path would have to be looked up with rights that we have not: the folder is where we are */
static int watch(struct lists *lists, int folder)
{
	if (lists->watch < 0)
		lists->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (lists->watch < 0 || fchdir(folder) < 0 ||
	    inotify_add_watch(lists->watch, ".", IN_MOVED_TO) < 0)
		return -errno;
	return 0;
}

static int take(struct lists *lists, struct sluice_filter *filter, struct list *list)
{
	struct table table = { 0 };
	ino_t inode = 0;
	int r = watch(lists, list->folder); /* before: a version of meanwhile is told of */

	if (r == 0)
		r = open_current(list->folder, &table, &inode);
	if (r)
		return sluice_filter_fail(filter, r,
					  "list %s: cannot read it: %s: check the file "
					  "and try again",
					  list->path,
					  r == -EINVAL ? "not a compiled list" : strerror(-r));
	if (is_empty(&table)) {
		r = refuse_empty(filter, list->path, &table.head->report);
		table_close(&table);
		return r;
	}
	put_in_force(list, &table, inode);
	log_report(filter, list->path, &list->table.head->report);
	return 0;
}

static void close_list(struct list *list)
{
	table_close(&list->table);
	if (list->folder >= 0)
		(void)close(list->folder);
	free(list->path);
}

int lists_add(struct lists *lists, struct sluice_filter *filter, const char *path, int folder,
	      int is_allow)
{
	struct list *list;
	int r;

	if (folder < 0)
		return sluice_filter_fail(filter, -EBADF,
					  "list %s: came without its open file: start the filter "
					  "with `sluice run --filter blocklist:list=FILE`",
					  path);
	if (lists->n == LISTS_MAX)
		return sluice_filter_fail(filter, -E2BIG,
					  "list %s: more than %u lists: join some of them", path,
					  LISTS_MAX);
	list = &lists->lists[lists->n];
	*list = (struct list){ .path = strdup(path), .is_allow = is_allow };
	if (!list->path)
		return sluice_filter_fail(filter, -ENOMEM, "list %s: no memory", path);
	write_label(lists, path, list->label);
	list->folder = dup(folder);
	if (list->folder < 0)
		r = sluice_filter_fail(filter, -errno, "list %s: %s", path, strerror(errno));
	else
		r = take(lists, filter, list);
	if (r)
		close_list(list);
	else
		lists->n++;
	return r;
}

/* Return: was another version put in force? */
static int update(struct list *list, struct sluice_filter *filter)
{
	struct table table = { 0 };
	struct stat st;
	ino_t inode = 0;
	int r;

	if (fstatat(list->folder, CURRENT, &st, 0) < 0 || st.st_ino == list->inode)
		return 0;
	r = open_current(list->folder, &table, &inode);
	if (r == 0 && is_empty(&table)) {
		table_close(&table);
		r = -ENODATA;
	}
	if (r) {
		sluice_filter_log(filter, LOG_ERR,
				  "list %s: the new version is not taken: %s: "
				  "the one before stays in force",
				  list->path,
				  r == -EINVAL	  ? "not a compiled list"
				  : r == -ENODATA ? "no name in it"
						  : strerror(-r));
		return 0;
	}
	put_in_force(list, &table, inode);
	log_report(filter, list->path, &list->table.head->report);
	return 1;
}

unsigned int lists_update(struct lists *lists, struct sluice_filter *filter)
{
	char events[4096] __attribute__((aligned(8)));
	unsigned int n = 0;

	while (lists->watch >= 0 && read(lists->watch, events, sizeof(events)) > 0)
		;
	for (uint16_t i = 0; i < lists->n; i++)
		n += (unsigned int)update(&lists->lists[i], filter);
	return n;
}

static int tell(const struct list *list, uint16_t number, struct sluice_filter *filter)
{
	const struct table_head *head = list->table.head;
	struct sluice_list record = { .size = sizeof(record),
				      .number = number,
				      .name = list->path,
				      .reason = list->label,
				      .is_exceptions = list->is_allow,
				      .n_names = head->report.n_names,
				      .n_exceptions = head->report.n_exceptions,
				      .n_unusable = head->report.n_bad,
				      .changed_s = (uint64_t)(head->stamp.modified_ns / 1000000000),
				      .loaded_s = list->loaded_s };

	for (size_t i = 0; i < _SLUICE_UNUSABLE_N; i++)
		record.unusable[i] = head->report.n_of[i + 1];
	return sluice_filter_list(filter, &record);
}

unsigned int lists_tell(struct lists *lists, struct sluice_filter *filter)
{
	unsigned int n = 0;

	for (uint16_t i = 0; i < lists->n && lists->is_started; i++) {
		struct list *list = &lists->lists[i];

		/* what it refuses for another reason than a full channel it would refuse again */
		if (!list->is_told)
			list->is_told = tell(list, i, filter) != -EAGAIN;
		n += !list->is_told;
	}
	return n;
}

/* of a list of exceptions every name is one, with @@ in front of it or without */
static unsigned int rank_in(const struct list *list, unsigned int flags)
{
	return table_rank(flags | (list->is_allow ? TABLE_ALLOW : 0U));
}

int lists_find(const struct lists *lists, const char *host, const struct list **ret_list,
	       struct table_hit *ret_hit)
{
	struct name_query query;
	unsigned int best = 0;

	*ret_list = NULL;
	name_query(&query, host);
	for (uint16_t i = 0; i < lists->n; i++) {
		const struct list *list = &lists->lists[i];
		struct table_hit hit;
		unsigned int rank;

		if (!table_find(&list->table, &query, &hit))
			continue;
		rank = rank_in(list, hit.flags);
		if (rank <= best)
			continue;
		best = rank;
		*ret_list = list;
		*ret_hit = hit;
	}
	return best % 2 == 0;
}

void lists_deinit(struct lists *lists)
{
	for (uint16_t i = 0; i < lists->n; i++)
		close_list(&lists->lists[i]);
	if (lists->watch >= 0)
		(void)close(lists->watch);
	lists->n = 0;
	lists->watch = -1;
}
