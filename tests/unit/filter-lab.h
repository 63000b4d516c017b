/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: libsluice, with the test playing the daemon
 *
 * Both ends of the channel are in this process: the filter's end is put on
 * descriptor 3, where the library looks for it. Nothing ever blocks, so every
 * step is the test's own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/filter.h>

#include "base/macros.h"
#include "wire/channel.h"
#include "wire/provider-records.h"

#define CHANNEL_FD 3

/* what the callbacks saw, and what they are to do */
struct seen {
	int daemon; /* our end */
	struct sluice_filter *filter;
	uint8_t buffer[WIRE_RECORD_MAX];
	struct wire_message message;

	int option_returns, start_returns;
	const char *fail_text;
	bool is_answering, is_logging_at_start;

	unsigned int n_options, n_starts, n_flows, n_closed, n_stops;
	char key[64], value[300];
	int option_fd, option_fd_open;
	struct sluice_flow flow;
	char host[256], exe[512], kind[16];
	uint64_t closed_id, bytes_in, bytes_out;
	int answer_returned;
};

extern const struct sluice_filter_ops filter_full_ops, filter_small_ops;

/** filter_set_up() - a struct seen and its channel, for cmocka */
int filter_set_up(void **state);
int filter_tear_down(void **state);
int filter_send_with(struct seen *seen, uint16_t type, const void *body, int fd);
void filter_send_record(struct seen *seen, uint16_t type, const void *body);
/** filter_receive() - Return: 0 and the record in seen->message, or -EAGAIN */
int filter_receive(struct seen *seen);
/** filter_expect() - the next record, which has this type. Return: its body */
const void *filter_expect(struct seen *seen, uint16_t type);
/** filter_process() - the library does what is due */
int filter_process(struct seen *seen);
/** filter_begin() - a filter that has said HELLO */
void filter_begin(struct seen *seen, const struct sluice_filter_ops *ops);
void filter_send_welcome(struct seen *seen);
void filter_send_option(struct seen *seen, const char *key, const char *value, int fd);
void filter_send_start(struct seen *seen);
void filter_send_stop(struct seen *seen);
int filter_send_flow(struct seen *seen, uint64_t id);
/** filter_ready() - a filter begins. Return: its READY, valid until the next record */
const struct wire_ready *filter_ready(struct seen *seen, const struct sluice_filter_ops *ops);
/** filter_start() - a filter that has said READY */
void filter_start(struct seen *seen, const struct sluice_filter_ops *ops);
/** filter_fill_channel() - answers, until one waits. Return: how many the channel itself took */
uint64_t filter_fill_channel(struct seen *seen);
