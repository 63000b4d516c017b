/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Options that are compiled
 *
 * A manifest may say that a file is `compiled`: what the provider gets is not the file
 * but a folder with the result of the extension's compiler in it, "current". The file
 * is foreign, so the compiler is a process without rights: the file on its descriptor
 * 0, the result on 1, confined as providers are, and started for one file.
 *
 * The folder is below the instance's own, for the one provider's user id alone, and goes
 * with it. A result that another instance has of the same file, unchanged, is linked and
 * not made again: the same pages serve both.
 *
 *	file changes ──▶ stays as it is for COMPILED_LOOK_MS ──▶ compiler ──▶ rename to "current"
 *
 * Looked at by stat(2), once in COMPILED_LOOK_MS. Whoever writes a file in place, and
 * more slowly than that, is read half; rename(2) has no such moment.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define COMPILED_LOOK_MS 500

struct compiled {
	const char *name;     /* as the user wrote it: for messages, and looked up again */
	const char *compiler; /* full path */
	int folder;	      /* -1: none; what is above it belongs to sluiced's user */
	uid_t uid;	      /* of the compiler */
	int file;	      /* the version that is being compiled; -1: none */
	pid_t pid;	      /* of the compiler; 0: it does not run */
	time_t until_s;	      /* then it is killed */
	int errors;	      /* what it says on stderr; -1: none */
	bool is_delayed;      /* there was not enough memory or the like, which was said */
	unsigned int n_away;  /* looks, one after the other, that found no file */
	struct stat seen;     /* when it was looked at last */
	struct stat taken;    /* of the version that was compiled last, or could not be */
};

/**
 * compiled_begin() - make the folder and its first result; says what is wrong
 * @path:       of the folder
 * @file:       open, of that name; consumed
 * @uid:        of the compiler; @reader: of the provider
 * @ret_folder: out: the caller's
 *
 * Return: 0 or -1.
 */
int compiled_begin(struct compiled *compiled, const char *path, int file, uid_t uid, uid_t reader,
		   int *ret_folder);

/** compiled_tick() - has the file changed? Call it after COMPILED_LOOK_MS. Says what is wrong. */
void compiled_tick(struct compiled *compiled);

/** compiled_init() - nothing is compiled */
void compiled_init(struct compiled *compiled);

/** compiled_end() - the folder stays: the instance's end removes it */
void compiled_end(struct compiled *compiled);
