# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting for a condition: the only place where a scenario lets time pass."""

import time


class Timeout(AssertionError):
    pass


def wait_for(condition, within, what):
    """polls `condition` until it is true and gives its value; Timeout names `what`"""
    ends = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > ends:
            raise Timeout(f"not within {within} s: {what}")
        time.sleep(0.01)
