# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the benchmarks share; the labs they work in are those of the scenarios."""

import os
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/scenarios"))
sys.dont_write_bytecode = True


def need_root():
    if os.geteuid() != 0:
        sys.exit("bench: only root can make network namespaces and cgroups")


def stamp():
    """when and where: the begin of each JSON line"""
    return {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "kernel": os.uname().release, "cpus": os.cpu_count()}


def unpace(*namespaces):
    """Connections there begin with the congestion control that every kernel has, and any namespace may
    choose. One that began with BBR is paced by timers for ever, and its figures would be the timers'"""
    for namespace in namespaces:
        namespace.sysctl("ipv4/tcp_congestion_control", "reno")
