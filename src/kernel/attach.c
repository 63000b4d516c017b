/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/attach.h"

bool attach_is_used(const char *program, bool is_closed, bool has_proxies)
{
	if (!strcmp(program, "sl_egress"))
		return is_closed || has_proxies;
	return is_closed || strcmp(program, "sl_family") != 0;
}

bool attach_is_optional(const char *program)
{
	return !strcmp(program, "sl_family");
}

/* loads a program to find out */
static bool has_family(void)
{
	return libbpf_find_vmlinux_btf_id("socket_create", BPF_LSM_CGROUP) > 0 &&
	       libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_LSM, NULL) == 1;
}

void attach_choose(struct bpf_program *family, bool is_closed)
{
	(void)bpf_program__set_autoload(family, is_closed && has_family());
}
