/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What is to be explained
 *
 * Parameters of the control socket become a flow that has not happened.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/tell/explain.h"
#include "policy/cgroup.h"

static void free_strings(struct identity *identity)
{
	free(identity->exe);
	free(identity->command);
	free(identity->cgroup);
	free(identity->unit);
	free(identity->container);
}

struct explanation *explanation_free(struct explanation *explanation)
{
	if (explanation)
		free_strings(&explanation->identity);
	free(explanation);
	return NULL;
}

static int read_number(struct json_object *from, const char *key, uint64_t max, uint64_t *ret)
{
	struct json_object *value = json_object_object_get(from, key);

	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0 ||
	    json_object_get_uint64(value) > max)
		return -EINVAL;
	*ret = json_object_get_uint64(value);
	return 0;
}

static uint32_t number_or_zero(struct json_object *from, const char *key)
{
	uint64_t value = 0;

	(void)read_number(from, key, UINT32_MAX, &value);
	return (uint32_t)value;
}

static const char *text_or_empty(struct json_object *from, const char *key)
{
	struct json_object *value = json_object_object_get(from, key);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

int explain_read_who(struct daemon *daemon, struct json_object *program, struct sl_who *ret_who)
{
	struct sl_who who = { .start_ns = 1 }; /* known, as far as memory is concerned */
	uint64_t device, uid, inode, cgroup_id, ctime_ns = 0;

	if (read_number(program, "exe_device", UINT32_MAX, &device) < 0 ||
	    read_number(program, "exe_inode", UINT64_MAX, &inode) < 0 ||
	    read_number(program, "uid", UINT32_MAX, &uid) < 0 ||
	    read_number(program, "cgroup_id", UINT64_MAX, &cgroup_id) < 0)
		return -EINVAL;
	who.exe_ino = inode;
	(void)read_number(program, "exe_ctime_ns", UINT64_MAX, &ctime_ns);
	who.exe_ctime_ns = ctime_ns;
	who.exe_path = identity_digest(daemon, text_or_empty(program, "exe"));
	who.exe_dev = (uint32_t)device;
	who.cgroup_id = cgroup_id;
	who.uid = (uint32_t)uid;
	who.gid = number_or_zero(program, "gid");
	who.pid = number_or_zero(program, "pid");
	*ret_who = who;
	return 0;
}

/* one that the plane is not in yet knows no names and no answers */
uint64_t explain_read_netns(struct daemon *daemon, struct json_object *program)
{
	uint32_t inode = number_or_zero(program, "netns");
	unsigned int home = plane_home(daemon->plane);

	for (unsigned int i = 0; inode && i < plane_n_places(daemon->plane); i++)
		if (plane_netns(daemon->plane, i) && plane_netns(daemon->plane, i)->inode == inode)
			return plane_netns(daemon->plane, i)->cookie;
	return inode ? UINT64_MAX : plane_netns(daemon->plane, home)->cookie;
}

static int read_program(struct daemon *daemon, struct json_object *program,
			struct explanation *explanation)
{
	struct json_object *governed = json_object_object_get(program, "governed");
	struct identity *identity = &explanation->identity;
	const char *cgroup = text_or_empty(program, "cgroup");
	struct cgroup_names names = { 0 };
	int r = explain_read_who(daemon, program, &identity->who);

	if (r < 0)
		return r;
	if (cgroup[0])
		cgroup_read_path(cgroup, &names);
	identity->exe = strdup(text_or_empty(program, "exe"));
	identity->command = strdup(text_or_empty(program, "command"));
	identity->cgroup = strdup(cgroup);
	identity->unit = strdup(names.unit);
	identity->container = strdup(names.container);
	if (!identity->exe || !identity->command || !identity->cgroup || !identity->unit ||
	    !identity->container)
		return -ENOMEM;
	identity->is_cut = strlen(identity->command) >= SL_ARGS_BYTES - 1;
	identity->has_path = identity->who.exe_path != 0;
	explanation->is_governed = !governed || json_object_get_boolean(governed);
	return 0;
}

/* any numeric form into 16 bytes, IPv4 as ::ffff:a.b.c.d */
static int read_address(const char *text, uint8_t ret_address[16])
{
	uint8_t address[16] = { [10] = 0xff, [11] = 0xff };

	if (inet_pton(AF_INET, text, address + 12) != 1 && inet_pton(AF_INET6, text, address) != 1)
		return -EINVAL;
	memcpy(ret_address, address, sizeof(address));
	return 0;
}

static int read_target(struct json_object *target, struct explanation *explanation)
{
	struct sl_flow_key *key = &explanation->flow.key;
	struct flow_side *side = &explanation->side;
	const char *proto = text_or_empty(target, "proto"), *src = text_or_empty(target, "src");
	uint64_t port;

	if (read_address(text_or_empty(target, "address"), key->raddr) < 0 ||
	    (src[0] && read_address(src, side->laddr) < 0) ||
	    read_number(target, "port", UINT16_MAX, &port) < 0)
		return -EINVAL;
	if (strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0)
		return -EINVAL;
	key->proto = proto[0] == 't' ? IPPROTO_TCP : IPPROTO_UDP;
	key->rport = (uint16_t)port;
	side->ifindex = number_or_zero(target, "ifindex");
	key->lo = side->ifindex == LOOPBACK_IFINDEX && sl_is_loopback(key->raddr) ? SL_LO_IS
										  : SL_LO_NOT;
	return 0;
}

static bool has_asked_for(struct daemon *daemon, const struct flow *flow)
{
	struct sl_app app = sl_app_of(&flow->side->identity->who, flow->side->netns);
	struct names_name names[NAMES_PER_ADDRESS_MAX];
	size_t n = names_all(daemon->names, &app, flow->key.raddr, daemon_now_us(), names,
			     NAMES_PER_ADDRESS_MAX);

	for (size_t i = 0; i < MIN(n, NAMES_PER_ADDRESS_MAX); i++)
		if (strcmp(names[i].name, flow->host) == 0)
			return true;
	return false;
}

/* without a name from the caller it is the one that the flow would have */
static void find_host(struct daemon *daemon, struct explanation *explanation)
{
	struct flow *flow = &explanation->flow;
	struct sl_app app = sl_app_of(&flow->side->identity->who, flow->side->netns);
	const char *host;

	if (flow->host[0])
		explanation->why.is_host_assumed = !has_asked_for(daemon, flow);
	else if (names_find(daemon->names, &app, flow->side->identity->who.pid, flow->key.raddr,
			    daemon_now_us(), &host) == 0)
		text_copy(explanation->host, sizeof(explanation->host), host);
	explanation->host_source = flow->host[0] ? FLOW_HOST_DNS : FLOW_HOST_NONE;
	flow->host_source = (uint8_t)explanation->host_source;
}

int explain_read(struct daemon *daemon, struct json_object *program, struct json_object *target,
		 struct explanation *explanation)
{
	struct flow *flow = &explanation->flow;
	struct flow_side *side = &explanation->side;
	int r = read_program(daemon, program, explanation);
	const char *said;

	if (r == 0)
		r = read_target(target, explanation);
	if (r < 0)
		return r;
	text_copy(explanation->host, sizeof(explanation->host), text_or_empty(target, "host"));
	/* empty: they name nobody */
	said = json_object_object_get(target, "names") ? text_or_empty(target, "names")
						       : explanation->host;
	text_copy(explanation->said, sizeof(explanation->said), said);
	flow->host = explanation->host;
	flow->reason = explanation->reason;
	side->netns = explain_read_netns(daemon, program);
	side->netns_inode = netns_inode(daemon, side->netns);
	side->identity = &explanation->identity;
	side->owner_pid = side->identity->who.pid;
	side->owner_uid = side->identity->who.uid;
	flow->side = side;
	flow->is_hypothetical = true;
	flow->state = FLOW_HELD;
	flow->id = flow_table_take_id(daemon->flows);
	flow->opened_us = daemon_now_us();
	flow->provider = -1;
	explanation->deadline_us = flow->opened_us + FLOW_DEADLINE_US;
	explanation->why.flow = flow;
	find_host(daemon, explanation);
	return 0;
}
