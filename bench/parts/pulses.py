# SPDX-License-Identifier: LGPL-2.1-or-later
"""One connection's stream with and without Sluice, in turns of a fraction of a second.

    room "none"                        room "governed"
    pulses ──door── cps serve          pulses ──door── cps serve
      not governed                       governed, in an instance that lives on

Each has one connection for all of its turns, so that what is measured is a flow that was
decided long before; and a network namespace of its own, so that the one does not pass the
rules of the other. Four turns make a pair: none, governed, governed, none. What makes the
machine slower, for longer than that, slows both; on one that others use, `chrt -r 1` before
the benchmark keeps them out.

The ends are on one processor, where all that is done for the stream is in its figure; or on a
processor each, where the busier one says how fast it goes. Left to the scheduler, who meets whom
would be most of the noise.
"""

import contextlib
import functools
import json
import os
import statistics
import subprocess
import time

from lib.rooms import HOST4, Room
from lib.wait import wait_for

from . import unpace
from .figures import spread

PORT, PULSE_MS, WARM_MS = 7777, 150, 2000
PAUSE_S = 0.015  # under a real-time policy the kernel takes 5 % of each second from us, in one piece
FIRST, LAST = 0, os.cpu_count() - 1
ENDS = {"ends on one processor": (FIRST, FIRST), "ends on two": (FIRST, LAST)}  # the sender's, the receiver's


class Stream:
    """a program that streams when it is told to"""

    def __init__(self, lab, room, start, processor):
        self._lab, self._ends = lab, [lab.new_file("fifo") for _ in range(2)]
        for path in self._ends:
            os.mkfifo(path)
        pulses = f'{lab.path("bench/pulses")} {HOST4} {PORT}'
        # the first socket of a network namespace brings the rules into it
        words = (f"until {pulses} </dev/null 2>/dev/null; do sleep 0.1; done; sleep 0.5; "
                 f"exec taskset -c {processor} {pulses} <{self._ends[0]} >{self._ends[1]}")
        self.run = start(room.enter(["sh", "-c", words]))
        self._said = open(self._ends[0], "w")
        self._heard = open(self._ends[1])
        self.pulse(WARM_MS)

    def pulse(self, ms=PULSE_MS):
        time.sleep(PAUSE_S)
        self._said.write(f"{ms}\n")
        self._said.flush()
        return json.loads(self._heard.readline())["gbit_s"]

    def close(self):
        self._said.close()
        self._heard.close()
        for path in self._ends:
            os.unlink(path)


def show(name, rows):
    rates, none = ([row[key] for row in rows] for key in ("governed", "none"))
    ratios = [a / b for a, b in zip(rates, none)]
    print(f"  {name:10} {statistics.median(rates):8.2f} gbit_s, none {statistics.median(none):8.2f}"
          f"   ratio {spread(ratios)}", flush=True)


@contextlib.contextmanager
def serving(lab, room, processor):
    with room.host:
        server = subprocess.Popen(["taskset", "-c", str(processor), "setpriv", "--pdeathsig", "KILL",
                                   lab.path("bench/cps"), "serve", str(PORT)])
    try:
        wait_for(lambda: f":{PORT:04X} " in room.host.read_proc("tcp6"), 5, "the server")
        yield
    finally:
        server.kill()
        server.wait()


def n_queued(namespace):
    """packets that went to user space there so far"""
    rows = [line.split() for line in namespace.read_proc("netfilter/nfnetlink_queue").splitlines()]
    return sum(int(row[7]) for row in rows)


def pairs(lab, filters, n, ends, shape=None, options=()):
    """rows of gbit_s: what two turns of each had, and of packets that were queued before and behind
    them. @ends: a value of ENDS. @shape: called with each room; @options: of `sluice run`"""
    rows = []
    with Room("none") as plain, Room("governed") as governed:
        for room in (plain, governed):
            unpace(room.guest, room.host)
            if shape:
                shape(room)
        with serving(lab, plain, ends[1]), serving(lab, governed, ends[1]):
            none = Stream(lab, plain, lab.start_plain, ends[0])
            with_it = Stream(lab, governed, functools.partial(lab.start, filters, options=options, has_records=False),
                             ends[0])
            for _ in range(n):
                before = n_queued(governed.guest)
                turns = [(stream, stream.pulse()) for stream in (none, with_it, with_it, none)]
                rows.append({"none": sum(rate for stream, rate in turns if stream is none) / 2,
                             "governed": sum(rate for stream, rate in turns if stream is with_it) / 2,
                             "queued": [before, n_queued(governed.guest)]})
            for stream in (none, with_it):
                stream.close()
                stream.run.wait(20)
    return rows
