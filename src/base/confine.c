/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/confine.h"
#include "base/macros.h"

#define FILES_MAX 1024U
#define FILES_PROXY 1048576U	/* two of each flow, and pipes */
#define THREADS_MAX 128U	/* of its user, which providers of other instances share */
#define MEMORY_MAX (1ULL << 30) /* private and writable; a large blocklist takes a tenth */
#define OOM_FIRST "1000"	/* /proc/self/oom_score_adj: before anything that carries packets */

static int limit(int what, rlim_t most)
{
	struct rlimit limits;

	if (getrlimit(what, &limits) < 0)
		return -errno;
	limits.rlim_max = MIN(limits.rlim_max, most);
	limits.rlim_cur = MIN(limits.rlim_cur, limits.rlim_max);
	return setrlimit(what, &limits) < 0 ? -errno : 0;
}

static int limit_all(bool is_proxy)
{
	const struct {
		int what;
		rlim_t most;
	} limits[] = {
		{ RLIMIT_NOFILE, is_proxy ? FILES_PROXY : FILES_MAX },
		{ RLIMIT_NPROC, THREADS_MAX },
		{ RLIMIT_MEMLOCK, 0 },	      { RLIMIT_MSGQUEUE, 0 },
		{ RLIMIT_CORE, 0 },
#ifndef SLUICE_SANITIZED /* its shadow is private, writable, and terabytes */
		{ RLIMIT_DATA, MEMORY_MAX },
#endif
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(limits); i++)
		r = limit(limits[i].what, limits[i].most);
	return r;
}

/* the file is its own only while it may be looked into, until execve() */
static void be_first_to_go(void)
{
	_cleanup_close_ int fd = -1;

	(void)prctl(PR_SET_DUMPABLE, 1);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, OOM_FIRST, sizeof(OOM_FIRST) - 1);
	(void)prctl(PR_SET_DUMPABLE, 0);
}

/* being in a domain of its own is what keeps it out of other processes */
static int enter_domain(void)
{
	struct landlock_ruleset_attr rules = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
				     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
				     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
				     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
				     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM
	};
	_cleanup_close_ int fd = (int)syscall(SYS_landlock_create_ruleset, &rules,
					      sizeof(rules.handled_access_fs), 0);

	if (fd < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}

int confine_provider(bool is_proxy)
{
	int r;

	if (setsid() < 0 && errno != EPERM) /* it leads one already */
		return -errno;
	be_first_to_go();
	r = limit_all(is_proxy);
	return r < 0 ? r : enter_domain();
}
