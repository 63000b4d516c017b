/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The notes of an instance
 *
 * /run/sluice/ID/instance says what belongs to the instance, for when nobody
 * is left to ask. The front end that starts an instance writes it; `sluice
 * panic` and the next front end of that name read it.
 */

#include <stdbool.h>
#include <sys/types.h>

struct instance_notes {
	char cgroup[512];
	char providers_cgroup[544];
	char bpffs[256];
	char table[64];
	bool is_bpffs_mounted; /* a bpffs of our own, on that folder */
	bool is_kept;	       /* the cgroup was there before, and is not ours to remove */
	pid_t keeper_pid;
};

/** notes_read() - @notes: in/out: what is not written down stays. Return: 0 or -errno */
int notes_read(const char *folder, struct instance_notes *notes);

/**
 * notes_mark_panic() - `sluice panic` removes the instance; before it kills anybody
 *
 * Who waits for the keeper learns by it that this end was wanted. Best effort.
 */
void notes_mark_panic(const char *folder);
/** notes_has_panicked() - is the mark there, or all that was with it gone? */
bool notes_has_panicked(const char *folder);
/** notes_forget_panic() - what it left behind is taken over */
void notes_forget_panic(const char *folder);

/** notes_remove() - before the mark goes with the folder. Best effort */
void notes_remove(const char *folder);

/** notes_write() - whole or not at all. Return: 0 or -errno */
int notes_write(const char *folder, const char *id, const struct instance_notes *notes);
