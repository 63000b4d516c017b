/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/cgroup2.h"
#include "base/files.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "keeper/keeper.h"
#include "wire/channel.h"

#define CHANNEL_FD 3
#define EXE_FD 4 /* closed by execve(), but for scripts: their interpreter opens it */

/**
 * DOC: What a child gets
 *
 * Descriptor 3: its channel; 0: /dev/null. What a provider prints goes to sluiced: the user's
 * terminal could be read, a file written over. Nothing else is open, two lines of environment.
 * The order matters: cgroup and namespaces need our rights, the uid ends them.
 */
struct plan {
	const char *program; /* of ours; NULL: @exe is set */
	char exe[512];
	char cgroup[600]; /* "": stay in ours */
	uid_t uid;
	enum sandbox_profile profile;
	int network;	  /* namespace to enter; -1: stay in ours */
	int output;	  /* where what it prints goes; -1: to ours */
	bool is_confined; /* before execve(); else the program does it itself */
};

static int set_descriptors(int channel, int output)
{
	int null = open("/dev/null", O_RDONLY);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return -errno;
	if (output >= 0 && (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0))
		return -errno;
	if (channel != CHANNEL_FD && dup2(channel, CHANNEL_FD) < 0)
		return -errno;
	return fcntl(CHANNEL_FD, F_SETFD, 0) < 0 ? -errno : 0;
}

/* opened with our rights: the folders above it may be closed to the child's uid */
static int open_exe(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || dup3(fd, EXE_FD, O_CLOEXEC) < 0)
		return -errno;
	if (files_is_script(EXE_FD) && fcntl(EXE_FD, F_SETFD, 0) < 0)
		return -errno;
	return 0;
}

static char **environment(void)
{
	static char *env[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LANG=C.UTF-8",
			       NULL };
#ifdef SLUICE_SANITIZED
	return environ; /* options of the sanitizers */
#endif
	return env;
}

static int become(const struct plan *plan)
{
	const cap_value_t *caps;
	int n = sandbox_start_caps(plan->profile, &caps);
	int r = sandbox_become(plan->uid, plan->uid, caps, n);

	if (r < 0)
		return r;
	/* after the change of uid, which clears it */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return plan->is_confined ? sandbox_enter(plan->profile) : 0;
}

_Noreturn static void be_child(const struct plan *plan, int channel)
{
	char *argv[] = { (char *)(uintptr_t)plan->exe, NULL };
	int r = plan->cgroup[0] ? cgroup2_enter(plan->cgroup) : 0;
	sigset_t none = { 0 };

	sigprocmask(SIG_SETMASK, &none, NULL);
	if (r == 0)
		r = set_descriptors(channel, plan->output);
	if (r == 0)
		r = open_exe(plan->exe);
	if (r == 0 && plan->network >= 0 && setns(plan->network, CLONE_NEWNET) < 0)
		r = -errno;
	if (r == 0 && syscall(SYS_close_range, EXE_FD + 1, ~0U, 0) < 0)
		r = -errno;
	if (r == 0)
		r = become(plan);
	if (r == 0) {
		execve(plan->exe, argv, environment()); /* so that comm is its name */
		if (errno == EACCES)
			syscall(SYS_execveat, EXE_FD, "", argv, environment(), AT_EMPTY_PATH);
		r = -errno;
	}
	log_error("cannot start %s: %s", plan->exe, strerror(-r));
	_exit(r == -ENOENT ? 127 : 126);
}

static int plan_child(const struct keeper *keeper, uint32_t slot, struct plan *plan)
{
	const struct wire_k_instance *instance = &keeper->instance;

	switch (slot) {
	case KEEPER_DAEMON_SLOT:
		*plan = (struct plan){ "sluiced", .uid = instance->daemon_uid,
				       .profile = SANDBOX_DAEMON, .network = -1 };
		break;
	case 0:
		*plan = (struct plan){ "sluice-names", .uid = instance->names_uid,
				       .profile = SANDBOX_NAMES, .network = keeper->no_net };
		break;
	case KEEPER_CANARY_SLOT:
		*plan = (struct plan){ "sluice-canary", .uid = instance->canary_uid,
				       .profile = SANDBOX_CANARY, .network = -1 };
		place_canary(keeper, plan->cgroup, sizeof(plan->cgroup));
		(void)mkdir(plan->cgroup, 0755); /* entering it fails if this does */
		break;
	default:
		if (slot > keeper->n_filters)
			return -EINVAL;
		*plan = (struct plan){ .uid = instance->provider_uid + slot - 1,
				       .profile = keeper->filters[slot - 1].processes
							  ? SANDBOX_STARTER
							  : SANDBOX_PROVIDER,
				       .network = keeper->no_net,
				       .is_confined = true };
		if (keeper->filters[slot - 1].proxy) {
			plan->profile = SANDBOX_PROXY;
			plan->network = -1;
		}
		snprintf(plan->exe, sizeof(plan->exe), "%s", keeper->filters[slot - 1].exe);
		snprintf(plan->cgroup, sizeof(plan->cgroup), "%s", instance->providers_cgroup);
	}
	return plan->program ? files_sibling(plan->program, plan->exe, sizeof(plan->exe)) : 0;
}

pid_t child_start(struct keeper *keeper, uint32_t slot, int output, int *ret_sock)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	struct plan plan;
	pid_t pid;
	int r = plan_child(keeper, slot, &plan);

	if (r == 0)
		r = channel_pair(&ours, &theirs);
	if (r < 0)
		return r;
	pid = fork();
	if (pid < 0)
		return -errno;
	plan.output = output;
	if (pid == 0)
		be_child(&plan, theirs);
	*ret_sock = TAKE_FD(ours);
	return pid;
}
