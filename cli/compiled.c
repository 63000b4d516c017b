/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/files.h"
#include "base/macros.h"
#include "base/sandbox.h"
#include "cli/cli.h"
#include "cli/compiled.h"
#include "cli/stamp.h"

#define CPU_S 100U /* a list of a million names takes one */
#define WALL_S 200 /* if it waits for a disk */
#define RESULT_BYTES (256U << 20)
#define TRIES 5 /* of a file that changes while it is read */
#define NEW "new"
#define CURRENT "current"
#define HIGH_FD 100 /* out of the way of 0, 1, 2 */
#define END_MS 100  /* between two looks for a signal */
#define AWAY_LOOKS (10000U / COMPILED_LOOK_MS)

/* ---- the compiler ---- */

static int limit(void)
{
	const struct rlimit time = { CPU_S, CPU_S }, size = { RESULT_BYTES, RESULT_BYTES };

	return setrlimit(RLIMIT_CPU, &time) < 0 || setrlimit(RLIMIT_FSIZE, &size) < 0 ? -errno : 0;
}

/* behind the change of user, which forgets it */
static int die_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ECANCELED;
}

_Noreturn static void be_compiler(const struct compiled *compiled, int result, int errors,
				  pid_t parent)
{
	static char *const env[] = { (char *)"LANG=C.UTF-8", NULL };
	char *argv[] = { (char *)(uintptr_t)compiled->compiler, NULL };
	/* its folders may be closed to the uid that it becomes */
	int exe = fcntl(open(compiled->compiler, O_RDONLY | O_CLOEXEC), F_DUPFD_CLOEXEC, HIGH_FD);
	int in = fcntl(compiled->file, F_DUPFD_CLOEXEC, HIGH_FD), r = 0;
	int out = fcntl(result, F_DUPFD_CLOEXEC, HIGH_FD);
	bool has_interpreter = files_is_script(exe); /* it would open what is closed by then */
	sigset_t none;

	errors = fcntl(errors, F_DUPFD_CLOEXEC, HIGH_FD);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (exe < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(errors, 2) < 0 ||
	    syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		r = -errno;
	if (r == 0)
		r = limit();
	if (r == 0)
		r = sandbox_become(compiled->uid, compiled->uid, NULL, 0);
	if (r == 0)
		r = die_with(parent);
	if (r == 0)
		r = confine_provider(false);
	if (r == 0)
		r = sandbox_enter(SANDBOX_PROVIDER);
	if (r == 0) {
#ifdef SLUICE_SANITIZED /* options of the sanitizers */
		syscall(SYS_execveat, exe, "", argv, environ, AT_EMPTY_PATH);
#endif
		syscall(SYS_execveat, exe, "", argv, env, AT_EMPTY_PATH);
		r = -errno;
	}
	fprintf(stderr, "cannot start %s: %s\n", compiled->compiler,
		has_interpreter && r == -ENOENT ? "it is a script, and has to be a program"
						: strerror(-r));
	_exit(127);
}

static time_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec;
}

/* Return: 0 or a negative errno */
static int start(struct compiled *compiled)
{
	_cleanup_close_ int result = -1;
	pid_t parent = getpid();
	int pipe_fds[2];

	(void)unlinkat(compiled->folder, NEW, 0);
	result = openat(compiled->folder, NEW, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (result < 0 || fchmod(result, 0444) < 0 || pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	compiled->pid = fork();
	if (compiled->pid == 0)
		be_compiler(compiled, result, pipe_fds[1], parent);
	close_fd(pipe_fds[1]);
	compiled->errors = pipe_fds[0];
	compiled->until_s = now_s() + WALL_S;
	if (compiled->pid > 0)
		return 0;
	compiled->pid = 0;
	return -errno;
}

static void forget_compiler(struct compiled *compiled)
{
	compiled->pid = 0;
	compiled->errors = close_fd(compiled->errors);
	compiled->file = close_fd(compiled->file);
	if (compiled->folder >= 0) /* half a result takes place */
		(void)unlinkat(compiled->folder, NEW, 0);
}

static int complain(const struct compiled *compiled, const char *why)
{
	return cli_error(-1, "%s: cannot be compiled: %s", compiled->name, why);
}

/* what it read may have changed while it did: then it is read again. Return: 0 or -1, and said why */
static int take_result(struct compiled *compiled, int status)
{
	char why[200] = "";
	ssize_t n = read(compiled->errors, why, sizeof(why) - 1);
	struct stat now;

	why[MAX(n, 0)] = '\0';
	why[strcspn(why, "\n")] = '\0';
	if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "its compiler was killed: %s",
			 strsignal(WTERMSIG(status)));
	if (status != 0)
		return complain(compiled, why[0] ? why : "its compiler failed");
	if (fstat(compiled->file, &now) < 0 || !files_is_same(&now, &compiled->taken)) {
		compiled->taken = (struct stat){ 0 };
		return 0;
	}
	if (renameat(compiled->folder, NEW, compiled->folder, CURRENT) < 0)
		return complain(compiled, strerror(errno));
	stamp_write(&compiled->taken, compiled->compiler, compiled->folder);
	return 0;
}

/* Return: as waitpid(2) */
static pid_t reap(struct compiled *compiled, int options, int *ret_r)
{
	int status = 0;
	pid_t pid = waitpid(compiled->pid, &status, options);

	if (pid == 0 || (pid < 0 && errno == EINTR))
		return 0;
	*ret_r = pid < 0 ? complain(compiled, strerror(errno)) : take_result(compiled, status);
	forget_compiler(compiled);
	return pid;
}

/* ---- the first result ---- */

/* whoever owns the folder above may have put anything in its place: it must be root's */
static int make_folder(struct compiled *compiled, const char *path, uid_t reader)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	unsigned int n;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid())
		return -EPERM;
	/* of an instance that died */
	(void)files_empty_fd(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &n);
	if (fchown(fd, (uid_t)-1, reader) < 0 || fchmod(fd, 0750) < 0)
		return -errno;
	compiled->folder = TAKE_FD(fd);
	return 0;
}

static const char *why_not_read(int r)
{
	return r == -EINVAL ? "it is not a regular file" : strerror(-r);
}

/* the signals that end us are blocked by now, for whoever waits for them */
static bool is_to_end(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 ||
		sigismember(&pending, SIGHUP) == 1);
}

static void end_late(const struct compiled *compiled)
{
	if (now_s() > compiled->until_s)
		(void)kill(compiled->pid, SIGKILL);
}

/* Return: 0; -1, and said why */
static int compile_now(struct compiled *compiled)
{
	struct pollfd end = { .fd = -1 }; /* when it ends, it closes its stderr */
	int r = start(compiled);

	if (r < 0)
		return complain(compiled, strerror(-r));
	end.fd = compiled->errors;
	while (reap(compiled, WNOHANG, &r) == 0) {
		if (is_to_end())
			return complain(compiled, "it was not waited for");
		end_late(compiled);
		(void)poll(&end, 1, END_MS);
	}
	return r;
}

/* one that changes while it is read is read again */
static int compile_first(struct compiled *compiled)
{
	for (int i = 0; i < TRIES; i++) {
		if (compile_now(compiled))
			return -1;
		if (faccessat(compiled->folder, CURRENT, F_OK, 0) == 0)
			return 0;
		compiled->file = files_open_regular(compiled->name);
		if (compiled->file < 0)
			return complain(compiled, why_not_read(compiled->file));
		if (fstat(compiled->file, &compiled->taken) < 0)
			return complain(compiled, strerror(errno));
	}
	return complain(compiled, "it changes all the time");
}

int compiled_begin(struct compiled *compiled, const char *path, int file, uid_t uid, uid_t reader,
		   int *ret_folder)
{
	int r;

	compiled->uid = uid;
	compiled->file = file;
	r = make_folder(compiled, path, reader);
	if (r == 0)
		r = fstat(compiled->file, &compiled->taken) < 0 ? -errno : 0;
	if (r < 0) {
		compiled->file = close_fd(compiled->file);
		return complain(compiled, strerror(-r));
	}
	compiled->seen = compiled->taken;
	if (stamp_link(&compiled->taken, compiled->compiler, compiled->folder)) {
		stamp_write(&compiled->taken, compiled->compiler, compiled->folder);
		compiled->file = close_fd(compiled->file);
	} else if (compile_first(compiled)) {
		return -1;
	}
	*ret_folder = openat(compiled->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_folder < 0 ? complain(compiled, strerror(errno)) : 0;
}

/* ---- changes ---- */

static void say_what_stays(const struct compiled *compiled)
{
	fprintf(stderr, "sluice: %s: the version before stays in force\n", compiled->name);
}

/* at another time there may be enough of it */
static bool is_passing(int r)
{
	return r == -EAGAIN || r == -ENOMEM || r == -EMFILE || r == -ENFILE;
}

static void begin_again(struct compiled *compiled)
{
	bool was_delayed = compiled->is_delayed;
	int r;

	compiled->taken = compiled->seen; /* it is tried once, whatever else comes of it */
	compiled->file = files_open_regular(compiled->name);
	r = MIN(compiled->file, 0);
	if (r == 0)
		r = fstat(compiled->file, &compiled->taken) < 0 ? -errno : start(compiled);
	compiled->is_delayed = is_passing(r);
	if (r == 0)
		return;
	forget_compiler(compiled);
	if (compiled->is_delayed)
		compiled->taken = (struct stat){ 0 };
	if (!compiled->is_delayed || !was_delayed) {
		(void)complain(compiled, why_not_read(r));
		say_what_stays(compiled);
	}
}

void compiled_tick(struct compiled *compiled)
{
	struct stat now;
	bool is_still;
	int r = 0;

	if (compiled->folder < 0)
		return;
	if (compiled->pid > 0) {
		end_late(compiled);
		if (reap(compiled, WNOHANG, &r) > 0 && r)
			say_what_stays(compiled);
		return;
	}
	/* one that is away for a moment is being replaced */
	if (stat(compiled->name, &now) < 0) {
		if (++compiled->n_away == AWAY_LOOKS) {
			(void)cli_error(0, "%s: %s", compiled->name, strerror(errno));
			say_what_stays(compiled);
		}
		return;
	}
	compiled->n_away = 0;
	is_still = files_is_same(&now, &compiled->seen);
	compiled->seen = now;
	if (is_still && !files_is_same(&now, &compiled->taken))
		begin_again(compiled);
}

void compiled_init(struct compiled *compiled)
{
	*compiled = (struct compiled){ .folder = -1, .file = -1, .errors = -1 };
}

void compiled_end(struct compiled *compiled)
{
	if (compiled->pid > 0) {
		(void)kill(compiled->pid, SIGKILL);
		(void)waitpid(compiled->pid, NULL, 0);
	}
	forget_compiler(compiled);
	compiled->folder = close_fd(compiled->folder);
}
