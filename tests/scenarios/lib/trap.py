# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a scenario that failed, or was stopped, left of its instances is put away.

Names tell what is whose: other tests may run on this machine at the same time.
"""

import contextlib
import os
import re
import signal
import subprocess

from . import machine
from .wait import Timeout, wait_for

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


@contextlib.contextmanager
def undisturbed():
    """a signal that would end the test waits until this is done"""
    came = []
    handlers = [(number, signal.signal(number, lambda number, _: came.append(number))) for number in STOPS]
    try:
        yield
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def instances_of(words, pid):
    """names of the instances that a program with this command line may make"""
    line = " ".join(words)
    names = {f"r{pid}", *re.findall(r"--instance ([a-z0-9]+)", line)}
    for path in re.findall(r"--config (\S+)", line):
        if os.path.exists(path):
            with open(path) as file:
                names |= set(re.findall(r"^Id=([a-z0-9]+)$", file.read(), re.M))
    return names


def _paths(instance, kind):
    """inner ones first"""
    words = [line.split(" ", 1) for line in machine.traces_of(instance)]
    return sorted((path for label, path in words if label == kind), key=len, reverse=True)


def _remove(path):
    if os.path.isdir(path):
        os.rmdir(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _is_gone(path):
    try:
        _remove(path)
    except OSError:
        pass
    return not os.path.lexists(path)


def put_away(sluice, instance):
    """first as its users would; then by hand, since that may be what is tested"""
    for path in _paths(instance, "cgroup"):
        with contextlib.suppress(OSError), open(path + "/cgroup.kill", "w") as file:
            file.write("1")
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run([sluice, "panic", "--instance", instance], capture_output=True, timeout=30)
    for path in _paths(instance, "mount"):
        subprocess.run(["umount", "--lazy", path], capture_output=True)
    for path in [path for kind in ("file", "pin", "cgroup") for path in _paths(instance, kind)]:
        try:
            wait_for(lambda path=path: _is_gone(path), 2, path)
        except Timeout as left:
            print(f"cannot put away: {left}", flush=True)
