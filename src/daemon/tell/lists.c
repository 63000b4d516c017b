/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Lists by which filters judge
 *
 * A filter tells of them (LIST) and sluiced counts their hits, because it answers many
 * flows in the filter's place: a hit is a flow that was decided for a reason which begins
 * with the list's. So what `sluice lists` counts is what `sluice flows` shows. Counts
 * begin with sluiced, and outlive the filter's process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/flow-json.h"
#include "control/json-message.h"
#include "daemon/daemon.h"

struct known_list {
	bool is_known;
	struct wire_list record;
	uint64_t n_hits;
};

static bool make_room(struct filter *filter, unsigned int n)
{
	struct known_list *more = realloc(filter->lists, n * sizeof(*more));

	if (!more)
		return false;
	memset(more + filter->n_lists, 0, (n - filter->n_lists) * sizeof(*more));
	filter->lists = more;
	filter->n_lists = n;
	return true;
}

int lists_take(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_list *record = WIRE_BODY(message, struct wire_list);
	struct filter *filter = &daemon->filters[index];
	struct known_list *list;

	if (record->number >= filter->n_lists && !make_room(filter, record->number + 1U)) {
		log_error("filter %s: no memory to count the hits of a list", filter->name);
		return 0;
	}
	list = &filter->lists[record->number];
	if (strcmp(list->record.name, record->name) != 0)
		list->n_hits = 0;
	list->is_known = true;
	list->record = *record;
	return 0;
}

/* what its process of before did not live to see may have changed: one that runs says so itself */
void lists_ready(struct daemon *daemon, unsigned int index)
{
	const struct filter *filter = &daemon->filters[index];

	if (filter->session.restarts > 0 && filter->n_lists > 0)
		live_rejudge(daemon, index);
}

struct json_object *lists_names(const struct filter *filter)
{
	struct json_object *names = json_object_new_array();

	for (unsigned int i = 0; i < filter->n_lists; i++)
		if (filter->lists[i].is_known)
			json_append(names, json_clean_string(filter->lists[i].record.name));
	return names;
}

void lists_count(struct daemon *daemon, const struct flow *flow)
{
	struct known_list *found = NULL;
	struct filter *filter;
	size_t n_found = 0;

	if (flow->provider < 0)
		return;
	filter = &daemon->filters[flow->provider];
	for (unsigned int i = 0; i < filter->n_lists; i++) {
		const char *reason = filter->lists[i].record.reason;
		size_t n = strlen(reason);

		/* the longest: there may be blanks in it */
		if (n <= n_found || strncmp(flow->reason, reason, n) != 0 || flow->reason[n] != ' ')
			continue;
		found = &filter->lists[i];
		n_found = n;
	}
	if (found)
		found->n_hits++;
}

static void add_count(struct json_object *json, const char *key, uint64_t value)
{
	json_add(json, key, json_object_new_uint64(value));
}

/* the fields of LIST from the first kind to the last, by their names */
static struct json_object *kinds_json(const struct wire_list *list)
{
	const struct wire_record *record = wire_find(&wire_provider_channel, WIRE_LIST);
	struct json_object *json = json_object_new_object();

	for (unsigned int i = 0; i < record->n_fields; i++) {
		const struct wire_field *field = &record->fields[i];
		uint32_t n;

		if (field->offset < offsetof(struct wire_list, character) ||
		    field->offset > offsetof(struct wire_list, zone))
			continue;
		memcpy(&n, (const uint8_t *)list + field->offset, sizeof(n));
		if (n)
			add_count(json, field->name, n);
	}
	return json;
}

static struct json_object *list_json(const struct filter *filter, const struct known_list *list)
{
	const struct wire_list *record = &list->record;
	struct json_object *json = json_object_new_object();

	json_add(json, "filter", json_clean_string(filter->name));
	json_add(json, "name", json_clean_string(record->name));
	json_add(json, "exceptions", json_object_new_boolean(record->exceptions));
	add_count(json, "names", record->names);
	add_count(json, "allowed", record->allowed);
	add_count(json, "hits", list->n_hits);
	add_count(json, "unusable", record->unusable);
	json_add(json, "kinds", kinds_json(record));
	if (record->changed)
		status_add_time(json, "changed", record->changed * 1000000);
	else
		json_add(json, "changed", NULL);
	status_add_time(json, "loaded", record->loaded * 1000000);
	return json;
}

int lists_get(void *data, struct json_object **ret_lists)
{
	struct json_object *lists = json_object_new_array();
	const struct daemon *daemon = data;

	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		const struct filter *filter = &daemon->filters[i];

		for (unsigned int j = 0; j < filter->n_lists; j++)
			if (filter->lists[j].is_known)
				json_append(lists, list_json(filter, &filter->lists[j]));
	}
	*ret_lists = lists;
	return 0;
}

void lists_close(struct daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		free(daemon->filters[i].lists);
		daemon->filters[i].lists = NULL;
		daemon->filters[i].n_lists = 0;
	}
}
