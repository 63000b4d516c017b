/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>

#include "kernel/real.h"

#define CROWDS_BYTES (SL_CROWDS * sizeof(struct sl_crowd))
#define ORDERS_BYTES (SL_ORDERS * sizeof(struct sl_order))

static int lookup(struct plane *plane, enum plane_map map, const void *key, void *value)
{
	return bpf_map_lookup_elem(real_of(plane)->maps[map], key, value) < 0 ? -errno : 0;
}

/* BPF adds to it at the same time, and begins anew at 0 now and then */
static void leave_crowd(struct real *real, uint32_t uid)
{
	uint32_t *n = &real->crowds[sl_crowd_of(uid)].n;
	uint32_t before = __atomic_load_n(n, __ATOMIC_RELAXED);

	while (before > 0 && !__atomic_compare_exchange_n(n, &before, before - 1, true,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

int real_find_held(struct plane *plane, const struct sl_tuple *tuple, struct sl_held *ret_held)
{
	struct real *real = real_of(plane);
	int r = lookup(plane, MAP_HELD, tuple, ret_held);

	if (r == 0 && real->crowds && ret_held->dir == SL_DIR_OUT)
		leave_crowd(real, ret_held->sock.user.uid);
	return r;
}

/* one that is not there ends a batch, and is stepped over */
static int forget_all(int fd, const struct sl_tuple *tuples, uint32_t n)
{
	uint32_t n_gone;
	int r;

	for (; n > 0; tuples += n_gone, n -= n_gone) {
		n_gone = n;
		r = bpf_map_delete_batch(fd, tuples, &n_gone, NULL);
		if (r < 0 && r != -ENOENT)
			return r;
		n_gone += r < 0;
	}
	return 0;
}

/* Nobody but sluiced asks for the entry, and BPF may have put a newer one in its place meanwhile */
static bool stays(int fd, const struct sl_tuple *tuple, uint64_t before_ns)
{
	struct sl_held held;

	if (bpf_map_lookup_and_delete_elem(fd, tuple, &held) < 0 || held.since_ns < before_ns)
		return false;
	(void)bpf_map_update_elem(fd, tuple, &held, BPF_NOEXIST);
	return true;
}

int real_forget_held(struct plane *plane, struct sl_tuple *tuples, uint32_t n, uint64_t before_ns,
		     uint32_t *ret_n)
{
	int fd = real_of(plane)->maps[MAP_HELD];
	uint32_t n_tcp = 0, n_kept = 0;
	int r;

	for (uint32_t i = 0; i < n; i++) {
		const struct sl_tuple tuple = tuples[i];

		if (tuple.proto == IPPROTO_TCP) {
			tuples[i] = tuples[n_tcp];
			tuples[n_tcp++] = tuple;
		}
	}
	for (uint32_t i = n_tcp; i < n; i++)
		if (stays(fd, &tuples[i], before_ns))
			tuples[n_tcp + n_kept++] = tuples[i];
	*ret_n = n_kept;
	r = forget_all(fd, tuples, n_tcp);
	memmove(tuples, &tuples[n_tcp], n_kept * sizeof(*tuples));
	return r;
}

int real_find_proc(struct plane *plane, const struct sl_proc_key *key, struct sl_proc *ret_proc)
{
	return lookup(plane, MAP_PROCS, key, ret_proc);
}

int real_find_cgroup(struct plane *plane, uint64_t id, struct sl_path *ret_path)
{
	return lookup(plane, MAP_CGROUPS, &id, ret_path);
}

int real_find_query(struct plane *plane, const struct sl_tuple *tuple, uint64_t *ret_cookie)
{
	struct sl_query query;
	int r = lookup(plane, MAP_RESOLVING, tuple, &query);

	if (r == 0)
		*ret_cookie = query.cookie;
	return r;
}

int real_find_sock(struct plane *plane, uint64_t cookie, struct sl_sock *ret_sock)
{
	return lookup(plane, MAP_SOCKS, &cookie, ret_sock);
}

int real_set_flow(struct plane *plane, const struct sl_flow_key *key, const struct sl_flow *flow)
{
	int fd = real_of(plane)->maps[MAP_FLOWS];

	return bpf_map_update_elem(fd, key, flow, BPF_ANY) < 0 ? -errno : 0;
}

int real_get_flow(struct plane *plane, const struct sl_flow_key *key, struct sl_flow *ret_flow)
{
	return lookup(plane, MAP_FLOWS, key, ret_flow);
}

int real_forget_flow(struct plane *plane, const struct sl_flow_key *key)
{
	return bpf_map_delete_elem(real_of(plane)->maps[MAP_FLOWS], key) < 0 ? -errno : 0;
}

int real_next_flow(struct plane *plane, struct sl_flow_key *key, struct sl_flow *ret_flow)
{
	static const struct sl_flow_key none;
	const struct sl_flow_key *from = memcmp(key, &none, sizeof(none)) ? key : NULL;
	int fd = real_of(plane)->maps[MAP_FLOWS];
	struct sl_flow_key next;

	while (bpf_map_get_next_key(fd, from, &next) == 0) {
		*key = next;
		from = key;
		if (lookup(plane, MAP_FLOWS, key, ret_flow) == 0)
			return 0;
	}
	return -ENOENT;
}

/* what a program in the kernel writes into the record meanwhile may be lost: this is done only
 * where sockets cannot be destroyed */
int real_hold_again(struct plane *plane, uint64_t cookie)
{
	int fd = real_of(plane)->maps[MAP_SOCKS];
	struct sl_sock sock;
	int r = lookup(plane, MAP_SOCKS, &cookie, &sock);

	if (r < 0)
		return r;
	sock.flags &= ~(uint32_t)SL_SOCK_ALLOWED;
	return bpf_map_update_elem(fd, &cookie, &sock, BPF_EXIST) < 0 ? -errno : 0;
}

int real_set_memory(struct plane *plane, const struct sl_memory_key *key,
		    const struct sl_memory *memory)
{
	int fd = real_of(plane)->maps[MAP_MEMORY];

	return bpf_map_update_elem(fd, key, memory, BPF_ANY) < 0 ? -errno : 0;
}

int real_get_memory(struct plane *plane, const struct sl_memory_key *key,
		    struct sl_memory *ret_memory)
{
	return lookup(plane, MAP_MEMORY, key, ret_memory);
}

int real_forget_memory(struct plane *plane, const struct sl_memory_key *key)
{
	return bpf_map_delete_elem(real_of(plane)->maps[MAP_MEMORY], key) < 0 ? -errno : 0;
}

/* before the first of them, which a connection that is made next has to meet */
static int tell_peeks(struct real *real)
{
	int fd = real->maps[MAP_CONFIG];
	struct sl_config config;
	uint32_t zero = 0;

	if (real->has_peeks)
		return 0;
	if (bpf_map_lookup_elem(fd, &zero, &config) < 0)
		return -errno;
	config.has_peeks = 1;
	if (bpf_map_update_elem(fd, &zero, &config, BPF_ANY) < 0)
		return -errno;
	real->has_peeks = true;
	return 0;
}

int real_set_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie)
{
	int fd = real_of(plane)->maps[MAP_PEEKS], r = tell_peeks(real_of(plane));
	struct sl_peek fresh = { .cookie = cookie }, known;

	if (r < 0)
		return r;
	if (bpf_map_update_elem(fd, tuple, &fresh, BPF_NOEXIST) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (bpf_map_lookup_elem(fd, tuple, &known) == 0 && known.cookie == cookie)
		return 0;
	return bpf_map_update_elem(fd, tuple, &fresh, BPF_ANY) < 0 ? -errno : 0;
}

int real_find_peek(struct plane *plane, const struct sl_tuple *tuple, struct sl_peek *ret_peek)
{
	return lookup(plane, MAP_PEEKS, tuple, ret_peek);
}

int real_forget_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie)
{
	struct sl_peek known;
	int r = lookup(plane, MAP_PEEKS, tuple, &known);

	if (r < 0 || known.cookie != cookie)
		return r;
	return bpf_map_delete_elem(real_of(plane)->maps[MAP_PEEKS], tuple) < 0 ? -errno : 0;
}

int real_generation(struct plane *plane, uint32_t *ret_generation)
{
	struct sl_config config;
	uint32_t zero = 0;
	int r = lookup(plane, MAP_CONFIG, &zero, &config);

	if (r == 0)
		*ret_generation = config.generation;
	return r;
}

int real_secret(struct plane *plane, uint64_t ret_secret[2])
{
	struct sl_config config;
	uint32_t zero = 0;
	int r = lookup(plane, MAP_CONFIG, &zero, &config);

	if (r == 0)
		memcpy(ret_secret, config.secret, sizeof(config.secret));
	return r;
}

int real_renew(struct plane *plane, uint32_t generation)
{
	int fd = real_of(plane)->maps[MAP_CONFIG];
	struct sl_config config;
	uint32_t zero = 0;
	int r = lookup(plane, MAP_CONFIG, &zero, &config);

	if (r < 0)
		return r;
	config.generation = generation;
	return bpf_map_update_elem(fd, &zero, &config, BPF_ANY) < 0 ? -errno : 0;
}

/* Return: NULL: it cannot be */
static void *map_shared(const struct real *real, enum plane_map map, size_t n)
{
	void *at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, real->maps[map], 0);

	return at == MAP_FAILED ? NULL : at;
}

/* what a predecessor had not read is queued again, and counted again */
void real_map_counts(struct real *real)
{
	real->crowds = map_shared(real, MAP_CROWDS, CROWDS_BYTES);
	if (real->crowds)
		memset(real->crowds, 0, CROWDS_BYTES);
	real->plane.orders = map_shared(real, MAP_ORDER, ORDERS_BYTES);
}

void real_unmap_counts(struct real *real)
{
	if (real->crowds)
		munmap(real->crowds, CROWDS_BYTES);
	if (real->plane.orders)
		munmap(real->plane.orders, ORDERS_BYTES);
}
