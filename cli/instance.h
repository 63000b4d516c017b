/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Starting an instance, for `sluice run` and `sluice serve`
 *
 *	instance.c        the keeper, what it is told, the end
 *	instance-place.c  the name, folders, cgroup of the providers, notes
 *
 * The name is claimed first: /run/sluice/ID is made and locked, and the lock
 * is the keeper's as well, so that it lasts until the last of both is gone.
 * The keeper that read the record INSTANCE puts everything away at the end, also
 * when we are killed. One that could not begin (KEEPER_EXIT_NOT_BEGUN) leaves to us
 * what we made meanwhile.
 */

#include "cli/run.h"
#include "wire/keeper-records.h"

struct instance {
	struct wire_k_instance record; /* id, cgroup, is_kept, log_level: set by the caller */
	struct run_filter filters[RUN_FILTERS_MAX];
	unsigned int n_filters;
	struct applications *applications; /* of --app-map; NULL: none. Owned */
	int flows_fd;	 /* -1: no flow records */
	bool ends_older; /* connections that stand when it comes into force */

	uid_t compiler_uid;
	uint64_t looked_ms; /* at files that are compiled; 0: there are none */
	int lock_fd;
	bool was_there;	   /* one of that name died, and is taken over */
	bool is_described; /* the keeper knows: removing is its task */
	bool is_committed; /* it starts sluiced, which alone removes what was taken over */
	int keeper_sock;
	pid_t keeper_pid;
};

/** instance_init() - an instance without a name, cgroup and filters; end it with instance_end() */
void instance_init(struct instance *instance);

/** instance_read_applications() - @path: an application map; says what is wrong. Return: 0 or -1 */
int instance_read_applications(struct instance *instance, const char *path);

/** instance_open_flows() - @path: flow records go there; says what is wrong. Return: 0 or -1 */
int instance_open_flows(struct instance *instance, const char *path);

/**
 * instance_claim() - take the name record.id, to govern record.cgroup
 *
 * A name that is in use is refused, and a cgroup above, below or of another
 * instance. What a dead instance of that name left is
 * taken over if both are `sluice serve`, else refused. Says what is wrong.
 *
 * Return: 0 or -1.
 */
int instance_claim(struct instance *instance);

/** instance_start() - start the keeper and describe the instance. Return: 0 or -1, and said why */
int instance_start(struct instance *instance);

/**
 * instance_wait() - until it is in force
 * @wake_fd: also wakes up; then @on_wake says whether to give up
 *
 * Return: 0 or -1, and said why.
 */
int instance_wait(struct instance *instance, int wake_fd, bool (*on_wake)(void *data), void *data);

/** instance_tick() - look for files that have changed, when it is time. Return: ms until it is time
 *  again, for poll(2); -1: there is nothing to look at */
int instance_tick(struct instance *instance);

/**
 * instance_end() - wait for the end of the keeper and free everything
 * @is_removed: an instance whose cgroup is kept is removed; else it stays in
 *              force in the kernel. Others are always removed.
 *
 * Return: 0; -1: the keeper ended before it had removed it, which is said.
 */
int instance_end(struct instance *instance, bool is_removed);

/* instance-place.c */

/** instance_make_place() - folders and the providers' cgroup; says what is wrong. Return: 0 or -1 */
int instance_make_place(struct instance *instance);
/** instance_unmake_place() - when the keeper ended before it could; says what would not go */
void instance_unmake_place(const struct instance *instance);
/** instance_unclaim() - when no keeper was told of it */
void instance_unclaim(struct instance *instance);
