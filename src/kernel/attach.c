/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/attach.h"
#include "kernel/real.h"

#define PLACES_MAX 2U

/* a cgroup that is governed, and what its pins are called */
struct place {
	const char *cgroup, *suffix;
};

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

/* ---- links ---- */

/* then what is attached there holds for it, too */
static bool is_below(const char *cgroup, const char *governed)
{
	size_t n = strlen(governed);

	return !strncmp(cgroup, governed, n) && cgroup[n] == '/';
}

/* other families than IP proxies cannot have: their sandbox says so */
static unsigned int places_of(const struct real *real, const char *program,
			      struct place places[PLACES_MAX])
{
	places[0] = (struct place){ real->cgroup, "" };
	places[1] = (struct place){ real->proxies, "_proxies" };
	return real->proxies[0] && !attach_is_optional(program) &&
			       !is_below(real->proxies, real->cgroup)
		       ? 2
		       : 1;
}

static const char *pin_of(const struct place *place, const char *program, char *name, size_t n)
{
	snprintf(name, n, "%s%s", program, place->suffix);
	return name;
}

static int attach_to(const struct real *real, const struct bpf_program *program,
		     const struct place *place)
{
	_cleanup_close_ int cgroup = open(place->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int link = -1;
	const char *name = bpf_program__name(program);
	char pin[64];

	if (cgroup < 0)
		return -errno;
	link = bpf_link_create(bpf_program__fd(program), cgroup,
			       bpf_program__expected_attach_type(program), NULL);
	if (link < 0)
		return attach_is_optional(name) ? 0 : -errno;
	return pins_put(real, "link", pin_of(place, name, pin, sizeof(pin)), link);
}

int attach_put(const struct real *real, const struct bpf_program *program)
{
	struct place places[PLACES_MAX];
	unsigned int n = places_of(real, bpf_program__name(program), places);
	int r = 0;

	for (unsigned int i = 0; i < n && !r; i++)
		r = attach_to(real, program, &places[i]);
	return r;
}

/* a cgroup may be removed under its links: they stay pinned and do nothing. Return: a descriptor, -ENOENT,
 * -ESTALE, or another negative errno */
static int open_link(const struct real *real, const char *program, const struct place *place)
{
	struct bpf_link_info info = { 0 };
	_cleanup_close_ int link = -1;
	uint32_t n = sizeof(info);
	struct stat st;
	char pin[64];

	link = pins_open(real, "link", pin_of(place, program, pin, sizeof(pin)));
	if (link < 0)
		return link;
	if (stat(place->cgroup, &st) < 0 || bpf_obj_get_info_by_fd(link, &info, &n) < 0)
		return -errno;
	return info.cgroup.cgroup_id == st.st_ino ? TAKE_FD(link) : -ESTALE;
}

static int hand_over(const struct real *real, const struct bpf_program *program,
		     const struct place *place)
{
	const char *name = bpf_program__name(program);
	_cleanup_close_ int link = open_link(real, name, place);

	if (link >= 0)
		return bpf_link_update(link, bpf_program__fd(program), NULL) < 0 ? -errno : 0;
	return attach_is_used(name, real->nft.is_closed, real->has_proxies)
		       ? attach_to(real, program, place)
		       : 0;
}

int attach_hand_over(const struct real *real, const struct bpf_program *program)
{
	struct place places[PLACES_MAX];
	unsigned int n = places_of(real, bpf_program__name(program), places);
	int r = 0;

	for (unsigned int i = 0; i < n && !r; i++)
		r = hand_over(real, program, &places[i]);
	return r;
}

bool attach_governs(const struct real *real, const char *program)
{
	struct place places[PLACES_MAX];
	_cleanup_close_ int link = -1;

	(void)places_of(real, program, places);
	link = open_link(real, program, &places[0]);
	return link >= 0;
}

int attach_check(const struct real *real, const char *program)
{
	struct place places[PLACES_MAX];
	unsigned int n = places_of(real, program, places);

	for (unsigned int i = 0; i < n; i++) {
		_cleanup_close_ int link = open_link(real, program, &places[i]);

		if (link < 0 && !(link == -ENOENT && attach_is_optional(program)))
			return link;
	}
	return 0;
}

void attach_forget_proxies(const struct real *real, const char *program)
{
	const struct place place = { .suffix = "_proxies" };
	char pin[64];

	pins_remove(real, "link", pin_of(&place, program, pin, sizeof(pin)));
}

void attach_remove(const struct real *real, const char *program)
{
	pins_remove(real, "link", program);
	attach_forget_proxies(real, program);
}
