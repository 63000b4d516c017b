/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/macros.h"
#include "policy/cgroup.h"

#define ID_SHOWN 64U /* a container's id is the SHA-256 of something, in hex */
#define ID_SHORTEST 12U

_Static_assert(ID_SHOWN < CGROUP_CONTAINER_BYTES, "an id fits");

/* a component of the path; not ended by NUL */
struct piece {
	const char *at;
	size_t n;
};

enum id_kind {
	ID_HEX,	     /* 12 hex digits or more */
	ID_HEX_FULL, /* exactly 64: the component has nothing else that tells what it is */
	ID_NAME,     /* any text */
	ID_ESCAPED,  /* any text, escaped as in unit names */
};

/* a container's component is prefix, id, suffix; @parent, if any, is the component before it */
struct pattern {
	const char *parent;
	const char *prefix;
	const char *suffix;
	enum id_kind kind;
};

/* clang-format off */
static const struct pattern patterns[] = {
	/* Docker and containerd, systemd driver */
	{ NULL,	 "docker-",		".scope",   ID_HEX },
	{ NULL,	 "nerdctl-",		".scope",   ID_HEX },
	/* Podman; its monitor has a scope of its own */
	{ NULL,	 "libpod-",		".scope",   ID_HEX },
	{ NULL,	 "libpod-conmon-",	".scope",   ID_HEX },
	{ NULL,	 "libpod-",		"",	    ID_HEX },
	{ NULL,	 "libpod-conmon-",	"",	    ID_HEX },
	/* Kubernetes */
	{ NULL,	 "cri-containerd-",	".scope",   ID_HEX },
	{ NULL,	 "crio-",		".scope",   ID_HEX },
	{ NULL,	 "crio-conmon-",	".scope",   ID_HEX },
	{ NULL,	 "crio-",		"",	    ID_HEX },
	/* LXC, LXD, Incus */
	{ NULL,	 "lxc.payload.",	"",	    ID_NAME },
	{ "lxc", "",			"",	    ID_NAME },
	/* systemd-machined: nspawn, libvirt */
	{ NULL,	 "machine-",		".scope",   ID_ESCAPED },
	{ NULL,	 "systemd-nspawn@",	".service", ID_ESCAPED },
	/* any engine with the cgroupfs driver: /docker/ID, /kubepods/burstable/podUID/ID */
	{ NULL,	 "",			"",	    ID_HEX_FULL },
};

/* units that processes can be in; slices only hold other units */
static const char *const unit_suffixes[] = { ".service", ".scope", ".socket", ".mount", ".swap" };
/* clang-format on */

static bool is_text(struct piece piece, const char *text)
{
	return piece.n == strlen(text) && memcmp(piece.at, text, piece.n) == 0;
}

static bool has_suffix(struct piece piece, const char *suffix)
{
	size_t n = strlen(suffix);

	return piece.n > n && memcmp(piece.at + piece.n - n, suffix, n) == 0;
}

static bool is_unit(struct piece piece)
{
	for (size_t i = 0; i < ARRAY_SIZE(unit_suffixes); i++)
		if (has_suffix(piece, unit_suffixes[i]))
			return true;
	return false;
}

static bool is_hex(struct piece piece)
{
	for (size_t i = 0; i < piece.n; i++)
		if (!memchr("0123456789abcdef", piece.at[i], 16))
			return false;
	return true;
}

static bool is_id(struct piece id, enum id_kind kind)
{
	switch (kind) {
	case ID_HEX:
		return id.n >= ID_SHORTEST && is_hex(id);
	case ID_HEX_FULL:
		return id.n == ID_SHOWN && is_hex(id);
	case ID_NAME:
	case ID_ESCAPED:
		break;
	}
	return id.n > 0;
}

static bool match(const struct pattern *pattern, struct piece parent, struct piece piece,
		  struct piece *ret_id)
{
	size_t n_prefix = strlen(pattern->prefix), n_suffix = strlen(pattern->suffix);
	struct piece id;

	if (pattern->parent && !is_text(parent, pattern->parent))
		return false;
	if (piece.n <= n_prefix + n_suffix || memcmp(piece.at, pattern->prefix, n_prefix) != 0 ||
	    memcmp(piece.at + piece.n - n_suffix, pattern->suffix, n_suffix) != 0)
		return false;
	id = (struct piece){ piece.at + n_prefix, piece.n - n_prefix - n_suffix };
	if (!is_id(id, pattern->kind))
		return false;
	*ret_id = id;
	return true;
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) : -1;
}

static void copy(char *text, size_t n_text, struct piece piece)
{
	size_t n = MIN(piece.n, n_text - 1);

	memcpy(text, piece.at, n);
	text[n] = '\0';
}

/* \xHH is a byte; systemd also writes '/' as '-', which no machine name holds, so '-' stays */
static void copy_unescaped(char *text, size_t n_text, struct piece piece)
{
	size_t n = 0;

	for (size_t i = 0; i < piece.n && n + 1 < n_text; i++) {
		int high = -1, low = -1;

		if (piece.n - i >= 4 && piece.at[i] == '\\' && piece.at[i + 1] == 'x') {
			high = hex_digit(piece.at[i + 2]);
			low = hex_digit(piece.at[i + 3]);
		}
		if (high < 0 || low < 0 || (high | low) == 0) {
			text[n++] = piece.at[i];
			continue;
		}
		text[n++] = (char)(high << 4 | low);
		i += 3;
	}
	text[n] = '\0';
}

static bool read_container(struct piece parent, struct piece piece, struct cgroup_names *names)
{
	/* runc without the systemd driver's slices: "…-podUID.slice:cri-containerd:ID" */
	const char *colon = memrchr(piece.at, ':', piece.n);
	struct piece id;

	if (colon) {
		id = (struct piece){ colon + 1, (size_t)(piece.at + piece.n - colon) - 1 };
		if (is_id(id, ID_HEX_FULL)) {
			copy(names->container, ID_SHOWN + 1, id);
			return true;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		if (!match(&patterns[i], parent, piece, &id))
			continue;
		if (patterns[i].kind == ID_ESCAPED)
			copy_unescaped(names->container, ID_SHOWN + 1, id);
		else
			copy(names->container, ID_SHOWN + 1, id);
		return true;
	}
	return false;
}

/* the next component from *@at on; systemd puts '_' before names the kernel could mean itself */
static bool next_piece(const char **at, struct piece *ret_piece)
{
	const char *start = *at + strspn(*at, "/");
	size_t n = strcspn(start, "/");

	if (n == 0)
		return false;
	*at = start + n;
	if (*start == '_') {
		start++;
		n--;
	}
	*ret_piece = (struct piece){ start, n };
	return true;
}

void cgroup_read_path(const char *path, struct cgroup_names *ret_names)
{
	struct piece parent = { "", 0 }, piece;

	*ret_names = (struct cgroup_names){ 0 };
	while (next_piece(&path, &piece)) {
		if (is_unit(piece))
			copy(ret_names->unit, sizeof(ret_names->unit), piece);
		/* everything below belongs to the container */
		if (read_container(parent, piece, ret_names))
			return;
		parent = piece;
	}
}
