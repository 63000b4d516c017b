# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process that dies, or stands still, before one of its next system calls: tests/faults/at-call.c"""

import subprocess

from .wait import wait_for

PROGRAM = "tests/faults/at-call"


class AtCall:
    """of its `nth` call that others can see; @wait_ms: it does not die, it waits"""

    def __init__(self, lab, pid, nth, wait_ms=None):
        words = [lab.path(PROGRAM), str(pid), str(nth)] + ([str(wait_ms)] if wait_ms else [])
        self._out = open(lab.new_file("at-call"), "w+")
        self._popen = subprocess.Popen(words, stdout=self._out)
        wait_for(lambda: "watching" in self._text(), 5, "at-call")

    def _text(self):
        with open(self._out.name) as file:
            return file.read()

    def end(self):
        """Return: did it come to that call?"""
        if " before " not in self._text():
            self._popen.terminate()
        self._popen.wait()
        self._out.close()
        return " before " in self._text()
