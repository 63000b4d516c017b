# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stands behind a test: whatever the test started stays its descendant.

Daemons outlive who started them. The guardian adopts them (PR_SET_CHILD_SUBREAPER), so
that machine.is_ours() knows them, and buries them, so that no test sees its own dead
for long; the test itself can do neither without taking what subprocess waits for.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
PASSED_ON = (signal.SIGTERM, signal.SIGINT)


def _prctl(option, value):
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _guard(test):
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: os.kill(test, number))
    while True:
        pid, status = os.wait()
        if pid == test:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def stand_behind():
    """Returns in a child, whose exit status is that of this process"""
    sys.stdout.flush()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    test = os.fork()
    if test:
        _guard(test)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
