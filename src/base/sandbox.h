/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What each process may do
 *
 * One table (sandbox-profiles.c) says for each process of Sluice which
 * capabilities it keeps and which system calls it may make. Everything else fails
 * with EPERM; nothing is killed, so that a refused call is an error somebody sees.
 *
 *	keeper, start:          sandbox_enter(SANDBOX_KEEPER)
 *	keeper, forked child:   sandbox_become(uid, gid, caps, n)
 *	                        sandbox_enter(SANDBOX_PROVIDER)  only for providers; or
 *	                        SANDBOX_STARTER, if they may start programs;
 *	                        SANDBOX_PROXY, for a proxy
 *	                        execve()
 *	sluiced, BPF loaded:    sandbox_enter(SANDBOX_DAEMON)
 *	sluice-names, start:    sandbox_enter(SANDBOX_NAMES)
 *	sluice-canary, start:   sandbox_enter(SANDBOX_CANARY)
 *
 * A seccomp filter is inherited and a second one only narrows it. Therefore
 * the keeper's list holds the lists of all others; the table is made of shared
 * groups to keep that true, and test-sandbox checks it.
 *
 * The functions log nothing. They are to be called while the process has one
 * thread: capabilities and filters belong to a thread.
 *
 * Sanitizer builds (SLUICE_SANITIZED): the address sanitizer keeps working
 * inside; the leak check at exit, which needs clone and ptrace, is off in a
 * process that has entered its sandbox. A program that is executed under
 * SANDBOX_PROVIDER must get ASAN_OPTIONS=detect_leaks=0 from whoever starts it.
 */

#include <stdbool.h>
#include <sys/capability.h>
#include <sys/types.h>

enum sandbox_profile {
	SANDBOX_DAEMON,
	SANDBOX_KEEPER,
	SANDBOX_NAMES,
	SANDBOX_CANARY,
	SANDBOX_PROVIDER, /* entered before execve(): must let a program start */
	SANDBOX_STARTER,  /* the same for one that may start programs itself */
	SANDBOX_PROXY,	  /* the same for one that has the network */
	_SANDBOX_N,
};

/** sandbox_name() - the process' name for messages; never NULL */
const char *sandbox_name(enum sandbox_profile profile);

/**
 * sandbox_start_caps() - what a process of this profile is started with
 * @ret_caps: out: static array, for sandbox_become()
 *
 * More than it keeps: sluiced needs CAP_PERFMON until its BPF programs are
 * loaded.
 *
 * Return: how many.
 */
int sandbox_start_caps(enum sandbox_profile profile, const cap_value_t **ret_caps);

/**
 * sandbox_keep_caps() - give up every capability outside the profile, for ever
 *
 * Permitted and effective become what the profile keeps and the process has;
 * inheritable and ambient become empty; the bounding set is cut when the
 * process has CAP_SETPCAP (a process without it cannot gain anything either:
 * no_new_privs is set).
 *
 * Return: 0 or a negative errno; after a failure the process must not go on.
 */
int sandbox_keep_caps(enum sandbox_profile profile);

/**
 * sandbox_enter() - sandbox_keep_caps(), then allow only the profile's system calls
 *
 * Return: 0 or a negative errno; after a failure the process must not go on.
 */
int sandbox_enter(enum sandbox_profile profile);

/** sandbox_has_entered() - did this process (or the one it was forked from) call sandbox_enter() */
bool sandbox_has_entered(void);

/**
 * sandbox_become() - in a forked child of the keeper: another user, with exactly these rights
 * @ambient: capabilities that survive the next execve(); NULL when @n is 0
 *
 * No supplementary groups; permitted, effective, inheritable, ambient and
 * bounding set are @ambient. no_new_privs is set and does not take ambient
 * capabilities away at the execve() of a plain file.
 *
 * Return: 0 or a negative errno; after a failure the child must _exit().
 */
int sandbox_become(uid_t uid, gid_t gid, const cap_value_t *ambient, int n);
