/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "base/macros.h"
#include "base/sandbox.h"
#include "keeper-lab.h"
#include "wire/channel.h"
#include "wire/keeper-records.h"

#define CHANNEL_FD 3
#define BASE_FOLDER "/run/sluice" /* the machine's own */

struct keeper_lab *keeper_lab;

static const uint32_t slots[] = { 0, 1, KEEPER_CANARY_SLOT }; /* of SPAWN: one of each kind */
static const char *const programs[] = { "sluiced", "sluice-names", "sluice-canary", "filter" };
static char folder[] = "/tmp/sluice-keeper-XXXXXX";

void keeper_lab_path(char *path, size_t n, const char *name)
{
	snprintf(path, n, "%s/%s", folder, name);
}

void keeper_lab_make(const char *name)
{
	char path[64];
	int fd;

	keeper_lab_path(path, sizeof(path), name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	assert_true(fd >= 0);
	close_fd(fd);
}

int keeper_lab_open(void)
{
	void *shared = mmap(NULL, sizeof(*keeper_lab), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED || !mkdtemp(folder))
		return -1;
	keeper_lab = shared;
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		keeper_lab_make(programs[i]);
	return 0;
}

void keeper_lab_close(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		char path[64];

		keeper_lab_path(path, sizeof(path), programs[i]);
		(void)unlink(path);
	}
	(void)rmdir(folder);
}

/* ---- what needs root, or is the machine's ---- */

int __wrap_files_sibling(const char *name, char *path, size_t n);
int __wrap_files_sibling(const char *name, char *path, size_t n)
{
	keeper_lab_path(path, n, name);
	return 0;
}

int __wrap_sandbox_become(uid_t uid, gid_t gid, const cap_value_t *ambient, int n);
int __wrap_sandbox_become(uid_t uid, gid_t gid, const cap_value_t *ambient, int n)
{
	return alloc_is_refused() ? -ENOMEM : 0;
}

int __wrap_cgroup2_enter(const char *path);
int __wrap_cgroup2_enter(const char *path)
{
	return access(path, F_OK) < 0 ? -errno : 0;
}

int __wrap_unshare(int flags);
int __wrap_unshare(int flags)
{
	return 0;
}

int __wrap_setns(int fd, int kind);
int __wrap_setns(int fd, int kind)
{
	return 0;
}

int __wrap_umount2(const char *path, int flags);
int __wrap_umount2(const char *path, int flags)
{
	errno = access(path, F_OK) < 0 ? errno : EINVAL;
	return -1;
}

int __real_rmdir(const char *path);
int __wrap_rmdir(const char *path);
int __wrap_rmdir(const char *path)
{
	return strcmp(path, BASE_FOLDER) == 0 ? -1 : __real_rmdir(path);
}

/* ---- sluiced and the other children: the keeper executes them, and they are here ---- */

_Noreturn static void be_other(void)
{
	struct pollfd end = { .fd = CHANNEL_FD };

	__atomic_add_fetch(&keeper_lab->n_up[keeper_lab->n_daemons > 1], 1, __ATOMIC_RELAXED);
	while (!end.revents)
		(void)poll(&end, 1, -1);
	_exit(0);
}

static void ask(uint16_t type, const void *body, int fd)
{
	if (channel_send(CHANNEL_FD, &wire_keeper_channel, type, body, NULL, 0, fd) < 0)
		_exit(1);
}

static void ask_for(uint32_t slot)
{
	ask(WIRE_K_SPAWN, &(struct wire_k_spawn){ .slot = slot }, -1);
}

/* Return: a record that is no answer is there; 0: none came for a while */
static uint16_t hear(struct wire_message *message)
{
	static uint8_t buffer[WIRE_RECORD_MAX];
	struct pollfd in = { .fd = CHANNEL_FD, .events = POLLIN };
	int fd = -1, r;

	if (poll(&in, 1, 10) <= 0)
		return 0;
	r = channel_recv(CHANNEL_FD, &wire_keeper_channel, WIRE_FROM_ANY, buffer, message, NULL,
			 &fd);
	if (r)
		_exit(1);
	if (message->record->type != WIRE_K_CHILD) /* whose channel stays open */
		close_fd(fd);
	return message->record->type;
}

/* what it is told: the description as it was given, and what its predecessor had kept */
static void hear_all(void)
{
	static const uint16_t description[] = { WIRE_K_INSTANCE, WIRE_K_FILTER, WIRE_K_OPTION,
						WIRE_K_COMMIT };
	struct wire_message message;
	unsigned int n = 0, n_kept = 0;
	uint32_t generation;

	for (;;) {
		uint16_t type = hear(&message);

		if (type == WIRE_K_GO)
			break;
		n_kept += type == WIRE_K_KEPT;
		if (type && type != WIRE_K_KEPT && type != description[n++])
			_exit(1);
	}
	generation = WIRE_BODY(&message, struct wire_k_go)->generation;
	if (n != ARRAY_SIZE(description) || (n_kept == 0 && generation > 0))
		_exit(1);
}

static void on_child(const struct wire_k_child *child, uint32_t *pids)
{
	pids[child->slot] = child->pid;
	if (child->error)
		ask_for(child->slot);
}

/* those of a predecessor are nothing to it */
static void on_exited(const struct wire_k_exited *exited, const uint32_t *pids)
{
	if (pids[exited->slot] == exited->pid)
		ask_for(exited->slot);
}

/* nobody has this pid, and no descriptor of the keeper's is closed for it */
static void on_entered(const struct wire_k_entered *entered)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/0", getppid());
	if (!entered->error || lstat(path, &st) < 0)
		_exit(1);
}

_Noreturn static void be_daemon(void)
{
	bool is_first = __atomic_add_fetch(&keeper_lab->n_daemons, 1, __ATOMIC_RELAXED) == 1;
	uint32_t pids[KEEPER_CANARY_SLOT + 1] = { 0 };
	struct wire_message message;
	uint16_t type = 0;

	hear_all();
	ask(WIRE_K_KEEP, &(struct wire_k_keep){ .slot = 0 }, CHANNEL_FD);
	ask(WIRE_K_STATE, &(struct wire_k_state){ 0 }, -1);
	ask(WIRE_K_ENTER, &(struct wire_k_enter){ .pid = INT32_MAX }, -1);
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++)
		ask_for(slots[i]);
	while (type != WIRE_K_STOP) {
		ask(WIRE_K_BEAT, &(struct wire_k_beat){ 0 }, -1);
		if (keeper_lab->n_up[!is_first] >= ARRAY_SIZE(slots)) {
			if (is_first)
				_exit(1);
			keeper_lab->has_taken_over = true;
		}
		type = hear(&message);
		if (type == WIRE_K_CHILD)
			on_child(WIRE_BODY(&message, struct wire_k_child), pids);
		else if (type == WIRE_K_EXITED)
			on_exited(WIRE_BODY(&message, struct wire_k_exited), pids);
		else if (type == WIRE_K_ENTERED)
			on_entered(WIRE_BODY(&message, struct wire_k_entered));
	}
	_exit(0);
}

int __wrap_execve(const char *path, char *const *argv, char *const *environment);
int __wrap_execve(const char *path, char *const *argv, char *const *environment)
{
	alloc_leave();
	if (strcmp(strrchr(path, '/'), "/sluiced") == 0)
		be_daemon();
	be_other();
}
