/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A proxy that obeys: what it does with a flow is said by the flow's port
 *
 *	decline=PORT	it goes directly; as an app proxy: it is refused
 *	hold=PORT	taken, and never opened
 *	fail=NUMBER	taken: connect(2) of the program is to fail with errno NUMBER / 1000 at the port
 *			NUMBER % 1000
 *	ends=PORT	opened, and read to its end, which is logged with the program's port; who
 *			has only half closed gets "half" for an answer
 *	only=DOMAIN	only flows to this domain come here, to=ADDRESS: to this network;
 *			not=ADDRESS: but none of this network
 *	switch=PORT	a flow there has the rules changed first: to next-to=ADDRESS, next-not=ADDRESS
 *	bad=PORT	the same, with rules that cannot be, and with settings that are not supported
 *	device=NAME	its own connections leave by this interface
 *	files=NUMBER	it may have so many descriptors
 *
 * Any other flow is forwarded to where it wanted to go. Started as app-proxy, declining refuses.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <sluice/proxy.h>

#define FLOWS_MAX 65536

enum act { FORWARD, DECLINE, HOLD, FAIL, ENDS, SWITCH, BAD };

struct rule {
	enum act act;
	int port;
};

/* a flow that is read to its end */
struct reading {
	uint64_t flow;
	int fd; /* -1: free */
	uint16_t sport;
};

struct test_proxy {
	struct sluice_proxy_ops ops;
	struct rule rules[16];
	unsigned int n_rules;
	char only[256];
	char to[64], not [64];		  /* rules of its start, */
	char next_to[64], next_not[64]; /* and of SWITCH */
	char device[16];
	struct reading readings[FLOWS_MAX];
	char ended[200]; /* "PORT:kind …" that was not logged yet: lines are few */
	int epoll;
};

static const struct {
	const char *key;
	enum act act;
} keys[] = { { "decline", DECLINE }, { "hold", HOLD }, { "fail", FAIL }, { "ends", ENDS },
	     { "switch", SWITCH }, { "bad", BAD } };

static int limit_files(int most)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	limit.rlim_cur = (rlim_t)most;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

static bool take_text(struct test_proxy *self, const char *key, const char *value)
{
	const struct {
		const char *key;
		char *text;
		size_t n;
	} texts[] = { { "only", self->only, sizeof(self->only) },
		      { "to", self->to, sizeof(self->to) },
		      { "not", self->not, sizeof(self->not) },
		      { "next-to", self->next_to, sizeof(self->next_to) },
		      { "next-not", self->next_not, sizeof(self->next_not) },
		      { "device", self->device, sizeof(self->device) } };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!strcmp(texts[i].key, key)) {
			strncpy(texts[i].text, value, texts[i].n - 1);
			return true;
		}
	return false;
}

static int on_option(struct sluice_proxy *proxy, const char *key, const char *value, int fd,
		     void *data)
{
	struct test_proxy *self = data;

	(void)fd;
	if (take_text(self, key, value))
		return 0;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(key, keys[i].key) && self->n_rules < 16) {
			self->rules[self->n_rules++] = (struct rule){ keys[i].act, atoi(value) };
			return 0;
		}
	if (!strcmp(key, "files"))
		return limit_files(atoi(value));
	return sluice_proxy_fail(proxy, -EINVAL, "test-proxy has no option \"%s\"", key);
}

static int give_rules(struct sluice_proxy *proxy, const char *only, const char *to, const char *but)
{
	struct sluice_rule included = { .size = sizeof(included),
					.domain = only[0] ? only : NULL,
					.remote_address = to[0] ? to : NULL };
	struct sluice_rule excluded = { .size = sizeof(excluded), .remote_address = but };

	return sluice_proxy_rules(proxy, &included, 1, &excluded, but[0] != 0);
}

static int on_start(struct sluice_proxy *proxy, void *data)
{
	struct test_proxy *self = data;

	if (!self->only[0] && !self->to[0] && !self->not [0])
		return 0;
	return give_rules(proxy, self->only, self->to, self->not);
}

static void give_bad_rules(struct sluice_proxy *proxy)
{
	static const char *const servers[] = { "192.0.2.53", NULL };
	struct sluice_proxy_settings settings = { .size = sizeof(settings), .dns_servers = servers };

	(void)give_rules(proxy, "", "10.0.0.0/8", "nowhere");
	sluice_proxy_log(proxy, LOG_NOTICE, "bad rules: %s", sluice_proxy_error(proxy));
	(void)sluice_proxy_settings(proxy, &settings);
	sluice_proxy_log(proxy, LOG_NOTICE, "bad settings: %s", sluice_proxy_error(proxy));
}

static void on_rules_done(struct sluice_proxy *proxy, int error, uint32_t number, void *data)
{
	(void)data;
	sluice_proxy_log(proxy, LOG_NOTICE, "rules done: %d %u", error, number);
}

static int connect_to(const struct test_proxy *self, const struct sluice_flow *flow)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(flow->remote_port) };
	int type = flow->protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(&to.sin6_addr, flow->remote_address, sizeof(to.sin6_addr));
	if (fd >= 0 && self->device[0] &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, self->device, sizeof(self->device)) < 0)
		return -EACCES;
	if (fd >= 0 && (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS))
		return fd;
	if (fd >= 0)
		close(fd);
	return -errno;
}

static void forward(struct sluice_proxy *proxy, const struct test_proxy *self,
		    const struct sluice_flow *flow)
{
	int upstream = connect_to(self, flow);

	if (upstream < 0)
		sluice_proxy_open(proxy, flow->id, upstream, "cannot connect");
	else
		sluice_proxy_forward(proxy, flow->id, upstream);
}

static enum act act_on(const struct test_proxy *self, const struct sluice_flow *flow, int *ret_error)
{
	for (unsigned int i = 0; i < self->n_rules; i++) {
		if (self->rules[i].port % 1000 != flow->remote_port &&
		    self->rules[i].port != flow->remote_port)
			continue;
		*ret_error = self->rules[i].port / 1000;
		return self->rules[i].act;
	}
	return FORWARD;
}

static enum sluice_proxy_choice on_flow(struct sluice_proxy *proxy, const struct sluice_flow *flow,
					void *data)
{
	struct test_proxy *self = data;
	struct reading *reading = &self->readings[flow->id % FLOWS_MAX];
	int error = 0;

	switch (act_on(self, flow, &error)) {
	case DECLINE:
		return SLUICE_PROXY_DECLINE;
	case HOLD:
		break;
	case FAIL:
		sluice_proxy_open(proxy, flow->id, -error, NULL);
		break;
	case ENDS:
		*reading = (struct reading){ .flow = flow->id, .fd = -1, .sport = flow->local_port };
		sluice_proxy_open(proxy, flow->id, 0, "ends");
		break;
	case SWITCH:
		(void)give_rules(proxy, "", self->next_to, self->next_not);
		forward(proxy, self, flow);
		break;
	case BAD:
		give_bad_rules(proxy);
		forward(proxy, self, flow);
		break;
	case FORWARD:
		forward(proxy, self, flow);
		break;
	}
	return SLUICE_PROXY_TAKE;
}

static void tell_ended(struct sluice_proxy *proxy, struct test_proxy *self)
{
	if (self->ended[0])
		sluice_proxy_log(proxy, LOG_NOTICE, "ended:%s", self->ended);
	self->ended[0] = '\0';
}

static void on_stop(struct sluice_proxy *proxy, void *data)
{
	tell_ended(proxy, data);
}

static void finish(struct sluice_proxy *proxy, struct test_proxy *self, struct reading *reading,
		   const char *kind, int error)
{
	size_t n = strlen(self->ended);

	snprintf(self->ended + n, sizeof(self->ended) - n, " %u:%s", reading->sport, kind);
	if (n > sizeof(self->ended) - 30)
		tell_ended(proxy, self);
	sluice_proxy_close(reading->fd, error);
	reading->fd = -1;
}

/* the program is gone, and the end of what it sent is on its way */
static void finish_full(struct sluice_proxy *proxy, struct test_proxy *self, struct reading *reading)
{
	struct timeval second = { .tv_sec = 1 };
	char bytes[4096];
	ssize_t n;

	(void)fcntl(reading->fd, F_SETFL, 0);
	(void)setsockopt(reading->fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	while ((n = read(reading->fd, bytes, sizeof(bytes))) > 0)
		;
	finish(proxy, self, reading, n == 0 ? "full" : errno == ECONNRESET ? "reset" : "nothing", 0);
}

static void read_on(struct sluice_proxy *proxy, struct test_proxy *self, struct reading *reading)
{
	char bytes[4096];
	ssize_t n = read(reading->fd, bytes, sizeof(bytes));

	if (n > 0 || (n < 0 && errno == EAGAIN))
		return;
	epoll_ctl(self->epoll, EPOLL_CTL_DEL, reading->fd, NULL);
	if (n < 0)
		finish(proxy, self, reading, "reset", -ECONNRESET);
	else
		sluice_proxy_ask_end(proxy, reading->flow);
}

static void on_opened(struct sluice_proxy *proxy, uint64_t flow_id, int fd, void *data)
{
	struct test_proxy *self = data;
	struct reading *reading = &self->readings[flow_id % FLOWS_MAX];
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = reading };

	(void)proxy;
	reading->fd = fd;
	epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void on_ended(struct sluice_proxy *proxy, uint64_t flow_id, enum sluice_proxy_end end,
		     void *data)
{
	struct test_proxy *self = data;
	struct reading *reading = &self->readings[flow_id % FLOWS_MAX];

	if (reading->flow != flow_id || reading->fd < 0)
		return;
	if (end == SLUICE_PROXY_FULL) {
		finish_full(proxy, self, reading);
		return;
	}
	if (write(reading->fd, "half", 4) != 4)
		sluice_proxy_log(proxy, LOG_ERR, "%u does not read", reading->sport);
	finish(proxy, self, reading, "half", 0);
}

static void on_cancelled(struct sluice_proxy *proxy, uint64_t flow_id, void *data)
{
	(void)data;
	sluice_proxy_log(proxy, LOG_NOTICE, "flow %llu was cancelled", (unsigned long long)flow_id);
}

/* as a program with a loop of its own: the session is one descriptor of it */
static int loop(struct test_proxy *self, struct sluice_proxy *proxy)
{
	struct epoll_event events[64], session = { .events = EPOLLIN };
	int r = 0;

	epoll_ctl(self->epoll, EPOLL_CTL_ADD, sluice_proxy_get_fd(proxy), &session);
	while (r == 0) {
		int n = epoll_wait(self->epoll, events, 64, -1);

		for (int i = 0; i < n; i++)
			if (events[i].data.ptr)
				read_on(proxy, self, events[i].data.ptr);
		r = sluice_proxy_process(proxy);
	}
	return r == -ESHUTDOWN ? 0 : 1;
}

int main(int argc, char **argv)
{
	static struct test_proxy self;
	struct sluice_proxy *proxy;
	const char *name = strrchr(argv[0], '/');
	int r;

	(void)argc;
	self.ops = (struct sluice_proxy_ops){ .size = sizeof(self.ops),
					      .name = "test-proxy",
					      .kind = name && strstr(name, "app") ? SLUICE_PROXY_APP
										  : SLUICE_PROXY_TRANSPARENT,
					      .option = on_option,
					      .start = on_start,
					      .new_flow = on_flow,
					      .flow_opened = on_opened,
					      .flow_cancelled = on_cancelled,
					      .flow_ended = on_ended,
					      .takes_udp = getenv("NO_UDP") == NULL,
					      .stop = on_stop,
					      .rules_done = on_rules_done };
	self.epoll = epoll_create1(EPOLL_CLOEXEC);
	r = sluice_proxy_new(&self.ops, &self, &proxy);
	if (r)
		return 1;
	r = loop(&self, proxy);
	sluice_proxy_free(proxy);
	return r;
}
