# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting for a condition: the only place where a scenario lets time pass."""

import os
import time

# deadlines are made for real hardware; an emulated one has this many times as long
SLOW = float(os.environ.get("SLUICE_TEST_SLOW", 1))


class Timeout(AssertionError):
    pass


def wait_for(condition, within, what):
    """polls `condition` until it is true and gives its value; Timeout names `what`"""
    ends = time.monotonic() + within * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > ends:
            raise Timeout(f"not within {within * SLOW:g} s: {what}")
        time.sleep(0.01)
