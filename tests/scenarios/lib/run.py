# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that a scenario started, plain or under `sluice run`."""

import json
import os
import signal
import subprocess

from . import machine
from .trap import instances_of
from .wait import SLOW, wait_for


class Program:
    """a running program; its output is kept in files of the lab"""

    def __init__(self, lab, words, stdin=subprocess.DEVNULL):
        self.words = [str(word) for word in words]
        self._lab = lab
        self._out, self._err = lab.new_file("out"), lab.new_file("err")
        # a test that dies takes its programs along
        line = ["setpriv", "--pdeathsig", "KILL", *self.words]
        with lab.client, open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.popen = subprocess.Popen(line, stdin=stdin, stdout=out, stderr=err,
                                          start_new_session=True)
        self.pid = self.popen.pid
        lab.instances |= instances_of(self.words, self.pid)

    def _text(self, path):
        with open(path, errors="replace") as file:
            return file.read()

    @property
    def stdout(self):
        return self._text(self._out)

    @property
    def stderr(self):
        return self._text(self._err)

    def json(self):
        return json.loads(self.stdout)

    def jsons(self):
        """an object a line"""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def wait(self, within=60):
        """its exit status; negative: killed by that signal"""
        return self.popen.wait(within * SLOW)

    def kill(self, number=signal.SIGKILL):
        self.popen.send_signal(number)  # nothing if it has ended

    def _ask_to_end(self, number, within):
        if self.popen.poll() is not None:
            return
        self.kill(number)
        try:
            self.popen.wait(within * SLOW)
        except subprocess.TimeoutExpired:
            pass

    def end(self):
        """stops it if it still runs, first politely"""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._ask_to_end(number, 15)

    def report(self):
        """for people, after a failure"""
        return (f"$ {' '.join(self.words)}\n  exit status: {self.popen.poll()}\n"
                f"  stdout: {self.stdout[-2000:]}\n  stderr: {self.stderr[-4000:]}\n")


class SluiceRun(Program):
    """`sluice run … -- COMMAND` with its flow records"""

    def __init__(self, lab, filters, command, fail=None, options=(), has_records=True):
        self.flows_path = lab.new_file("flows")
        words = [lab.path("sluice"), "run"]
        if has_records:
            words += ["--flows", self.flows_path]
        words += options
        for name in filters:
            words += ["--filter", name]
        if fail:
            words += ["--fail", fail]
        self._before = set(machine.processes(lab.build))
        super().__init__(lab, [*words, "--", *command])

    def end(self):
        """the first signal is its command's; what that leaves behind ends at the second one"""
        self._ask_to_end(signal.SIGTERM, 0.5)
        super().end()

    def flows(self, **wanted):
        """flow records so far whose fields have these values"""
        try:
            lines = self._text(self.flows_path).splitlines(keepends=True)
        except FileNotFoundError:
            return []
        # the last line may be half written
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return [record for record in records
                if all(record.get(key) == value for key, value in wanted.items())]

    def n_records(self):
        """how many records there are; cheap"""
        try:
            with open(self.flows_path, "rb") as file:
                return sum(1 for _ in file)
        except FileNotFoundError:
            return 0

    def wait_flow(self, within=5, **wanted):
        """the first record with these values"""
        return wait_for(lambda: self.flows(**wanted), within, f"a flow record with {wanted}")[0]

    def pids(self, name):
        """running processes of this run whose executable has that name"""
        return sorted(pid for pid, exe in machine.processes(self._lab.build).items()
                      if pid not in self._before and os.path.basename(exe) == name
                      and machine.is_alive(pid))

    def wait_pid(self, name, within=10, other_than=None):
        """pid of the one process with that name; @other_than: an older one, not wanted"""
        return wait_for(lambda: [pid for pid in self.pids(name) if pid != other_than], within,
                        f"a running {name}")[0]
