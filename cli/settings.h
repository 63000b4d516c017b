/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Which flows may come to a proxy: --app, --include, --exclude, --settings
 *
 *	settings.c       words, and the file that is looked at again when it changes
 *	settings-rule.c  WORD=VALUE,… → a rule
 *	applications.c   what an application is called → a rule
 *
 * A flow comes to the proxy if it is of one of the applications, is not excluded, and is included; of
 * what nothing was said, everything is. What is said wrong is told with its place, and nothing of it
 * is taken.
 *
 *	APP     PATH, a program of $PATH, an id of --app-map; then conditions, or these alone
 *	RULE    WORD=VALUE[,WORD=VALUE]…: exe cgroup uid host domain remote remote_port local
 *	        local_port protocol interface, as `sluice rules` has them
 */

#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "wire/settings.h"

struct applications; /* of --app-map; NULL: there is no such file */

/** struct settings - the rules are owned */
struct settings {
	struct settings_rule {
		enum wire_settings_part part;
		struct wire_rule rule;
	} * rules;
	unsigned int n, n_inline; /* the first ones are not the file's */
	char path[256];		  /* of the file; "": none */
	struct stat seen, taken;  /* at the last look, and as it was read */
	int file;		  /* for the keeper: its descriptor and 1; 0: none yet */
	uint32_t generation;	  /* of it, that counts; 0: none */
	bool is_untold;		  /* sluiced has not heard that it has changed */
};

/**
 * settings_take() - one word of the user's: App, Include, Exclude, Settings
 *
 * Return: 0; -1, and said why; SETTINGS_E_OTHER: it is no such word.
 */
enum settings_error { _SETTINGS_E_SUCCESS, SETTINGS_E_OTHER };
int settings_take(struct settings *settings, const struct applications *applications,
		  const char *key, const char *value);
/** settings_refuse() - of a word that we know, and do not support. Return: 0: it is none; -1, said */
int settings_refuse(const char *key);
/** settings_refuse_option() - @word: of a command line, that no option is. Return: as it */
int settings_refuse_option(const char *word);
/** settings_write() - to the file that sluiced reads. Return: 0 or -errno */
int settings_write(struct settings *settings);
/** settings_tick() - has the file changed, and does not any more since the last look? Return: true: the rules
 *  are new ones. What is wrong is said once, and the rules of before stay */
bool settings_tick(struct settings *settings, const struct applications *applications,
		   const char *proxy);
void settings_close(struct settings *settings);

/** applications_read() - the file of ids. Says what is wrong, with its line. Return: 0 or -1 */
int applications_read(const char *path, struct applications **ret_applications);
struct applications *applications_free(struct applications *applications);
/** applications_find() - the @n-th rule of what @name is called, changes what it says into conditions.
 *  Return: 0; -1, and said why; SETTINGS_E_OTHER: there are no more */
int applications_find(const struct applications *applications, const char *name, unsigned int n,
		      struct wire_rule *ret_rule);
/**
 * settings_read_lines() - "KEY = VALUE", but comments and empty ones
 * @take: a line; @value: NULL: it has no "=". Return: 0; -1, and said why
 *
 * Return: 0; -1, and said why, and in which line.
 */
int settings_read_lines(FILE *file, const char *path,
			int (*take)(void *data, char *key, char *value), void *data);
/** settings_read_rule() - "WORD=VALUE,…", added to @rule; @text is changed. Return: 0; -1, and said */
int settings_read_rule(char *text, struct wire_rule *rule);
