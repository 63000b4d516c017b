/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Relays: no SIGPIPE comes of what is written to who is gone */

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "relay-lab.h"

#define MB (1024U * 1024)

/* a stream of @n bytes is through, and what comes next goes by splice(2), if there is much */
static struct sluice_relays *stream_before(struct lab_relay *one, size_t n)
{
	struct sluice_relays *relays;

	assert_int_equal(sluice_relays_new(&relays), 0);
	lab_add(relays, one);
	lab_stream(relays, one, PROGRAM, n);
	one->relay->ways[PROGRAM].n_bulk = n > MB ? RELAY_BULK_BYTES : 0;
	return relays;
}

static void expect_no_signal(struct sluice_relays *relays, struct lab_relay *one)
{
	sigset_t pending;

	assert_int_equal(sigpending(&pending), 0);
	assert_false(sigismember(&pending, SIGPIPE));
	sluice_relays_free(relays);
	lab_drop(one);
}

static void break_pipe(void (*handler)(int), size_t n)
{
	struct sluice_relays *relays;
	struct lab_relay one;

	signal(SIGPIPE, handler);
	relays = stream_before(&one, n);
	/* what is written from now on is EPIPE */
	assert_int_equal(shutdown(one.relay->sides[UPSTREAM].fd, SHUT_WR), 0);
	lab_send(&one, PROGRAM, n);
	lab_expect_done(relays, &one, SLUICE_RELAY_RESET);
	assert_int_equal(one.end.side, UPSTREAM);
	assert_int_equal(one.end.error, -ECONNRESET);
	lab_expect_reset(relays, &one, PROGRAM);
	expect_no_signal(relays, &one);
}

/* one would kill us */
static void test_no_sigpipe_comes(void **state)
{
	sigset_t blocked;

	break_pipe(SIG_DFL, 5 * MB);
	break_pipe(SIG_DFL, 10);
	assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &blocked), 0);
	assert_false(sigismember(&blocked, SIGPIPE));
	break_pipe(SIG_IGN, 5 * MB);
	signal(SIGPIPE, SIG_DFL);
}

static struct {
	bool is_wanted;
	unsigned int n;
} cut;

/* as the kernel does it, buffer by buffer: the other side resets when some of them have gone */
ssize_t __real_splice(int from, off64_t *at, int to, off64_t *to_at, size_t n, unsigned int flags);
ssize_t __wrap_splice(int from, off64_t *at, int to, off64_t *to_at, size_t n, unsigned int flags);
ssize_t __wrap_splice(int from, off64_t *at, int to, off64_t *to_at, size_t n, unsigned int flags)
{
	struct stat st;
	ssize_t done;

	assert_int_equal(fstat(to, &st), 0);
	if (!cut.is_wanted || !S_ISSOCK(st.st_mode) || n < 2)
		return __real_splice(from, at, to, to_at, n, flags);
	done = __real_splice(from, at, to, to_at, n / 2, flags);
	if (done <= 0)
		return done;
	cut.n++;
	assert_int_equal(shutdown(to, SHUT_WR), 0);
	assert_true(__real_splice(from, at, to, to_at, n - (size_t)done, flags) < 0);
	assert_int_equal(errno, EPIPE);
	return done;
}

/* some of it was taken, and the signal comes all the same */
static void test_no_sigpipe_comes_in_the_middle(void **state)
{
	struct sluice_relays *relays;
	struct lab_relay one;

	signal(SIGPIPE, SIG_DFL);
	relays = stream_before(&one, 5 * MB);
	cut.is_wanted = true;
	lab_send(&one, PROGRAM, 5 * MB);
	lab_expect_done(relays, &one, SLUICE_RELAY_RESET);
	cut.is_wanted = false;
	assert_int_equal(cut.n, 1);
	expect_no_signal(relays, &one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_sigpipe_comes),
		cmocka_unit_test(test_no_sigpipe_comes_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
