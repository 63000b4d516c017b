/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <json-c/json.h>
#include <string.h>

#include "control/json-message.h"
#include "daemon/daemon.h"

static void add_line(struct json_object *list, uint32_t inode, const char *state,
		     const char *message)
{
	struct json_object *json = json_object_new_object();

	json_add(json, "netns", json_object_new_int64(inode));
	json_add(json, "state", json_object_new_string(state));
	json_add(json, "message", message ? json_object_new_string(message) : NULL);
	json_append(list, json);
}

struct json_object *netns_json(struct daemon *daemon)
{
	struct json_object *list = json_object_new_array();

	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++) {
		const struct netns *netns = plane_netns(daemon->plane, i);

		if (netns)
			add_line(list, netns->inode,
				 netns_is_whole(netns) ? "enforcing" : "adopted", NULL);
	}
	for (unsigned int i = 0; i < MIN(daemon->namespaces.n_failed, NETNS_TOLD_MAX); i++)
		add_line(list, daemon->namespaces.failed[i].inode, "failed",
			 strerror(-daemon->namespaces.failed[i].error));
	return list;
}
