/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Entering a profile
 *
 * First the capabilities, then the filter, which then stays for ever. It was made of the
 * profile's row when Sluice was built (gen-filters.c), so that nothing is left to fail here
 * but the call that loads it.
 */

#include <errno.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/confine.h"
#include "base/macros.h"
#include "base/sandbox-profiles.h"
#include "base/sandbox.h"

#ifdef SLUICE_SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

static bool has_entered;

bool sandbox_has_entered(void)
{
	return has_entered;
}

#ifdef SLUICE_SANITIZED
/* asked by the leak checker at exit; it needs clone and ptrace, which are refused by then. A test may
 * have a better answer */
int __lsan_is_turned_off(void);
__attribute__((weak)) int __lsan_is_turned_off(void)
{
	return has_entered;
}
#endif

const char *sandbox_name(enum sandbox_profile profile)
{
	return profile < _SANDBOX_N ? sandbox_profiles[profile].name : "unknown";
}

int sandbox_start_caps(enum sandbox_profile profile, const cap_value_t **ret_caps)
{
	*ret_caps = sandbox_profiles[profile].start_caps;
	return sandbox_profiles[profile].n_start_caps;
}

static void cleanup_cap(cap_t *caps)
{
	if (*caps)
		cap_free(*caps);
}

static bool has_value(const cap_value_t *set, int n, cap_value_t value)
{
	for (int i = 0; i < n; i++)
		if (set[i] == value)
			return true;
	return false;
}

static int has_cap(cap_value_t value, cap_flag_t flag)
{
	_cleanup_(cleanup_cap) cap_t caps = cap_get_proc();
	cap_flag_value_t is_set = CAP_CLEAR;

	if (!caps || cap_get_flag(caps, value, flag, &is_set) < 0)
		return -errno;
	return is_set == CAP_SET;
}

static int cut_bounding(const cap_value_t *keep, int n)
{
	int r = has_cap(CAP_SETPCAP, CAP_EFFECTIVE);

	if (r <= 0)
		return r;
	for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
		if (!has_value(keep, n, cap) && cap_get_bound(cap) == 1 && cap_drop_bound(cap) < 0)
			return -errno;
	return 0;
}

/* permitted and effective, and inheritable if asked, become exactly @set */
static int set_caps(const cap_value_t *set, int n, bool is_inheritable)
{
	_cleanup_(cleanup_cap) cap_t caps = cap_init();

	if (!caps)
		return -errno;
	if (n > 0 && (cap_set_flag(caps, CAP_PERMITTED, n, set, CAP_SET) < 0 ||
		      cap_set_flag(caps, CAP_EFFECTIVE, n, set, CAP_SET) < 0))
		return -errno;
	if (n > 0 && is_inheritable && cap_set_flag(caps, CAP_INHERITABLE, n, set, CAP_SET) < 0)
		return -errno;
	return cap_set_proc(caps) < 0 ? -errno : 0;
}

int sandbox_keep_caps(enum sandbox_profile profile)
{
	const struct profile *p = &sandbox_profiles[profile];
	cap_value_t kept[CAP_LAST_CAP + 1];
	int n = 0, r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	r = cut_bounding(p->start_caps, p->n_caps);
	if (r < 0)
		return r;
	if (cap_reset_ambient() < 0)
		return -errno;
	for (int i = 0; i < p->n_caps; i++) {
		r = has_cap(p->start_caps[i], CAP_PERMITTED);
		if (r < 0)
			return r;
		if (r)
			kept[n++] = p->start_caps[i];
	}
	return set_caps(kept, n, false);
}

/* abort(3) and raise(3) signal the own process; another's pid is refused */
static int load(const struct sandbox_filter *filter)
{
	struct sock_filter code[SANDBOX_CODE_MAX];
	struct sock_fprog program = { .filter = code, .len = filter->n_code };
	uint32_t pid = (uint32_t)getpid();

	for (unsigned int i = 0; i < filter->n_code; i++) {
		code[i] = filter->code[i];
		if (code[i].k == SANDBOX_OWN_PID)
			code[i].k = pid;
	}
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

int sandbox_enter(enum sandbox_profile profile)
{
	int r;

	r = sandbox_keep_caps(profile);
	if (r == 0 && (profile == SANDBOX_PROVIDER || profile == SANDBOX_STARTER ||
		       profile == SANDBOX_PROXY))
		r = confine_provider(profile == SANDBOX_PROXY);
	if (r < 0)
		return r;
#ifdef SLUICE_SANITIZED
	__sanitizer_sandbox_on_notify(NULL);
#endif
	r = load(&sandbox_filters[profile]);
	if (r < 0)
		return r;
	has_entered = true;
	return 0;
}

static int raise_ambient(const cap_value_t *caps, int n)
{
	for (int i = 0; i < n; i++)
		if (cap_set_ambient(caps[i], CAP_SET) < 0)
			return -errno;
	return 0;
}

int sandbox_become(uid_t uid, gid_t gid, const cap_value_t *ambient, int n)
{
	int r;

	if (setgroups(0, NULL) < 0)
		return -errno;
	/* while CAP_SETPCAP is there */
	r = cut_bounding(ambient, n);
	if (r < 0)
		return r;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return -errno;
	r = set_caps(ambient, n, true);
	if (r < 0)
		return r;
	r = raise_ambient(ambient, n);
	if (r < 0)
		return r;
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}
