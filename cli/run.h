/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The parts of `sluice run`
 *
 *	run.c          arguments, COMMAND, the end
 *	run-place.c    the child cgroup
 *	run-filter.c   --filter NAME:key=value → executable, options, open files
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_FILTERS_MAX 16U
#define RUN_OPTIONS_MAX 64U

struct run_option {
	char key[32];
	char value[256];
	int fd; /* file option: the open file, owned; else -1 */
};

struct run_filter {
	char name[32];
	char exe[256];
	bool is_closed; /* fail class */
	struct run_option options[RUN_OPTIONS_MAX];
	unsigned int n_options;
};

/**
 * run_filter_parse() - read one --filter
 * @spec: NAME or PATH, then optionally :key=value,key=value
 *
 * NAME is a bundled or installed provider with a manifest; a word with a
 * slash is an executable. Files are opened with the caller's rights, so the
 * provider needs none. Says on stderr what is wrong.
 *
 * Return: 0 or -1.
 */
int run_filter_parse(const char *spec, struct run_filter *ret_filter);
void run_filter_close(struct run_filter *filter);

/** run_sibling() - a program of ours: beside this one, or installed. Return: 0 or -errno. */
int run_sibling(const char *name, const char *installed, char *path, size_t n);

/** run_cgroup_make() - a new child of the caller's cgroup; says what is wrong. Return: 0 or -1. */
int run_cgroup_make(const char *id, char *path, size_t n);
/** run_cgroup_is_empty() - Return: 1, 0, or -errno */
int run_cgroup_is_empty(int events_fd);
int run_cgroup_open_events(const char *path);
