# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another owner's table of nftables, beside ours."""

# of the routed addresses that a server has as well; %d: the priority
TRANSLATING = """
	chain output {
		type nat hook output priority %d;
		ip daddr 10.79.67.1 dnat ip to 10.79.67.2
		ip6 daddr fd00:79::67:1 dnat ip6 to fd00:79::67:2
	}
"""


def table(*chains):
    return "table inet foreign {" + "".join(chains) + "}\n"
