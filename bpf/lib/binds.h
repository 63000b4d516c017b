/* SPDX-License-Identifier: BSD-2-Clause OR LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What governed sockets are bound to
 *
 * sl_binds leads from an address and port to the newest socket that has them
 * and counts them all, because SO_REUSEPORT lets several have the same. The
 * socket's own record says which entry to give back.
 */

#include "bpf/lib/maps.h"

/* the entry that the socket's record names, and its key */
static __always_inline struct sl_bind *bind_find(const struct sl_sock *sock,
						 struct sl_bind_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->netns = sock->netns;
	__builtin_memcpy(key->addr, sock->bound_addr, 16);
	key->port = sock->bound_port;
	key->proto = sock->bound_proto;
	return bpf_map_lookup_elem(&sl_binds, key);
}

static __always_inline void bind_remove(struct sl_sock *sock)
{
	struct sl_bind_key key;
	struct sl_bind *bind = bind_find(sock, &key);

	sock->bound_port = 0;
	if (bind && __sync_fetch_and_add(&bind->refs, -1) <= 1)
		bpf_map_delete_elem(&sl_binds, &key);
}

static __always_inline void bind_add(struct sl_sock *sock, const struct sl_bind_key *key,
				     __u64 cookie)
{
	struct sl_bind fresh = { .cookie = cookie }, *bind;

	if (sock->bound_port) /* it was bound to something else before */
		bind_remove(sock);
	bpf_map_update_elem(&sl_binds, key, &fresh, BPF_NOEXIST);
	bind = bpf_map_lookup_elem(&sl_binds, key);
	if (!bind)
		return;
	bind->cookie = cookie;
	__sync_fetch_and_add(&bind->refs, 1);
	sock->bound_port = key->port;
	sock->bound_proto = key->proto;
	__builtin_memcpy(sock->bound_addr, key->addr, 16);
}
