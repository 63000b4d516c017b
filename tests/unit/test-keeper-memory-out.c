/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluice-keeper: every allocation fails once
 *
 * The keeper is in this program, in a process of its own for each telling; the test is `sluice run`,
 * keeper-lab.c is the others. In the nth telling the nth allocation fails, of the keeper or of
 * what it forks, until a telling has fewer; then again with all behind the nth failing for a
 * while. Whatever fails: the instance comes up, again after the loss of
 * sluiced, or the start is refused with the reason; nothing is lost in memory, and what could
 * not be put away is told, while the notes that `sluice panic` needs stay.
 *
 * No root: what needs it does nothing here. Giving up rights is test-sandbox-memory-out's.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "alloc.h"
#include "base/macros.h"
#include "keeper-lab.h"
#include "wire/channel.h"
#include "wire/keeper-records.h"

#define TELLINGS_MAX 200U
#define WITHIN_MS 30000 /* what takes longer hangs */
#define SHORT_MS 300	/* memory is, when all allocations fail */

int keeper_main(void); /* main() of src/keeper, by that name */

static struct alloc_counts *counts; /* of the keeper and of what it forks */

/* ---- sluice run ---- */

struct plot {
	bool is_kept;	       /* `sluice serve` */
	unsigned int n_blocks; /* when nothing fails */
};

/* of the place; the last one is that of the notes */
static const char *const places[] = { "governed", "governed/sluice-canary", "providers", "bpf",
				      "state" };

static bool is_there(const char *name)
{
	char path[64];

	keeper_lab_path(path, sizeof(path), name);
	return access(path, F_OK) == 0;
}

static void make_place(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char path[64];

		keeper_lab_path(path, sizeof(path), places[i]);
		if (i != 1 && mkdir(path, 0700) < 0)
			assert_int_equal(errno, EEXIST);
	}
	keeper_lab_make("state/notes");
	keeper_lab_make("bpf/pin");
}

static void remove_place(void)
{
	static const char *const files[] = { "state/notes", "bpf/pin" };
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		keeper_lab_path(path, sizeof(path), files[i]);
		(void)unlink(path);
	}
	for (size_t i = ARRAY_SIZE(places); i-- > 0;) {
		keeper_lab_path(path, sizeof(path), places[i]);
		(void)rmdir(path);
	}
}

static void describe(int run, const struct plot *plot)
{
	struct wire_k_instance instance = { .id = "unit",
					    .daemon_uid = geteuid(),
					    .names_uid = geteuid(),
					    .canary_uid = geteuid(),
					    .provider_uid = geteuid(),
					    .log_level = 5,
					    .is_kept = plot->is_kept };
	struct wire_k_filter filter = { .name = "one" };
	struct wire_k_option option = { .key = "list", .value = "file" };
	const struct {
		uint16_t type;
		const void *body;
		int fd;
	} records[] = { { WIRE_K_INSTANCE, &instance, -1 },
			{ WIRE_K_FILTER, &filter, -1 },
			{ WIRE_K_OPTION, &option, STDIN_FILENO },
			{ WIRE_K_COMMIT, &(struct wire_k_commit){ 0 }, -1 } };

	keeper_lab_path(instance.cgroup, sizeof(instance.cgroup), "governed");
	keeper_lab_path(instance.providers_cgroup, sizeof(instance.providers_cgroup), "providers");
	keeper_lab_path(instance.bpffs, sizeof(instance.bpffs), "bpf");
	keeper_lab_path(instance.state, sizeof(instance.state), "state");
	keeper_lab_path(filter.exe, sizeof(filter.exe), "filter");
	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		if (channel_send(run, &wire_keeper_channel, records[i].type, records[i].body, NULL,
				 0, records[i].fd) < 0)
			return;
}

/* Return: did it say that the instance is in force? */
static bool hear_state(int run)
{
	struct pollfd in = { .fd = run, .events = POLLIN };
	uint8_t buffer[WIRE_RECORD_MAX];
	struct wire_message message;
	int fd = -1;

	assert_int_equal(poll(&in, 1, WITHIN_MS), 1);
	/* what was sent to it and not read makes an error of its end, before all that it said */
	if (channel_recv(run, &wire_keeper_channel, WIRE_FROM_ANY, buffer, &message, NULL, &fd))
		return false;
	assert_int_equal(message.record->type, WIRE_K_STATE);
	return WIRE_BODY(&message, struct wire_k_state)->error == 0;
}

/* memory comes back when it was short for all */
static void wait_for_successor(bool is_always)
{
	for (int ms = 0; ms < WITHIN_MS && !keeper_lab->has_taken_over; ms += 10) {
		if (is_always && ms == SHORT_MS)
			alloc_forgive();
		(void)poll(NULL, 0, 10);
	}
	assert_true(keeper_lab->has_taken_over);
}

static void end(int run, const struct plot *plot)
{
	struct pollfd hung_up = { .fd = run };

	if (plot->is_kept)
		(void)channel_send(run, &wire_keeper_channel, WIRE_K_END, &(struct wire_k_end){ 0 },
				   NULL, 0, -1);
	(void)shutdown(run, SHUT_WR);
	assert_int_equal(poll(&hung_up, 1, 2 * WITHIN_MS), 1);
}

/* ---- a telling ---- */

static void check(unsigned int nth, const struct plot *plot, bool is_up, const char *text)
{
	bool is_left = false;

	for (size_t i = plot->is_kept; i < ARRAY_SIZE(places); i++)
		is_left |= is_there(places[i]);
	if (!counts->has_failed && (!is_up || *text || is_left))
		fail_msg("nothing failed: %s", text);
	if ((!is_up || *text) && !strstr(text, strerror(ENOMEM)))
		fail_msg("allocation %u: no reason: %s", nth, text);
	if (strstr(text, "cannot begin") && keeper_lab->n_daemons)
		fail_msg("allocation %u: sluiced was started for an instance that has not begun",
			 nth);
	if (is_up && is_left && (!strstr(text, "sluice panic") || !is_there("state/notes")))
		fail_msg("allocation %u: things are left without a trace: %s", nth, text);
	if (keeper_lab->n_blocks > plot->n_blocks)
		fail_msg("allocation %u: %u blocks are left, of %u", nth, keeper_lab->n_blocks,
			 plot->n_blocks);
}

static bool tell(unsigned int nth, bool is_always, void *data)
{
	struct plot *plot = data;
	_cleanup_close_ int run = -1, theirs = -1, err = memfd_create("err", MFD_CLOEXEC);
	char text[4096] = "";
	bool is_up, has_begun;
	int status;
	pid_t pid;

	make_place();
	memset(keeper_lab, 0, sizeof(*keeper_lab));
	assert_int_equal(channel_pair(&run, &theirs), 0);
	alloc_fail(nth, is_always);
	pid = fork();
	if (pid == 0)
		alloc_be(keeper_main, theirs, err, &keeper_lab->n_blocks);
	theirs = close_fd(theirs);
	describe(run, plot);
	is_up = hear_state(run);
	if (is_up)
		wait_for_successor(is_always);
	end(run, plot);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)!pread(err, text, sizeof(text) - 1, 0);
	/* then `sluice run`, which may be about to make more of the place, puts it away */
	has_begun = !strstr(text, "cannot begin");
	if (status != W_EXITCODE(has_begun ? 0 : KEEPER_EXIT_NOT_BEGUN, 0))
		fail_msg("allocation %u: status %#x: %s", nth, status, text);
	if (nth == 0)
		plot->n_blocks = keeper_lab->n_blocks;
	check(nth, plot, is_up, text);
	remove_place();
	return counts->has_failed;
}

static void tell_each(bool is_kept)
{
	struct plot plot = { .is_kept = is_kept };

	(void)tell(0, false, &plot);
	assert_true(plot.n_blocks > 0); /* the description, until it ends */
	alloc_tell_each(tell, &plot, false, 1, 20, TELLINGS_MAX);
	alloc_tell_each(tell, &plot, true, 1, 20, TELLINGS_MAX);
}

static void test_run(void **state)
{
	tell_each(false);
}

static void test_serve(void **state)
{
	tell_each(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_serve),
	};
	int r;

	counts = alloc_share(NULL);
	if (!counts || keeper_lab_open() < 0)
		return 1;
	r = cmocka_run_group_tests_name("keeper-memory-out", tests, NULL, NULL);
	remove_place();
	keeper_lab_close();
	return r;
}
