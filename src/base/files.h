/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Folders and programs of Sluice
 *
 * What more than one process does with them. Nothing is logged.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/** files_sibling() - path of the program beside the running one, or of any file there.
 * Return: 0 or -errno; it need not exist */
int files_sibling(const char *name, char *path, size_t n);

/** files_make_folder() - it may be there already; @owner is uid and gid. Return: 0 or -errno */
int files_make_folder(const char *path, mode_t mode, uid_t owner);

/**
 * files_empty_folder() - remove the files in it; folders in it stay
 * @ret_n: out: how many were removed, also on failure
 *
 * Return: 0, or the last error as a negative errno.
 */
int files_empty_folder(const char *path, unsigned int *ret_n);

/** files_empty_fd() - the same; @fd is consumed, and if it is < 0 errno says why */
int files_empty_fd(int fd, unsigned int *ret_n);

/**
 * files_remove_lists() - the folders in it whose names begin with FILES_LIST, with the files in them
 * @ret_n: out: how many files were removed, also on failure
 *
 * Return: as files_empty_folder().
 */
#define FILES_LIST "list-"
int files_remove_lists(const char *path, unsigned int *ret_n);

/**
 * files_open_regular() - for reading, and nothing happens if it is anything else than a file
 *
 * Return: the caller's descriptor; -EINVAL: not a regular file; another negative errno.
 */
int files_open_regular(const char *path);

/** files_is_same() - is it the same file, and as it was? */
bool files_is_same(const struct stat *a, const struct stat *b);

/** files_is_script() - is it run by an interpreter, which opens it? */
bool files_is_script(int fd);

/** files_remove_folder() - with the files in it and what is mounted there. Return: 0 or -errno */
int files_remove_folder(const char *path);
