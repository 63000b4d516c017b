/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What a profile consists of
 *
 * Between sandbox-profiles.c, which is nothing but the table, gen-filters.c, which makes a
 * filter of each row when Sluice is built, and sandbox.c, which enters a profile.
 */

#include <linux/filter.h>
#include <seccomp.h> /* what a row is made of; the library is not needed */

#include "base/sandbox.h"

#define LOW32 0xffffffffULL /* int arguments: the kernel ignores the upper half of the register */
#define CHECKED_ARGS 2
#define SANDBOX_CODE_MAX 1024U	    /* instructions of a filter */
#define SANDBOX_OWN_PID 0x7fffffffU /* in a filter, for that of who loads it; none is as high */

/* a comparison of a checked call */
#define IS(arg, mask, value) SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, mask, value)

struct call_group {
	const int *calls;
	size_t n_calls;
};

/* struct checked_call - a call that is allowed when all comparisons hold; several entries: any */
struct checked_call {
	int call;
	unsigned int n_args;
	struct scmp_arg_cmp args[CHECKED_ARGS];
};

struct profile {
	const char *name;
	const struct profile *base; /* all that this one may, and more */
	const cap_value_t *start_caps; /* given to it by sandbox_become(); the first n_caps stay */
	int n_start_caps, n_caps;
	const struct call_group *groups[6];
	const struct call_group *absent;
	const struct checked_call *checked;
	size_t n_checked;
	bool may_signal; /* others than itself */
};

struct sandbox_filter {
	unsigned short n_code;
	const struct sock_filter *code;
};

extern const struct profile sandbox_profiles[_SANDBOX_N];
extern const struct sandbox_filter sandbox_filters[_SANDBOX_N]; /* made by gen-filters.c */

#ifdef SLUICE_SANITIZED
/* what the run time of the sanitizers calls on top, in every profile */
extern const struct call_group sandbox_sanitizer_calls;
#endif
