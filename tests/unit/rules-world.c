/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/sluice-abi.h"
#include "base/macros.h"
#include "policy/rules.h"
#include "tests/unit/prefix.h"
#include "tests/unit/rules-world.h"

#define N_RULES 24U
#define N_UIDS 3U
#define N_HOSTS_MAX 3U
#define LOOK_AT_EACH 16U

static const uint8_t addresses[][16] = {
	{ [10] = 0xff, 0xff, 192, 0, 2, 1 },
	{ [10] = 0xff, 0xff, 192, 0, 2, 129 },
	{ [10] = 0xff, 0xff, 192, 0, 3, 1 },
	{ [10] = 0xff, 0xff, 127, 0, 0, 1 },
	{ 0x20, 0x01, 0x0d, 0xb8, [15] = 1 },
	{ 0x20, 0x01, 0x0d, 0xb8, 0, 1, [15] = 1 },
	{ 0xfd, [15] = 1 },
	{ [15] = 1 },
};
static const uint8_t locals[2][3][16] = {
	/* of IPv4, and of IPv6 */
	{ { [10] = 0xff, 0xff, 10, 1, 0, 1 },
	  { [10] = 0xff, 0xff, 10, 1, 1, 1 },
	  { [10] = 0xff, 0xff, 192, 0, 2, 9 } },
	{ { 0xfd, [15] = 2 }, { 0xfd, [3] = 1, [15] = 2 }, { 0x20, [15] = 3 } },
};
static const uint8_t bits[] = { 0, 96, 104, 119, 120, 121, 128, 128 };
static const uint8_t bits6[] = { 0, 1, 8, 32, 33, 48, 127, 128 };
static const char *const hosts[] = { "example",	  "a.example", "b.a.example", "xa.example",
				     "b.example", "test",      "a.test",      "a" };
static const char *const exes[] = { "/bin/a", "/bin/b", "/bin/ab" };
static const char *const interfaces[] = { "eth0", "wg0", "eth" };
static const char *const cgroups[] = { "/a", "/a/b", "/ab", "/" };
static const uint16_t ports[] = { 0, 1, 2, 3, 4, 66, 4099, 65535 }; /* 0: none */
#define N_PORTS ARRAY_SIZE(ports)
static const uint8_t protocols[] = { 0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP };

struct rules_world {
	struct rules *rules;
	struct wire_rule records[N_RULES];
	uint8_t otherwise;
	uint64_t seed;
	struct rules_world_counts counts;
};

/** struct flow - everything of a flow; the oracle knows it all */
struct flow {
	bool is_inbound, is_loopback;
	uint8_t protocol;
	const uint8_t *remote, *local;
	uint16_t rport, lport;
	uint32_t uid;
	const char *exe, *interface, *cgroup;
	const char *hosts[N_HOSTS_MAX];
	size_t n_hosts;
};

struct word {
	int r;
	uint8_t action;
	uint32_t number;
};

/* ---- the oracle ---- */

static bool oracle_host(const struct wire_rule *rule, const char *host)
{
	char below[300];
	size_t n;

	if (!rule->host_kind)
		return true;
	if (!host)
		return false;
	if (strcasecmp(rule->host, host) == 0)
		return true;
	snprintf(below, sizeof(below), ".%s", rule->host);
	n = strlen(below);
	return rule->host_kind == 2 && strlen(host) > n &&
	       strcasecmp(host + strlen(host) - n, below) == 0;
}

/* on loopback: the one address of IPv6, or what is in 127.0.0.0/8 and no wider */
static bool oracle_names_loopback(const struct wire_rule *rule)
{
	static const uint8_t all4[16] = { [10] = 0xff, 0xff, 127 }, one6[16] = { [15] = 1 };

	if (rule->family == 6)
		return rule->bits == 128 && has_prefix(rule->remote, one6, 128);
	return rule->family == 4 && rule->bits >= 104 && has_prefix(rule->remote, all4, 104);
}

/* of "/a" are "/a" and all that begins with "/a/"; of "/" is everything */
static bool oracle_cgroup(const char *top, const char *cgroup)
{
	char slashed[2][64];

	snprintf(slashed[0], sizeof(slashed[0]), "%s%s", top, strcmp(top, "/") ? "/" : "");
	snprintf(slashed[1], sizeof(slashed[1]), "%s/", cgroup);
	return strstr(slashed[1], slashed[0]) == slashed[1];
}

static bool oracle_matches(const struct wire_rule *rule, const struct flow *flow, const char *host)
{
	unsigned int family = has_prefix(flow->remote, addresses[0], 96) ? 4 : 6;

	if (flow->is_loopback && !oracle_names_loopback(rule))
		return false;
	if (rule->direction && rule->direction != (flow->is_inbound ? 2 : 1))
		return false;
	if (rule->protocol && rule->protocol != flow->protocol)
		return false;
	if (rule->family && rule->family != family)
		return false;
	if (!has_prefix(flow->remote, rule->remote, rule->bits))
		return false;
	if (rule->rport &&
	    (flow->rport < rule->rport || flow->rport > MAX(rule->rport, rule->rport_last)))
		return false;
	if (rule->lport &&
	    (flow->lport < rule->lport || flow->lport > MAX(rule->lport, rule->lport_last)))
		return false;
	if (rule->has_uid && rule->uid != flow->uid)
		return false;
	if (rule->exe[0] && strcmp(rule->exe, flow->exe) != 0)
		return false;
	if (rule->interface[0] && strcmp(rule->interface, flow->interface) != 0)
		return false;
	if (rule->cgroup[0] && !oracle_cgroup(rule->cgroup, flow->cgroup))
		return false;
	if (rule->lfamily &&
	    (rule->lfamily != family || !has_prefix(flow->local, rule->local, rule->lbits)))
		return false;
	return oracle_host(rule, host);
}

static uint32_t oracle_under(const struct rules_world *world, const struct flow *flow,
			     const char *host)
{
	uint32_t n = rules_count(world->rules);

	for (uint32_t i = 0; i < n; i++)
		if (oracle_matches(&world->records[i], flow, host))
			return i;
	return n;
}

static uint8_t action_of(const struct rules_world *world, const struct flow *flow, uint32_t i)
{
	if (i < rules_count(world->rules))
		return world->records[i].action;
	return flow->is_loopback ? RULES_ALLOW : world->otherwise;
}

static struct word oracle(const struct rules_world *world, const struct flow *flow)
{
	uint32_t i = oracle_under(world, flow, flow->n_hosts ? flow->hosts[0] : NULL);
	struct word word = { .action = action_of(world, flow, i) };

	for (size_t k = 1; k < flow->n_hosts; k++)
		if (action_of(world, flow, oracle_under(world, flow, flow->hosts[k])) !=
		    word.action)
			return (struct word){ .r = RULES_E_VARIES };
	if (word.action == RULES_ASK)
		return (struct word){ .r = RULES_E_ASK };
	word.number = i < rules_count(world->rules) ? i + 1 : 0;
	return word;
}

/* ---- what is asked ---- */

#define MAY_HAVE_HOST 8U /* of what is known, and not */
#define KNOWS_INTERFACE 16U
#define KNOWS_LOCAL 32U
#define KNOWS_CGROUP 64U
#define KNOWS_ALL (7U | KNOWS_INTERFACE | KNOWS_LOCAL | KNOWS_CGROUP)

static struct word ask(const struct rules_world *world, const struct flow *flow, unsigned int known)
{
	struct rules_question question = { .is_inbound = flow->is_inbound,
					   .is_loopback = flow->is_loopback,
					   .knows_uid = known & 1,
					   .knows_local_port = known & 2,
					   .protocol = flow->protocol,
					   .remote_port = flow->rport,
					   .local_port = known & 2 ? flow->lport : 0,
					   .uid = known & 1 ? flow->uid : 0,
					   .exe = known & 4 ? flow->exe : NULL,
					   .interface =
						   known & KNOWS_INTERFACE ? flow->interface : NULL,
					   .cgroup = known & KNOWS_CGROUP ? flow->cgroup : NULL,
					   .local = known & KNOWS_LOCAL ? flow->local : NULL,
					   .hosts = flow->hosts,
					   .n_hosts = flow->n_hosts,
					   .may_have_host = known & MAY_HAVE_HOST };
	struct rules_answer answer;
	int r;

	memcpy(question.remote, flow->remote, sizeof(question.remote));
	r = rules_find(world->rules, &question, &answer);
	if (r)
		return (struct word){ .r = r };
	return (struct word){ .action = (uint8_t)answer.action, .number = answer.number };
}

static bool is_same(struct word a, struct word b)
{
	return a.r == b.r && a.action == b.action;
}

/* the next one that the known part may belong to; what is known is the same in all of them */
static bool next_flow(struct flow *other, unsigned int known, unsigned int i)
{
	bool is_v6 = !has_prefix(other->remote, addresses[0], 96);
	const struct {
		unsigned int bit, n;
	} parts[] = { { 1, N_UIDS + 1 },
		      { 2, N_PORTS },
		      { 4, 4 },
		      { KNOWS_INTERFACE, 4 },
		      { KNOWS_LOCAL, 3 },
		      { KNOWS_CGROUP, 5 } };
	unsigned int at[ARRAY_SIZE(parts)];

	for (size_t k = 0; k < ARRAY_SIZE(parts); k++) {
		unsigned int n = known & parts[k].bit ? 1 : parts[k].n;

		at[k] = i % n;
		i /= n;
	}
	if (!(known & 1))
		other->uid = at[0];
	if (!(known & 2))
		other->lport = ports[at[1]];
	if (!(known & 4))
		other->exe = at[2] < 3 ? exes[at[2]] : "/bin/other";
	if (!(known & KNOWS_INTERFACE))
		other->interface = at[3] < 3 ? interfaces[at[3]] : "other0";
	if (!(known & KNOWS_LOCAL))
		other->local = locals[is_v6][at[4]];
	if (!(known & KNOWS_CGROUP))
		other->cgroup = at[5] < 4 ? cgroups[at[5]] : "/other";
	return i == 0;
}

static bool is_true_of_all(const struct rules_world *world, const struct flow *flow,
			   unsigned int known, struct word said)
{
	struct flow other = *flow;

	for (unsigned int i = 0; next_flow(&other, known, i); i++)
		if (!is_same(oracle(world, &other), said))
			return false;
	return true;
}

/* without a name that is known: whatever it wants */
static const char *check_host(struct rules_world *world, const struct flow *flow)
{
	struct word said = ask(world, flow, KNOWS_ALL | MAY_HAVE_HOST);
	struct flow other = *flow;

	if (flow->n_hosts || said.r == RULES_E_VARIES)
		return NULL;
	other.n_hosts = 1;
	for (size_t i = 0; i < 8; i++) {
		other.hosts[0] = hosts[i];
		if (!is_same(oracle(world, &other), said))
			return "a list decides without a host, and one would change that";
	}
	return NULL;
}

static const char *check(struct rules_world *world, const struct flow *flow, unsigned int known)
{
	struct word wanted = oracle(world, flow), said = ask(world, flow, KNOWS_ALL);

	if (!is_same(wanted, said) || wanted.number != said.number)
		return "a list does not say what its first rule says";
	world->counts.n_decided += said.r == 0;
	world->counts.n_asked += said.r == RULES_E_ASK;
	world->counts.n_varying += said.r == RULES_E_VARIES;
	if (known == KNOWS_ALL)
		return check_host(world, flow);
	said = ask(world, flow, known);
	if (said.r == RULES_E_VARIES)
		return NULL;
	if (world->counts.n_partly_decided++ % LOOK_AT_EACH)
		return NULL; /* it takes a hundred times as long */
	return is_true_of_all(world, flow, known, said)
		       ? NULL
		       : "a list decides, and what it does not know could change that";
}

/* ---- events ---- */

static void clear_bits(uint8_t address[16], unsigned int from)
{
	for (unsigned int i = from; i < 128; i++)
		address[i / 8] &= (uint8_t) ~(0x80U >> i % 8);
}

static void add_remote(struct wire_rule *rule, const uint8_t *event)
{
	bool is_v4 = event[0] % 8 < 4;

	if (event[1] % 4 == 0)
		return;
	rule->family = is_v4 ? 4 : 6;
	rule->bits = is_v4 ? MAX(bits[event[2] % 8], 96) : bits6[event[2] % 8];
	memcpy(rule->remote, addresses[event[0] % 8], 16);
	clear_bits(rule->remote, rule->bits + (event[3] == 255)); /* sometimes one bit too many */
}

static void add_local(struct wire_rule *rule, uint8_t event)
{
	bool is_v6 = event & 4;

	if (event % 4)
		return;
	rule->lfamily = is_v6 ? 6 : 4;
	rule->lbits = is_v6 ? bits6[event / 8 % 8] : MAX(bits[event / 8 % 8], 96);
	memcpy(rule->local, locals[is_v6][event / 64 % 3], 16);
	clear_bits(rule->local, rule->lbits);
}

static void add_ports(uint16_t *first, uint16_t *last, const uint8_t *event)
{
	static const unsigned int lengths[8] = { 0, 1, 2, 3, 63, 4096, 40000, UINT16_MAX };

	if (event[0] % 3)
		return;
	*first = ports[event[1] % N_PORTS];
	*last = event[2] % 2 ? 0 : (uint16_t)MIN(*first + lengths[event[2] / 2 % 8], UINT16_MAX);
	if (event[2] == 255) /* sometimes a range that cannot be */
		*last = 1;
}

static const char *add(struct rules_world *world, const uint8_t *event)
{
	struct wire_rule rule = { .action = event[1] % 4, .direction = event[2] % 6 % 3 };
	bool is_good, is_added;
	const char *problem;

	rule.protocol = protocols[event[3] % 8 % 4 * (event[3] % 2)];
	add_remote(&rule, event + 4);
	add_ports(&rule.rport, &rule.rport_last, event + 8);
	add_ports(&rule.lport, &rule.lport_last, event + 11);
	rule.has_uid = event[14] % 8 == 0;
	rule.uid = rule.has_uid ? event[15] % N_UIDS : 0;
	rule.host_kind = event[16] % 5 > 2 ? 0 : event[16] % 5;
	if (rule.host_kind)
		snprintf(rule.host, sizeof(rule.host), "%s", hosts[event[17] % 8]);
	if (rule.host_kind && event[18] % 4 == 0)
		rule.host[0] = (char)(rule.host[0] - 'a' + 'A');
	if (event[19] % 6 == 0)
		snprintf(rule.exe, sizeof(rule.exe), "%s", exes[event[20] % 3]);
	if (event[21] % 6 == 0)
		snprintf(rule.interface, sizeof(rule.interface), "%s", interfaces[event[22] % 3]);
	if (event[21] % 6 == 1)
		snprintf(rule.cgroup, sizeof(rule.cgroup), "%s", cgroups[event[22] % 4]);
	add_local(&rule, event[23]);
	is_good = !wire_rule_problem(&rule);
	is_added = rules_add(world->rules, &rule, &problem) == 0;
	world->counts.n_refused += !is_good;
	world->counts.n_rules += is_added;
	if (is_added)
		world->records[rules_count(world->rules) - 1] = rule;
	return is_added == is_good ? NULL : "a good rule is refused, or a bad one taken";
}

static const char *begin(struct rules_world *world, uint8_t otherwise)
{
	world->rules = rules_free(world->rules);
	world->otherwise = otherwise;
	if (rules_new(++world->seed, &world->rules) < 0)
		return "no memory";
	rules_set_otherwise(world->rules, (enum rules_action)otherwise);
	return NULL;
}

static const char *ask_about(struct rules_world *world, const uint8_t *event)
{
	struct flow flow = { .is_inbound = event[1] % 2,
			     .protocol = protocols[1 + event[2] % 3],
			     .remote = addresses[event[3] % 8],
			     .uid = event[6] % (N_UIDS + 1),
			     .exe = event[7] % 4 < 3 ? exes[event[7] % 4] : "/bin/other",
			     .interface = event[13] % 4 < 3 ? interfaces[event[13] % 4] : "other0",
			     .cgroup = cgroups[event[13] / 4 % 4],
			     .n_hosts = event[8] % (N_HOSTS_MAX + 1) };

	flow.local = locals[!has_prefix(flow.remote, addresses[0], 96)][event[14] % 3];
	flow.is_loopback = sl_is_loopback(flow.remote) && event[15] % 4;
	if (flow.protocol != IPPROTO_ICMP) {
		flow.rport = ports[event[4] % N_PORTS];
		flow.lport = ports[event[5] % N_PORTS];
	}
	for (size_t i = 0; i < flow.n_hosts; i++)
		flow.hosts[i] = hosts[event[9 + i] % 8];
	return check(world, &flow, (event[12] & 7U) | (event[12] & 56U) << 1);
}

const char *rules_world_step(struct rules_world *world,
			     const uint8_t event[RULES_WORLD_EVENT_BYTES])
{
	if (event[0] == 0 || (event[0] < 64 && rules_count(world->rules) == N_RULES))
		return begin(world, event[1] % 4);
	return event[0] < 64 ? add(world, event) : ask_about(world, event);
}

struct rules_world *rules_world_new(void)
{
	struct rules_world *world = calloc(1, sizeof(*world));

	if (world && begin(world, RULES_ASK))
		return rules_world_free(world);
	return world;
}

struct rules_world *rules_world_free(struct rules_world *world)
{
	if (world)
		rules_free(world->rules);
	free(world);
	return NULL;
}

struct rules_world_counts rules_world_counts(const struct rules_world *world)
{
	return world->counts;
}
