# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can go wrong with each part, how, and what must come of it.

The one table of docs/fault-matrix.md and of scenario 131: `python3 faults.py`
prints the document's, 131 fails when the two differ.
"""

import contextlib
import ctypes
import os
import signal
import socket
import threading
import time
from collections import namedtuple

# what comes of a flow that is not decided when it happens
JUDGED = "judged"     # the filter's verdict, a little later
CLASS = "fail class"  # the deadline passes
NOBODY = "nobody"     # the fail class at once: there is no queue any more

# @limit_ms: after it the flow has its verdict, the filter's time not counted; @how: why;
# @proof: the tests; @replaced: the process that is not the same afterwards
Fault = namedtuple("Fault", "part kind outcome limit_ms how proof replaced")

PARTS = ("provider", "sluiced", "keeper", "names")
KINDS = ("killed", "hung", "slow", "lying")
LIVE = "131"
UNIT = "unit test "

FAULTS = (
    Fault("provider", "killed", JUDGED, 500, "started again at once, asked anew", LIVE + ", 105",
          "test-filter"),
    Fault("provider", "hung", JUDGED, 3000, "no answer to a ping for 2 s: killed, the next one is asked anew",
          LIVE + ", 109", "test-filter"),
    Fault("provider", "slow", CLASS, 5000, "its answer comes after the deadline and is counted as late",
          LIVE + ", 109", None),
    Fault("provider", "lying", JUDGED, 500,
          "forged and second answers are counted and ignored; after a bad record it is replaced and the next one "
          "asked anew", LIVE + ", " + UNIT + "daemon", "test-filter"),
    Fault("sluiced", "killed", JUDGED, 500, "the keeper has the queue: a successor asks the filter anew",
          LIVE + ", 104", "sluiced"),
    Fault("sluiced", "hung", JUDGED, 1700, "no heartbeat for 1 s: replaced, as if it had died", LIVE + ", 115",
          "sluiced"),
    Fault("sluiced", "slow", JUDGED, 3000, "it stands still for 300 ms again and again: judged between", LIVE,
          None),
    Fault("sluiced", "lying", JUDGED, 700,
          "after a bad record the keeper replaces it; a provider ends its session, and is started again",
          LIVE + ", " + UNIT + "filter-channel", "sluiced"),
    Fault("keeper", "killed", NOBODY, 0,
          "sluiced and the providers end with it, `sluice run` ends COMMAND: this is while it has not yet", LIVE,
          None),
    Fault("keeper", "hung", JUDGED, 200, "no verdict needs it", LIVE, None),
    Fault("keeper", "slow", JUDGED, 200, "no verdict needs it", LIVE, None),
    Fault("keeper", "lying", JUDGED, 700, "after a bad record sluiced ends, what is in the kernel stays: a successor",
          LIVE + ", " + UNIT + "daemon-end", "sluiced"),
    Fault("names", "killed", JUDGED, 500, "answers of name servers go on unread: judged without a name (decision 0005)",
          LIVE + ", " + UNIT + "daemon-names", "sluice-names"),
    Fault("names", "hung", JUDGED, 400, "an answer goes on unread after 200 ms; replaced", LIVE, "sluice-names"),
    Fault("names", "slow", JUDGED, 600, "an answer goes on when it is read, or unread after 200 ms", LIVE, None),
    Fault("names", "lying", JUDGED, 500,
          "names for what it was not asked are ignored, after a bad record it is replaced; false names are believed, "
          "as it alone reads them", LIVE + ", " + UNIT + "daemon-names", "sluice-names"),
)


def fault(part, kind):
    return next(one for one in FAULTS if (one.part, one.kind) == (part, kind))


# ---- the document ----

REFUSED = {"tcp": "`connect` ECONNREFUSED", "udp": "ECONNREFUSED from the call after `send`"}
AT_ONCE = {"tcp": "`connect` ECONNREFUSED", "udp": "`send` EPERM or ECONNREFUSED"}
HELD_THEN = {"tcp": "one whose SYN was held: the same at its next SYN, 1 s later",
             "udp": "a datagram that was held is lost"}


def _undecided(one, fails, proto):
    if one.outcome == JUDGED:
        return f"{one.how}; the filter's verdict within {one.limit_ms} ms"
    passes = "passes" if fails == "open" else f"0 packets, {(REFUSED if one.outcome == CLASS else AT_ONCE)[proto]}"
    if one.outcome == CLASS:
        return f"{one.how}: {passes} at the deadline ({one.limit_ms} ms)"
    return f"{one.how}: {passes} at once; {HELD_THEN[proto]}"


LOOKED_AT = "149"
CUT = {"tcp": "0 bytes of it, ECONNABORTED, its peer gets a reset", "udp": "0 packets, ECONNREFUSED"}
QUEUE_GONE = {"tcp": {"open": "TCP sends again what was held, and it passes",
                      "closed": "TCP sends again what was held, and gets a reset"},
              "udp": {"open": "a datagram that was held is lost", "closed": "a datagram that was held is lost"}}


def _peeking(one, fails, proto):
    if one.outcome == JUDGED:
        return f"{one.how}; nothing goes meanwhile, then as the filter says"
    if one.outcome == CLASS:
        return f"{one.how}: {'passes' if fails == 'open' else CUT[proto]} at the deadline ({one.limit_ms} ms)"
    return f"{one.how}: {QUEUE_GONE[proto][fails]}"


def rows():
    """(part, kind, fails, state, proto, what happens, proof), one a cell"""
    for one in FAULTS:
        for fails in ("open", "closed"):
            for proto in ("tcp", "udp"):
                yield (one.part, one.kind, fails, "undecided", proto, _undecided(one, fails, proto), one.proof)
            for proto in ("tcp", "udp"):
                yield (one.part, one.kind, fails, "decided", proto,
                       "goes on: its verdict is in the kernel", LIVE)
            for proto in ("tcp", "udp"):
                yield (one.part, one.kind, fails, "peeking", proto, _peeking(one, fails, proto), LOOKED_AT)


def table():
    lines = ["| part | fault | fails | flow | protocol | what happens | test |", "|---|---|---|---|---|---|---|"]
    for part, kind, fails, state, proto, what, proof in rows():
        lines.append(f"| {part} | {kind} | {fails} | {state} | {proto.upper()} | {what} | {proof} |")
    return "\n".join(lines) + "\n"


# ---- doing it ----

_libc = ctypes.CDLL(None, use_errno=True)
SYS_PIDFD_GETFD = 438
BAD_RECORD = b"\xff" * 8


def _borrow(pid, fd):
    """a copy of another process's descriptor"""
    handle = os.pidfd_open(pid)
    try:
        copy = _libc.syscall(SYS_PIDFD_GETFD, handle, fd, 0)
    finally:
        os.close(handle)
    if copy < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return copy


def say_nonsense(pid, is_wanted=lambda fd: fd == 3):
    """@pid sends a bad record through each of its channels that is wanted; one ends what others are for"""
    n_sent = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):  # one that is closed meanwhile
            if is_wanted(int(name)) and os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                n_sent += _say_nonsense(pid, int(name))
    if not n_sent:
        raise AssertionError(f"process {pid} has no channel to say nonsense")


def _say_nonsense(pid, fd):
    with socket.socket(fileno=_borrow(pid, fd)) as channel:
        if (channel.family, channel.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
            return False
        channel.send(BAD_RECORD)
        return True


def stumble(pid, seconds, stop_s, go_s):
    """@pid runs only now and then, for a while. Return: a thread, to be joined"""
    def run():
        ends = time.monotonic() + seconds
        try:
            while time.monotonic() < ends:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(stop_s)
                os.kill(pid, signal.SIGCONT)
                time.sleep(go_s)
        except ProcessLookupError:
            pass
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


if __name__ == "__main__":
    print(table(), end="")
