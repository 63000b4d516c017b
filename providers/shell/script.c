/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "script.h"

#define CHANNEL_FD 3

void script_start_self(void)
{
	(void)signal(SIGCHLD, SIG_IGN);
}

static void end_group(int signal_number)
{
	(void)signal_number;
	kill(0, SIGKILL);
}

_Noreturn static void be_script(const char *const words[], char *const env[], int out,
				bool is_checked)
{
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGALRM, SIG_DFL);
	if (dup2(out, STDOUT_FILENO) >= 0 && (!is_checked || dup2(out, STDERR_FILENO) >= 0))
		execve(words[0], (char *const *)(uintptr_t)words, env);
	_exit(127);
}

_Noreturn static void be_runner(const char *const words[], char *const env[], int out, int done,
				bool is_checked, pid_t filter)
{
	int status;
	pid_t pid;

	(void)close(CHANNEL_FD); /* its end is the filter's */
	(void)signal(SIGCHLD, SIG_DFL);
	(void)signal(SIGTERM, end_group);
	(void)signal(SIGALRM, end_group);
	if (setpgid(0, 0) < 0)
		_exit(1); /* end_group() would end the filter */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != filter)
		_exit(1);
	(void)alarm(SCRIPT_SECONDS);
	pid = fork();
	if (pid == 0)
		be_script(words, env, out, is_checked);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0)
		(void)!write(done, &status, sizeof(status));
	end_group(0);
	_exit(1);
}

int script_start(const char *const words[], char *const env[], bool is_checked,
		 struct script *ret_script)
{
	pid_t filter = getpid(), pid;
	int out[2], done[2], r;

	if (pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	if (pipe2(done, O_CLOEXEC) < 0) {
		r = -errno;
		close(out[0]);
		close(out[1]);
		return r;
	}
	(void)fcntl(out[1], F_SETFL, 0); /* a script expects a pipe that takes all */
	pid = fork();
	r = pid < 0 ? -errno : 0;
	if (pid == 0)
		be_runner(words, env, out[1], done[1], is_checked, filter);
	close(out[1]);
	close(done[1]);
	if (r < 0) {
		close(out[0]);
		close(done[0]);
		return r;
	}
	*ret_script = (struct script){ .out = out[0], .done = done[0] };
	return 0;
}

int script_end(struct script *script, char *text, size_t n, size_t *ret_n)
{
	int status = -1;
	ssize_t n_read;

	if (read(script->done, &status, sizeof(status)) != sizeof(status))
		status = -1;
	n_read = read(script->out, text, n - 1);
	*ret_n = n_read > 0 ? (size_t)n_read : 0;
	text[*ret_n] = '\0';
	close(script->out);
	close(script->done);
	return status;
}
