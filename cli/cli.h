/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The command line
 *
 * One file per verb, one table in main.c. stdout is data, stderr is talk. A
 * verb gets its own name as argv[0] and returns the exit status.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/macros.h"

#define SLUICE_RUN_FOLDER "/run/sluice"
#define SLUICE_SYSTEM_INSTANCE "system"

enum cli_status {
	CLI_YES = 0,
	CLI_NO = 1,
	CLI_USAGE = 2,
	CLI_UNREACHABLE = 3,
	CLI_NOT_PERMITTED = 4,
	CLI_NOT_FOUND = 5,
};

int cmd_status(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_filter(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_flows(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_panic(int argc, char **argv);
int cmd_lists(int argc, char **argv);
int cmd_rules(int argc, char **argv);
int cmd_why(int argc, char **argv);
int cmd_explain(int argc, char **argv);

/**
 * struct cli_option - "--name" sets *is_set, "--name VALUE" (or =VALUE) sets *value
 *
 * One with an empty name is the verb's operand.
 */
struct cli_option {
	const char *name;
	bool *is_set;
	const char **value;
	const char *argument; /* what VALUE is called in the usage */
	const char *help;
};

/**
 * cli_parse() - read a verb's options
 *
 * Prints usage for --help (stdout) and for what is wrong (stderr).
 *
 * Return: -1 to go on, or the exit status.
 */
int cli_parse(int argc, char **argv, const struct cli_option *options, size_t n_options);

/** cli_error() - one line on stderr: the thing, the reason, the next step. Return: @status */
int cli_error(int status, const char *fmt, ...) _printf_(2, 3);

/** cli_is_instance() - is @id a name an instance may have? It becomes a file name. */
bool cli_is_instance(const char *id);

/** cli_is_new_instance() - may a new one be called so? Stricter: it becomes the name of a table */
bool cli_is_new_instance(const char *id);

/** enum cli_colour - used on terminals only, and never with NO_COLOR */
enum cli_colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_BAD, COLOUR_WARN, COLOUR_DIM };

bool cli_has_colour(void);
/** cli_width() - columns of the terminal on stdout; 0: not a terminal, do not cut */
unsigned int cli_width(void);

/**
 * cli_cell() - print @text in @width columns: cut with "…" or padded; 0: as it is
 *
 * Bytes that would drive a terminal (control characters, bidirectional
 * overrides) are shown as "?": names come from other programs.
 */
void cli_cell(const char *text, unsigned int width, enum cli_colour colour);
