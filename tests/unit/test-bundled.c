/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The bundled providers as they are shipped, with this test playing the daemon
 *
 *	test-bundled BLOCKLIST HELLO-FILTER ASK
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "compiled-list.h"
#include "wire/channel.h"
#include "wire/provider-records.h"

#define CHANNEL_FD 3
#define PATIENCE_MS 60000 /* a provider that says nothing for so long has failed the test */

static const char *blocklist_exe, *hello_exe, *ask_exe;

struct child {
	pid_t pid;
	int sock;
	int out; /* what it prints */
	uint8_t buffer[WIRE_RECORD_MAX];
	struct wire_message message;
	char logs[4096];     /* LOG records seen, a line each */
	char folders[2][64]; /* of its lists */
	unsigned int n_folders;
};

static void run_child(const char *exe, int sock, int out)
{
	dup2(out, STDOUT_FILENO);
	/* through a high number, or dup2 would leave close-on-exec on an equal one */
	sock = fcntl(sock, F_DUPFD, 100);
	dup2(sock, CHANNEL_FD);
	close(sock);
	execl(exe, exe, (char *)NULL);
	_exit(127);
}

static struct child *spawn(const char *exe)
{
	struct child *child = calloc(1, sizeof(*child));
	int peer, pipe_fds[2];

	assert_non_null(child);
	assert_int_equal(channel_pair(&child->sock, &peer), 0);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	child->pid = fork();
	assert_true(child->pid >= 0);
	if (child->pid == 0)
		run_child(exe, peer, pipe_fds[1]);
	close(peer);
	close(pipe_fds[1]);
	child->out = pipe_fds[0];
	return child;
}

static const void *expect(struct child *child, uint16_t type)
{
	struct pollfd pollfd = { .fd = child->sock, .events = POLLIN };
	int fd = -1;

	for (;;) {
		const struct wire_log *line = WIRE_BODY(&child->message, struct wire_log);
		size_t n = strlen(child->logs);

		assert_int_equal(poll(&pollfd, 1, PATIENCE_MS), 1);
		assert_int_equal(channel_recv(child->sock, &wire_provider_channel, 1, child->buffer,
					      &child->message, NULL, &fd),
				 0);
		if (child->message.record->type == type)
			return child->message.body.bytes;
		if (child->message.record->type == WIRE_LIST)
			continue;
		assert_int_equal(child->message.record->type, WIRE_LOG);
		snprintf(child->logs + n, sizeof(child->logs) - n, "%u %s\n", line->level,
			 line->text);
	}
}

static void send_with(struct child *child, uint16_t type, const void *body, int fd)
{
	assert_int_equal(channel_send(child->sock, &wire_provider_channel, type, body, NULL, 0, fd),
			 0);
}

static void begin(struct child *child)
{
	struct wire_welcome welcome = { .version = WIRE_PROVIDER_VERSION };

	expect(child, WIRE_HELLO);
	send_with(child, WIRE_WELCOME, &welcome, -1);
}

/* @text: of a list, which is compiled; NULL: an option without one */
static void send_option(struct child *child, const char *key, const char *value, const char *text)
{
	struct wire_option option = { 0 };
	_cleanup_close_ int fd = -1;

	if (text) {
		assert_true(child->n_folders < 2);
		fd = compiled_folder(text, child->folders[child->n_folders++]);
	}
	snprintf(option.key, sizeof(option.key), "%s", key);
	snprintf(option.value, sizeof(option.value), "%s", value);
	send_with(child, WIRE_OPTION, &option, fd);
}

static const struct wire_ready *start(struct child *child)
{
	send_with(child, WIRE_START, &(struct wire_start){ 0 }, -1);
	return expect(child, WIRE_READY);
}

static void expect_verdict(struct child *child, const char *host, unsigned int verdict,
			   const char *reason)
{
	struct wire_flow_new flow = { .id = 42, .exe = "/usr/bin/x", .pid = 12, .dport = 443 };
	const struct wire_flow_verdict *answer;

	memcpy(flow.dst, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
	snprintf(flow.host, sizeof(flow.host), "%s", host);
	send_with(child, WIRE_FLOW_NEW, &flow, -1);
	answer = expect(child, WIRE_FLOW_VERDICT);
	assert_int_equal(answer->id, 42);
	assert_int_equal(answer->verdict, verdict);
	assert_string_equal(answer->reason, reason);
}

/* @status: what it should exit with */
static void end(struct child *child, int status)
{
	int got;

	send_with(child, WIRE_STOP, &(struct wire_stop){ 0 }, -1);
	expect(child, WIRE_STOPPED);
	assert_int_equal(waitpid(child->pid, &got, 0), child->pid);
	assert_true(WIFEXITED(got));
	assert_int_equal(WEXITSTATUS(got), status);
	close(child->sock);
	close(child->out);
	for (unsigned int i = 0; i < child->n_folders; i++)
		compiled_remove(child->folders[i]);
	free(child);
}

static void expect_refusal(const char *key, const char *value, const char *text, int error,
			   const char *words)
{
	struct child *child = spawn(blocklist_exe);
	const struct wire_ready *ready;

	begin(child);
	if (key)
		send_option(child, key, value, text);
	ready = start(child);
	assert_int_equal(ready->error, error);
	assert_string_equal(ready->text, words);
	end(child, 1);
}

static void test_blocklist_judges_by_its_lists(void **state)
{
	struct child *child = spawn(blocklist_exe);

	begin(child);
	send_option(child, "list", "a.hosts", "# head\n0.0.0.0 ads.example\n??\n?\n");
	send_option(child, "list", "/etc/b", "tracker.example\n");
	assert_int_equal(start(child)->error, 0);
	assert_string_equal(
		child->logs,
		"4 list a.hosts: line 3: a character that no host name has: \"??\"\n"
		"4 list a.hosts: line 4: a character that no host name has: \"?\"\n"
		"6 list a.hosts: 1 name, 2 unusable lines (first: line 3: a character that "
		"no host name has)\n"
		"6 list /etc/b: 1 name, 0 unusable lines\n");
	expect_verdict(child, "ads.example", 1, "list a.hosts line 2: ads.example");
	expect_verdict(child, "x.tracker.example", 1, "list /etc/b line 1: tracker.example");
	expect_verdict(child, "bads.example", 0, "not listed");
	expect_verdict(child, "", 0, "not listed");
	end(child, 0);
}

static void test_blocklist_counts_readably(void **state)
{
	struct child *child = spawn(blocklist_exe);
	char *text = calloc(1, 64 * 12345);
	size_t n = 0;

	assert_non_null(text);
	for (int i = 0; i < 12345; i++)
		n += (size_t)snprintf(text + n, 64, "n%d.example\n", i);
	begin(child);
	send_option(child, "list", "many", text);
	assert_int_equal(start(child)->error, 0);
	assert_string_equal(child->logs, "6 list many: 12,345 names, 0 unusable lines\n");
	end(child, 0);
	free(text);
}

/* the line and the name are what a person looks for: a long path gives way */
static void test_blocklist_shortens_long_paths(void **state)
{
	struct child *child = spawn(blocklist_exe);
	char path[200];

	memset(path, 'p', sizeof(path));
	snprintf(path + 150, sizeof(path) - 150, "/ads.hosts");
	begin(child);
	send_option(child, "list", path, "ads.example\n");
	assert_int_equal(start(child)->error, 0);
	expect_verdict(child, "ads.example", 1, "list ads.hosts line 1: ads.example");
	end(child, 0);
}

static void test_blocklist_says_what_is_wrong(void **state)
{
	expect_refusal(NULL, NULL, NULL, EINVAL,
		       "no list given: add one, as in `--filter blocklist:list=/etc/sluice/"
		       "ads.hosts`");
	expect_refusal("lists", "a", NULL, EINVAL,
		       "unknown option \"lists\": blocklist knows list=FILE and allow=FILE "
		       "(repeatable)");
	expect_refusal("list", "a", NULL, EBADF,
		       "list a: came without its open file: start the filter with `sluice run "
		       "--filter blocklist:list=FILE`");
	expect_refusal("list", "a", "# nothing\n", ENODATA,
		       "list a: no name in it: give a hosts file or a file with one domain per "
		       "line");
	expect_refusal("list", "a", "<html> x\n\n?\n", ENODATA,
		       "list a: no name in it, 2 unusable lines (first: line 1: several words, of "
		       "no form that is known): give a hosts file or a file with one domain per "
		       "line");
}

static void test_blocklist_says_why_a_file_cannot_be_read(void **state)
{
	struct child *child = spawn(blocklist_exe);
	struct wire_option option = { .key = "list", .value = "/etc" };
	int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct wire_ready *ready;

	begin(child);
	send_with(child, WIRE_OPTION, &option, dir);
	close(dir);
	ready = start(child);
	assert_int_equal(ready->error, ENOENT);
	assert_string_equal(ready->text, "list /etc: cannot read it: No such file or directory: "
					 "check the file and try again");
	end(child, 1);
}

static void test_blocklist_looks_at_compiled_lists_only(void **state)
{
	struct wire_option option = { .key = "list", .value = "a" };
	struct child *child = spawn(blocklist_exe);
	const struct wire_ready *ready;
	int folder = compiled_folder("ads.example\n", child->folders[child->n_folders++]);
	int fd = openat(folder, "current", O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_int_equal(write(fd, "0.0.0.0 ads.example\n", 20), 20);
	close(fd);
	begin(child);
	send_with(child, WIRE_OPTION, &option, folder);
	close(folder);
	ready = start(child);
	assert_int_equal(ready->error, EINVAL);
	assert_string_equal(ready->text, "list a: cannot read it: not a compiled list: check the "
					 "file and try again");
	end(child, 1);
}

/* what was said by the list of before is taken back before anything is said by the new one */
static void test_blocklist_takes_a_new_version(void **state)
{
	struct child *child = spawn(blocklist_exe);
	const struct wire_flow_forget *forget;
	const struct wire_list *list;

	begin(child);
	send_option(child, "list", "a", "ads.example\n");
	assert_int_equal(start(child)->error, 0);
	list = expect(child, WIRE_LIST);
	assert_int_equal(list->names, 1);
	assert_string_equal(list->reason, "list a");
	expect_verdict(child, "ads.example", 1, "list a line 1: ads.example");

	compiled_replace(child->folders[0], "?\ntracker.example\n@@||ads.example^\nb.example\n");
	forget = expect(child, WIRE_FLOW_FORGET);
	assert_int_equal(forget->again, 1);
	list = expect(child, WIRE_LIST);
	assert_int_equal(list->names, 2);
	assert_int_equal(list->allowed, 1);
	assert_int_equal(list->unusable, 1);
	assert_int_equal(list->character, 1);
	expect_verdict(child, "ads.example", 0, "list a line 3: exception ads.example");
	expect_verdict(child, "tracker.example", 1, "list a line 2: tracker.example");

	/* one that is no good is told, and what is in force stays */
	compiled_replace(child->folders[0], "# nothing\n");
	assert_int_equal(
		poll(&(struct pollfd){ .fd = child->sock, .events = POLLIN }, 1, PATIENCE_MS), 1);
	expect_verdict(child, "tracker.example", 1, "list a line 2: tracker.example");
	assert_non_null(strstr(child->logs, "3 list a: the new version is not taken: no name in "
					    "it: the one before stays in force\n"));
	end(child, 0);
}

/* exceptions come first, in whatever list they are, but for what is important */
static void test_blocklist_joins_its_lists(void **state)
{
	struct child *child = spawn(blocklist_exe);

	begin(child);
	send_option(
		child, "list", "a",
		"ads.example\n||must.example^$important\nshop.example\n||may.example^$important\n");
	send_option(child, "allow", "b",
		    "ok.ads.example\nmust.example\n@@||shop.example^\n"
		    "@@||may.example^$important\n");
	assert_int_equal(start(child)->error, 0);
	expect_verdict(child, "ads.example", 1, "list a line 1: ads.example");
	expect_verdict(child, "x.ok.ads.example", 0, "list b line 1: exception ok.ads.example");
	expect_verdict(child, "must.example", 1, "list a line 2: must.example");
	expect_verdict(child, "shop.example", 0, "list b line 3: exception shop.example");
	expect_verdict(child, "may.example", 0, "list b line 4: exception may.example");
	expect_verdict(child, "x.example", 0, "not listed");
	end(child, 0);
}

static void test_hello_filter_denies_one_host_and_prints(void **state)
{
	struct child *child = spawn(hello_exe);
	char text[256];
	ssize_t n;

	begin(child);
	send_option(child, "host", "no.example", NULL);
	assert_int_equal(start(child)->error, 0);
	expect_verdict(child, "no.example", 1, "hello-filter");
	n = read(child->out, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, "/usr/bin/x (12) no.example [192.0.2.1]:443 dropped\n");
	expect_verdict(child, "x.no.example", 0, "hello-filter");
	expect_verdict(child, "blocked.example", 0, "hello-filter");
	end(child, 0);
}

static void test_hello_filter_has_a_default(void **state)
{
	struct child *child = spawn(hello_exe);

	begin(child);
	assert_int_equal(start(child)->error, 0);
	expect_verdict(child, "blocked.example", 1, "hello-filter");
	end(child, 0);
}

/* as /dev/null does: the person may be gone sooner than the session begins */
static void test_answers_may_end_before_the_start(void **state)
{
	struct child *child = spawn(ask_exe);
	struct wire_option option = { .key = "answers", .value = "a file" };
	int fds[2];
	char byte;

	begin(child);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
	send_with(child, WIRE_OPTION, &option, fds[1]);
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 0); /* it has read the end, and closed it */
	close(fds[0]);
	assert_int_equal(start(child)->error, 0);
	end(child, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocklist_judges_by_its_lists),
		cmocka_unit_test(test_blocklist_counts_readably),
		cmocka_unit_test(test_blocklist_shortens_long_paths),
		cmocka_unit_test(test_blocklist_says_what_is_wrong),
		cmocka_unit_test(test_blocklist_says_why_a_file_cannot_be_read),
		cmocka_unit_test(test_blocklist_looks_at_compiled_lists_only),
		cmocka_unit_test(test_blocklist_takes_a_new_version),
		cmocka_unit_test(test_blocklist_joins_its_lists),
		cmocka_unit_test(test_hello_filter_denies_one_host_and_prints),
		cmocka_unit_test(test_hello_filter_has_a_default),
		cmocka_unit_test(test_answers_may_end_before_the_start),
	};

	if (argc != 4) {
		fprintf(stderr, "usage: test-bundled BLOCKLIST HELLO-FILTER ASK\n");
		return 2;
	}
	blocklist_exe = argv[1];
	hello_exe = argv[2];
	ask_exe = argv[3];
	return cmocka_run_group_tests_name("bundled", tests, NULL, NULL);
}
