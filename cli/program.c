/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/run.h"
#include "cli/why.h"

#define KERNEL_MINOR_BITS 20 /* of the dev_t inside the kernel */

static int fail_pid(struct client_error *error, pid_t pid, int code)
{
	if (code == EACCES || code == EPERM)
		return client_fail(error, CLI_NOT_PERMITTED,
				   "not permitted to look at process %d: be root", (int)pid);
	if (code != ENOENT && code != ESRCH)
		return client_fail(error, CLI_NO, "cannot look at process %d: %s", (int)pid,
				   strerror(code));
	return client_fail(error, CLI_NOT_FOUND,
			   "no process %d: `sluice flows` shows processes, `--exe PATH` needs none",
			   (int)pid);
}

/* Return: bytes read, or a negative errno; @text ends in NUL */
static ssize_t read_proc(pid_t pid, const char *name, char *text, size_t n)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, text, n - 1);
	if (got < 0)
		return -errno;
	text[got] = '\0';
	return got;
}

static void take_file(struct program *program, const struct stat *st)
{
	program->exe_inode = st->st_ino;
	program->exe_ctime_ns =
		(uint64_t)st->st_ctim.tv_sec * 1000000000U + (uint64_t)st->st_ctim.tv_nsec;
	program->exe_device = major(st->st_dev) << KERNEL_MINOR_BITS | minor(st->st_dev);
}

static int read_exe(struct program *program)
{
	static const char deleted[] = " (deleted)";
	char path[64];
	struct stat st;
	size_t n_end = sizeof(deleted) - 1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)program->pid);
	n = readlink(path, program->exe, sizeof(program->exe) - 1);
	if (n < 0 || stat(path, &st) < 0)
		return -errno;
	program->exe[n] = '\0';
	if (st.st_nlink == 0 && (size_t)n > n_end && !strcmp(program->exe + n - n_end, deleted))
		program->exe[(size_t)n - n_end] = '\0';
	take_file(program, &st);
	return 0;
}

/* as the kernel side keeps it: the first bytes, joined by spaces */
static int read_command(struct program *program)
{
	ssize_t n = read_proc(program->pid, "cmdline", program->command, sizeof(program->command));

	if (n < 0)
		return (int)n;
	while (n > 0 && program->command[n - 1] == '\0')
		n--;
	for (ssize_t i = 0; i < n; i++)
		if (program->command[i] == '\0')
			program->command[i] = ' ';
	return 0;
}

static int read_ids(struct program *program)
{
	char text[4096], *at;
	ssize_t n = read_proc(program->pid, "status", text, sizeof(text));

	if (n < 0)
		return (int)n;
	at = strstr(text, "\nUid:\t");
	if (!at || sscanf(at, "\nUid:\t%u", &program->uid) != 1)
		return -EBADMSG;
	at = strstr(text, "\nGid:\t");
	return at && sscanf(at, "\nGid:\t%u", &program->gid) == 1 ? 0 : -EBADMSG;
}

static bool is_below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* @folder: full path of a cgroup's directory */
static int take_cgroup(struct program *program, const char *folder, const char *governed)
{
	char mount[256];
	struct stat st;
	int r = run_cgroup_root(mount, sizeof(mount));

	if (r < 0 || stat(folder, &st) < 0)
		return r < 0 ? r : -errno;
	program->cgroup_id = st.st_ino;
	program->is_governed = is_below(folder, governed);
	snprintf(program->cgroup, sizeof(program->cgroup), "%s",
		 is_below(folder, mount) && folder[strlen(mount)] ? folder + strlen(mount) : "/");
	return 0;
}

static int read_cgroup(struct program *program, const char *governed)
{
	char text[4096], folder[1024], mount[256], *at;
	ssize_t n = read_proc(program->pid, "cgroup", text, sizeof(text));
	int r = n < 0 ? (int)n : run_cgroup_root(mount, sizeof(mount));

	if (r < 0)
		return r;
	at = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!at)
		return -ENOENT;
	at = strchr(at, '/');
	if (!at)
		return -EBADMSG;
	at[strcspn(at, "\n")] = '\0';
	snprintf(folder, sizeof(folder), "%s%s", mount, strcmp(at, "/") ? at : "");
	return take_cgroup(program, folder, governed);
}

static int read_netns(struct program *program)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)program->pid);
	if (stat(path, &st) < 0)
		return -errno;
	program->netns = (uint32_t)st.st_ino;
	return 0;
}

int program_of_pid(pid_t pid, const char *governed, struct program *ret_program,
		   struct client_error *error)
{
	struct program program = { .pid = pid };
	int r = read_exe(&program);

	if (r == 0)
		r = read_command(&program);
	if (r == 0)
		r = read_ids(&program);
	if (r == 0)
		r = read_cgroup(&program, governed);
	if (r == 0)
		r = read_netns(&program);
	if (r < 0)
		return fail_pid(error, pid, -r);
	*ret_program = program;
	return 0;
}

int program_of_exe(const char *path, uid_t uid, const char *governed, struct program *ret_program,
		   struct client_error *error)
{
	struct program program = { .uid = uid, .gid = uid };
	_cleanup_free_ char *real = realpath(path, NULL);
	struct stat st;
	int r;

	if (!real || stat(real, &st) < 0)
		return client_fail(error, CLI_NOT_FOUND,
				   "cannot look at %s (%s): give the full path", path,
				   strerror(errno));
	if (!S_ISREG(st.st_mode))
		return client_fail(error, CLI_USAGE, "%s is not an executable file", path);
	snprintf(program.exe, sizeof(program.exe), "%s", real);
	snprintf(program.command, sizeof(program.command), "%s", real);
	take_file(&program, &st);
	r = take_cgroup(&program, governed, governed);
	if (r < 0)
		return client_fail(error, CLI_NOT_FOUND,
				   "cannot look at the governed cgroup %s: %s", governed,
				   strerror(-r));
	*ret_program = program;
	return 0;
}

/* nftw(3) hands nothing on to its callback */
static struct {
	const char *unit;
	char folder[1024];
} search;

static int on_folder(const char *path, const struct stat *st, int type, struct FTW *place)
{
	if (type != FTW_D || strcmp(path + place->base, search.unit) != 0)
		return 0;
	snprintf(search.folder, sizeof(search.folder), "%s", path);
	return 1;
}

static int first_process(const char *folder, pid_t *ret_pid)
{
	char path[1100];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	if (fscanf(file, "%d", &pid) != 1)
		pid = 0;
	(void)fclose(file);
	*ret_pid = pid;
	return pid > 0 ? 0 : -ENOENT;
}

int program_of_unit(const char *unit, const char *governed, struct program *ret_program,
		    struct client_error *error)
{
	char mount[256];
	pid_t pid = 0;
	int r = run_cgroup_root(mount, sizeof(mount));

	search.unit = unit;
	search.folder[0] = '\0';
	/* the unit of that name which is governed, if there is one */
	if (r == 0 && nftw(governed, on_folder, 16, FTW_PHYS) != 1 &&
	    nftw(mount, on_folder, 16, FTW_PHYS) < 0)
		r = -errno;
	if (r < 0)
		return client_fail(error, CLI_NOT_FOUND, "cannot look for unit %s: %s", unit,
				   strerror(-r));
	if (!search.folder[0])
		return client_fail(
			error, CLI_NOT_FOUND,
			"no unit %s runs: `systemctl list-units` shows them with their suffix",
			unit);
	if (first_process(search.folder, &pid) < 0)
		return client_fail(error, CLI_NOT_FOUND,
				   "unit %s has no process of its own: choose one with --pid",
				   unit);
	return program_of_pid(pid, governed, ret_program, error);
}

struct json_object *program_json(const struct program *program)
{
	struct json_object *json = cli_json_new();

	cli_json_add(json, "pid", json_object_new_int(program->pid));
	cli_json_add(json, "exe", json_object_new_string(program->exe));
	cli_json_add(json, "command", json_object_new_string(program->command));
	cli_json_add(json, "cgroup", json_object_new_string(program->cgroup));
	cli_json_add(json, "exe_device", json_object_new_int64(program->exe_device));
	cli_json_add(json, "exe_inode", json_object_new_uint64(program->exe_inode));
	cli_json_add(json, "exe_ctime_ns", json_object_new_uint64(program->exe_ctime_ns));
	cli_json_add(json, "cgroup_id", json_object_new_uint64(program->cgroup_id));
	cli_json_add(json, "uid", json_object_new_int64(program->uid));
	cli_json_add(json, "gid", json_object_new_int64(program->gid));
	if (program->netns)
		cli_json_add(json, "netns", json_object_new_int64(program->netns));
	cli_json_add(json, "governed", json_object_new_boolean(program->is_governed));
	return json;
}
