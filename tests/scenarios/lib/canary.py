# SPDX-License-Identifier: LGPL-2.1-or-later
"""Catches sluice-canary, which lives for milliseconds, by stopping its parents."""

import os
import signal
import socket
import time
from contextlib import contextmanager

from . import machine
from .wait import Timeout, wait_for

SETTLE_S = 0.1  # much longer than a record takes, much shorter than the keeper's patience
SEND_S = 0.5  # the same, while the keeper is stopped: a busy machine has time
TRIES = 5
AGAIN_S = 2  # by then a sluiced that was stopped for too long has its successor
OPEN = 9  # standard ones, its channel, one for links, TCP and UDP for IPv4 and IPv6


def _ask(instance):
    """a call of Doctor; its answer is not waited for"""
    client = socket.socket(socket.AF_UNIX)
    client.connect(f"/run/sluice/{instance}/control")
    client.send(b'{"method":"io.sluice.Control.Doctor"}\0')
    return client


@contextmanager
def caught(run, bring=lambda pid: None):
    """pid of a canary that has opened its sockets and waits for its SEND; sluiced is
    stopped, and replaced if the block takes longer than a second. @bring: what is to be brought
    about before, while the keeper is stopped as well; if the canary ends meanwhile, another is caught"""
    pids, clients = [], []
    try:
        for n_left in reversed(range(TRIES)):
            try:
                pids = [run.wait_pid("sluice-keeper"), run.wait_pid("sluiced")]
                clients.append(_ask_slowly(run, *pids))
                pids.append(run.wait_pid("sluice-canary"))
                os.kill(pids[0], signal.SIGSTOP)  # it would miss the heartbeat of sluiced
                wait_for(lambda: _n_open(pids[-1]) == OPEN, 5, "the canary to wait for its SEND")
                bring(pids[-1])
                os.kill(pids[0], signal.SIGCONT)
                break
            except (Timeout, OSError):
                if not n_left:
                    raise
            _let_go(pids)
            time.sleep(AGAIN_S)
        yield pids[-1]
    finally:
        _let_go(pids)
        for client in clients:
            client.close()


def _ask_slowly(run, keeper, daemon):
    """the request for a canary waits in the keeper's channel until sluiced is stopped"""
    os.kill(keeper, signal.SIGSTOP)
    try:
        client = _ask(f"r{run.pid}")
        time.sleep(SETTLE_S)
        os.kill(daemon, signal.SIGSTOP)
    finally:
        os.kill(keeper, signal.SIGCONT)
    return client


def _let_go(pids):
    for pid in pids:
        machine.kill(pid, signal.SIGCONT)


def _n_open(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def hold_its_packets(lab, run, canary):
    """of a canary that is being caught: its packets are in the queue, and sluiced is stopped"""
    daemon = run.wait_pid("sluiced")
    os.kill(canary, signal.SIGSTOP)
    os.kill(daemon, signal.SIGCONT)
    time.sleep(SEND_S)  # sluiced learns the cookies and says SEND
    os.kill(daemon, signal.SIGSTOP)
    os.kill(canary, signal.SIGCONT)
    wait_for(lambda: lab.n_held() >= 4, 5, "four packets held")
    return daemon
