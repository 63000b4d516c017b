/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The parts of `sluice run`
 *
 *	run.c          arguments, COMMAND, the end
 *	run-place.c    the child cgroup
 *	run-filter.c   --filter and --proxy NAME:key=value → executable, options, open files
 *	compiled.c     files that the provider gets compiled, and their changes
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/compiled.h"
#include "cli/settings.h"

#define RUN_FILTERS_MAX 16U
#define RUN_OPTIONS_MAX 64U

struct run_option {
	char key[32];
	char value[256];
	int fd; /* file option: the open file, owned; compiled: the folder; else -1 */
	bool is_compiled, is_written;
	struct compiled compiled;
};

struct run_filter {
	char name[32];
	char exe[256];
	char compiler[256]; /* "": its files are given as they are */
	bool is_closed;	    /* fail class */
	bool has_processes; /* it may start programs */
	bool is_proxy;
	struct settings settings; /* of a proxy */
	struct run_option options[RUN_OPTIONS_MAX];
	unsigned int n_options;
};

/** struct run_manifest - what the provider's manifest says: its executable and options */
struct run_manifest {
	char exe[256], compiler[256];
	bool has_processes, is_proxy;
	struct {
		char key[32];
		bool is_file, is_required, is_repeatable, is_compiled, is_written;
	} options[RUN_OPTIONS_MAX];
	unsigned int n_options;
};

/* A filter in steps; each says on stderr what is wrong. Return: 0 or -1 */

/** run_filter_find() - by NAME or PATH, see run_filter_parse() */
int run_filter_find(const char *word, bool is_proxy, struct run_filter *ret_filter,
		    struct run_manifest *ret_manifest);
/** run_filter_add() - @text: "key=value", is changed */
int run_filter_add(struct run_filter *filter, const struct run_manifest *manifest, char *text);
/** run_filter_check() - has it every option that it needs? */
int run_filter_check(const struct run_filter *filter, const struct run_manifest *manifest);

/**
 * run_filter_parse() - read one --filter, or --proxy
 * @spec: NAME or PATH, then optionally :key=value,key=value
 *
 * NAME is a bundled or installed provider with a manifest; a word with a
 * slash is an executable. Files are opened with the caller's rights, so the
 * provider needs none. Says on stderr what is wrong.
 *
 * Return: 0 or -1.
 */
int run_filter_parse(const char *spec, bool is_proxy, struct run_filter *ret_filter);
void run_filter_close(struct run_filter *filter);

/** RUN_EXIT_SLUICE - of `sluice run`, as of env(1): its own failure; COMMAND's statuses stay its own */
#define RUN_EXIT_SLUICE 125

/**
 * run_with() - `sluice run`, with @spec as its first filter, and a shell where there is no COMMAND
 * @argv: options from [1] on; not --help
 *
 * Return: the exit status.
 */
int run_with(int argc, char **argv, const char *spec);

/** run_sibling() - a program of ours: beside this one, or installed. Return: 0 or -errno. */
int run_sibling(const char *name, const char *installed, char *path, size_t n);

/** run_cgroup_root() - where cgroup v2 is mounted; run_cgroup_own() - ours, full path, without a
 *  slash at its end. Return: 0 or -errno. */
int run_cgroup_root(char *path, size_t n);
int run_cgroup_own(char *path, size_t n);
/** run_cgroup_name() - a child of the caller's cgroup; run_cgroup_make() - it must be new.
 *  Both say what is wrong. Return: 0 or -1. */
int run_cgroup_name(const char *id, char *path, size_t n);
int run_cgroup_make(const char *path);
/** run_cgroup_find() - one of that name, wherever `sluice run` was started. Return: 0 or -errno */
int run_cgroup_find(const char *name, char *path, size_t n);
/** run_cgroup_is_empty() - Return: 1, 0, or -errno */
int run_cgroup_is_empty(int events_fd);
int run_cgroup_open_events(const char *path);
