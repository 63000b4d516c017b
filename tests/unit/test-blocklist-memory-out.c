/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The bundled provider blocklist: every allocation fails once
 *
 * Its main() runs here, with libsluice in it, and the test is the daemon: it speaks whenever the
 * provider waits in poll(). In the nth telling the nth allocation fails, until a telling has
 * fewer; then again with all behind the nth failing as well. Whatever fails: the provider
 * says so, to the daemon or on stderr, and never judges by a part of its list.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "base/macros.h"
#include "compiled-list.h"
#include "wire/channel.h"
#include "wire/provider-records.h"

#define CHANNEL_FD 3
#define NAMES 2000U
#define TELLINGS_MAX 100			  /* a story with more of them does not end */
#define COMPILER_TELLINGS_MAX (3 * BUILDER_PARTS) /* each has a block or two, and its end */
#define MANY_NAMES 40000U
#define PUTS_MAX 128

int blocklist_main(void); /* main() of providers/blocklist, by that name */
int __wrap_poll(struct pollfd *fds, nfds_t n, int ms);

static char path[64];
static int folder;

static struct story {
	int daemon;
	unsigned int turn;
	bool is_ready, is_refused;
} story;

static void say(uint16_t type, const void *body, int fd)
{
	assert_int_equal(
		channel_send(story.daemon, &wire_provider_channel, type, body, NULL, 0, fd), 0);
}

static void say_flow(uint64_t id, const char *host)
{
	struct wire_flow_new flow = { .id = id, .protocol = 6, .host_source = 1 };

	snprintf(flow.host, sizeof(flow.host), "%s", host);
	say(WIRE_FLOW_NEW, &flow, -1);
}

static void check_ready(const struct wire_ready *ready)
{
	story.is_ready = ready->error == 0;
	story.is_refused = !story.is_ready;
	if (story.is_refused) {
		assert_int_equal(ready->error, ENOMEM);
		assert_non_null(strstr(ready->text, "list"));
		assert_true(strstr(ready->text, "memory") || strstr(ready->text, strerror(ENOMEM)));
	}
}

/* odd ones are listed */
static void check_verdict(const struct wire_flow_verdict *verdict)
{
	assert_int_equal(verdict->verdict, verdict->id % 2);
	if (verdict->verdict)
		assert_non_null(strstr(verdict->reason, "list names.txt line"));
}

static void hear(void)
{
	uint8_t buffer[WIRE_RECORD_MAX];
	struct wire_message message;
	int fd = -1;

	while (channel_recv(story.daemon, &wire_provider_channel, 1, buffer, &message, NULL, &fd) ==
	       0) {
		fd = close_fd(fd);
		if (message.record->type == WIRE_READY)
			check_ready(WIRE_BODY(&message, struct wire_ready));
		else if (message.record->type == WIRE_FLOW_VERDICT)
			check_verdict(WIRE_BODY(&message, struct wire_flow_verdict));
	}
}

static void speak(void)
{
	struct wire_welcome welcome = { .version = WIRE_PROVIDER_VERSION, .session = 9 };
	struct wire_option option = { .key = "list", .value = "names.txt" };

	if (story.turn++ == 0) {
		say(WIRE_WELCOME, &welcome, -1);
		say(WIRE_OPTION, &option, folder);
		say(WIRE_OPTION, &option, folder);
		say(WIRE_START, &(struct wire_start){ 0 }, -1);
		return;
	}
	for (uint64_t id = 0; id < 2 * NAMES && story.is_ready && story.turn == 2; id += 99) {
		char host[64];

		snprintf(host, sizeof(host), "x.name-%u.example", (unsigned int)id);
		say_flow(id, host);
	}
	if (story.turn > 2 || !story.is_ready)
		say(WIRE_STOP, &(struct wire_stop){ .reason = 1 }, -1);
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int ms)
{
	alloc_leave();
	hear();
	speak();
	alloc_enter();
	fds->revents = POLLIN;
	return 1;
}

static int make_list(void **state)
{
	static char text[32 * NAMES];
	size_t n = 0;
	int any;

	for (unsigned int i = 1; i < 2 * NAMES; i += 2)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "name-%u.example\n", i);
	any = compiled_folder(text, path);
	folder = fcntl(any, F_DUPFD_CLOEXEC, 100); /* not the channel's */
	close_fd(any);
	return 0;
}

static int remove_list(void **state)
{
	close_fd(folder);
	compiled_remove(path);
	return 0;
}

/* Return: its exit status; what it printed on stderr is in @text */
static int run(char *text, size_t n)
{
	int capture = memfd_create("stderr", MFD_CLOEXEC), old = dup(STDERR_FILENO);
	int status;
	ssize_t size;

	dup2(capture, STDERR_FILENO);
	alloc_enter();
	status = blocklist_main();
	alloc_leave();
	dup2(old, STDERR_FILENO);
	close_fd(old);
	size = pread(capture, text, n - 1, 0);
	text[MAX(size, 0)] = '\0';
	close_fd(capture);
	return status;
}

/* Return: has an allocation failed? */
static bool tell(unsigned int nth, bool is_always, void *data)
{
	char text[1024];
	int peer, status;

	alloc_forgive();
	story = (struct story){ 0 };
	assert_int_equal(channel_pair(&story.daemon, &peer), 0);
	story.daemon = fcntl(story.daemon, F_DUPFD_CLOEXEC, 100);
	assert_int_equal(dup2(peer, CHANNEL_FD), CHANNEL_FD);
	close_fd(peer);
	alloc_fail(nth, is_always);
	status = run(text, sizeof(text));
	alloc_forgive();
	hear();
	assert_int_equal(status, alloc_has_failed());
	if (status && !story.is_refused)
		assert_non_null(strstr(text, strerror(ENOMEM)));
	assert_int_equal(story.is_ready, !status);
	close_fd(story.daemon);
	close_fd(CHANNEL_FD);
	return alloc_has_failed();
}

static void test_one_fails(void **state)
{
	alloc_tell_each(tell, NULL, false, 1, 2, TELLINGS_MAX);
}

static void test_all_fail(void **state)
{
	alloc_tell_each(tell, NULL, true, 1, 2, TELLINGS_MAX);
}

/* ---- the compiler ---- */

static int add_up(const void *bytes, size_t n, uint64_t offset, void *data)
{
	uint64_t *sum = data;

	*sum = *sum * 31 + offset;
	for (size_t i = 0; i < n; i++)
		*sum = *sum * 31 + ((const uint8_t *)bytes)[i];
	return 0;
}

static int make_text(void)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (unsigned int i = 0; i < NAMES; i++)
		dprintf(fd, "name-%u.example\n", i);
	dprintf(fd, "||b\303\274cher.example^\n");
	return fd;
}

/* a name that there was no memory for is not one that cannot be */
static int compile(int fd, struct builder *builder, uint64_t *ret_sum)
{
	const struct builder_sink sink = { .put = add_up, .data = ret_sum };
	struct list_report report;
	int r;

	alloc_enter();
	r = list_read(builder, fd, &report);
	if (!r && (report.n_bad || report.n_names != NAMES + 1))
		r = -EBADMSG;
	if (!r)
		r = builder_finish(builder, &(struct table_stamp){ 0 }, &report, &sink);
	builder_deinit(builder);
	alloc_leave();
	return r;
}

struct usual {
	int text;
	uint64_t sum;
};

static bool tell_compiler(unsigned int nth, bool is_always, void *data)
{
	struct builder builder = { 0 };
	const struct usual *usual = data;
	uint64_t sum = 0;
	bool has_failed;
	int r;

	alloc_forgive();
	alloc_fail(nth, is_always);
	r = compile(usual->text, &builder, &sum);
	has_failed = alloc_has_failed();
	alloc_forgive();
	/* some libraries do without */
	assert_true(r == 0 ? sum == usual->sum : has_failed && r == -ENOMEM);
	return has_failed;
}

static void test_the_compiler_says_so(void **state)
{
	struct builder builder = { 0 };
	struct usual usual = { .text = make_text() };

	assert_int_equal(compile(usual.text, &builder, &usual.sum), 0);
	alloc_tell_each(tell_compiler, &usual, false, 1, 9, COMPILER_TELLINGS_MAX);
	alloc_tell_each(tell_compiler, &usual, true, 1, 9, COMPILER_TELLINGS_MAX);
	close_fd(usual.text);
}

/* how far the entries were written, and the blocks that the builder had then */
struct held {
	struct {
		uint64_t end;
		unsigned int n_blocks;
	} puts[PUTS_MAX];
	size_t n;
	uint64_t entries; /* offset */
};

static int note_held(const void *bytes, size_t n, uint64_t offset, void *data)
{
	struct held *held = data;

	if (offset < held->entries && offset > 0)
		return 0;
	assert_true(held->n < PUTS_MAX);
	held->puts[held->n].end = offset + n;
	held->puts[held->n++].n_blocks = alloc_blocks();
	(void)bytes;
	return 0;
}

static void add_names(struct builder *builder, unsigned int n)
{
	char name[32];

	for (unsigned int i = 0; i < n; i++) {
		const struct builder_entry entry = { .name = name, .flags = TABLE_SELF, .line = i };

		snprintf(name, sizeof(name), "name-%u.example", i);
		assert_int_equal(builder_add(builder, &entry), 0);
	}
}

/* the file is memory as well, where it lies in a tmpfs: what it has, the builder has no more */
static void test_the_list_goes_as_its_file_comes(void **state)
{
	struct builder builder = { 0 };
	struct list_report report = { 0 };
	struct held held = { 0 };
	const struct builder_sink sink = { .put = note_held, .data = &held };
	unsigned int before = alloc_blocks(), bits = 0, most;
	uint64_t bytes;

	while (TABLE_BUCKET_NAMES << bits < MANY_NAMES)
		bits++;
	held.entries = sizeof(struct table_head) + table_index_bytes(bits);
	add_names(&builder, MANY_NAMES);
	most = alloc_blocks() - before;
	bytes = builder.n_bytes;
	assert_int_equal(builder_finish(&builder, &(struct table_stamp){ 0 }, &report, &sink), 0);
	assert_true(held.n > 10);
	for (size_t i = 0; i + 1 < held.n; i++) { /* the last put is the head */
		unsigned int left = held.puts[i].n_blocks - before;
		uint64_t done = held.puts[i].end - held.entries;

		assert_true(left <= most - most * done / bytes + most / 10);
	}
	assert_int_equal(held.puts[held.n - 1].n_blocks, before);
	builder_deinit(&builder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_list_goes_as_its_file_comes),
		cmocka_unit_test(test_one_fails),
		cmocka_unit_test(test_all_fail),
		cmocka_unit_test(test_the_compiler_says_so),
	};

	return cmocka_run_group_tests_name("blocklist-memory-out", tests, make_list, remove_list);
}
