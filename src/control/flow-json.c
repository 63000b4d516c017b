/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "control/flow-json.h"

static const char *const event_names[] = { "new", "closed", "changed" };
static const char *const verdict_names[] = { "allow", "drop" };
static const char *const state_names[] = { "judged", "peeking" };
static const char *const direction_names[] = { "outbound", "inbound" };
static const char *const host_source_names[] = { "none", "dns", "tls",	"tls-outer",
						 "http", "h2c", "quic", "quic-outer" };

_Static_assert(ARRAY_SIZE(event_names) == _RECORD_EVENT_N, "event_names");
_Static_assert(ARRAY_SIZE(verdict_names) == _RECORD_VERDICT_N, "verdict_names");
_Static_assert(ARRAY_SIZE(state_names) == _RECORD_STATE_N, "state_names");
_Static_assert(ARRAY_SIZE(direction_names) == _RECORD_DIRECTION_N, "direction_names");
_Static_assert(ARRAY_SIZE(host_source_names) == _RECORD_HOST_SOURCE_N, "host_source_names");

#define AT(member) offsetof(struct flow_record, member)
#define NAMES(table) .values = (table), .n_values = ARRAY_SIZE(table)
#define COLUMN(place, cells, text) .column = (place), .width = (cells), .title = (text)
#define NULLABLE .may_be_null = true

/* clang-format off */
const struct flow_field flow_fields[] = {
	{ "time", "when it was judged, judged again, or closed", FLOW_KIND_TIME, AT(time_us), COLUMN(1, 8, "TIME") },
	{ "event", "new: it was judged; changed: it has another verdict now; closed: it ended", FLOW_KIND_ENUM, AT(event), NAMES(event_names) },
	{ "id", "number of the flow, never used twice within an instance", FLOW_KIND_U64, AT(id) },
	{ "pid", "process that connected or sent", FLOW_KIND_PID, AT(pid), COLUMN(4, 7, "PID") },
	{ "owner_pid", "process that created the socket", FLOW_KIND_PID, AT(owner_pid), NULLABLE },
	{ "uid", "user of the process", FLOW_KIND_U32, AT(uid) },
	{ "exe", "path of the executable", FLOW_KIND_PATH, AT(exe), NULLABLE, COLUMN(3, 12, "PROGRAM") },
	{ "command", "command line, possibly cut", FLOW_KIND_STRING, AT(command), NULLABLE },
	{ "unit", "systemd unit, from the cgroup", FLOW_KIND_STRING, AT(unit), NULLABLE },
	{ "container", "container, from the cgroup", FLOW_KIND_STRING, AT(container), NULLABLE },
	{ "cgroup", "control group below the root", FLOW_KIND_STRING, AT(cgroup), NULLABLE },
	{ "netns", "network namespace, as lsns shows it", FLOW_KIND_PID, AT(netns), NULLABLE },
	{ "proto", "tcp, udp, icmp, icmpv6 or a number", FLOW_KIND_PROTO, AT(protocol), COLUMN(5, 5, "PROTO") },
	{ "direction", "outbound or inbound", FLOW_KIND_ENUM, AT(direction), NAMES(direction_names) },
	{ "src", "local address", FLOW_KIND_ADDRESS, AT(local_address) },
	{ "sport", "local port; ICMP: the identifier", FLOW_KIND_U16, AT(local_port) },
	{ "dst", "remote address", FLOW_KIND_ADDRESS, AT(remote_address), COLUMN(6, 26, "DESTINATION") },
	{ "dport", "remote port; ICMP: 0", FLOW_KIND_U16, AT(remote_port) },
	{ "host", "name of the remote side: host_source says where it is from", FLOW_KIND_STRING, AT(host), NULLABLE },
	{ "host_source", "where the name was learnt: dns: an answer that this program got; else its first bytes", FLOW_KIND_ENUM, AT(host_source),
	  NAMES(host_source_names) },
	{ "interface", "network interface", FLOW_KIND_STRING, AT(interface), NULLABLE },
	{ "interface_kind", "its kind: ethernet, wifi, tunnel …", FLOW_KIND_STRING, AT(interface_kind),
	  NULLABLE },
	{ "provider", "who judged; null: nobody was asked", FLOW_KIND_STRING, AT(provider), NULLABLE },
	{ "via", "the proxy that has it; null: it goes directly", FLOW_KIND_STRING, AT(via), NULLABLE },
	{ "through", "a proxy's own flow: the proxies it has come through, the first one first; null: a program's", FLOW_KIND_STRING, AT(through), NULLABLE },
	{ "on_behalf_of", "a proxy's own flow: id of the flow it is the other side of; null: of none that the proxy has said", FLOW_KIND_ID, AT(on_behalf_of), NULLABLE },
	{ "origin_pid", "process that began that flow; behind several proxies, the first one of all", FLOW_KIND_PID, AT(origin_pid), NULLABLE },
	{ "origin_uid", "its user", FLOW_KIND_COUNT, AT(origin_uid), NULLABLE },
	{ "origin_exe", "path of its executable", FLOW_KIND_STRING, AT(origin_exe), NULLABLE },
	{ "verdict", "allow or drop", FLOW_KIND_ENUM, AT(verdict), NAMES(verdict_names),
	  COLUMN(2, 7, "VERDICT") },
	{ "state", "judged; peeking: it goes on while filters look at what it carries", FLOW_KIND_ENUM, AT(state),
	  NAMES(state_names) },
	{ "reason", "why, in the provider's words", FLOW_KIND_STRING, AT(reason), NULLABLE,
	  COLUMN(7, 0, "REASON") },
	{ "bytes_in", "payload received, once closed", FLOW_KIND_COUNT, AT(bytes_in), NULLABLE },
	{ "bytes_out", "payload sent, once closed", FLOW_KIND_COUNT, AT(bytes_out), NULLABLE },
	{ "decision_us", "microseconds from the first packet to the verdict", FLOW_KIND_U64,
	  AT(decision_us) },
};
/* clang-format on */
const size_t n_flow_fields = ARRAY_SIZE(flow_fields);

#define N_REPLACEMENT 3 /* bytes of U+FFFD */

/* bytes of the UTF-8 sequence at @s, which ends in NUL; 0: not one */
static size_t utf8_sequence(const unsigned char *s)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t c;

	if (n < 2)
		return n;
	if (s[0] > 0xf4)
		return 0;
	c = s[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

struct json_object *json_clean_string(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	_cleanup_free_ char *clean = NULL;
	size_t n = 0;

	clean = malloc(strlen(text) * N_REPLACEMENT + 1);
	if (!clean)
		return NULL;
	while (*s) {
		size_t bytes = utf8_sequence(s);

		memcpy(clean + n, bytes ? (const char *)s : "\xef\xbf\xbd",
		       bytes ? bytes : N_REPLACEMENT);
		n += bytes ? bytes : N_REPLACEMENT;
		s += bytes ? bytes : 1;
	}
	return json_object_new_string_len(clean, (int)n);
}

static struct json_object *make_time(uint64_t time_us)
{
	time_t seconds = (time_t)(time_us / 1000000);
	char date[32], text[48];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm))
		return json_object_new_string("1970-01-01T00:00:00.000000Z");
	snprintf(text, sizeof(text), "%s.%06uZ", date, (unsigned int)(time_us % 1000000));
	return json_object_new_string(text);
}

static struct json_object *make_address(const uint8_t address[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool is_v4 = memcmp(address, mapped, sizeof(mapped)) == 0;
	char text[INET6_ADDRSTRLEN];

	if (!inet_ntop(is_v4 ? AF_INET : AF_INET6, address + (is_v4 ? sizeof(mapped) : 0), text,
		       sizeof(text)))
		return NULL;
	return json_object_new_string(text);
}

static struct json_object *make_proto(uint8_t protocol)
{
	static const struct {
		uint8_t protocol;
		const char *name;
	} names[] = { { IPPROTO_TCP, "tcp" },
		      { IPPROTO_UDP, "udp" },
		      { IPPROTO_ICMP, "icmp" },
		      { IPPROTO_ICMPV6, "icmpv6" } };
	char text[8];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].protocol == protocol)
			return json_object_new_string(names[i].name);
	snprintf(text, sizeof(text), "%u", protocol);
	return json_object_new_string(text);
}

/* the value of one field; *@ret_value is NULL for JSON's null */
static int make_value(const struct flow_field *field, const void *at,
		      struct json_object **ret_value)
{
	struct json_object *value = NULL;
	bool is_null = false;
	const char *text;

	switch (field->kind) {
	case FLOW_KIND_TIME:
		value = make_time(*(const uint64_t *)at);
		break;
	case FLOW_KIND_ENUM:
		if (*(const uint32_t *)at >= field->n_values)
			return -EINVAL;
		value = json_object_new_string(field->values[*(const uint32_t *)at]);
		break;
	case FLOW_KIND_U16:
		value = json_object_new_int64(*(const uint16_t *)at);
		break;
	case FLOW_KIND_PID:
		is_null = field->may_be_null && *(const uint32_t *)at == 0;
		/* fall through */
	case FLOW_KIND_U32:
		value = is_null ? NULL : json_object_new_int64(*(const uint32_t *)at);
		break;
	case FLOW_KIND_ID:
		is_null = *(const uint64_t *)at == 0;
		value = is_null ? NULL : json_object_new_uint64(*(const uint64_t *)at);
		break;
	case FLOW_KIND_COUNT:
		is_null = *(const uint64_t *)at == RECORD_UNKNOWN;
		/* fall through */
	case FLOW_KIND_U64:
		value = is_null ? NULL : json_object_new_uint64(*(const uint64_t *)at);
		break;
	case FLOW_KIND_STRING:
	case FLOW_KIND_PATH:
		text = *(const char *const *)at;
		is_null = !text || !*text;
		value = is_null ? NULL : json_clean_string(text);
		break;
	case FLOW_KIND_ADDRESS:
		value = make_address(at);
		break;
	case FLOW_KIND_PROTO:
		value = make_proto(*(const uint8_t *)at);
		break;
	case _FLOW_KIND_N:
		return -EINVAL;
	}
	if (!value && !is_null)
		return -ENOMEM;
	*ret_value = value;
	return 0;
}

int flow_json(const struct flow_record *record, struct json_object **ret_json)
{
	struct json_object *json = json_object_new_object();
	int r = json ? 0 : -ENOMEM;

	for (size_t i = 0; i < n_flow_fields && r == 0; i++) {
		const struct flow_field *field = &flow_fields[i];
		struct json_object *value;

		r = make_value(field, (const char *)record + field->offset, &value);
		if (r < 0)
			break;
		if (json_object_object_add_ex(json, field->name, value,
					      JSON_C_OBJECT_ADD_KEY_IS_NEW |
						      JSON_C_OBJECT_ADD_CONSTANT_KEY) < 0) {
			json_object_put(value);
			r = -ENOMEM;
		}
	}
	if (r < 0) {
		json_object_put(json);
		return r;
	}
	*ret_json = json;
	return 0;
}

const char *flow_json_line(struct json_object *json, size_t *ret_bytes)
{
	return json_object_to_json_string_length(
		json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_bytes);
}
