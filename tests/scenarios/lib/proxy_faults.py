# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can go wrong while a proxy has flows, and what must come of a flow in each state.

The table of docs/fault-matrix.md and of scenario 174: `python3 -m lib.proxy_faults` prints the
document's, 174 fails when the two differ.
"""

import os
import signal
import subprocess
import time
from collections import namedtuple

from . import faults, machine, nights
from .wait import wait_for

STATES = ("asked", "opening", "open, idle", "open, busy", "half closed by it", "half closed by its peer", "UDP, asked", "UDP, open")
OPEN = STATES[2:6]

# what comes of a flow → what its program may be told
SERVED = "served"  # by the next process, or this one, later
ON = "goes on"
RESET = "reset"
BROKEN = "goes on or ends"  # what was lost on its way meanwhile decides
CLASS = "fail class"  # refused, or directly to its peer
EITHER = "refused, or the fail class"
GONE = "ends with COMMAND"
TOLD = {SERVED: {"served"}, ON: {"goes on", "served"}, RESET: {"ECONNRESET", "EPIPE", "ECONNABORTED"}, GONE: {None}}
TOLD[BROKEN] = TOLD[ON] | TOLD[RESET]
REFUSED = {"ECONNREFUSED", "EPERM"}

# @states: what comes of a flow in each, in the order of STATES
Fault = namedtuple("Fault", "part kind how states")


def _all(asked, opened, udp_asked, udp_open):
    return (asked, asked, *(opened,) * len(OPEN), udp_asked, udp_open)


FAULTS = (
    Fault("proxy", "killed", "started again at once; the next process is asked", _all(SERVED, RESET, SERVED, SERVED)),
    Fault("proxy", "hung", "no answer to a ping for 2 s: killed, and the next process is asked",
          _all(SERVED, RESET, SERVED, SERVED)),
    Fault("proxy", "slow", "it stands still for 300 ms again and again: served between", _all(SERVED, ON, SERVED, SERVED)),
    Fault("proxy", "lying", "after a bad record it is replaced, and the next process is asked",
          _all(SERVED, RESET, SERVED, SERVED)),
    Fault("sluiced", "killed", "the keeper has the queue and the listeners: a successor asks the new proxy",
          _all(SERVED, RESET, SERVED, SERVED)),
    Fault("sluiced", "hung", "no heartbeat for 1 s: replaced, as if it had died", _all(SERVED, RESET, SERVED, SERVED)),
    Fault("keeper", "killed", "sluiced and the proxy end with it, `sluice run` ends COMMAND: this is while it has not yet",
          _all(CLASS, RESET, CLASS, EITHER)),
    Fault("instance", "ended", "SIGTERM to `sluice run`", _all(GONE, GONE, GONE, GONE)),
    Fault("conntrack", "flushed", "packets in the middle of a connection are translated anew", _all(SERVED, BROKEN, SERVED, SERVED)),
    Fault("rules", "deleted", "our table is put back", _all(SERVED, BROKEN, SERVED, SERVED)),
    Fault("uplink", "down", "for a moment; the proxy's connections wait for it", _all(SERVED, ON, SERVED, SERVED)),
)


def rows():
    for one in FAULTS:
        yield (one.part, one.kind, one.how, *one.states)


def table():
    lines = ["| part | fault | what happens | " + " | ".join(STATES) + " |", "|" + "---|" * (3 + len(STATES))]
    lines += ["| " + " | ".join(row) + " |" for row in rows()]
    return "\n".join(lines) + "\n"


def told(outcome, fails):
    """what a program may be told"""
    if outcome == CLASS:
        return REFUSED if fails == "closed" else TOLD[SERVED]
    return REFUSED | TOLD[SERVED] if outcome == EITHER else TOLD[outcome]


# ---- doing it ----

def _in_client(lab, *words):
    with lab.client:
        subprocess.run(words, check=True, capture_output=True)


def _kill(lab, run, name, number):
    machine.kill(run.wait_pid(name), number)


def _kill_keeper(lab, run, _):
    """`sluice run` is kept from ending COMMAND with it"""
    daemon = run.wait_pid("sluiced")
    run.kill(signal.SIGSTOP)
    machine.kill(run.wait_pid("sluice-keeper"))
    wait_for(lambda: not machine.is_alive(daemon), 5, "sluiced to end with its keeper")


def _delete_rules(lab, run, _):
    _in_client(lab, "nft", "delete", "table", "inet", f"sluice_r{run.pid}")


def _pull_out(lab, run, _):
    nights.pull_out(lab)
    time.sleep(0.3)
    nights.plug_in(lab)


DOING = {
    ("proxy", "killed"): lambda lab, run, pid: machine.kill(pid),
    ("proxy", "hung"): lambda lab, run, pid: None,  # it is stopped already
    ("proxy", "slow"): lambda lab, run, pid: faults.stumble(pid, 1.5, 0.3, 0.1),
    ("proxy", "lying"): lambda lab, run, pid: faults.say_nonsense(pid),
    ("sluiced", "killed"): lambda lab, run, pid: _kill(lab, run, "sluiced", signal.SIGKILL),
    ("sluiced", "hung"): lambda lab, run, pid: _kill(lab, run, "sluiced", signal.SIGSTOP),
    ("keeper", "killed"): _kill_keeper,
    ("instance", "ended"): lambda lab, run, pid: run.kill(signal.SIGTERM),
    ("conntrack", "flushed"): lambda lab, run, pid: _in_client(lab, "conntrack", "-F"),
    ("rules", "deleted"): _delete_rules,
    ("uplink", "down"): _pull_out,
}


def bring_about(lab, run, one, proxy_pid):
    """@proxy_pid: it is stopped, so that it answers nothing; it goes on behind the fault, where it can"""
    thread = DOING[one.part, one.kind](lab, run, proxy_pid)
    if (one.part, one.kind) not in (("proxy", "hung"), ("proxy", "slow")):
        machine.kill(proxy_pid, signal.SIGCONT)
    return thread


if __name__ == "__main__":
    print(table(), end="")
