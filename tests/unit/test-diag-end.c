/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Older=end: which connections are ended, by a kernel that is a thread of this test
 *
 * It has a table of sockets, and answers dumps, SOCK_DESTROY and questions about routes as
 * inet_diag and rtnetlink do.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>

#include "base/macros.h"
#include "kernel/diag-end.h"

#define GOVERNED 7U /* ids of cgroups */
#define OTHER 8U
#define ANSWER_BYTES 16384

struct entry {
	uint8_t family, protocol, state;
	const char *from, *to;
	uint64_t cgroup; /* 0: the kernel does not say it */
	bool is_ended;
};

struct fake {
	int ours[2],
		theirs[2]; /* NETLINK_SOCK_DIAG, NETLINK_ROUTE: of the one asked, of the kernel */
	pthread_t thread;
	struct entry *entries;
	size_t n;
	const char *own[2];  /* addresses of this machine */
	int destroy, routes; /* errno that it answers instead; 0: none */
};

/* ---- the kernel ---- */

static void put_end(const struct nlmsghdr *request, char *buffer, size_t *at, int error,
		    bool is_dump)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer + *at);
	struct nlmsgerr *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

	header->nlmsg_type = is_dump ? NLMSG_DONE : NLMSG_ERROR;
	header->nlmsg_flags = is_dump ? NLM_F_MULTI : 0;
	header->nlmsg_seq = request->nlmsg_seq;
	body->error = -error;
	*at += header->nlmsg_len;
}

static void put_socket(const struct nlmsghdr *request, const struct entry *entry, uint32_t i,
		       char *buffer, size_t *at)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer + *at);
	struct inet_diag_msg *msg = mnl_nlmsg_put_extra_header(header, sizeof(*msg));

	header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	header->nlmsg_flags = NLM_F_MULTI;
	header->nlmsg_seq = request->nlmsg_seq;
	*msg = (struct inet_diag_msg){ .idiag_family = entry->family,
				       .idiag_state = entry->state,
				       .id.idiag_cookie = { i } };
	(void)inet_pton(entry->family, entry->from, msg->id.idiag_src);
	(void)inet_pton(entry->family, entry->to, msg->id.idiag_dst);
	if (entry->cgroup)
		mnl_attr_put_u64(header, INET_DIAG_CGROUP_ID, entry->cgroup);
	*at += header->nlmsg_len;
}

static size_t answer_diag(struct fake *fake, const struct nlmsghdr *request, char *buffer)
{
	const struct inet_diag_req_v2 *req = mnl_nlmsg_get_payload(request);
	uint32_t cookie = req->id.idiag_cookie[0];
	size_t at = 0;

	if (request->nlmsg_type == SOCK_DESTROY) {
		if (!fake->destroy)
			fake->entries[cookie].is_ended = true;
		put_end(request, buffer, &at, fake->destroy, false);
		return at;
	}
	for (uint32_t i = 0; i < fake->n; i++)
		if (fake->entries[i].family == req->sdiag_family &&
		    fake->entries[i].protocol == req->sdiag_protocol &&
		    req->idiag_states & 1U << fake->entries[i].state)
			put_socket(request, &fake->entries[i], i, buffer, &at);
	put_end(request, buffer, &at, 0, true);
	return at;
}

static int on_attribute(const struct nlattr *attribute, void *data)
{
	if (mnl_attr_get_type(attribute) == RTA_DST)
		*(const void **)data = mnl_attr_get_payload(attribute);
	return MNL_CB_OK;
}

static size_t answer_route(const struct fake *fake, const struct nlmsghdr *request, char *buffer)
{
	const struct rtmsg *asked = mnl_nlmsg_get_payload(request);
	const void *to = NULL;
	struct nlmsghdr *header;
	struct rtmsg *route;
	char text[46];
	size_t at = 0;

	(void)mnl_attr_parse(request, sizeof(*asked), on_attribute, (void *)&to);
	if (fake->routes) {
		put_end(request, buffer, &at, fake->routes, false);
		return at;
	}
	inet_ntop(asked->rtm_family, to, text, sizeof(text));
	header = mnl_nlmsg_put_header(buffer);
	header->nlmsg_type = RTM_NEWROUTE;
	header->nlmsg_seq = request->nlmsg_seq;
	route = mnl_nlmsg_put_extra_header(header, sizeof(*route));
	*route = (struct rtmsg){ .rtm_family = asked->rtm_family, .rtm_type = RTN_UNICAST };
	for (size_t i = 0; i < ARRAY_SIZE(fake->own); i++)
		if (fake->own[i] && strcmp(fake->own[i], text) == 0)
			route->rtm_type = RTN_LOCAL;
	mnl_attr_put_u32(header, RTA_OIF, route->rtm_type == RTN_LOCAL ? 1 : 2);
	return header->nlmsg_len;
}

/* until the one who asks has closed */
static void *run_kernel(void *data)
{
	_Alignas(struct nlmsghdr) char request[512], answer[ANSWER_BYTES];
	struct fake *fake = data;
	struct pollfd fds[2] = { { .fd = fake->theirs[0], .events = POLLIN },
				 { .fd = fake->theirs[1], .events = POLLIN } };

	while (poll(fds, 2, -1) > 0)
		for (int i = 0; i < 2; i++) {
			const struct nlmsghdr *header = (const struct nlmsghdr *)request;
			size_t n;

			if (!fds[i].revents)
				continue;
			if (recv(fake->theirs[i], request, sizeof(request), 0) <= 0)
				return NULL;
			n = i ? answer_route(fake, header, answer)
			      : answer_diag(fake, header, answer);
			if (send(fake->theirs[i], answer, n, MSG_NOSIGNAL) < 0)
				return NULL;
		}
	return NULL;
}

static bool is_wanted(uint64_t cgroup, const void *data)
{
	return cgroup == GOVERNED;
}

/* Return: what diag_end_all() does */
static int end_all(struct fake *fake, unsigned int *ret_n)
{
	int r;

	for (int i = 0; i < 2; i++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		fake->ours[i] = pair[0];
		fake->theirs[i] = pair[1];
	}
	assert_int_equal(pthread_create(&fake->thread, NULL, run_kernel, fake), 0);
	*ret_n = 0;
	r = diag_end_all(fake->ours[0], fake->ours[1], is_wanted, NULL, ret_n);
	for (int i = 0; i < 2; i++)
		close(fake->ours[i]);
	assert_int_equal(pthread_join(fake->thread, NULL), 0);
	for (int i = 0; i < 2; i++)
		close(fake->theirs[i]);
	return r;
}

static void check(struct entry *entries, size_t n, const bool *wanted, unsigned int n_wanted)
{
	struct fake fake = { .entries = entries, .n = n, .own = { "192.0.2.2", "2001:db8::2" } };
	unsigned int n_ended;

	assert_int_equal(end_all(&fake, &n_ended), 0);
	for (size_t i = 0; i < n; i++)
		if (entries[i].is_ended != wanted[i])
			fail_msg("%zu: %s to %s", i, entries[i].from, entries[i].to);
	assert_int_equal(n_ended, n_wanted);
}

#define TCP4 AF_INET, IPPROTO_TCP
#define TCP6 AF_INET6, IPPROTO_TCP
#define UDP4 AF_INET, IPPROTO_UDP

/* ---- what is ended ---- */

static void test_what_leads_off_the_machine(void **state)
{
	struct entry entries[] = {
		{ TCP4, TCP_ESTABLISHED, "192.0.2.1", "198.51.100.9", GOVERNED, false },
		{ TCP4, TCP_SYN_SENT, "192.0.2.1", "198.51.100.9", GOVERNED, false },
		{ TCP6, TCP_CLOSE_WAIT, "2001:db8::1", "2001:db8:1::9", GOVERNED, false },
		{ TCP6, TCP_ESTABLISHED, "::ffff:192.0.2.1", "::ffff:198.51.100.9", GOVERNED,
		  false },
		{ UDP4, TCP_ESTABLISHED, "192.0.2.1", "198.51.100.9", GOVERNED, false },
		{ TCP4, TCP_ESTABLISHED, "192.0.2.1", "198.51.100.9", OTHER, false },
		{ TCP4, TCP_ESTABLISHED, "192.0.2.1", "198.51.100.9", 0, false },
		{ TCP4, TCP_TIME_WAIT, "192.0.2.1", "198.51.100.9", GOVERNED, false },
		{ TCP4, TCP_LISTEN, "192.0.2.1", "0.0.0.0", GOVERNED, false },
		{ UDP4, TCP_CLOSE, "192.0.2.1", "0.0.0.0", GOVERNED, false },
	};
	const bool wanted[ARRAY_SIZE(entries)] = { true, true, true, true, true };

	check(entries, ARRAY_SIZE(entries), wanted, 5);
}

static void test_what_stays_here_goes_on(void **state)
{
	struct entry entries[] = {
		{ TCP4, TCP_ESTABLISHED, "127.0.0.1", "127.0.0.53", GOVERNED, false },
		{ TCP6, TCP_ESTABLISHED, "::1", "::1", GOVERNED, false },
		{ TCP6, TCP_ESTABLISHED, "::ffff:127.0.0.1", "::ffff:127.9.9.9", GOVERNED, false },
		{ TCP4, TCP_ESTABLISHED, "192.0.2.1", "192.0.2.1", GOVERNED, false },
		{ TCP6, TCP_ESTABLISHED, "2001:db8::1", "2001:db8::1", GOVERNED, false },
	};
	const bool wanted[ARRAY_SIZE(entries)] = { false };

	check(entries, ARRAY_SIZE(entries), wanted, 0);
}

/* between two addresses of this machine, either end; the second is no less its own */
static void test_what_goes_to_another_own_address_goes_on(void **state)
{
	struct entry entries[] = {
		{ TCP4, TCP_ESTABLISHED, "192.0.2.1", "192.0.2.2", GOVERNED, false },
		{ TCP6, TCP_ESTABLISHED, "2001:db8::1", "2001:db8::2", GOVERNED, false },
		{ TCP6, TCP_ESTABLISHED, "::ffff:192.0.2.1", "::ffff:192.0.2.2", GOVERNED, false },
		{ UDP4, TCP_ESTABLISHED, "192.0.2.1", "192.0.2.2", GOVERNED, false },
		{ TCP4, TCP_ESTABLISHED, "192.0.2.2", "192.0.2.9", GOVERNED, false },
	};
	const bool wanted[ARRAY_SIZE(entries)] = { [4] = true };

	check(entries, ARRAY_SIZE(entries), wanted, 1);
}

/* ---- a kernel that does not ---- */

static int end_one(int destroy, int routes, unsigned int *ret_n)
{
	struct entry entry = {
		TCP4, TCP_ESTABLISHED, "192.0.2.1", "198.51.100.9", GOVERNED, false
	};
	struct fake fake = { .entries = &entry, .n = 1, .destroy = destroy, .routes = routes };

	return end_all(&fake, ret_n);
}

static void test_who_has_no_route_is_ended(void **state)
{
	unsigned int n;

	assert_int_equal(end_one(0, ENETUNREACH, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(end_one(0, ENOMEM, &n), 0); /* it cannot be told */
	assert_int_equal(n, 1);
}

static void test_what_has_gone_meanwhile_is_no_error(void **state)
{
	unsigned int n;

	assert_int_equal(end_one(ENOENT, 0, &n), 0);
	assert_int_equal(n, 0);
}

static void test_a_kernel_that_cannot_is_told(void **state)
{
	unsigned int n;

	assert_int_equal(end_one(EOPNOTSUPP, 0, &n), -EOPNOTSUPP);
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_leads_off_the_machine),
		cmocka_unit_test(test_what_stays_here_goes_on),
		cmocka_unit_test(test_what_goes_to_another_own_address_goes_on),
		cmocka_unit_test(test_who_has_no_route_is_ended),
		cmocka_unit_test(test_what_has_gone_meanwhile_is_no_error),
		cmocka_unit_test(test_a_kernel_that_cannot_is_told),
	};

	return cmocka_run_group_tests_name("diag-end", tests, NULL, NULL);
}
