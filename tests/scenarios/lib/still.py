# SPDX-License-Identifier: LGPL-2.1-or-later
"""What takes how long, on a machine that is busy and now and then stands still.

A promise in milliseconds is measured in bench/. A scenario fails beyond ten times as long,
and what no program of this machine is to be blamed for does not count:

    still = Still()
    …
    still.check(t, took_ms, PROMISED_MS, "what took it")
"""

import threading
import time

from .wait import SLOW

TURN_S = 0.005
NOISE = 10  # a busy machine, and sanitizers: beyond so many times it is broken


class Still:
    """a thread that only wants to wake up every few milliseconds, until the test ends"""

    def __init__(self):
        self._longest_s = 0.0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            began = time.monotonic()
            time.sleep(TURN_S)
            self._longest_s = max(self._longest_s, time.monotonic() - began - TURN_S)

    def stood_ms(self):
        """the longest since the last call, or since the beginning"""
        stood_ms, self._longest_s = self._longest_s * 1000, 0.0
        return stood_ms

    def check(self, t, took_ms, promised_ms, title, free_ms=0):
        """@free_ms: of which there is no promise; since the last call, or since the beginning"""
        stood_ms = self.stood_ms()
        t.check(took_ms <= free_ms + NOISE * promised_ms * SLOW + 2 * stood_ms,
                f"{title}: took {took_ms:.0f} ms; the machine stood still for {stood_ms:.0f} ms")
