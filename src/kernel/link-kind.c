/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/macros.h"
#include "kernel/link.h"

static const char *const kind_names[] = {
	[LINK_OTHER] = "other",	  [LINK_LOOPBACK] = "loopback", [LINK_ETHERNET] = "ethernet",
	[LINK_WIFI] = "wifi",	  [LINK_CELLULAR] = "cellular", [LINK_TUNNEL] = "tunnel",
	[LINK_BRIDGE] = "bridge", [LINK_VIRTUAL] = "virtual",
};
_Static_assert(ARRAY_SIZE(kind_names) == _LINK_KIND_N, "kind_names");

const char *link_kind_name(enum link_kind kind)
{
	return kind < _LINK_KIND_N ? kind_names[kind] : kind_names[LINK_OTHER];
}
