# SPDX-License-Identifier: LGPL-2.1-or-later
"""`t`, what a scenario gets, and the end of each scenario file.

    tests/scenarios/101-….py BUILD        exit status: 0 passed, 1 failed, 77 skipped

A scenario may have options, main(scenario, cycles=30): then
`132-….py BUILD --cycles 1000 --limit 1200` sets t.cycles, within 1200 s.
"""

import argparse
import os
import shutil
import signal
import sys
import traceback

from . import guardian, machine
from .lab import Lab
from .wait import SLOW

SKIPPED = 77
LIMIT_S = int(400 * SLOW)  # a scenario that takes longer hangs


class Failure(AssertionError):
    pass


class OutOfTime(Exception):
    """no failure of one check, which a scenario may count and go on"""


class Skip(Exception):
    """what is missing for the scenario to mean anything"""


class Test:
    def __init__(self, build, options):
        self.build = os.path.realpath(build)
        for name, value in options.items():
            setattr(self, name, value)

    def lab(self):
        return Lab(self.build)

    def note(self, text):
        """a figure for people"""
        print("  " + text, flush=True)

    def check(self, condition, text):
        if not condition:
            raise Failure(text)

    def equal(self, found, wanted, text):
        if found != wanted:
            raise Failure(f"{text}: wanted {wanted!r}, found {found!r}")

    def missing(self, *names):
        """of programs of the machine, or files of the build folder (with a /)"""
        return [name for name in names
                if not os.path.exists(os.path.join(self.build, name)) and not shutil.which(name)]

    def needs(self, *names):
        """as missing()"""
        for name in self.missing(*names):
            raise Skip(f"{name} is not there")


def _need_machine(t):
    if os.geteuid() != 0:
        raise Skip("only root can make network namespaces and cgroups")
    if not machine.cgroup_root():
        raise Skip("no cgroup v2 tree is mounted")
    t.needs("sluice", "sluiced", "tests/providers/test-filter", "ip", "nft", "setpriv")


def _end(number, _):
    raise SystemExit(128 + number)


def _read_arguments(options):
    parser = argparse.ArgumentParser()
    parser.add_argument("build", help="build folder")
    parser.add_argument("--limit", type=int, default=LIMIT_S, help="seconds until it is taken to hang")
    for name, value in options.items():
        parser.add_argument("--" + name, type=type(value), default=value)
    return vars(parser.parse_args())


def main(scenario, **options):
    arguments = _read_arguments(options)
    build, limit_s = arguments.pop("build"), arguments.pop("limit")
    guardian.stand_behind()

    def _out_of_time(*_):
        raise OutOfTime(f"took longer than {limit_s} s")
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.alarm(limit_s)
    t = Test(build, arguments)
    try:
        _need_machine(t)
        scenario(t)
    except Skip as reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
