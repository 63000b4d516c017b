/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluice panic
 *
 * Removes an instance with nobody's help: it reads the notes the keeper left
 * (/run/sluice/ID/instance) and takes away, in this order, the processes that
 * could put things back, the rules and BPF programs, the cgroups, the folders.
 * Only what carries the instance's name is touched, and everything that was
 * removed is said. The governed cgroup stays while it has processes.
 */

#include <dirent.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <string.h>

#include "cli/client.h"
#include "cli/panic.h"

#define INSTANCES_MAX 64U

struct action {
	const char *kind;
	void (*run)(struct panic_notes *notes, struct panic_report *report);
};

/* the order matters: see DOC */
static const struct action actions[] = {
	{ "process", panic_processes }, { "table", panic_table },   { "pins", panic_pins },
	{ "cgroup", panic_cgroups },	{ "folder", panic_folder },
};

void panic_note(struct panic_report *report, const char *kind, const char *name, int error)
{
	struct json_object *entry = json_object_new_object();

	json_object_object_add(entry, "kind", json_object_new_string(kind));
	json_object_object_add(entry, "name", json_object_new_string(name));
	if (error)
		json_object_object_add(entry, "reason", json_object_new_string(strerror(-error)));
	json_object_array_add(error ? report->left : report->removed, entry);
}

static void print_list(const char *title, struct json_object *list)
{
	size_t n = json_object_array_length(list);

	for (size_t i = 0; i < n; i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		struct json_object *reason = json_object_object_get(entry, "reason");

		printf("  %-8s %-8s ", title,
		       json_object_get_string(json_object_object_get(entry, "kind")));
		cli_cell(json_object_get_string(json_object_object_get(entry, "name")), 0,
			 COLOUR_NONE);
		printf(reason ? ": %s\n" : "\n", reason ? json_object_get_string(reason) : "");
	}
}

static void print_report(const char *instance, const struct panic_report *report, bool is_json)
{
	_cleanup_json_ struct json_object *json = json_object_new_object();

	if (!is_json) {
		printf("instance %s: %zu things removed, %zu left\n", instance,
		       json_object_array_length(report->removed),
		       json_object_array_length(report->left));
		print_list("removed", report->removed);
		print_list("left", report->left);
		return;
	}
	json_object_object_add(json, "instance", json_object_new_string(instance));
	json_object_object_add(json, "removed", json_object_get(report->removed));
	json_object_object_add(json, "left", json_object_get(report->left));
	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN |
							  JSON_C_TO_STRING_NOSLASHESCAPE));
}

static int panic_instance(const char *instance, bool is_json)
{
	struct panic_report report = { json_object_new_array(), json_object_new_array() };
	struct panic_notes notes;
	bool is_clean;

	panic_notes_read(SLUICE_RUN_FOLDER, instance, &notes);
	if (notes.error)
		panic_note(&report, "notes", notes.folder, notes.error);
	/* the folder last, and only when all went: it holds the notes for the next attempt */
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (actions[i].run != panic_folder || json_object_array_length(report.left) == 0)
			actions[i].run(&notes, &report);
	print_report(instance, &report, is_json);
	is_clean = json_object_array_length(report.left) == 0;
	json_object_put(report.removed);
	json_object_put(report.left);
	panic_notes_close(&notes);
	return is_clean ? CLI_YES : CLI_NO;
}

/* every folder counts, also one whose daemon is dead and has no socket any more */
static unsigned int list_instances(const char *folder, char (*names)[32])
{
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir = opendir(folder);

	while (dir && n < INSTANCES_MAX && (entry = readdir(dir)))
		if (entry->d_type == DT_DIR && cli_is_instance(entry->d_name))
			snprintf(names[n++], sizeof(names[0]), "%.31s", entry->d_name);
	if (dir)
		closedir(dir);
	return n;
}

static int choose(const char *instance, bool is_all, char (*names)[32], unsigned int *ret_n)
{
	unsigned int n = list_instances(SLUICE_RUN_FOLDER, names);

	if (instance) {
		/* without a folder there may still be a table: try what the name leads to */
		snprintf(names[0], sizeof(names[0]), "%s", instance);
		n = 1;
	} else if (n == 0 && !is_all) {
		return cli_error(CLI_NOT_FOUND, "no instance is there: nothing to remove");
	} else if (n > 1 && !is_all) {
		return cli_error(CLI_NOT_FOUND,
				 "%u instances are there: choose one with --instance ID, or --all",
				 n);
	}
	*ret_n = n;
	return 0;
}

int cmd_panic(int argc, char **argv)
{
	bool is_json = false, is_all = false;
	const char *instance = NULL;
	const struct cli_option options[] = {
		{ "instance", NULL, &instance, "ID", "which instance" },
		{ "all", &is_all, NULL, NULL, "every instance of this machine" },
		{ "json", &is_json, NULL, NULL, "one JSON object per instance" },
	};
	char names[INSTANCES_MAX][32];
	unsigned int n = 0;
	int r, status = CLI_YES;

	r = cli_parse(argc, argv, options, ARRAY_SIZE(options));
	if (r >= 0)
		return r;
	if (instance && is_all)
		return cli_error(CLI_USAGE, "panic: --instance and --all exclude each other");
	if (geteuid() != 0)
		return cli_error(CLI_NOT_PERMITTED, "panic needs root: use sudo");
	r = choose(instance, is_all, names, &n);
	if (r)
		return r;
	for (unsigned int i = 0; i < n; i++) {
		r = panic_instance(names[i], is_json);
		status = MAX(status, r);
	}
	return status;
}
