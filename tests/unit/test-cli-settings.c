/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What a user says of a proxy: words that are wrong, and memory that runs out
 *
 * A rule that says less than its user meant lets other flows come: so it is whole, or refused.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "base/macros.h"
#include "cli/cli.h"
#include "cli/instance.h"
#include "cli/settings.h"
#include "wire/channel.h"

#define TELLINGS_MAX 1000U

static struct {
	char text[1024];
	unsigned int n;
} said; /* the first since it was forgotten */

int __wrap_cli_error(int status, const char *fmt, ...) _printf_(2, 3);
int __wrap_cli_error(int status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (said.n++ == 0)
		vsnprintf(said.text, sizeof(said.text), fmt, args);
	va_end(args);
	return status;
}

static void forget_said(void)
{
	said.n = 0;
	said.text[0] = '\0';
}

static char folder[] = "/tmp/sluice-settings-XXXXXX";

static int begin(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int finish(void **state)
{
	return rmdir(folder);
}

static void write_file(const char *name, const void *bytes, size_t n, char path[64])
{
	FILE *file;

	snprintf(path, 64, "%s/%s", folder, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

/* ---- words ---- */

static int read_rule(const char *text, struct wire_rule *rule)
{
	char copy[128];

	snprintf(copy, sizeof(copy), "%s", text);
	*rule = (struct wire_rule){ 0 };
	forget_said();
	return settings_read_rule(copy, rule);
}

static void expect_refused(const char *text, const char *reason)
{
	struct wire_rule rule;

	if (!read_rule(text, &rule) || !strstr(said.text, reason))
		fail_msg("%s: \"%s\"", text, said.text);
}

static void test_said_once(void **state)
{
	static const char *const twice[] = {
		"exe=/a,exe=/b",
		"cgroup=/a,uid=1,cgroup=/b",
		"uid=0,uid=1",
		"host=a.example,host=b.example",
		"host=a.example,domain=b.example",
		"remote=10.0.0.0/8,remote=192.0.2.0/24",
		"remote_port=80,remote_port=443",
		"local=10.0.0.1,local=10.0.0.2",
		"local_port=1-2,local_port=3",
		"protocol=tcp,protocol=udp",
		"protocol=tcp,protocol=sctp",
		"interface=a,interface=b",
	};
	struct wire_rule rule;

	for (size_t i = 0; i < ARRAY_SIZE(twice); i++)
		expect_refused(twice[i], "one of the two");
	assert_int_equal(read_rule("direction=outbound,protocol=udp,direction=outbound", &rule), 0);
}

static void test_ports(void **state)
{
	struct wire_rule rule;

	assert_int_equal(read_rule("remote_port=0000080,local_port=1-65535", &rule), 0);
	assert_int_equal(rule.rport, 80);
	assert_int_equal(rule.lport_last, 65535);
	expect_refused("remote_port=00000801", "no number");
	expect_refused("remote_port=0000080x", "no number");
	expect_refused("remote_port=00000080x-90", "no number");
	expect_refused("remote_port=80-", "no number");
	expect_refused("remote_port=65536", "no number");
	expect_refused("remote_port=0", "begin at 1");
	expect_refused("remote_port=90-80", "before it begins");
}

/* ---- lines ---- */

static int count_line(void *data, char *key, char *value)
{
	++*(unsigned int *)data;
	return 0;
}

static int read_lines(const void *bytes, size_t n, unsigned int *ret_n)
{
	FILE *file = fmemopen((void *)(uintptr_t)bytes, n, "r");
	int r;

	assert_non_null(file);
	forget_said();
	*ret_n = 0;
	r = settings_read_lines(file, "file", count_line, ret_n);
	fclose(file);
	return r;
}

static void test_lines(void **state)
{
	static const char cut[] = "App = curl\0,uid=7\nApp = wget\n";
	static char nothing[4096], longest[1026];
	unsigned int n;

	memset(longest, 'x', sizeof(longest));
	longest[1022] = '\n';
	assert_int_equal(read_lines(longest, 1025, &n), 0);
	assert_int_equal(n, 2);
	longest[1022] = 'x';
	longest[1023] = '\n';
	assert_int_equal(read_lines(longest, 1025, &n), -1);
	/* what is behind a NUL would be thrown away, and a device of zeros has no end */
	assert_int_equal(read_lines(cut, sizeof(cut) - 1, &n), -1);
	assert_non_null(strstr(said.text, "no text"));
	assert_int_equal(n, 0);
	assert_int_equal(read_lines(nothing, sizeof(nothing), &n), -1);
}

/* ---- memory ---- */

static const char map_text[] = "both = /bin/sh\nboth = cgroup=/a\n";

static struct told {
	unsigned int n;
	struct settings_rule rules[8];
} usual, now; /* what the rules are when nothing fails */

static void note(const struct settings *settings, struct told *told)
{
	memset(told, 0, sizeof(*told));
	told->n = settings->n;
	for (unsigned int i = 0; i < settings->n && i < ARRAY_SIZE(told->rules); i++)
		told->rules[i] = settings->rules[i];
}

/* Return: 0; -1: it was refused */
static int say_all(struct settings *settings, struct applications **applications, const char *map,
		   const char *path)
{
	static const struct {
		const char *key, *value;
	} words[] = { { "App", "both,uid=7" },
		      { "App", "sh,remote=10.0.0.0/8" },
		      { "App", "exe=/bin/sh" },
		      { "Include", "remote_port=80" },
		      { "Exclude", "domain=a.example" } };
	int r = applications_read(map, applications);

	for (size_t i = 0; i < ARRAY_SIZE(words) && !r; i++)
		r = settings_take(settings, *applications, words[i].key, words[i].value);
	return r ? r : settings_take(settings, *applications, "Settings", path);
}

static bool tell_words(unsigned int nth, bool is_always, void *data)
{
	static const char lines[] = "App = sh,uid=9\n";
	struct settings settings = { 0 };
	struct applications *applications = NULL;
	char map[64], path[64];
	bool has_failed;
	int r;

	write_file("map", map_text, sizeof(map_text) - 1, map);
	write_file("rules", lines, sizeof(lines) - 1, path);
	forget_said();
	alloc_fail(nth, is_always);
	alloc_enter();
	r = say_all(&settings, &applications, map, path);
	alloc_leave();
	has_failed = alloc_has_failed();
	alloc_forgive();
	note(&settings, &now);
	if (!nth)
		usual = now;
	if (r)
		assert_true(r == -1 && has_failed && strstr(said.text, strerror(ENOMEM)));
	else
		assert_memory_equal(&now, &usual, sizeof(usual));
	settings_close(&settings);
	applications_free(applications);
	unlink(map);
	unlink(path);
	return has_failed;
}

static void test_words_without_memory(void **state)
{
	assert_false(tell_words(0, false, NULL));
	assert_int_equal(usual.n, 7);
	alloc_tell_each(tell_words, NULL, false, 1, 10, TELLINGS_MAX);
	alloc_tell_each(tell_words, NULL, true, 1, 10, TELLINGS_MAX);
}

/* a file that changes: the rules are those of before or the new ones, as a whole */
static bool tell_change(unsigned int nth, bool is_always, void *data)
{
	static const char before[] = "App = sh,uid=9\n",
			  behind[] = "App = sh,uid=8\nExclude = uid=7\n";
	struct settings settings = { 0 };
	char path[64];
	bool has_failed, is_new;

	write_file("rules", before, sizeof(before) - 1, path);
	assert_int_equal(settings_take(&settings, NULL, "Include", "protocol=tcp"), 0);
	assert_int_equal(settings_take(&settings, NULL, "Settings", path), 0);
	note(&settings, &usual);
	write_file("rules", behind, sizeof(behind) - 1, path);
	assert_false(settings_tick(&settings, NULL, "one"));
	forget_said();
	alloc_fail(nth, is_always);
	alloc_enter();
	is_new = settings_tick(&settings, NULL, "one");
	alloc_leave();
	has_failed = alloc_has_failed();
	alloc_forgive();
	note(&settings, &now);
	if (is_new) {
		assert_true(now.n == 3 && now.rules[1].rule.uid == 8);
		assert_memory_equal(&now.rules[0], &usual.rules[0], sizeof(usual.rules[0]));
	} else {
		assert_true(has_failed && strstr(said.text, strerror(ENOMEM)));
		assert_memory_equal(&now, &usual, sizeof(usual));
	}
	settings_close(&settings);
	unlink(path);
	return has_failed;
}

static void test_change_without_memory(void **state)
{
	assert_false(tell_change(0, false, NULL));
	alloc_tell_each(tell_change, NULL, false, 1, 5, TELLINGS_MAX);
	alloc_tell_each(tell_change, NULL, true, 1, 5, TELLINGS_MAX);
}

/* who writes into the file is not through yet: no rules at all would let everything come */
static void test_half_written(void **state)
{
	static const char whole[] = "App = sh,uid=9\n", other[] = "App = sh,uid=8\n";
	struct settings settings = { 0 };
	char path[64];

	write_file("rules", whole, sizeof(whole) - 1, path);
	assert_int_equal(settings_take(&settings, NULL, "Settings", path), 0);
	assert_false(settings_tick(&settings, NULL, "one"));
	write_file("rules", "", 0, path);
	assert_false(settings_tick(&settings, NULL, "one"));
	write_file("rules", other, sizeof(other) - 1, path);
	assert_false(settings_tick(&settings, NULL, "one"));
	assert_int_equal(settings.n, 1);
	assert_int_equal(settings.rules[0].rule.uid, 9);
	assert_true(settings_tick(&settings, NULL, "one"));
	assert_int_equal(settings.rules[0].rule.uid, 8);
	assert_false(settings_tick(&settings, NULL, "one"));
	settings_close(&settings);
	unlink(path);
}

/* ---- what is told of a change ---- */

static unsigned int drain(int fd)
{
	uint8_t buffer[WIRE_RECORD_MAX];
	struct wire_message message;
	unsigned int n = 0;
	int passed = -1;

	for (; channel_recv(fd, &wire_keeper_channel, WIRE_FROM_ANY, buffer, &message, NULL,
			    &passed) == 0;
	     n++)
		assert_int_equal(message.record->type, WIRE_K_SETTINGS);
	return n;
}

static void tick(struct instance *instance)
{
	forget_said();
	instance->looked_ms = 1; /* long ago */
	instance_tick(instance);
}

/* the keeper reads nothing for a while: sluiced hears of the change all the same */
static void test_told_late(void **state)
{
	static const char before[] = "App = sh\n", behind[] = "App = sh,uid=8\n";
	static struct instance instance;
	struct settings *settings = &instance.filters[0].settings;
	const struct wire_k_settings record = { 0 };
	char path[64];
	int keeper;

	instance_init(&instance);
	assert_int_equal(channel_pair(&instance.keeper_sock, &keeper), 0);
	instance.n_filters = 1;
	instance.filters[0].is_proxy = true;
	write_file("rules", before, sizeof(before) - 1, path);
	assert_int_equal(settings_take(settings, NULL, "Settings", path), 0);
	tick(&instance);
	assert_int_equal(drain(keeper), 0);
	while (channel_send(instance.keeper_sock, &wire_keeper_channel, WIRE_K_SETTINGS, &record,
			    NULL, 0, -1) == 0)
		;
	write_file("rules", behind, sizeof(behind) - 1, path);
	tick(&instance);
	tick(&instance);
	assert_non_null(strstr(said.text, "does not listen"));
	tick(&instance);
	assert_int_equal(said.n, 0); /* once is enough */
	drain(keeper);
	tick(&instance);
	assert_non_null(strstr(said.text, "are in force"));
	assert_int_equal(drain(keeper), 1);
	tick(&instance);
	assert_int_equal(drain(keeper) + said.n, 0);
	settings_close(settings);
	close_fd(instance.keeper_sock);
	close_fd(keeper);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_said_once),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_words_without_memory),
		cmocka_unit_test(test_change_without_memory),
		cmocka_unit_test(test_half_written),
		cmocka_unit_test(test_told_late),
	};

	return cmocka_run_group_tests_name("cli-settings", tests, begin, finish);
}
