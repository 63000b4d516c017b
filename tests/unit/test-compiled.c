/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Files that are compiled for a provider, and what is in the place of their folders
 *
 *	test-compiled BLOCKLIST-COMPILE
 *
 * The compiler becomes another user: that needs root.
 */

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/macros.h"
#include "cli/compiled.h"

#define UID 64323U
#define ROUNDS_MAX 6000 /* of 10 ms: a compiler that takes longer has failed the test */

static const char *compiler;
static char top[64], list[96], folder[96];

static void write_list(const char *text)
{
	char path[112];
	int fd;

	snprintf(path, sizeof(path), "%s.new", list);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close_fd(fd);
	assert_int_equal(rename(path, list), 0);
}

static int begin(struct compiled *compiled, int *ret_folder)
{
	compiled_init(compiled);
	compiled->name = list;
	compiled->compiler = compiler;
	return compiled_begin(compiled, folder, open(list, O_RDONLY | O_CLOEXEC), UID, 65534,
			      ret_folder);
}

static int set_up(void **state)
{
	if (geteuid() != 0)
		skip();
	snprintf(top, sizeof(top), "/tmp/sluice-compiled-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(list, sizeof(list), "%s/list", top);
	snprintf(folder, sizeof(folder), "%s/list-0.0", top);
	write_list("ads.example\n");
	return 0;
}

static int tear_down(void **state)
{
	unsigned int n;

	(void)files_remove_lists(top, &n);
	return files_remove_folder(top);
}

static ino_t current_of(int fd)
{
	struct stat st = { 0 };

	assert_int_equal(fstatat(fd, "current", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0444);
	assert_true(st.st_size > 8);
	return st.st_ino;
}

/* a version comes that is not @first, sooner or later, and it is over */
static void end_with_another(struct compiled *compiled, int fd, ino_t first)
{
	for (int i = 0; current_of(fd) == first; i++) {
		assert_true(i < ROUNDS_MAX);
		usleep(10000);
		compiled_tick(compiled);
	}
	close_fd(fd);
	compiled_end(compiled);
}

/* Return: the first version, of one name */
static ino_t begin_with_one(struct compiled *compiled, int *ret_fd)
{
	*ret_fd = -1;
	assert_int_equal(begin(compiled, ret_fd), 0);
	return current_of(*ret_fd);
}

static void test_a_change_takes_the_place_of_what_was(void **state)
{
	struct compiled compiled;
	int fd;
	ino_t first = begin_with_one(&compiled, &fd);

	for (int i = 0; i < 3; i++)
		compiled_tick(&compiled);
	assert_int_equal(current_of(fd), first);
	write_list("ads.example\nmore.example\n");
	end_with_another(&compiled, fd, first);
}

/* no descriptor, no process, no memory: at another time there may be one */
static void test_what_passes_is_tried_again(void **state)
{
	struct rlimit before, none;
	struct compiled compiled;
	int fd;
	ino_t first = begin_with_one(&compiled, &fd);

	write_list("ads.example\nmore.example\n");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 3; i++)
		compiled_tick(&compiled);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	end_with_another(&compiled, fd, first);
}

/* root would wait for a writer */
static void test_a_pipe_in_the_place_of_the_list_is_not_opened(void **state)
{
	struct compiled compiled;
	int fd;
	ino_t first = begin_with_one(&compiled, &fd);

	assert_int_equal(unlink(list), 0);
	assert_int_equal(mkfifo(list, 0600), 0);
	for (int i = 0; i < 3; i++)
		compiled_tick(&compiled);
	assert_int_equal(current_of(fd), first);
	write_list("ads.example\nmore.example\n");
	end_with_another(&compiled, fd, first);
}

/* the list is a script, and a shell its compiler */
static int run_as_compiler(struct compiled *compiled, const char *script)
{
	const char *true_one = compiler;
	int fd = -1, r;

	write_list(script);
	compiler = "/bin/sh";
	r = begin(compiled, &fd);
	compiler = true_one;
	close_fd(fd);
	return r;
}

static void test_a_compiler_that_hangs_is_not_waited_for(void **state)
{
	struct compiled compiled;
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	raise(SIGTERM);
	assert_int_equal(run_as_compiler(&compiled, "kill -STOP $$\n"), -1);
	compiled_end(&compiled);
	assert_int_equal(sigtimedwait(&term, NULL, &(struct timespec){ 0 }), SIGTERM);
	sigprocmask(SIG_UNBLOCK, &term, NULL);
}

static void test_half_a_result_is_removed(void **state)
{
	struct compiled compiled;

	assert_int_equal(run_as_compiler(&compiled, "echo half; exit 3\n"), -1);
	assert_int_equal(faccessat(compiled.folder, "new", F_OK, 0), -1);
	compiled_end(&compiled);
}

static void test_the_compiler_has_three_descriptors(void **state)
{
	struct compiled compiled;
	int foreign = open("/dev/null", O_WRONLY); /* not to be closed by execve(2) */

	assert_int_equal(dup2(foreign, 9), 9);
	assert_int_equal(run_as_compiler(&compiled, "if echo x >&9; then exit 3; fi; exit 0\n"), 0);
	close_fd(9);
	close_fd(foreign);
	compiled_end(&compiled);
}

/* the interpreter of a script would open it by a descriptor that is closed by then */
static void test_a_script_is_no_compiler(void **state)
{
	const char *true_one = compiler;
	struct compiled compiled;
	char script[96], said[512] = "";
	int fd = -1, r, pipe_fds[2], err = dup(2);

	snprintf(script, sizeof(script), "%s/script", top);
	close_fd(open(script, O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
	fd = open(script, O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(fd, "#!/bin/sh\nexit 0\n", 17), 17);
	fd = close_fd(fd);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(dup2(pipe_fds[1], 2), 2);
	compiler = script;
	r = begin(&compiled, &fd);
	compiler = true_one;
	assert_int_equal(dup2(err, 2), 2);
	close_fd(err);
	close_fd(pipe_fds[1]);
	assert_true(read(pipe_fds[0], said, sizeof(said) - 1) > 0);
	close_fd(pipe_fds[0]);
	assert_int_equal(r, -1);
	assert_non_null(strstr(said, "it is a script, and has to be a program"));
	compiled_end(&compiled);
	assert_int_equal(unlink(script), 0);
}

/* what the compiler cannot read, and a file that is away, leave what was */
static void test_what_is_no_good_leaves_what_was(void **state)
{
	struct compiled compiled;
	int fd;
	ino_t first = begin_with_one(&compiled, &fd);

	assert_int_equal(unlink(list), 0);
	compiled_tick(&compiled);
	assert_int_equal(mkdir(list, 0700), 0); /* not a regular file */
	for (int i = 0; i < 100; i++) {
		usleep(10000);
		compiled_tick(&compiled);
	}
	assert_int_equal(current_of(fd), first);
	assert_int_equal(rmdir(list), 0);
	close_fd(fd);
	compiled_end(&compiled);
}

/* for a moment it is being replaced; for longer somebody has to know, once */
static void test_a_list_that_is_away_is_told(void **state)
{
	struct compiled compiled;
	char said[512] = "", *once;
	int fd, pipe_fds[2], err = dup(2);
	ino_t first = begin_with_one(&compiled, &fd);

	assert_int_equal(unlink(list), 0);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(dup2(pipe_fds[1], 2), 2);
	for (unsigned int ms = 0; ms < 5000; ms += COMPILED_LOOK_MS)
		compiled_tick(&compiled);
	fprintf(stderr, "told: ");
	for (unsigned int ms = 0; ms < 60000; ms += COMPILED_LOOK_MS)
		compiled_tick(&compiled);
	assert_int_equal(dup2(err, 2), 2);
	close_fd(err);
	close_fd(pipe_fds[1]);
	assert_true(read(pipe_fds[0], said, sizeof(said) - 1) > 0);
	close_fd(pipe_fds[0]);
	assert_memory_equal(said, "told: sluice: ", strlen("told: sluice: "));
	assert_non_null(strstr(said, "No such file"));
	once = strstr(said, "the version before stays in force");
	assert_non_null(once);
	assert_null(strstr(once + 1, "the version before"));
	assert_int_equal(current_of(fd), first);
	write_list("ads.example\nmore.example\n");
	end_with_another(&compiled, fd, first);
}

/* the folder above is sluiced's: what it puts there must not lead us elsewhere */
static void test_a_link_in_the_place_of_the_folder_is_refused(void **state)
{
	char elsewhere[96], file[112];
	struct compiled compiled;
	int fd = -1;

	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", top);
	snprintf(file, sizeof(file), "%s/file", elsewhere);
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	close_fd(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(symlink(elsewhere, folder), 0);
	assert_int_equal(begin(&compiled, &fd), -1);
	assert_int_equal(fd, -1);
	compiled_end(&compiled);
	assert_int_equal(unlink(file), 0); /* it is there still, alone */
	assert_int_equal(rmdir(elsewhere), 0);
	assert_int_equal(unlink(folder), 0);
}

static void test_a_folder_of_another_user_is_refused(void **state)
{
	struct compiled compiled;
	int fd = -1;

	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(chown(folder, 65534, 65534), 0);
	assert_int_equal(begin(&compiled, &fd), -1);
	compiled_end(&compiled);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_change_takes_the_place_of_what_was, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_what_passes_is_tried_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_list_that_is_away_is_told, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_no_good_leaves_what_was, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_pipe_in_the_place_of_the_list_is_not_opened,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_compiler_that_hangs_is_not_waited_for,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_half_a_result_is_removed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_compiler_has_three_descriptors, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_script_is_no_compiler, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_link_in_the_place_of_the_folder_is_refused,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_folder_of_another_user_is_refused, set_up,
						tear_down),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: test-compiled BLOCKLIST-COMPILE\n");
		return 2;
	}
	compiler = argv[1];
	/* its leak checker needs what a provider may not */
	(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	return cmocka_run_group_tests_name("compiled", tests, NULL, NULL);
}
