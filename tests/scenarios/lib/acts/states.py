# SPDX-License-Identifier: LGPL-2.1-or-later
"""A flow in each state that one can be in when something breaks: see proxy_faults.py."""

import errno
import json
import os
import select
import socket
import sys
import threading
import time

from sockets import family_of

TURN_S = 0.05
WITHIN_S = 25
BEGUN = threading.Event()  # the flows that are to be asked about begin


class _Flow:
    """one of them: in its thread it is brought into its state, waits there, and is used on"""

    def __init__(self, folder, name, sport):
        self.name, self.sport, self._folder = name, sport, folder

    def is_there(self, mark):
        return os.path.exists(os.path.join(self._folder, mark))

    def socket(self, host, kind=socket.SOCK_STREAM):
        s = socket.socket(family_of(host), kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("", self.sport))
        s.settimeout(WITHIN_S)
        return s

    def connected(self, host, port):
        s = self.socket(host)
        s.connect((host, port))
        return s

    def ready(self):
        print(f"ready {self.name}", file=sys.stderr, flush=True)

    def rest(self, s, events=select.POLLIN):
        """until it is to be used on, or something comes. Return: whether something did"""
        poll = select.poll()
        poll.register(s, events)
        while not self.is_there("use"):
            if poll.poll(TURN_S * 1000):
                error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, os.strerror(error))
                return True
        return False


def _ends(data, wanted):
    return "goes on" if data == wanted else f"got {data!r}"


def _idle(flow, host, _):
    s = flow.connected(host, 7)
    s.sendall(b"x")
    s.recv(9)
    flow.ready()
    if flow.rest(s):
        return _ends(s.recv(9), b"nothing")
    s.sendall(b"y")
    return _ends(s.recv(9), b"y")


def _busy(flow, host, _):
    s = flow.connected(host, 80)
    s.sendall(b"GET /slow/99999999/4096/5 HTTP/1.0\r\n\r\n")
    s.recv(4096)
    flow.ready()
    until = None
    while not until or time.monotonic() < until:
        if not s.recv(65536):
            return "got its end"
        if not until and flow.is_there("use"):
            until = time.monotonic() + 0.3
    return "goes on"


def _half_out(flow, host, _):
    s = flow.connected(host, 11)
    s.sendall(b"o")
    s.shutdown(socket.SHUT_WR)
    s.recv(9)
    flow.ready()
    flow.rest(s)
    return _ends(s.recv(9), b"bye")


def _half_in(flow, host, _):
    s = flow.connected(host, 11)
    s.sendall(b"i")
    s.recv(9)
    flow.ready()
    if flow.rest(s, 0):
        return "got its end"
    s.sendall(b"x")
    poll = select.poll()
    poll.register(s, 0)
    return "goes on" if not poll.poll(300) else flow.rest(s, 0)


def _opening(flow, _, black):
    flow.ready()
    return _served(flow.connected(black, 7))


def _served(s):
    s.sendall(b"x")
    return "served" if s.recv(9) == b"x" else "got its end"


def _asked(flow, host, _):
    BEGUN.wait()
    return _served(flow.connected(host, 7))


def _answered(s, within_s):
    """what it is told, until it is answered"""
    s.settimeout(0.2)
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            s.send(b"x")
            return "served" if s.recv(9) == b"x" else "got something"
        except OSError as error:
            if not isinstance(error, TimeoutError) and error.errno != errno.ENETUNREACH:  # while there is no uplink
                raise
    return "nothing"


def _udp_asked(flow, host, _):
    BEGUN.wait()
    s = flow.socket(host, socket.SOCK_DGRAM)
    s.connect((host, 7))
    return _answered(s, WITHIN_S)


def _udp_open(flow, host, _):
    s = flow.socket(host, socket.SOCK_DGRAM)
    s.connect((host, 7))
    _answered(s, 5)
    flow.ready()
    while not flow.is_there("use"):
        time.sleep(TURN_S)
    return _answered(s, 3)


STATES = {"asked": _asked, "opening": _opening, "open, idle": _idle, "open, busy": _busy, "half closed by it": _half_out,
          "half closed by its peer": _half_in, "UDP, asked": _udp_asked, "UDP, open": _udp_open}


def act_states(folder, sport, host, black):
    """Return: nothing; each flow is a line when it has ended: how, and when"""
    def run(name, act, port):
        flow = _Flow(folder, name, port)
        try:
            told = act(flow, host, black)
        except TimeoutError:
            told = "nothing"
        except OSError as error:
            told = errno.errorcode[error.errno]
        line = json.dumps({"state": name, "told": told, "at": time.monotonic()}) + "\n"
        os.write(1, line.encode())  # whole, among threads

    threads = [threading.Thread(target=run, args=(name, act, int(sport) + i)) for i, (name, act) in enumerate(STATES.items())]
    for thread in threads:
        thread.start()
    while not os.path.exists(os.path.join(folder, "begin")):
        time.sleep(TURN_S)
    BEGUN.set()
    for thread in threads:
        thread.join()
    return {"state": "all"}
