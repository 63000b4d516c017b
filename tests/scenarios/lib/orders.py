# SPDX-License-Identifier: LGPL-2.1-or-later
"""A governed program that does what the test tells it, one line at a time.

    program = Ordered(lab, [filter], fail="closed")
    flow = program.order("tcp", "10.79.0.1", 7)
    program.answer(flow)      {"error": "0", "took_ms": 3.1}
"""

import json
import os

from .wait import wait_for


class Ordered:
    def __init__(self, lab, filters, **settings):
        self._path = lab.new_file("orders")
        os.mkfifo(self._path)
        self._n = 0
        self.run = lab.start(filters, lab.actor("obey", self._path), **settings)
        # both ends: opening waits for nobody, and the program reads no end
        self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)

    def order(self, *words):
        """Return: what answer() wants to know"""
        self._n += 1
        os.write(self._fd, (" ".join(str(word) for word in (self._n, *words)) + "\n").encode())
        return self._n

    def answers(self):
        lines = self.run.stdout.splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return {answer["id"]: answer for answer in found}

    def answer(self, number, within=15):
        return wait_for(lambda: self.answers().get(number), within, f"the answer to order {number}")

    def ask(self, *words):
        return self.answer(self.order(*words))

    def close(self):
        os.close(self._fd)
