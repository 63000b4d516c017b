/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluice status, flows, why and explain: every allocation fails once
 *
 * The command line is in this program, and the daemon is a process that knows some answers. Each
 * command is given again and again, in a process of its own: in the nth the nth allocation
 * fails, until one has fewer; then again with all behind the nth failing as well. It says what
 * it always says, or ends with an error that names memory: never with a part of an answer, after a part
 * of a question, or by a crash.
 */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "alloc.h"
#include "base/macros.h"
#include "cli/client.h"

#define TELLINGS_MAX 5000U /* a command that allocates more does not end */
#define ALL_FAIL_STEP 7U
#define TEXT_BYTES 16384U

int sluice_main(int argc, char **argv); /* main() of cli, by that name */

#define FLOW                                                                                       \
	"{\"time\":\"2026-11-21T11:26:40.788069Z\",\"event\":\"closed\",\"id\":17,\"pid\":5,"      \
	"\"uid\":0,\"exe\":\"/usr/bin/curl\",\"unit\":\"a.service\",\"netns\":4026532804,"         \
	"\"proto\":\"tcp\",\"direction\":\"outbound\",\"src\":\"::\",\"sport\":0,"                 \
	"\"dst\":\"192.0.2.1\",\"dport\":80,\"host\":\"a.example\",\"host_source\":\"dns\","       \
	"\"provider\":\"one\",\"verdict\":\"allow\",\"reason\":\"because\",\"bytes_in\":300,"      \
	"\"bytes_out\":200,\"decision_us\":1464}"

#define WHY                                                                                          \
	"{\"parameters\":{\"why\":{\"instance\":\"one\",\"verdict\":\"allow\",\"silent\":false,"     \
	"\"cut\":false,\"by\":\"filter\",\"provider\":\"one\",\"reason\":\"because\",\"flow\":" FLOW \
	",\"filters\":[{\"filter\":\"one\",\"state\":\"running\",\"fail\":\"closed\","               \
	"\"how\":\"answered\",\"verdict\":\"allow\",\"scope\":\"flow\",\"reason\":null,"             \
	"\"took_us\":1464,\"decides\":true}],\"memory\":null,\"kernel\":{\"table\":"                 \
	"\"inet sluice_one\",\"chain\":\"out\",\"map\":\"sl_flows\",\"key\":\"00 01\","              \
	"\"verdict\":\"allow\"},\"next\":\"change the rules\"}}}"

#define LIST                                                                                       \
	"{\"filter\":\"one\",\"name\":\"a\",\"exceptions\":false,\"names\":1270000,"               \
	"\"allowed\":2,\"hits\":3,\"unusable\":1,\"kinds\":{\"url\":1},"                           \
	"\"changed\":\"2100-11-21T11:26:40Z\",\"loaded\":\"2100-11-21T11:26:40Z\"}"

static const struct {
	const char *method, *replies[2];
} answers[] = {
	{ "GetStatus",
	  { "{\"parameters\":{\"status\":{\"instance\":\"one\",\"version\":\"0.1.0\",\"state\":"
	    "\"enforcing\",\"generation\":0,\"started\":\"2100-11-21T11:26:40Z\","
	    "\"cgroup\":\"/\",\"fail\":\"closed\",\"flows_open\":1,\"flows_held\":0,"
	    "\"flows_total\":3,\"flows_dropped\":1,\"deadlines_missed\":2,\"rules_restored\":1,"
	    "\"queue\":\"compat\",\"providers\":[{\"name\":\"one\",\"kind\":\"filter\","
	    "\"state\":\"running\",\"pid\":29000,\"fail\":\"closed\",\"flows\":3,\"dropped\":1,"
	    "\"late\":1,\"restarts\":1,\"rules\":4,\"message\":\"a bad line\"}],\"namespaces\":["
	    "{\"netns\":4026532804,\"state\":\"enforcing\",\"message\":null},{\"netns\":7,"
	    "\"state\":\"failed\",\"message\":\"gone\"}]}}}" } },
	{ "ListFlows",
	  { "{\"continues\":true,\"parameters\":{\"flow\":" FLOW "}}",
	    "{\"parameters\":{\"flow\":" FLOW "}}" } },
	{ "ListLists", { "{\"parameters\":{\"lists\":[" LIST "," LIST "," LIST "," LIST "]}}" } },
	{ "ListRules",
	  { "{\"parameters\":{\"page\":{\"filter\":\"one\",\"filters\":1,\"set\":1,"
	    "\"count\":1,\"otherwise\":\"ask\",\"rules\":[{\"number\":1,\"action\":\"drop\","
	    "\"direction\":\"outbound\",\"protocol\":6,\"remote_port\":443,"
	    "\"remote_port_last\":443,\"reason\":\"web\"}]}}}" } },
	{ "Why", { WHY } },
	{ "ListAddresses", { "{\"parameters\":{\"addresses\":[\"192.0.2.1\"]}}" } },
	{ "Explain", { WHY } },
};

/* what the processes of a telling leave to the test */
static struct shared {
	bool has_failed;
	bool has_parser_failed; /* alloc-json.c: what it leaves out is not ours */
	char calls[ARRAY_SIZE(answers)][TEXT_BYTES]; /* the first of each method */
	bool is_other_call;			     /* one was not like the first of its method: */
	char other_call[TEXT_BYTES];
} * shared;

static char folder[] = "/tmp/sluice-cli-XXXXXX";

/* ---- the daemon ---- */

static void answer(int fd, const char *call)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		char name[64];

		snprintf(name, sizeof(name), "\"io.sluice.Control.%s\"", answers[i].method);
		if (!strstr(call, name))
			continue;
		if (!shared->calls[i][0])
			snprintf(shared->calls[i], TEXT_BYTES, "%s", call);
		if (strcmp(shared->calls[i], call) != 0) {
			shared->is_other_call = true;
			snprintf(shared->other_call, TEXT_BYTES, "%s", call);
		}
		for (size_t k = 0; k < 2 && answers[i].replies[k]; k++)
			(void)!write(fd, answers[i].replies[k], strlen(answers[i].replies[k]) + 1);
		return;
	}
	shared->is_other_call = true;
}

_Noreturn static void serve(int listener)
{
	static char call[TEXT_BYTES];

	(void)signal(SIGPIPE, SIG_IGN); /* some end before they are answered */
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		for (ssize_t n; (n = recv(fd, call, sizeof(call) - 1, 0)) > 0;) {
			call[n] = '\0';
			answer(fd, call);
		}
		close_fd(fd);
	}
}

static pid_t start_daemon(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char path[64];
	pid_t pid;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/one", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(fd);
	}
	close_fd(fd);
	return pid;
}

static void stop_daemon(pid_t pid)
{
	char path[96];

	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	snprintf(path, sizeof(path), "%s/one/control", folder);
	(void)unlink(path);
	snprintf(path, sizeof(path), "%s/one", folder);
	(void)rmdir(path);
	(void)rmdir(folder);
}

int __real_client_open(const char *folder, const char *instance, struct client *ret_client,
		       struct client_error *error);
int __wrap_client_open(const char *where, const char *instance, struct client *ret_client,
		       struct client_error *error);
int __wrap_client_open(const char *where, const char *instance, struct client *ret_client,
		       struct client_error *error)
{
	return __real_client_open(folder, instance, ret_client, error);
}

/* ---- a telling ---- */

struct told {
	int status;
	char out[TEXT_BYTES], err[TEXT_BYTES];
};

static void at_exit(void)
{
	shared->has_failed = alloc_has_failed();
	shared->has_parser_failed = alloc_has_parser_failed();
	alloc_forgive();
}

_Noreturn static void be_command(const char *line, unsigned int nth, bool is_always, const int *fds)
{
	char copy[256], *argv[16] = { (char *)"sluice" };
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *at = copy, *word; (word = strsep(&at, " "));)
		argv[argc++] = word;
	dup2(fds[0], STDOUT_FILENO);
	dup2(fds[1], STDERR_FILENO);
	for (int number = 1; number < SIGRTMIN; number++)
		(void)signal(number, SIG_DFL); /* a crash is one, not cmocka's */
	(void)atexit(at_exit);
	alloc_fail(nth, is_always);
	alloc_enter();
	exit(sluice_main(argc, argv));
}

static void read_back(int fd, char *text)
{
	ssize_t n = pread(fd, text, TEXT_BYTES - 1, 0);

	text[MAX(n, 0)] = '\0';
	close_fd(fd);
}

static void tell(const char *line, unsigned int nth, bool is_always, struct told *told)
{
	int fds[] = { memfd_create("out", MFD_CLOEXEC), memfd_create("err", MFD_CLOEXEC) };
	pid_t pid;
	int status;

	shared->has_failed = shared->has_parser_failed = shared->is_other_call = false;
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0)
		be_command(line, nth, is_always, fds);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	read_back(fds[0], told->out);
	read_back(fds[1], told->err);
	if (!WIFEXITED(status) || WEXITSTATUS(status) > CLI_NOT_FOUND)
		fail_msg("sluice %s, allocation %u: status %#x: %s", line, nth, status, told->err);
	told->status = WEXITSTATUS(status);
}

/* a leak or a bad access is none of the command's own statuses */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "exitcode=99";
}

/* what json-c's parser cannot add to an object it loses: not the command's to answer for */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return alloc_has_parser_failed();
}

static bool names_memory(const char *text)
{
	return strstr(text, "out of memory") || strstr(text, strerror(ENOMEM));
}

static void check(const char *line, unsigned int nth, const struct told *usual,
		  const struct told *told)
{
	bool is_as_usual = told->status == usual->status && !strcmp(told->out, usual->out);

	if (shared->has_parser_failed)
		return;
	if (shared->is_other_call)
		fail_msg("sluice %s, allocation %u: a part of a question was asked: %s", line, nth,
			 shared->other_call);
	if (!is_as_usual && (told->status == CLI_YES || !names_memory(told->err)))
		fail_msg("sluice %s, allocation %u: status %d: %s%s", line, nth, told->status,
			 told->out, told->err);
}

struct line {
	const char *text;
	struct told usual;
};

static bool tell_line(unsigned int nth, bool is_always, void *data)
{
	const struct line *line = data;
	static struct told told;

	tell(line->text, nth, is_always, &told);
	check(line->text, nth, &line->usual, &told);
	return shared->has_failed;
}

static void tell_each(const char *text, bool is_always, unsigned int step)
{
	static struct line line;

	line.text = text;
	memset(shared, 0, sizeof(*shared));
	tell(text, 0, false, &line.usual);
	if (line.usual.status != CLI_YES)
		fail_msg("sluice %s: %s", text, line.usual.err);
	assert_true(strlen(line.usual.out) > 50);
	print_message("           sluice %s:\n", text);
	alloc_tell_each(tell_line, &line, is_always, step, 10, TELLINGS_MAX);
}

static const char *const lines[] = {
	"status",
	"status --json",
	"flows",
	"flows --json",
	"rules",
	"rules --json",
	"lists",
	"lists --json",
	"why --last",
	"why --last --json",
	"explain --exe /bin/sh --uid 0 --to a.example:80",
};

static void tell_lines(bool is_always, unsigned int step)
{
	char line[64];

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		tell_each(lines[i], is_always, step);
	snprintf(line, sizeof(line), "explain --pid %d --to 192.0.2.1:80", getpid());
	tell_each(line, is_always, step);
}

static void test_one_fails(void **state)
{
	tell_lines(false, 1);
}

static void test_all_fail(void **state)
{
	tell_lines(true, ALL_FAIL_STEP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_fails),
		cmocka_unit_test(test_all_fail),
	};
	pid_t daemon;
	int r;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 1;
	daemon = start_daemon();
	r = cmocka_run_group_tests_name("cli-memory-out", tests, NULL, NULL);
	stop_daemon(daemon);
	return r;
}
