/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/macros.h"
#include "base/text.h"
#include "lib/filter-internal.h"

static uint32_t count(uint64_t n)
{
	return (uint32_t)MIN(n, UINT32_MAX);
}

static void fill_kinds(const uint64_t n[_SLUICE_UNUSABLE_N], struct wire_list *record)
{
	/* in the order of enum sluice_unusable */
	uint32_t *const kinds[] = {
		&record->character, &record->idn,     &record->label,	 &record->too_long,
		&record->words,	    &record->no_name, &record->address,	 &record->cosmetic,
		&record->url,	    &record->regex,   &record->modifier, &record->wildcard,
		&record->setting,   &record->zone,
	};

	_Static_assert(ARRAY_SIZE(kinds) == _SLUICE_UNUSABLE_N, "each kind has a field");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		*kinds[i] = count(n[i]);
}

int sluice_filter_list(struct sluice_filter *filter, const struct sluice_list *list)
{
	struct wire_list record = { 0 };
	int r;

	if (!filter_is_alive(filter))
		return -ESHUTDOWN;
	if (!list || list->size < sizeof(*list) || !list->name || !list->reason ||
	    !list->reason[0] || strlen(list->reason) >= sizeof(record.reason) || list->number > 255)
		return -EINVAL;
	record = (struct wire_list){ .number = list->number,
				     .exceptions = list->is_exceptions,
				     .names = count(list->n_names),
				     .allowed = count(list->n_exceptions),
				     .unusable = count(list->n_unusable),
				     .changed = list->changed_s,
				     .loaded = list->loaded_s };
	fill_kinds(list->unusable, &record);
	memcpy(record.name, list->name, strnlen(list->name, sizeof(record.name) - 1));
	memcpy(record.reason, list->reason, strlen(list->reason));
	r = filter_send_now(filter->fd, WIRE_LIST, &record);
	return r < 0 && r != -EAGAIN ? filter_fail_send(filter, r) : r;
}
