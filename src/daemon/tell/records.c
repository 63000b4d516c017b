/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What sluiced tells people of flows: records, and the control socket
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "control/flow-json.h"
#include "daemon/daemon.h"

#define LINE_BYTES 8192U

static uint64_t realtime_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void fill_identity(struct flow_record *record, const struct identity *identity)
{
	if (!identity)
		return;
	record->pid = identity->who.pid;
	record->uid = identity->who.uid;
	record->exe = identity->exe;
	record->command = identity->command;
	record->unit = identity->unit;
	record->container = identity->container;
	record->cgroup = identity->cgroup;
}

/* one that is held has no verdict yet */
static bool is_going_on(const struct flow *flow)
{
	return flow->verdict == SL_ALLOW || flow->verdict == SL_PEEK;
}

static void fill_behalf(const struct flow_side *side, struct flow_record *record)
{
	record->on_behalf_of = side->behalf;
	if (!side->origin)
		return;
	record->origin_exe = side->origin->exe;
	record->origin_pid = side->origin->who.pid;
	record->origin_uid = side->origin->who.uid;
}

/* who has decided, who has it, and what it has carried if it is over */
static void fill_fate(struct daemon *daemon, const struct flow *flow, struct flow_record *record)
{
	if (flow->is_counted) {
		record->event = RECORD_CLOSED;
		record->bytes_in = flow->bytes.in;
		record->bytes_out = flow->bytes.out;
	}
	if (flow->provider >= 0)
		record->provider = daemon->filters[flow->provider].name;
	if (flow->is_diverted)
		record->via = divert_proxy(daemon, flow);
}

/* @through: for what is said of it */
static void fill_record(struct daemon *daemon, const struct flow *flow, struct flow_record *record,
			char through[BEHALF_THROUGH_BYTES])
{
	const struct link *link = identity_link(daemon, flow->side->netns, flow->side->ifindex);

	*record = (struct flow_record){ .time_us = realtime_us(),
					.event = RECORD_NEW,
					.id = flow->id,
					.owner_pid = flow->side->owner_pid,
					.netns = flow->side->netns_inode,
					.protocol = flow->key.proto,
					.direction = flow->direction,
					.local_port = flow->lport,
					.remote_port = flow->key.rport,
					.host = flow->host,
					.host_source = flow->host_source,
					.interface = link->name,
					.interface_kind = link_kind_name(link->kind),
					.verdict = is_going_on(flow) ? RECORD_ALLOW : RECORD_DROP,
					.state = flow->verdict == SL_PEEK ? RECORD_PEEKING
									  : RECORD_JUDGED,
					.reason = flow->reason,
					.through = behalf_through(daemon, flow, through),
					.origin_uid = RECORD_UNKNOWN,
					.bytes_in = RECORD_UNKNOWN,
					.bytes_out = RECORD_UNKNOWN,
					.decision_us = flow->decided_us - flow->opened_us };
	memcpy(record->local_address, flow->side->laddr, sizeof(record->local_address));
	memcpy(record->remote_address, flow->key.raddr, sizeof(record->remote_address));
	fill_fate(daemon, flow, record);
	fill_identity(record, flow->side->identity);
	fill_behalf(flow->side, record);
}

static bool is_wanted(const struct daemon *daemon)
{
	return daemon->flows_fd >= 0 || (daemon->control && control_has_followers(daemon->control));
}

/* Return: 0, or a negative errno: @is_cut says whether a part of it was written */
static int write_all(int fd, const char *text, size_t n, bool *is_cut)
{
	bool has_begun = false;

	while (n > 0) {
		ssize_t n_written = write(fd, text, n);

		if (n_written < 0 && errno == EINTR)
			continue;
		if (n_written <= 0) {
			*is_cut |= has_begun;
			return n_written < 0 ? -errno : -EIO;
		}
		has_begun = true; /* a pipe or disk that is nearly full: the next try says why */
		text += n_written;
		n -= (size_t)n_written;
	}
	*is_cut = false;
	return 0;
}

/* what a file has behind its last line feed, and where. Return: bytes, at most the last @size; of no file: 0 */
static size_t read_cut(int fd, char *cut, size_t size, off_t *ret_at)
{
	struct stat st;
	const char *feed;
	ssize_t n = 0;
	size_t before;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	*ret_at = st.st_size > (off_t)size ? st.st_size - (off_t)size : 0;
	n = pread(fd, cut, size, *ret_at);
	if (n <= 0)
		return 0;
	feed = memrchr(cut, '\n', (size_t)n);
	before = feed ? (size_t)(feed + 1 - cut) : 0;
	memmove(cut, cut + before, (size_t)n - before);
	*ret_at += (off_t)before;
	return (size_t)n - before;
}

/* A signal that kills ends a write(2) between two pages: what our predecessor had begun is taken back, and
 * is no record. Of others' text the line is ended */
static void mend_cut(struct daemon *daemon)
{
	char cut[LINE_BYTES];
	off_t at;
	size_t n = read_cut(daemon->flows_fd, cut, sizeof(cut), &at);

	if (n == 0)
		return;
	daemon->is_line_cut = daemon->generation == 0 || n == sizeof(cut) || cut[0] != '{' ||
			      ftruncate(daemon->flows_fd, at) < 0;
}

static void append_line(struct daemon *daemon, struct json_object *json)
{
	char line[LINE_BYTES];
	size_t n, start = daemon->is_line_cut; /* that one is ended first */
	const char *text = flow_json_line(json, &n);
	int r;

	if (!text || n + start >= sizeof(line))
		return;
	line[0] = '\n';
	memcpy(line + start, text, n);
	line[start + n] = '\n';
	r = write_all(daemon->flows_fd, line, start + n + 1, &daemon->is_line_cut);
	if (!r)
		return;
	if (r == -EAGAIN) { /* a pipe that nobody reads must not stop the network */
		if (daemon->n_lines_lost++ == 0)
			log_error("flow records are lost: their reader is too slow");
		return;
	}
	log_error("cannot append to the flow records: %s; no more are written", strerror(-r));
	daemon->flows_fd = close_fd(daemon->flows_fd);
}

static void publish(struct daemon *daemon, const struct flow_record *record)
{
	struct json_object *json;

	if (flow_json(record, &json) < 0)
		return;
	if (daemon->flows_fd >= 0)
		append_line(daemon, json);
	if (daemon->control)
		control_publish(daemon->control, json);
	json_object_put(json);
}

struct json_object *records_json(struct daemon *daemon, const struct flow *flow)
{
	char through[BEHALF_THROUGH_BYTES];
	struct flow_record record;
	struct json_object *json;

	fill_record(daemon, flow, &record, through);
	if (flow->state == FLOW_OPEN)
		record.time_us -= daemon_now_us() - flow->decided_us;
	else /* it is held */
		record.decision_us = daemon_now_us() - flow->opened_us;
	return flow_json(&record, &json) < 0 ? NULL : json;
}

void records_judged(struct daemon *daemon, const struct flow *flow)
{
	char through[BEHALF_THROUGH_BYTES];
	struct flow_record record;

	if (!is_wanted(daemon))
		return;
	fill_record(daemon, flow, &record, through);
	publish(daemon, &record);
}

void records_changed(struct daemon *daemon, const struct flow *flow)
{
	char through[BEHALF_THROUGH_BYTES];
	struct flow_record record;

	if (!is_wanted(daemon))
		return;
	fill_record(daemon, flow, &record, through);
	record.event = RECORD_CHANGED;
	publish(daemon, &record);
}

void records_closed(struct daemon *daemon, const struct flow *flow, struct flow_bytes bytes)
{
	char through[BEHALF_THROUGH_BYTES];
	struct flow_record record;

	if (!is_wanted(daemon))
		return;
	fill_record(daemon, flow, &record, through);
	record.event = RECORD_CLOSED;
	record.bytes_in = bytes.in;
	record.bytes_out = bytes.out;
	publish(daemon, &record);
}

/* ---- the control socket ---- */

size_t records_count_open(struct daemon *daemon)
{
	struct flow *flow = flow_table_oldest_open(daemon->flows);
	size_t n = 0;

	for (; flow; flow = flow_next(flow))
		n += is_going_on(flow);
	return n;
}

static int by_id(const void *a, const void *b)
{
	const struct flow *const *x = a, *const *y = b;

	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

/* the table is in the order of decisions, a client wants that of beginnings */
static struct flow **sorted_flows(struct daemon *daemon, size_t *ret_n)
{
	size_t n = flow_table_n_open(daemon->flows), i = 0;
	struct flow **flows = calloc(n + 1, sizeof(*flows));
	struct flow *flow = flow_table_oldest_open(daemon->flows);

	if (!flows)
		return NULL;
	for (; flow; flow = flow_next(flow))
		if (is_going_on(flow)) /* a denied one is only remembered */
			flows[i++] = flow;
	qsort(flows, i, sizeof(*flows), by_id);
	*ret_n = i;
	return flows;
}

static void list_flows(void *data, control_emit_fn emit, void *to)
{
	struct daemon *daemon = data;
	char through[BEHALF_THROUGH_BYTES];
	size_t n = 0;
	_cleanup_free_ struct flow **flows = sorted_flows(daemon, &n);

	for (size_t i = 0; i < n; i++) {
		struct flow_record record;
		struct json_object *json;

		fill_record(daemon, flows[i], &record, through);
		if (flow_json(&record, &json) < 0)
			continue;
		emit(to, json);
		json_object_put(json);
	}
}

static void check(void *data)
{
	canary_check(data);
}

int records_open(struct daemon *daemon)
{
	static const struct control_ops ops = {
		.get_status = status_get,
		.doctor = status_doctor,
		.list_flows = list_flows,
		.check = check,
		.why = why_find,
		.explain = explain_begin,
		.list_addresses = explain_list_addresses,
		.get_lists = lists_get,
		.get_rules = rules_get_page,
	};
	char path[300];

	daemon->started_us = realtime_us();
	mend_cut(daemon);
	snprintf(path, sizeof(path), "%s/control", daemon->instance.state);
	return control_new(daemon->event, path, 0, &ops, daemon, &daemon->control);
}
