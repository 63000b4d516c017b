/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: A plane of another build
 *
 * After an upgrade by kill -9 the pinned programs are the predecessor's. The
 * map `stamp` says which ones: if they are not ours, ours are loaded over the
 * same maps, and each link is handed its new program in one step. What is known
 * of sockets and flows stays, and at no moment is a hook without a program. The same is
 * done where we fail closed, or have proxies, and the predecessor did not, and lacks a program.
 *
 * Maps that our programs cannot read are not replaced: everything known would
 * be lost, and what was refused would pass. Then we do not start, what is in
 * force stays, and a person decides (`sluice panic`).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/macros.h"
#include "kernel/attach.h"
#include "kernel/real.h"
#include "sluice.skel.h"

/* its layout is for ever: it tells of the others' */
struct stamp {
	uint64_t programs;   /* digest of the BPF object */
	uint32_t abi;	     /* SL_ABI */
	uint32_t has_native; /* what the rules were made with; asking the kernel takes it long */
};

static struct stamp own_stamp(const struct real *real)
{
	struct stamp stamp = { .programs = 0xcbf29ce484222325ULL,
			       .abi = SL_ABI,
			       .has_native = real->nft.has_native };
	size_t n;
	const uint8_t *bytes = sluice_bpf__elf_bytes(&n);

	for (size_t i = 0; i < n; i++) /* FNV-1a */
		stamp.programs = (stamp.programs ^ bytes[i]) * 0x100000001b3ULL;
	return stamp;
}

int renew_stamp(struct real *real)
{
	struct stamp stamp = own_stamp(real);
	uint32_t zero = 0;
	_cleanup_close_ int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "sl_stamp", sizeof(zero),
						sizeof(stamp), 1, NULL);

	if (fd < 0 || bpf_map_update_elem(fd, &zero, &stamp, BPF_ANY) < 0)
		return -errno;
	return pins_put(real, "map", "stamp", fd);
}

static int reuse_map(const struct real *real, struct bpf_map *map)
{
	_cleanup_close_ int fd = pins_open(real, "map", bpf_map__name(map));
	struct bpf_map_info info = { 0 };
	uint32_t n = sizeof(info);

	if (fd < 0) /* scratch, that nobody needs to keep, or a new one */
		return fd == -ENOENT ? 0 : fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &n) < 0)
		return -errno;
	if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map))
		return -EPROTO;
	return bpf_map__reuse_fd(map, fd);
}

/* one that a predecessor that failed open, without proxies, had no use for; or those of proxies */
static bool lacks_egress(const struct real *real)
{
	return attach_is_used("sl_egress", real->nft.is_closed, real->has_proxies) &&
	       attach_check(real, "sl_egress") < 0;
}

static int hand_over(const struct real *real, const struct bpf_program *program)
{
	_cleanup_close_ int iterator = -1;

	if (!bpf_program__autoload(program))
		return 0;
	if (bpf_program__type(program) == BPF_PROG_TYPE_TRACING) {
		iterator = pins_open(real, "link", bpf_program__name(program));
		if (iterator < 0)
			return iterator;
		return bpf_link_update(iterator, bpf_program__fd(program), NULL) < 0 ? -errno : 0;
	}
	if (bpf_program__type(program) == BPF_PROG_TYPE_SOCKET_FILTER) /* a match of the rules */
		return pins_put(real, "prog", bpf_program__name(program), bpf_program__fd(program));
	return attach_hand_over(real, program);
}

static void cleanup_skeleton(struct sluice_bpf **skeleton)
{
	sluice_bpf__destroy(*skeleton);
}

static int replace(const struct real *real)
{
	_cleanup_(cleanup_skeleton) struct sluice_bpf *skeleton = sluice_bpf__open();
	struct bpf_program *program;
	struct bpf_map *map;
	int r = 0;

	if (!skeleton)
		return -errno;
	attach_choose(skeleton->progs.sl_family, real->nft.is_closed);
	bpf_object__for_each_map(map, skeleton->obj)
	{
		if (!r && !bpf_map__is_internal(map))
			r = reuse_map(real, map);
	}
	if (!r && sluice_bpf__load(skeleton) < 0)
		r = -errno;
	bpf_object__for_each_program(program, skeleton->obj)
	{
		if (!r)
			r = hand_over(real, program);
	}
	return r;
}

int renew(struct real *real, const char **ret_error)
{
	struct stamp own = own_stamp(real), stamp = { 0 };
	int r = pins_read(real, "stamp", &stamp, sizeof(stamp));

	real->nft.has_native = stamp.has_native;
	if (r == 0 && own.abi == stamp.abi && own.programs == stamp.programs && !lacks_egress(real))
		return 0;
	*ret_error = "taking over from another version, whose maps cannot be read: what is in "
		     "force stays; `sluice panic` removes it";
	if (r == -ENOENT || (r == 0 && own.abi != stamp.abi))
		r = -EPROTO;
	if (r == 0)
		r = replace(real);
	if (r < 0 && r != -EPROTO)
		*ret_error = "replacing the BPF programs of another version";
	if (r == 0)
		r = renew_stamp(real);
	real->is_renewed = r == 0;
	return r;
}
