/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "daemon/daemon.h"
#include "policy/cgroup.h"

#define LINKS_FRESH_US 2000000U /* interfaces may be renamed */

/* a packed path holds its components leaf first */
static char *unpack_path(const struct sl_path *path)
{
	const char *components[SL_PATH_DEPTH + 1];
	size_t n = 0, at = 0, len = MIN(path->len, sizeof(path->buf));
	char *text = malloc(len + 8), *end = text;

	if (!text)
		return NULL;
	while (at < len && n < SL_PATH_DEPTH) {
		components[n++] = path->buf + at;
		at += strnlen(path->buf + at, len - at) + 1;
	}
	if (path->is_cut) {
		memcpy(end, "...", 3);
		end += 3;
	}
	while (n--) {
		size_t bytes = strnlen(components[n], SL_NAME_BYTES);

		*end++ = '/';
		memcpy(end, components[n], bytes);
		end += bytes;
	}
	if (end == text)
		*end++ = '/';
	*end = '\0';
	return text;
}

/* the other way round. Return: 0, or -E2BIG: the kernel would cut it */
static int pack_path(const char *text, struct sl_path *ret_path)
{
	const char *end = text + strlen(text);
	struct sl_path path = { 0 };

	for (unsigned int i = 0; end > text; i++) {
		const char *name = end;
		size_t n;

		while (name > text && name[-1] != '/')
			name--;
		n = (size_t)(end - name);
		if (i == SL_PATH_DEPTH || n >= SL_NAME_BYTES || path.len >= SL_PATH_BYTES)
			return -E2BIG;
		memcpy(path.buf + path.len, name, n);
		path.len = (uint16_t)(path.len + n + 1);
		end = name > text ? name - 1 : text;
	}
	*ret_path = path;
	return 0;
}

uint64_t identity_digest(struct daemon *daemon, const char *exe)
{
	struct sl_digest digest;
	struct sl_path path;
	uint64_t secret[2];

	if (exe[0] != '/' || pack_path(exe, &path) < 0 || plane_secret(daemon->plane, secret) < 0)
		return 0;
	digest = sl_digest_begin(&path, (const __u64[]){ secret[0], secret[1] });
	for (uint32_t i = 0; i < SL_DIGEST_WORDS; i++)
		(void)sl_digest_word(i, &digest);
	return sl_digest_end(&digest);
}

const char *identity_exe(const struct identity *identity)
{
	return identity->exe && identity->exe[0] && !identity->is_exe_cut ? identity->exe : NULL;
}

static char *join_args(const struct sl_proc *proc)
{
	size_t n = MIN(proc->args_len, sizeof(proc->args));
	char *text = malloc(n + 1);

	if (!text)
		return NULL;
	memcpy(text, proc->args, n);
	while (n && text[n - 1] == '\0')
		n--;
	text[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	return text;
}

static void fill(struct daemon *daemon, struct identity *identity)
{
	struct sl_path path;
	struct sl_proc proc;
	struct cgroup_names names = { 0 };

	if (plane_find_proc(daemon->plane, &identity->who, &proc) == 0) {
		identity->exe = unpack_path(&proc.exe);
		identity->command = join_args(&proc);
		identity->is_exe_cut = proc.exe.is_cut;
		identity->has_path = proc.exe_path && proc.exe_path == identity->who.exe_path;
		identity->is_cut = proc.exe.is_cut || proc.args_len == SL_ARGS_BYTES;
	}
	if (plane_find_cgroup(daemon->plane, identity->who.cgroup_id, &path) == 0) {
		identity->cgroup = unpack_path(&path);
		if (identity->cgroup)
			cgroup_read_path(identity->cgroup, &names);
	}
	identity->unit = strdup(names.unit);
	identity->container = strdup(names.container);
}

static struct identity **bucket_of(struct daemon *daemon, const struct sl_who *who)
{
	uint64_t image = who->start_ns ^ (uint64_t)who->pid << 20 ^ who->exe_ino;

	return &daemon->identities[hash_mix(daemon->seed, image) % ARRAY_SIZE(daemon->identities)];
}

static void join_idle(struct daemon *daemon, struct identity *identity)
{
	identity->idle_older = daemon->idle_newest;
	identity->idle_newer = NULL;
	if (daemon->idle_newest)
		daemon->idle_newest->idle_newer = identity;
	else
		daemon->idle_oldest = identity;
	daemon->idle_newest = identity;
	daemon->n_idle++;
}

static void leave_idle(struct daemon *daemon, struct identity *identity)
{
	if (identity->idle_older)
		identity->idle_older->idle_newer = identity->idle_newer;
	else
		daemon->idle_oldest = identity->idle_newer;
	if (identity->idle_newer)
		identity->idle_newer->idle_older = identity->idle_older;
	else
		daemon->idle_newest = identity->idle_older;
	daemon->n_idle--;
}

struct identity *identity_get(struct daemon *daemon, const struct sl_who *who)
{
	struct identity **bucket = bucket_of(daemon, who), *identity;

	for (identity = *bucket; identity; identity = identity->next)
		if (!memcmp(&identity->who, who, sizeof(*who)))
			break;
	if (identity && !identity->n_users)
		leave_idle(daemon, identity);
	if (!identity) {
		identity = calloc(1, sizeof(*identity));
		if (!identity)
			return NULL;
		identity->who = *who;
		fill(daemon, identity);
		identity->next = *bucket;
		*bucket = identity;
	}
	identity->n_users++;
	return identity;
}

static void forget(struct daemon *daemon, struct identity *identity)
{
	struct identity **at;

	for (at = bucket_of(daemon, &identity->who); *at != identity; at = &(*at)->next)
		;
	*at = identity->next;
	free(identity->exe);
	free(identity->command);
	free(identity->cgroup);
	free(identity->unit);
	free(identity->container);
	free(identity);
}

void identity_put(struct daemon *daemon, struct identity *identity)
{
	struct identity *oldest;

	if (!identity || --identity->n_users)
		return;
	join_idle(daemon, identity);
	if (daemon->n_idle <= IDENTITIES_IDLE_MAX)
		return;
	oldest = daemon->idle_oldest;
	leave_idle(daemon, oldest);
	forget(daemon, oldest);
}

void identity_put_of(struct identity *identity, void *data)
{
	identity_put(data, identity);
}

void identity_forget_all(struct daemon *daemon)
{
	struct identity *identity;

	while ((identity = daemon->idle_oldest)) {
		leave_idle(daemon, identity);
		forget(daemon, identity);
	}
}

const struct link *identity_link(struct daemon *daemon, uint64_t netns, uint32_t ifindex)
{
	static const struct link unknown = { .kind = LINK_OTHER };
	uint64_t now = daemon_now_us();
	struct known_link *fresh;

	if (now - daemon->links_read_us > LINKS_FRESH_US) {
		daemon->n_links = 0;
		daemon->links_read_us = now;
	}
	for (unsigned int i = 0; i < daemon->n_links; i++)
		if (daemon->links[i].link.ifindex == ifindex && daemon->links[i].netns == netns)
			return &daemon->links[i].link;
	if (daemon->n_links == LINKS_MAX) /* whoever makes many hides nobody else's */
		daemon->n_links = 0;
	fresh = &daemon->links[daemon->n_links];
	if (!ifindex || plane_read_link(daemon->plane, netns, ifindex, &fresh->link) < 0)
		return &unknown;
	fresh->netns = netns;
	daemon->n_links++;
	return &fresh->link;
}
