# SPDX-License-Identifier: LGPL-2.1-or-later
"""Catches sluice-canary, which lives for milliseconds, by stopping its parents."""

import os
import signal
import socket
import time
from contextlib import contextmanager

from . import machine
from .wait import wait_for

SETTLE_S = 0.1  # much longer than a record takes, much shorter than the keeper's patience
OPEN = 9  # standard ones, its channel, one for links, TCP and UDP for IPv4 and IPv6


def _ask(instance):
    """a call of Doctor; its answer is not waited for"""
    client = socket.socket(socket.AF_UNIX)
    client.connect(f"/run/sluice/{instance}/control")
    client.send(b'{"method":"io.sluice.Control.Doctor"}\0')
    return client


@contextmanager
def caught(run):
    """pid of a canary that has opened its sockets and waits for its SEND; sluiced is
    stopped, and replaced if the block takes longer than a second"""
    keeper, daemon = run.wait_pid("sluice-keeper"), run.wait_pid("sluiced")
    os.kill(keeper, signal.SIGSTOP)  # the request for a canary waits in its channel
    try:
        with _ask(f"r{run.pid}"):
            time.sleep(SETTLE_S)
            os.kill(daemon, signal.SIGSTOP)
            os.kill(keeper, signal.SIGCONT)
            canary = run.wait_pid("sluice-canary")
            wait_for(lambda: _n_open(canary) == OPEN, 1, "the canary to wait for its SEND")
            yield canary
    finally:
        for pid in (keeper, daemon):
            machine.kill(pid, signal.SIGCONT)


def _n_open(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def hold_its_packets(lab, run, canary):
    """in the block of caught(): its packets are in the queue, and sluiced is stopped"""
    daemon = run.wait_pid("sluiced")
    os.kill(canary, signal.SIGSTOP)
    os.kill(daemon, signal.SIGCONT)
    time.sleep(SETTLE_S)  # sluiced learns the cookies and says SEND
    os.kill(daemon, signal.SIGSTOP)
    os.kill(canary, signal.SIGCONT)
    wait_for(lambda: lab.n_held() >= 4, 1, "four packets held")
    return daemon
