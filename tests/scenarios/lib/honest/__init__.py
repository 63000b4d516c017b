# SPDX-License-Identifier: LGPL-2.1-or-later
"""How connections end and what is told of it, as a program and its server see it: each case is both of them.

`CASES` has them by name: the steps (steps.py) of a program, and those of its server. Each says what it was told, in
order (look.py); the scenario (180) compares what both say of a direct connection with what they say of one that a
proxy has. What is certain only when the other side has had its time is said behind a pause.
"""

from . import carried, ends
from .look import PATIENCE_S, abort, drain, error, events, patient, pause, state, told

__all__ = ["CASES", "FORKING", "PATIENCE_S", "abort", "drain", "error", "events", "patient", "pause", "play", "state", "told"]

CASES = ends.CASES | carried.CASES
FORKING = carried.FORKING  # not beside others: their descriptors would be in the child


def play(name, side, s, say):
    """one side of a case, "program" or "server" """
    patient(s)
    for step in getattr(CASES[name], side):
        step(s, say)
