/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The sluice program against a daemon that is only its control socket: exit
 * statuses, what goes to stdout, and --json against docs/schema.
 *
 * argv[1] is the program. /run is a tmpfs of our own mount namespace, so that
 * no instance of this machine is seen or touched; that needs root.
 */

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "abi/sluice-abi.h"
#include "base/macros.h"
#include "cli/doctor.h"
#include "control/control.h"
#include "control/flow-json.h"
#include "control/json-message.h"
#include "tests/unit/schema.h"

#define N_FLOWS 3

_Static_assert(DOCTOR_MARK_MASK == SL_MARK_MASK, "doctor looks at another mark field");

static const char *program;
static char output[65536];

static int get_status(void *data, struct json_object **ret_status)
{
	*ret_status = json_tokener_parse(
		"{\"instance\":\"one\",\"version\":\"0.1.0\",\"state\":\"enforcing\",\"pid\":7,"
		"\"generation\":0,\"started\":\"2026-11-20T19:40:01Z\",\"cgroup\":\"/x\","
		"\"fail\":\"open\",\"flows_open\":1,\"flows_held\":0,\"flows_total\":3,"
		"\"flows_dropped\":1,\"deadlines_missed\":0,\"queue\":\"native\",\"canary\":{"
		"\"state\":\"ok\",\"time\":\"2026-11-20T19:40:06Z\",\"took_us\":400,"
		"\"failures\":0},\"providers\":["
		"{\"name\":\"blocklist\",\"kind\":\"filter\",\"state\":\"running\",\"pid\":9,"
		"\"fail\":\"closed\",\"flows\":3,\"dropped\":1,\"late\":0,\"restarts\":0,"
		"\"answered_ago_ms\":4200,"
		"\"message\":\"bad line \\u001b[31m in list:4\"}]}");
	return *ret_status ? 0 : -ENOMEM;
}

static int get_lists(void *data, struct json_object **ret_lists)
{
	*ret_lists = json_tokener_parse(
		"[{\"filter\":\"blocklist\",\"name\":\"/etc/ads\\u001b.hosts\",\"exceptions\":false,"
		"\"names\":1270000,\"allowed\":2,\"hits\":12345,\"unusable\":3,\"kinds\":{"
		"\"cosmetic\":1,\"url\":2},\"changed\":\"2026-11-20T19:40:06Z\","
		"\"loaded\":\"2026-11-20T19:40:07Z\"},"
		"{\"filter\":\"blocklist\",\"name\":\"ok\",\"exceptions\":true,\"names\":1,"
		"\"allowed\":0,\"hits\":0,\"unusable\":0,\"kinds\":{},\"changed\":null,"
		"\"loaded\":\"2026-11-20T19:40:07Z\"}]");
	return *ret_lists ? 0 : -ENOMEM;
}

/* clang-format off */
#define RULE(number_, port_, reason_)                                                              \
	"{\"number\":" number_ ",\"action\":\"drop\",\"direction\":\"outbound\",\"protocol\":6,"   \
	"\"remote\":\"192.0.2.0/24\",\"remote_port\":" port_ ",\"remote_port_last\":443,"          \
	"\"local\":null,\"local_port\":null,\"local_port_last\":null,\"host\":null,"               \
	"\"domain\":null,\"exe\":\"/bin/\\u001b[31m\",\"uid\":0,\"interface\":null,"               \
	"\"cgroup\":\"/a\",\"reason\":\"" reason_ "\"}"
#define CHOSEN                                                                                     \
	",\"chosen\":{\"apps\":{\"otherwise\":\"ask\",\"rules\":[]},"                                \
	"\"flows\":{\"otherwise\":\"allow\",\"rules\":[{\"number\":1,\"action\":\"ask\","            \
	"\"direction\":\"any\",\"protocol\":17,\"remote\":null,\"remote_port\":null,"                 \
	"\"remote_port_last\":null,\"local\":null,\"local_port\":null,\"local_port_last\":null,"        \
	"\"host\":null,\"domain\":\"a.example\",\"exe\":null,\"uid\":null,\"interface\":null,"         \
	"\"cgroup\":null,\"reason\":null}]}}"
#define PAGE(filter_, set_, count_, otherwise_, rules_)                                            \
	"{\"filter\":\"" filter_ "\",\"filters\":2,\"set\":" set_ ",\"count\":" count_             \
	",\"otherwise\":\"" otherwise_ "\",\"rules\":[" rules_ "]" CHOSEN "}"
/* clang-format on */

/* two filters; the set of the first one is exchanged before its second page is read */
static int get_rules(void *data, uint64_t index, uint64_t from, struct json_object **ret_page)
{
	static const struct {
		uint64_t index, from;
		const char *text;
	} pages[] = {
		{ 0, 1, PAGE("one", "1", "2", "allow", RULE("1", "443", "before")) },
		{ 0, 2, PAGE("one", "2", "2", "allow", RULE("2", "80", "b")) },
		{ 0, 1, PAGE("one", "2", "2", "allow", RULE("1", "443", "a")) },
		{ 0, 2, PAGE("one", "2", "2", "allow", RULE("2", "80", "b")) },
		{ 1, 1, PAGE("two", "0", "0", "ask", "") },
	};
	static unsigned int next;
	unsigned int i = next++ % ARRAY_SIZE(pages);

	if (index != pages[i].index || from != pages[i].from)
		return -EINVAL;
	*ret_page = json_tokener_parse(pages[i].text);
	return *ret_page ? 0 : -ENOMEM;
}

static int doctor(void *data, struct json_object **ret_checks)
{
	*ret_checks =
		json_tokener_parse("[{\"name\":\"canary\",\"state\":\"ok\","
				   "\"detail\":\"a flow of our own was seen\",\"lost\":null}]");
	return *ret_checks ? 0 : -ENOMEM;
}

static void list_flows(void *data, control_emit_fn emit, void *to)
{
	for (uint64_t id = 1; id <= N_FLOWS; id++) {
		_cleanup_json_ struct json_object *flow = NULL;
		struct flow_record record = {
			.id = id,
			.protocol = 6,
			.pid = 4711,
			.exe = "/usr/bin/\033]0;evil",
			.host = id == 2 ? "tracker.example" : NULL,
			.remote_address = { 0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)id },
			.remote_port = 443,
			.verdict = id == 2 ? RECORD_DROP : RECORD_ALLOW,
			.bytes_in = RECORD_UNKNOWN,
			.bytes_out = RECORD_UNKNOWN,
		};

		if (flow_json(&record, &flow) == 0)
			emit(to, flow);
	}
}

/* a daemon of nothing but a control socket, in a child */
static pid_t serve(const char *path)
{
	static const struct control_ops ops = { .get_status = get_status,
						.doctor = doctor,
						.list_flows = list_flows,
						.get_lists = get_lists,
						.get_rules = get_rules };
	struct control *control = NULL;
	sd_event *event = NULL;
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	if (sd_event_new(&event) < 0 || control_new(event, path, 0, &ops, NULL, &control) < 0)
		_exit(1);
	_exit(sd_event_loop(event));
}

static void stop(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* panic removes /run/sluice with the last instance */
static void make_folder(const char *path)
{
	assert_true(mkdir("/run/sluice", 0755) == 0 || errno == EEXIST);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void wait_for(const char *path)
{
	for (int i = 0; i < 3000 && access(path, F_OK) < 0; i++)
		(void)usleep(10000);
	assert_int_equal(access(path, F_OK), 0);
}

/* run it with @arguments; stdout goes to @output. Return: its exit status */
static int run(const char *arguments)
{
	char command[1024];
	size_t n;
	FILE *file;
	int status;

	snprintf(command, sizeof(command), "%s %s 2>/dev/null", program, arguments);
	file = popen(command, "re");
	assert_non_null(file);
	n = fread(output, 1, sizeof(output) - 1, file);
	output[n] = 0;
	status = pclose(file);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool output_matches(const char *schema)
{
	_cleanup_json_ struct json_object *json = json_tokener_parse(output);

	return json && schema_check(schema, json);
}

static void need_root(void)
{
	if (getuid() != 0)
		skip();
}

static void test_help_fits_one_screen(void **state)
{
	unsigned int lines = 0;

	assert_int_equal(run("--help"), 0);
	for (const char *c = output; *c; c++)
		lines += *c == '\n';
	assert_in_range(lines, 5, 24);
	assert_non_null(strstr(output, "panic"));
	assert_int_equal(run("help"), 0);
	assert_int_equal(run("--version"), 0);
	assert_string_equal(output, "sluice " SLUICE_VERSION "\n");
}

static void test_what_is_unknown_is_status_2(void **state)
{
	assert_int_equal(run("frobnicate"), 2);
	assert_string_equal(output, "");
	assert_int_equal(run("status --frob"), 2);
	assert_int_equal(run("status extra"), 2);
	assert_int_equal(run("flows --verdict maybe"), 2);
	assert_int_equal(run("status --instance ../x"), 2);
	assert_int_equal(run("status --instance"), 2);
	assert_int_equal(run("panic --all --instance a"), 2);
	assert_int_equal(run("why"), 2);
	assert_int_equal(run("why 5 --last"), 2);
	assert_int_equal(run("why --denied"), 2);
	assert_int_equal(run("why five"), 2);
	assert_int_equal(run("why 5 6"), 2);
	assert_int_equal(run("explain --pid 1"), 2);
	assert_int_equal(run("explain --to 10.0.0.1:7"), 2);
	assert_int_equal(run("explain --pid 1 --exe /bin/sh --to 10.0.0.1:7"), 2);
	assert_int_equal(run("explain --pid 1 --to 10.0.0.1"), 2);
	assert_int_equal(run("explain --pid 1 --to 10.0.0.1:70000"), 2);
	assert_int_equal(run("explain --pid 1 --to 10.0.0.1:7/icmp"), 2);
	assert_int_equal(run("explain --pid 1 --to fd00::1:7"), 2);
	assert_int_equal(run("explain --pid 1 --to []:7"), 2);
	assert_int_equal(run("explain --pid 1 --to b\xc3\xbc"
			     "cher.example:7"),
			 2);
	assert_int_equal(run("explain --pid 1 --to 10.0.0.1:7 --names b\xc3\xbc"
			     "cher.example"),
			 2);
	assert_int_equal(run("explain --pid 1 --to 10.0.0.1:7 --names a/b"), 2);
	assert_int_equal(run("why --help"), 0);
	assert_int_equal(run("flows --help"), 0);
	assert_int_equal(run("run --help"), 0);
	assert_non_null(strstr(output, "usage: sluice run"));
	assert_int_equal(run("run"), 125);
	assert_string_equal(output, "");
}

static void test_no_instance_is_status_3(void **state)
{
	need_root();
	assert_int_equal(run(""), 3);
	assert_int_equal(run("status --json"), 3);
	assert_non_null(strstr(output, "\"state\":\"unreachable\""));
	assert_true(output_matches("status.json"));
	assert_int_equal(run("flows"), 3);
	assert_int_equal(run("status --instance other --json"), 5);
	assert_non_null(strstr(output, "\"state\":\"not-found\""));
	assert_true(output_matches("status.json"));
	assert_int_equal(run("panic"), 5);
}

static void test_a_dead_daemon_is_status_3(void **state)
{
	pid_t pid;

	need_root();
	make_folder("/run/sluice/dead");
	pid = serve("/run/sluice/dead/control");
	wait_for("/run/sluice/dead/control");
	stop(pid);
	assert_int_equal(run("status --json"), 3);
	assert_true(output_matches("status.json"));
	assert_int_equal(run("panic --json"), 0);
	assert_true(output_matches("panic.json"));
	assert_non_null(strstr(output, "/run/sluice/dead"));
	assert_int_equal(access("/run/sluice/dead", F_OK), -1);
}

static void write_notes(const char *folder, const char *text)
{
	char path[320];
	FILE *file;

	make_folder(folder);
	snprintf(path, sizeof(path), "%s/instance", folder);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_notes_of_long_lines_are_read(void **state)
{
	char pins[250], text[320];

	need_root();
	snprintf(pins, sizeof(pins), "/run/%0230d", 0);
	snprintf(text, sizeof(text), "[Instance]\nid=long\nbpffs=%s\n", pins);
	assert_int_equal(mkdir(pins, 0700), 0);
	write_notes("/run/sluice/long", text);
	assert_int_equal(run("panic --instance long --json"), 0);
	assert_non_null(strstr(output, pins));
	assert_int_equal(access(pins, F_OK), -1);
}

static void test_notes_that_cannot_be_read_are_said(void **state)
{
	need_root();
	write_notes("/run/sluice/torn", "[Instance]\nid=torn\ncgro");
	assert_int_equal(run("panic --instance torn --json"), 1);
	assert_true(output_matches("panic.json"));
	assert_non_null(strstr(output, "\"notes\""));
	assert_int_equal(access("/run/sluice/torn", F_OK), 0);
	assert_int_equal(unlink("/run/sluice/torn/instance"), 0);
	assert_int_equal(run("panic --instance torn"), 0);
}

static void check_lines(const char *schema, unsigned int n_expected)
{
	unsigned int n = 0;

	for (char *line = output, *end; (end = strchr(line, '\n')); line = end + 1, n++) {
		_cleanup_json_ struct json_object *json = NULL;

		*end = 0;
		json = json_tokener_parse(line);
		assert_non_null(json);
		assert_true(schema_check(schema, json));
	}
	assert_int_equal(n, n_expected);
}

static void test_a_living_instance(void **state)
{
	pid_t pid;

	need_root();
	make_folder("/run/sluice/one");
	pid = serve("/run/sluice/one/control");
	wait_for("/run/sluice/one/control");
	assert_int_equal(run("status --json"), 0);
	assert_true(output_matches("status.json"));
	assert_int_equal(run(""), 0);
	assert_non_null(strstr(output, "enforcing"));
	assert_non_null(strstr(output, "3 flows, 1 dropped, last verdict 4 s ago"));
	assert_null(strchr(output, '\033'));
	assert_int_equal(run("flows --json"), 0);
	check_lines("flows.json", N_FLOWS);
	assert_int_equal(run("flows --json --verdict drop"), 0);
	check_lines("flows.json", 1);
	assert_int_equal(run("flows --instance one"), 0);
	assert_non_null(strstr(output, "tracker.example:443"));
	assert_non_null(strstr(output, "[2001:db8::1]:443"));
	assert_null(strchr(output, '\033'));
	assert_int_equal(run("lists --json"), 0);
	assert_true(output_matches("lists.json"));
	assert_int_equal(run("lists"), 0);
	assert_non_null(strstr(output, " 1,270,000         2    12,345         3 "));
	assert_non_null(strstr(output, "! 1 line is about what a page shows\n"));
	assert_non_null(strstr(output, "! 2 lines are about addresses on the web\n"));
	assert_null(strchr(output, '\033'));
	assert_int_equal(run("rules --json"), 0);
	assert_true(output_matches("rules.json"));
	assert_int_equal(run("rules"), 0);
	assert_non_null(strstr(output,
			       "two                 may come    every application\n"
			       "two               1 may come    udp, domain a.example\n"
			       "two                 passes by   every other flow\n"
			       "two                 ask         every flow\n"));
	assert_non_null(strstr(output,
			       "one               1 drop        outbound, tcp, program /bin/?[31m, "
			       "user 0, remote 192.0.2.0/24, remote port 443, cgroup /a a\n"
			       "one               2 drop        outbound, tcp, program /bin/?[31m, "
			       "user 0, remote 192.0.2.0/24, remote ports 80-443, cgroup /a b\n"
			       "one                 allow       every other flow\n"));
	(void)run("doctor --json");
	assert_true(output_matches("doctor.json"));
	assert_non_null(strstr(output, "\"canary\""));
	stop(pid);
	assert_int_equal(run("panic --instance one"), 0);
}

static void test_two_instances_must_be_told_apart(void **state)
{
	pid_t pids[2];

	need_root();
	make_folder("/run/sluice/a");
	make_folder("/run/sluice/b");
	pids[0] = serve("/run/sluice/a/control");
	pids[1] = serve("/run/sluice/b/control");
	wait_for("/run/sluice/a/control");
	wait_for("/run/sluice/b/control");
	assert_int_equal(run("status"), 5);
	assert_int_equal(run("status --instance b"), 0);
	assert_int_equal(run("panic"), 5);
	stop(pids[0]);
	stop(pids[1]);
	assert_int_equal(run("panic --all --json"), 0);
	check_lines("panic.json", 2);
}

static void test_strangers_are_status_4(void **state)
{
	char command[512];
	pid_t pid;

	need_root();
	make_folder("/run/sluice/one");
	pid = serve("/run/sluice/one/control");
	wait_for("/run/sluice/one/control");
	/* from a folder that nobody may enter, the program would not even start */
	snprintf(command, sizeof(command), "status >/dev/null; cp %s /run/sluice-test", program);
	assert_int_equal(run(command), 0);
	assert_int_equal(system("setpriv --reuid 65534 --clear-groups /run/sluice-test status "
				"2>/dev/null; test $? = 4"),
			 0);
	assert_int_equal(system("setpriv --reuid 65534 --clear-groups /run/sluice-test panic "
				"2>/dev/null; test $? = 4"),
			 0);
	stop(pid);
}

/* in a chroot "/" is no mount point: only the namespace's own root can be made private */
static int go_private(void)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	int r = -1;

	if (root >= 0 && here >= 0 && own >= 0 && setns(own, CLONE_NEWNS) == 0 &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && fchdir(root) == 0 &&
	    chroot(".") == 0 && fchdir(here) == 0)
		r = 0;
	close(own);
	close(here);
	close(root);
	return r;
}

static int setup_world(void **state)
{
	if (getuid() != 0)
		return 0;
	if (unshare(CLONE_NEWNS) < 0 || go_private() < 0 ||
	    mount("tmpfs", "/run", "tmpfs", 0, "mode=0755") < 0)
		return -1;
	return mkdir("/run/sluice", 0755);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_help_fits_one_screen),
		cmocka_unit_test(test_what_is_unknown_is_status_2),
		cmocka_unit_test(test_no_instance_is_status_3),
		cmocka_unit_test(test_a_dead_daemon_is_status_3),
		cmocka_unit_test(test_notes_of_long_lines_are_read),
		cmocka_unit_test(test_notes_that_cannot_be_read_are_said),
		cmocka_unit_test(test_a_living_instance),
		cmocka_unit_test(test_two_instances_must_be_told_apart),
		cmocka_unit_test(test_strangers_are_status_4),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: test-cli PROGRAM\n");
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests_name("cli", tests, setup_world, NULL);
}
