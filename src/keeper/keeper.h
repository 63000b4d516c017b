/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: sluice-keeper
 *
 * The one process with rights over others. It acts on fixed records, holds
 * descriptors while sluiced restarts, starts and kills what it is told to,
 * and puts everything away at the end. It touches no packet, no file of a
 * user, no JSON.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "wire/keeper-records.h"

#define KEEPER_FILTERS_MAX 16U
#define KEEPER_CHILDREN_MAX (KEEPER_CANARY_SLOT + 1U) /* slot 0: sluice-names, then filters */
#define KEEPER_DAEMON_SLOT KEEPER_CHILDREN_MAX	      /* of child_start() alone */
#define KEEPER_CONFIG_MAX 256U			      /* records that describe the instance */

/** struct config_record - one record of `sluice run`, repeated to every sluiced */
struct config_record {
	uint8_t *bytes;
	size_t n_bytes;
	int fd; /* owned; -1: none */
};

struct keeper {
	struct wire_k_instance instance;
	struct wire_k_filter filters[KEEPER_FILTERS_MAX];
	unsigned int n_filters;
	struct config_record config[KEEPER_CONFIG_MAX];
	unsigned int n_config;
	bool is_committed;

	int run_sock;	 /* `sluice run`; its end ends the instance */
	int daemon_sock; /* the sluiced of now; -1: none */
	int signal_fd;
	pid_t daemon_pid; /* 0: none; -1: it ended with an error */
	uint32_t generation;
	struct clock_awake awake;
	uint64_t beat_ms;     /* when sluiced was heard last */
	uint64_t started_ms;  /* when this sluiced was started */
	bool has_beaten;      /* its loop runs: silence counts from now on */
	uint64_t orphaned_ms; /* since when there is no sluiced that works; 0: there is one */
	bool is_told;	      /* run knows whether the instance is in force */
	pid_t children[KEEPER_CHILDREN_MAX];
	int kept[KEEPER_KEPT_MAX];
	bool is_stopping; /* sluiced was told to end */
	bool is_ended;	  /* END was said: a kept instance is put away as well */
	bool is_placed;	  /* there is an instance: what carries its name is put away at the end */
	uint8_t buffer[WIRE_RECORD_MAX]; /* of the record that is read */
	int own_net;			 /* network namespace that we are in */
	int no_net;			 /* an empty one, for who needs none */
};

/* config.c: what `sluice run` says, kept to be repeated to each sluiced */
/** config_read() - until COMMIT. Return: 0, -ECANCELED: it was END, or another negative errno */
int config_read(struct keeper *keeper);

/* network.c: network namespaces */
int network_open_ours(struct keeper *keeper);
/** network_enter() - sockets of the namespace of a thread, or of the socket @sock: KEEPER_NETNS_SOCKETS
 *  of them, owned by the caller, -1: it is not wanted. Return: 0 or a negative errno. */
int network_enter(const struct keeper *keeper, const struct wire_k_enter *enter, int sock,
		  int *ret_sockets, uint32_t *ret_inode);

/* place.c: folders, cgroups and mounts of the instance, made by who started us */
void place_kill_governed(const struct keeper *keeper);
/** place_canary() - its cgroup; made when it is first wanted */
void place_canary(const struct keeper *keeper, char *path, size_t n);
/** place_remove() - put everything away; says on stderr what would not go */
void place_remove(const struct keeper *keeper);

/* child.c: a pid, or a negative errno; @ret_sock: the caller's; @output: for what it prints, or -1 */
pid_t child_start(struct keeper *keeper, uint32_t slot, int output, int *ret_sock);
