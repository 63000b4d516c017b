/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The lists of a running filter
 *
 * Each is a folder that `sluice run` gave, with the compiled list in it under the
 * name "current". A new version is put there by rename(2), so that what is opened is
 * the one or the other; inotify(7) tells of it. A version that is no good is told
 * and left, and the one in force stays.
 */

#include <stdint.h>
#include <sys/types.h>

#include <sluice/filter.h>

#include "table.h"

#define LISTS_MAX 256U
#define LISTS_LABEL_BYTES 64U

struct list {
	char *path; /* as the user wrote it */
	char label
		[LISTS_LABEL_BYTES]; /* "list PATH", or of a long one the end: begins its reasons */
	int folder;
	int is_allow; /* its names are exceptions */
	struct table table;
	ino_t inode;	   /* of the version in force */
	uint64_t loaded_s; /* time(2) */
	int is_told;	   /* the daemon knows of the version in force */
};

struct lists {
	struct list lists[LISTS_MAX];
	uint16_t n;
	int is_started; /* lists are told from then on */
	int is_refused; /* the daemon was told why */
	int is_rejudge_due;
	int watch; /* inotify; -1: none, or no memory for one */
};

/**
 * lists_add() - one more; says what is wrong with sluice_filter_fail()
 * @folder: not consumed
 *
 * Return: 0 or the negative errno.
 */
int lists_add(struct lists *lists, struct sluice_filter *filter, const char *path, int folder,
	      int is_allow);

/** lists_update() - take the versions that are new. Return: how many */
unsigned int lists_update(struct lists *lists, struct sluice_filter *filter);

/** lists_tell() - the daemon is told of versions that it does not know. Return: how many it is not */
unsigned int lists_tell(struct lists *lists, struct sluice_filter *filter);

/**
 * lists_find() - what the lists say of a host: exceptions first, but for what is important
 * @ret_list: out: the list that decides; NULL: none names it
 *
 * Return: is it allowed?
 */
int lists_find(const struct lists *lists, const char *host, const struct list **ret_list,
	       struct table_hit *ret_hit);

void lists_deinit(struct lists *lists);
