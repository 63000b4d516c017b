/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Giving up rights, and every allocation of it fails once
 *
 * libcap allocates, and a process that could not give up what it should must not go on. Each
 * profile is entered again and again, in a process of its own: in the nth the nth allocation fails,
 * until one has fewer; then again with all behind the nth failing as well. It is an error, and
 * nothing is left of it in memory, or the process has the rights and the kernel the very
 * filter that they have when nothing fails.
 *
 * The filter itself takes no memory to make: it was made when Sluice was built (gen-filters.c).
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "alloc.h"
#include "base/macros.h"
#include "base/sandbox.h"

#define TELLINGS_MAX 100U /* libseccomp would make a thousand */
#define OTHER_UID 60000U

/* what a telling leaves to the test */
struct told {
	int r;
	bool has_failed;
	unsigned int n_blocks;
	unsigned short n_code;
	struct sock_filter code[BPF_MAXINSNS];
	char rights[1024];
};

struct plot {
	enum sandbox_profile profile;
	bool is_started; /* as the keeper starts it: another user first */
	struct told usual;
};

static struct told *told; /* shared with the process of the telling */

/* ---- what the kernel is given ---- */

static long (*behind)(long number, ...);

long syscall(long number, ...)
{
	va_list arguments;
	long a[6];

	va_start(arguments, number);
	for (size_t i = 0; i < ARRAY_SIZE(a); i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_seccomp && a[0] == SECCOMP_SET_MODE_FILTER && a[2]) {
		const struct sock_fprog *program = (const struct sock_fprog *)a[2];

		told->n_code = program->len;
		memcpy(told->code, program->filter, program->len * sizeof(*told->code));
	}
	return behind(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* whom it may signal: the filters of all tellings are to be the same */
pid_t __wrap_getpid(void);
pid_t __wrap_getpid(void)
{
	return 4242;
}

/* ---- a telling ---- */

/* @fd: opened before: not every profile may open a file */
static void note_rights(int fd)
{
	static const char *const keys[] = { "\nUid:",	 "\nGid:",    "\nGroups:",
					    "\nCapInh:", "\nCapPrm:", "\nCapEff:",
					    "\nCapBnd:", "\nCapAmb:", "\nNoNewPrivs:" };
	static char status[8192];
	size_t n = 0;

	(void)!read(fd, status, sizeof(status) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *line = strstr(status, keys[i]);

		if (line)
			n += (size_t)snprintf(told->rights + n, sizeof(told->rights) - n, "%.*s",
					      (int)strcspn(line + 1, "\n") + 1, line);
	}
}

static int give_up(const struct plot *plot)
{
	const cap_value_t *caps;
	int n = sandbox_start_caps(plot->profile, &caps), r = 0;

	if (plot->is_started)
		r = sandbox_become(OTHER_UID, OTHER_UID, caps, n);
	return r ? r : sandbox_enter(plot->profile);
}

_Noreturn static void be_process(const struct plot *plot, unsigned int nth, bool is_always)
{
	int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	unsigned int n_blocks = alloc_blocks();

	for (int number = 1; number < SIGRTMIN; number++)
		(void)signal(number, SIG_DFL); /* a crash is one, not cmocka's */
	alloc_fail(nth, is_always);
	alloc_enter();
	told->r = give_up(plot);
	alloc_leave();
	told->has_failed = alloc_has_failed();
	alloc_forgive();
	told->n_blocks = alloc_blocks() - n_blocks;
	note_rights(status);
	_exit(0);
}

static bool tell(unsigned int nth, bool is_always, void *data)
{
	struct plot *plot = data;
	int status;
	pid_t pid;

	memset(told, 0, sizeof(*told));
	pid = fork();
	if (pid == 0)
		be_process(plot, nth, is_always);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("%s, allocation %u: status %#x", sandbox_name(plot->profile), nth, status);
	if (nth == 0)
		plot->usual = *told;
	if (told->r == 0 &&
	    (told->n_code != plot->usual.n_code ||
	     memcmp(told->code, plot->usual.code, told->n_code * sizeof(*told->code)) != 0 ||
	     strcmp(told->rights, plot->usual.rights) != 0))
		fail_msg("%s, allocation %u: other rights, %u instructions: %s",
			 sandbox_name(plot->profile), nth, told->n_code, told->rights);
	if (told->r < 0 && (told->r != -ENOMEM || told->n_code))
		fail_msg("%s, allocation %u: %s", sandbox_name(plot->profile), nth,
			 strerror(-told->r));
	if (told->n_blocks != plot->usual.n_blocks)
		fail_msg("%s, allocation %u: %d blocks are left", sandbox_name(plot->profile), nth,
			 (int)(told->n_blocks - plot->usual.n_blocks));
	return told->has_failed;
}

static void tell_each(enum sandbox_profile profile, bool is_started)
{
	static struct plot plot;

	plot = (struct plot){ .profile = profile, .is_started = is_started };
	(void)tell(0, false, &plot);
	assert_int_equal(told->r, 0);
	assert_int_equal(told->n_blocks, 0);
	assert_true(told->n_code > 20);
	assert_non_null(strstr(told->rights, "CapEff:"));
	print_message("           %s:\n", sandbox_name(profile));
	alloc_tell_each(tell, &plot, false, 1, 1, TELLINGS_MAX);
	alloc_tell_each(tell, &plot, true, 1, 1, TELLINGS_MAX);
}

static void test_enter(void **state)
{
	for (int profile = 0; profile < _SANDBOX_N; profile++)
		tell_each((enum sandbox_profile)profile, false);
}

static void test_start(void **state)
{
	if (geteuid() != 0)
		skip();
	for (int profile = 0; profile < _SANDBOX_N; profile++)
		if (profile != SANDBOX_KEEPER)
			tell_each((enum sandbox_profile)profile, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enter),
		cmocka_unit_test(test_start),
	};

	behind = (long (*)(long, ...))(uintptr_t)dlsym(RTLD_NEXT, "syscall");
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests_name("sandbox-memory-out", tests, NULL, NULL);
}
