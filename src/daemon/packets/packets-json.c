/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Packet filters, as `sluice status` shows them */
#include "control/json-message.h"
#include "daemon/daemon.h"

static void add(struct json_object *json, const char *key, uint64_t value)
{
	json_add(json, key, json_object_new_uint64(value));
}

struct json_object *packets_filter_json(const struct filter *filter)
{
	const struct packet_filter *packets = &filter->packets;
	struct json_object *json;

	if (!packets->is_one)
		return NULL;
	json = json_object_new_object();
	add(json, "asked", packets->n_asked);
	add(json, "dropped", packets->n_dropped);
	add(json, "delayed", packets->n_delayed);
	add(json, "late", packets->n_late);
	add(json, "failed", packets->n_failed);
	add(json, "rules", packets->ruling.n);
	return json;
}

struct json_object *packets_json(struct daemon *daemon)
{
	const struct packets *packets = &daemon->packet_filters;
	uint64_t counts[_SL_PACKET_COUNT_N], asked;
	struct json_object *json;

	if (!packets->filters || plane_count_packets(daemon->plane, counts) < 0)
		return NULL;
	json = json_object_new_object();
	asked = counts[SL_PACKET_ASKED] - packets->base[SL_PACKET_ASKED];
	add(json, "read", packets->n_read);
	add(json, "unread", asked > packets->n_read ? asked - packets->n_read : 0);
	add(json, "dropped_by_rules", counts[SL_PACKET_DENIED] - packets->base[SL_PACKET_DENIED]);
	add(json, "dropped_unknown", packets->n_left);
	add(json, "waiting", asked_n(packets->asked));
	add(json, "delayed", asked_n_delayed(packets->asked));
	json_add(json, "fail", json_object_new_string(packets->closed ? "closed" : "open"));
	return json;
}
