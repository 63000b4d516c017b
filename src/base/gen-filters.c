/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Profiles to filters
 *
 * Prints sandbox-filters.c: what libseccomp makes of each row of sandbox-profiles.c. It runs
 * when Sluice is built: libseccomp (2.5) makes more than a thousand allocations for a filter, and
 * when a late one fails it may never return, or load a filter that kills the process.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/sandbox-profiles.h"

static int add_group(scmp_filter_ctx filter, uint32_t action, const struct call_group *group)
{
	for (size_t i = 0; i < group->n_calls; i++) {
		int r = seccomp_rule_add(filter, action, group->calls[i], 0);

		if (r < 0)
			return r;
	}
	return 0;
}

static int add_self_signals(scmp_filter_ctx filter)
{
	struct scmp_arg_cmp self = IS(0, LOW32, SANDBOX_OWN_PID);
	int r;

	r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, &self);
	if (r < 0)
		return r;
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &self);
}

static int add_profile(scmp_filter_ctx filter, const struct profile *p)
{
	int r = p->base ? add_profile(filter, p->base) : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(p->groups) && p->groups[i]; i++)
		r = add_group(filter, SCMP_ACT_ALLOW, p->groups[i]);
	for (size_t i = 0; r == 0 && i < p->n_checked; i++)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, p->checked[i].call,
					   p->checked[i].n_args, p->checked[i].args);
	if (r == 0 && p->absent)
		r = add_group(filter, SCMP_ACT_ERRNO(ENOSYS), p->absent);
	if (r == 0 && !p->may_signal && !p->base)
		r = add_self_signals(filter);
#ifdef SLUICE_SANITIZED
	if (r == 0 && !p->base)
		r = add_group(filter, SCMP_ACT_ALLOW, &sandbox_sanitizer_calls);
#endif
	return r;
}

/* Return: instructions, or a negative errno */
static int make(const struct profile *p, struct sock_filter *code, size_t n_bytes)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	_cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
	ssize_t n = -1;
	int r = filter ? 0 : -ENOMEM;

	/* a search tree: these filters are long and run at every call */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = add_profile(filter, p);
	if (r == 0)
		r = seccomp_export_bpf(filter, fd);
	if (r == 0)
		n = pread(fd, code, n_bytes, 0);
	seccomp_release(filter);
	if (r < 0)
		return r;
	return n < 0 ? -errno : (int)((size_t)n / sizeof(*code));
}

static int print(const struct profile *p)
{
	static struct sock_filter code[SANDBOX_CODE_MAX + 1];
	int n = make(p, code, sizeof(code));

	if (n <= 0 || n > (int)SANDBOX_CODE_MAX) {
		fprintf(stderr, "gen-filters: the filter of %s: %s\n", p->name,
			n < 0 ? strerror(-n) : "too long");
		return 1;
	}
	printf("\t{ .n_code = %d, .code = (const struct sock_filter[]){ /* %s */\n", n, p->name);
	for (int i = 0; i < n; i++)
		printf("\t\t{ 0x%x, %u, %u, 0x%x },\n", code[i].code, code[i].jt, code[i].jf,
		       code[i].k);
	printf("\t} },\n");
	return 0;
}

int main(void)
{
	int r = 0;

	printf("#include \"base/sandbox-profiles.h\"\n\n"
	       "const struct sandbox_filter sandbox_filters[_SANDBOX_N] = {\n");
	for (size_t i = 0; i < _SANDBOX_N; i++)
		r |= print(&sandbox_profiles[i]);
	printf("};\n");
	return r;
}
