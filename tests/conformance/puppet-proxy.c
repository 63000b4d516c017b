/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: The conformance suite's proxy, with libsluice
 *
 *	puppet-proxy [app] [udp]
 *
 * Does what a flow's host, or a datagram, orders, and logs what it was told: puppet-proxy.py is the
 * same with the Python binding, proxy.cases uses them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <syslog.h>

#include <sluice/proxy.h>

#define N_WORDS 4

struct order {
	struct sluice_proxy *proxy;
	uint64_t id;
	char *words[N_WORDS]; /* the ones that are not there are "" */
};

struct puppet {
	struct sluice_proxy_ops ops;
	char at_start[256], at_stop[256];
	bool takes; /* the flow that it is asked about */
};

static struct puppet puppet;

static int do_take(const struct order *order)
{
	puppet.takes = true;
	return 0;
}

static int do_open(const struct order *order)
{
	return sluice_proxy_open(order->proxy, order->id, -atoi(order->words[1]), order->words[2]);
}

static int do_ask(const struct order *order)
{
	return sluice_proxy_ask_end(order->proxy, order->id);
}

static int do_upstream(const struct order *order)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = sluice_proxy_upstream(order->proxy, order->id, fd);

	close(fd);
	return r;
}

static int do_flows(const struct order *order)
{
	struct sluice_rule included = { .size = sizeof(included),
					.action = SLUICE_RULE_DROP,
					.remote_port = (uint16_t)atoi(order->words[1]) };
	struct sluice_rule excluded = { .size = sizeof(excluded),
					.remote_address = order->words[2] };

	return sluice_proxy_rules(order->proxy, &included, 1, &excluded, 1);
}

static int do_unsupported(const struct order *order)
{
	static const char *const servers[] = { "192.0.2.53", NULL };
	struct sluice_proxy_settings settings = { .size = sizeof(settings),
						  .dns_servers = servers };

	return sluice_proxy_settings(order->proxy, &settings);
}

static const struct {
	const char *name;
	int (*run)(const struct order *order);
	bool has_text; /* of a failure */
} orders[] = {
	{ "take", do_take, false },
	{ "open", do_open, false },
	{ "ask", do_ask, false },
	{ "upstream", do_upstream, false },
	{ "flows", do_flows, true },
	{ "unsupported", do_unsupported, true },
};

static void obey_one(struct sluice_proxy *proxy, uint64_t id, char *text)
{
	static char empty[1];
	struct order order = { .proxy = proxy, .id = id };
	char *save = NULL, *word = strtok_r(text, " ", &save);
	bool has_text;
	int r = 0;

	for (int i = 0; i < N_WORDS; i++) {
		order.words[i] = word ? word : empty;
		word = word ? strtok_r(NULL, " ", &save) : NULL;
	}
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(orders[i].name, order.words[0]))
			continue;
		r = orders[i].run(&order);
		has_text = orders[i].has_text && r != -ESHUTDOWN;
		if (r)
			sluice_proxy_log(proxy, LOG_ERR, "%s: %s%s%s", order.words[0],
					 r == -EOPNOTSUPP ? "EOPNOTSUPP" : strerrorname_np(-r),
					 has_text ? ": " : "",
					 has_text ? sluice_proxy_error(proxy) : "");
	}
}

static void obey(struct sluice_proxy *proxy, uint64_t id, const char *text)
{
	char *copy = strdup(text), *save = NULL;

	for (char *one = strtok_r(copy, ";", &save); one; one = strtok_r(NULL, ";", &save))
		obey_one(proxy, id, one);
	free(copy);
}

static int on_option(struct sluice_proxy *proxy, const char *key, const char *value, int fd,
		     void *data)
{
	char *text = !strcmp(key, "at-start") ? puppet.at_start : puppet.at_stop;

	if (!strcmp(key, "refuse"))
		return sluice_proxy_fail(proxy, -EACCES, "%s", value);
	snprintf(text, sizeof(puppet.at_stop), "%s", value);
	return 0;
}

static int on_start(struct sluice_proxy *proxy, void *data)
{
	obey(proxy, 0, puppet.at_start);
	return 0;
}

static enum sluice_proxy_choice on_flow(struct sluice_proxy *proxy, const struct sluice_flow *flow,
					void *data)
{
	puppet.takes = false;
	if (flow->through[0])
		sluice_proxy_log(proxy, LOG_INFO, "through %s for %llu of %u %u %s", flow->through,
				 (unsigned long long)flow->on_behalf_of, flow->origin_pid,
				 flow->origin_uid, flow->origin_exe);
	obey(proxy, flow->id, flow->host);
	return puppet.takes ? SLUICE_PROXY_TAKE : SLUICE_PROXY_DECLINE;
}

/* says what the other end has, and closes it as that orders */
static void on_opened(struct sluice_proxy *proxy, uint64_t id, int fd, void *data)
{
	char text[64] = "";
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	sluice_proxy_log(proxy, LOG_INFO, "opened %llu: %s", (unsigned long long)id,
			 n < 0 ? "nothing" : text);
	sluice_proxy_close(fd, 0);
}

static void on_cancelled(struct sluice_proxy *proxy, uint64_t id, void *data)
{
	sluice_proxy_log(proxy, LOG_INFO, "cancelled %llu", (unsigned long long)id);
}

static void on_ended(struct sluice_proxy *proxy, uint64_t id, enum sluice_proxy_end end, void *data)
{
	sluice_proxy_log(proxy, LOG_INFO, "ended %llu: %d", (unsigned long long)id, end);
}

static void on_datagram(struct sluice_proxy *proxy, uint64_t id, const void *bytes, size_t n,
			void *data)
{
	sluice_proxy_log(proxy, LOG_INFO, "datagram of %llu: %zu %.*s", (unsigned long long)id, n,
			 (int)(n < 20 ? n : 20), (const char *)bytes);
}

static void on_rules_done(struct sluice_proxy *proxy, int error, uint32_t number, void *data)
{
	sluice_proxy_log(proxy, LOG_INFO, "rules done: %d %u", -error, number);
}

static void on_stop(struct sluice_proxy *proxy, void *data)
{
	sluice_proxy_log(proxy, LOG_INFO, "stop");
	obey(proxy, 1, puppet.at_stop);
}

int main(int argc, char **argv)
{
	puppet.ops = (struct sluice_proxy_ops){ .size = sizeof(puppet.ops),
						.name = "puppet",
						.option = on_option,
						.start = on_start,
						.new_flow = on_flow,
						.flow_opened = on_opened,
						.flow_cancelled = on_cancelled,
						.flow_ended = on_ended,
						.flow_datagram = on_datagram,
						.stop = on_stop,
						.rules_done = on_rules_done };
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "app"))
			puppet.ops.kind = SLUICE_PROXY_APP;
		if (!strcmp(argv[i], "udp"))
			puppet.ops.takes_udp = true;
	}
	return sluice_proxy_main(&puppet.ops, NULL);
}
