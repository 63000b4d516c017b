/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "peek-options.h"

static uint64_t number_of(const char *value)
{
	return strcmp(value, "max") ? strtoull(value, NULL, 10) : SLUICE_BYTES_MAX;
}

bool peek_option(struct peek_options *options, const char *key, const char *value)
{
	if (!strcmp(key, "peek-out")) {
		options->has_out = true;
		options->out = number_of(value);
	} else if (!strcmp(key, "peek-in")) {
		options->has_in = true;
		options->in = number_of(value);
	} else if (!strcmp(key, "peek-port")) {
		options->port = strtoul(value, NULL, 10);
	} else if (!strcmp(key, "peek-allow")) {
		options->is_allowing = true;
	} else if (!strcmp(key, "peek-all")) {
		options->is_passing_all = true;
	} else if (!strcmp(key, "peek-more")) {
		options->more = number_of(value);
	} else if (!strcmp(key, "never-answer")) {
		options->is_mute = true;
	} else if (!strcmp(key, "pause-ms")) {
		options->pause_ms = strtoul(value, NULL, 10);
	} else if (!strcmp(key, "pause-new-ms")) {
		options->pause_new_ms = strtoul(value, NULL, 10);
	} else if (!strcmp(key, "pause-twice")) {
		options->pauses_twice = true;
	} else if (!strcmp(key, "deny-when-seen")) {
		snprintf(options->text, sizeof(options->text), "%s", value);
	} else {
		return false;
	}
	return true;
}

static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t n)
{
	crc = ~crc;
	for (size_t i = 0; i < n; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
	}
	return ~crc;
}

static struct peek_flow *find(struct peek_options *options, uint64_t id)
{
	for (unsigned int i = 0; i < N_PEEKS; i++)
		if (options->flows[i].id == id)
			return &options->flows[i];
	return NULL;
}

static void look(struct sluice_filter *filter, const struct peek_options *options, uint64_t id)
{
	struct sluice_peek peek = { .size = sizeof(peek),
				    .outbound = { options->has_out, options->out },
				    .inbound = { options->has_in, options->in } };

	sluice_filter_answer_peek(filter, id, &peek, "looking");
}

static void pause_flow(struct sluice_filter *filter, const struct peek_options *options,
		       struct peek_flow *flow, uint64_t due_ms)
{
	flow->due_ms = due_ms;
	flow->was_paused = true;
	sluice_filter_pause(filter, flow->id);
	if (options->pauses_twice)
		sluice_filter_pause(filter, flow->id);
}

bool peek_options_looks(const struct peek_options *options)
{
	return options->has_out || options->has_in;
}

bool peek_options_begin(struct sluice_filter *filter, struct peek_options *options,
			const struct sluice_flow *new, uint64_t now_ms)
{
	bool is_wanted = !options->port || new->remote_port == options->port ||
			 new->local_port == options->port;
	struct peek_flow *flow;

	if (!peek_options_looks(options) || !is_wanted)
		return false;
	flow = &options->flows[options->next++ % N_PEEKS];
	*flow = (struct peek_flow){ .id = new->id };
	flow->port = new->direction == SLUICE_OUTBOUND ? new->remote_port : new->local_port;
	if (options->pause_new_ms) {
		flow->is_new = true;
		pause_flow(filter, options, flow, now_ms + options->pause_new_ms);
		flow->was_paused = false;
	} else {
		look(filter, options, new->id);
	}
	return true;
}

static bool has_text(struct peek_side *side, const char *text, const uint8_t *bytes, size_t n)
{
	size_t n_text = strlen(text);

	if (!n_text)
		return false;
	if (memmem(bytes, n, text, n_text))
		return true;
	for (size_t i = 0; i < n && i < n_text; i++) { /* across the border */
		if (side->n_tail == sizeof(side->tail))
			memmove(side->tail, side->tail + 1, --side->n_tail);
		side->tail[side->n_tail++] = (char)bytes[i];
	}
	if (memmem(side->tail, side->n_tail, text, n_text))
		return true;
	for (size_t i = n > n_text ? n - n_text : 0; i < n; i++) {
		if (side->n_tail == sizeof(side->tail))
			memmove(side->tail, side->tail + 1, --side->n_tail);
		side->tail[side->n_tail++] = (char)bytes[i];
	}
	return false;
}

static void answer(struct sluice_filter *filter, const struct peek_options *options,
		   struct peek_flow *flow, enum sluice_direction direction)
{
	struct peek_side *side = &flow->sides[direction];
	uint64_t wanted = direction == SLUICE_OUTBOUND ? options->out : options->in;
	const struct sluice_data *data = &side->last;

	side->is_open = false;
	if (side->is_denied)
		sluice_filter_answer(filter, flow->id, SLUICE_DROP, "seen the text");
	else if (options->is_allowing)
		sluice_filter_answer(filter, flow->id, SLUICE_ALLOW, "seen");
	else if (options->is_passing_all)
		sluice_filter_pass(filter, flow->id, direction, SLUICE_BYTES_MAX, 0);
	else
		sluice_filter_pass(filter, flow->id, direction, data->n, wanted);
}

static void add(struct sluice_filter *filter, struct peek_flow *flow,
		const struct sluice_data *data)
{
	struct peek_side *side = &flow->sides[data->direction];

	if (data->offset != side->n)
		sluice_filter_log(filter, LOG_ERR, "seen: offset %llu after %llu bytes",
				  (unsigned long long)data->offset, (unsigned long long)side->n);
	side->crc = crc32(side->crc, data->bytes, data->n);
	side->n += data->n;
	if (data->is_end)
		sluice_filter_log(filter, LOG_NOTICE, "seen %u %s %llu %08x most %u", flow->port,
				  data->direction == SLUICE_OUTBOUND ? "out" : "in",
				  (unsigned long long)side->n, side->crc, data->most);
}

void peek_options_data(struct sluice_filter *filter, struct peek_options *options,
		       const struct sluice_data *data, uint64_t now_ms)
{
	struct peek_flow *flow = find(options, data->flow_id);

	if (!flow || options->is_mute)
		return;
	if (options->more > data->n && !data->is_end && data->offset == 0) {
		sluice_filter_pass(filter, data->flow_id, data->direction, 0, options->more);
		return;
	}
	if (has_text(&flow->sides[data->direction], options->text, data->bytes, data->n))
		flow->sides[data->direction].is_denied = true;
	else
		add(filter, flow, data);
	flow->sides[data->direction].last = *data;
	flow->sides[data->direction].is_open = true;
	if (options->pause_ms && !flow->was_paused)
		pause_flow(filter, options, flow, now_ms + options->pause_ms);
	else if (!flow->due_ms)
		answer(filter, options, flow, data->direction);
}

int peek_options_work(struct sluice_filter *filter, struct peek_options *options, uint64_t now_ms)
{
	int wait_ms = -1;

	for (unsigned int i = 0; i < N_PEEKS; i++) {
		struct peek_flow *flow = &options->flows[i];

		if (!flow->due_ms)
			continue;
		if (flow->due_ms > now_ms) {
			int left_ms = (int)(flow->due_ms - now_ms);

			wait_ms = wait_ms < 0 || left_ms < wait_ms ? left_ms : wait_ms;
			continue;
		}
		flow->due_ms = 0;
		sluice_filter_resume(filter, flow->id);
		if (flow->is_new)
			look(filter, options, flow->id);
		flow->is_new = false;
		for (int side = 0; side < 2; side++)
			if (flow->sides[side].is_open)
				answer(filter, options, flow, (enum sluice_direction)side);
	}
	return wait_ms;
}
