# SPDX-License-Identifier: LGPL-2.1-or-later
"""Flows that begin before the plane is in their network namespace: the fail class answers them."""

import os
import time
from threading import Thread

from wait import wait_for

from .calls import ask, connect


def act_visit(room, four, six, free, forbidden, fail):
    """what the first flows got until it is governed, then all kinds"""
    # closed: refused until it is governed; open: let pass until then
    port, end = (free, "0") if fail == "closed" else (forbidden, "ECONNREFUSED")
    began, first = time.monotonic(), []
    while time.monotonic() - began < 20:
        first.append(connect(four, port, within=5))
        if first[-1] == end:
            break
    said = {"room": room, "first_ms": (time.monotonic() - began) * 1000, "first": sorted(set(first))}
    for port in free, forbidden:
        for address in four, six:
            said[f"tcp {address} {port}"] = connect(address, port, within=5)
            said[f"udp {address} {port}"] = ask(address, port)
    return said


def act_hold(room, address, first, n, folder):
    """`n` connections from the same ports in each room, `first` and on, once it is governed and told to go"""
    said = {}

    def count(sport):
        code = connect(address, 7, within=60, sport=sport)
        said[code] = said.get(code, 0) + 1
    while connect(address, 7) == "EPERM":
        pass
    open(f"{folder}/ready-{room}", "w").close()
    wait_for(lambda: os.path.exists(folder + "/go"), 60, "the word")
    threads = [Thread(target=count, args=(int(first) + i,)) for i in range(int(n))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"room": room, "said": said}
