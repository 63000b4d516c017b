/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: With which rights each process runs
 *
 * Capabilities, user and flags, as /proc tells them: after a profile was entered, and of
 * programs started as the keeper starts them. Without root the latter are skipped.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "sandbox-child.h"

#define OTHER_UID 60000U

static uint64_t status_number(const char *status, const char *key, int base)
{
	const char *at = strstr(status, key);

	return at ? strtoull(at + strlen(key), NULL, base) : UINT64_MAX;
}

static uint64_t caps_mask(const cap_value_t *caps, int n)
{
	uint64_t mask = 0;

	for (int i = 0; i < n; i++)
		mask |= 1ULL << caps[i];
	return mask;
}

/* what is left of @mask without CAP_PERFMON, which sluiced gives up */
static uint64_t kept_mask(enum sandbox_profile profile)
{
	const cap_value_t *caps;
	int n = sandbox_start_caps(profile, &caps);
	uint64_t mask = caps_mask(caps, n);

	return profile == SANDBOX_DAEMON ? mask & ~(1ULL << CAP_PERFMON) : mask;
}

static int expect(const char *status, const char *key, int base, uint64_t wanted)
{
	uint64_t found = status_number(status, key, base);

	if (found == wanted)
		return 0;
	dprintf(STDERR_FILENO, "%s %llx, wanted %llx\n", key, (unsigned long long)found,
		(unsigned long long)wanted);
	return 1;
}

/* the file is opened before: sluice-names may not open any */
static int read_status(int fd, char *text, size_t n_text)
{
	ssize_t n = pread(fd, text, n_text - 1, 0);

	/* pread is not sluice-names' either */
	if (n < 0)
		n = read(fd, text, n_text - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

static int check_status(const void *data)
{
	const struct sandbox_trial *trial = data;
	_cleanup_close_ int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	uint64_t wanted = kept_mask(trial->profile);
	bool is_root = geteuid() == 0;
	char text[4096];

	if (sandbox_try_enter(trial) || read_status(fd, text, sizeof(text)))
		return 1;
	if (!is_root)
		wanted = 0;
	return expect(text, "CapEff:", 16, wanted) + expect(text, "CapPrm:", 16, wanted) +
	       expect(text, "CapInh:", 16, 0) + expect(text, "CapAmb:", 16, 0) +
	       (is_root ? expect(text, "CapBnd:", 16, wanted) : 0) +
	       expect(text, "NoNewPrivs:", 10, 1) + expect(text, "Seccomp:", 10, 2) +
	       !sandbox_has_entered();
}

static void test_status(void **state)
{
	for (int profile = 0; profile < _SANDBOX_N; profile++) {
		struct sandbox_trial trial = { (enum sandbox_profile)profile, false };

		assert_int_equal(sandbox_in_child(check_status, &trial), 0);
	}
}

struct start {
	enum sandbox_profile profile;
	bool is_entered; /* before execve(), as for a provider */
	const char *const *args;
	int out;
};

static int start_program(const void *data)
{
	const struct start *start = data;
	const cap_value_t *caps;
	int n = sandbox_start_caps(start->profile, &caps);

	if (sandbox_enter(SANDBOX_KEEPER) || sandbox_become(OTHER_UID, OTHER_UID, caps, n))
		return 1;
	if (dup2(start->out, STDOUT_FILENO) < 0)
		return 1;
	if (start->is_entered && sandbox_enter(start->profile))
		return 1;
	execv(start->args[0], (char *const *)(uintptr_t)start->args);
	return 127;
}

/* starts it as the keeper would; what it prints, at most a pipe full, goes to @text */
static int run_program(struct start *start, char *text, size_t n_text)
{
	int fds[2], status;
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	start->out = fds[1];
	status = sandbox_in_child(start_program, start);
	close_fd(fds[1]);
	n = read(fds[0], text, n_text - 1);
	close_fd(fds[0]);
	assert_true(n >= 0);
	text[n] = '\0';
	return status;
}

static const char *const cat_status[] = { "/bin/cat", "/proc/self/status", NULL };

/* capabilities and user after the execve() of a plain file */
static void check_start(enum sandbox_profile profile, bool is_entered)
{
	struct start start = { profile, is_entered, cat_status, -1 };
	const cap_value_t *caps;
	int n = sandbox_start_caps(profile, &caps);
	uint64_t wanted = caps_mask(caps, n);
	char text[4096];

	assert_int_equal(run_program(&start, text, sizeof(text)), 0);
	assert_int_equal(status_number(text, "CapEff:", 16), wanted);
	assert_int_equal(status_number(text, "CapPrm:", 16), wanted);
	assert_int_equal(status_number(text, "CapAmb:", 16), wanted);
	assert_int_equal(status_number(text, "CapBnd:", 16), wanted);
	assert_int_equal(status_number(text, "Uid:", 10), OTHER_UID);
	assert_int_equal(status_number(text, "Gid:", 10), OTHER_UID);
	assert_int_equal(status_number(text, "NoNewPrivs:", 10), 1);
	assert_int_equal(status_number(text, "Seccomp_filters:", 10), is_entered ? 2 : 1);
	assert_non_null(strstr(text, "Groups:\t \n"));
}

static void test_start(void **state)
{
	if (geteuid() != 0)
		skip();
	check_start(SANDBOX_DAEMON, false);
	check_start(SANDBOX_NAMES, false);
	check_start(SANDBOX_CANARY, false);
	check_start(SANDBOX_PROVIDER, true);
}

/* a provider may be written in anything: an interpreter starts and has threads and loops */
static void test_interpreter(void **state)
{
	static const char *const args[] = {
		"/usr/bin/python3", "-c",
		"import asyncio, json, sys, threading\n"
		"async def nap(): await asyncio.sleep(0.01)\n"
		"asyncio.run(nap())\n"
		"t = threading.Thread(target=json.dumps, args=({},)); t.start(); t.join()\n"
		"print('started')\n",
		NULL
	};
	struct start start = { SANDBOX_PROVIDER, true, args, -1 };
	char text[256];

	if (geteuid() != 0 || access(args[0], X_OK) < 0)
		skip();
	assert_int_equal(run_program(&start, text, sizeof(text)), 0);
	assert_string_equal(text, "started\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_interpreter),
	};

	return cmocka_run_group_tests_name("sandbox-start", tests, NULL, NULL);
}
