/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The parts of `sluice panic`
 *
 *	panic.c          arguments, the order of things, the report
 *	panic-actions.c  one function per kind of thing
 */

#include <stdbool.h>
#include <sys/types.h>

#include <json-c/json.h>

#include "cli/networks.h"
#include "cli/notes.h"

/** struct panic_notes - what was written down, or what our habits say if that is lost */
struct panic_notes {
	char id[32];
	char folder[256];
	struct instance_notes file;
	struct networks networks; /* of this machine */
	int error; /* why the notes that are there cannot be read; 0: they can, or there are none */
};

/** struct panic_report - arrays of {kind, name, reason} */
struct panic_report {
	struct json_object *removed;
	struct json_object *left;
};

void panic_notes_read(const char *base, const char *instance, struct panic_notes *ret_notes);
void panic_notes_close(struct panic_notes *notes);

/** panic_note() - @error: 0 it is gone, a negative errno: why it stays */
void panic_note(struct panic_report *report, const char *kind, const char *name, int error);

void panic_processes(struct panic_notes *notes, struct panic_report *report);
void panic_table(struct panic_notes *notes, struct panic_report *report);
void panic_pins(struct panic_notes *notes, struct panic_report *report);
void panic_cgroups(struct panic_notes *notes, struct panic_report *report);
void panic_folder(struct panic_notes *notes, struct panic_report *report);
