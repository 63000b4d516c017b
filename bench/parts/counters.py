# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can be counted in the virtual machine of tests/vm/run --counted, where times mean nothing
else: instructions, system calls, runs of BPF programs."""

import contextlib
import os
import re
import time

SYS_ENTER = "/sys/kernel/tracing/events/raw_syscalls/sys_enter"
BY_TASK = "hist:keys=common_pid:size=4096"
BPF_STATS = "/proc/sys/kernel/bpf_stats_enabled"


def _read(path):
    with open(path) as file:
        return file.read().strip()


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)


def _busy_ns():
    """of the processor so far, with a task and what interrupted it"""
    rows = [line.split() for line in _read("/proc/schedstat").splitlines()]
    return sum(int(row[7]) for row in rows if row[0].startswith("cpu"))


def instructions(work):
    """Return: those of the whole machine, kernel and programs, while `work` goes on, without the
    caller's own; and what it returned"""
    own, busy = time.process_time_ns(), _busy_ns()
    result = work()
    return _busy_ns() - busy - (time.process_time_ns() - own), result


def _program_runs(pids):
    """id → runs so far, of the BPF programs that these processes hold"""
    found = {}
    for pid in pids:
        for name in os.listdir(f"/proc/{pid}/fdinfo"):
            with contextlib.suppress(FileNotFoundError):
                rows = dict(re.findall(r"^(\w+):\s*(\S+)$", _read(f"/proc/{pid}/fdinfo/{name}"), re.M))
                if "run_cnt" in rows:
                    found[rows["prog_id"]] = int(rows["run_cnt"])
    return found


def program_runs(pids, work):
    """Return: how often BPF programs that these processes hold were run; and what `work` returned"""
    _write(BPF_STATS, "1")
    try:
        before = _program_runs(pids)
        result = work()
        return sum(n - before.get(number, 0) for number, n in _program_runs(pids).items()), result
    finally:
        _write(BPF_STATS, "0")


def _tasks(pids):
    return {int(task) for pid in pids for task in os.listdir(f"/proc/{pid}/task")}


def system_calls(pids, work):
    """Return: how many all threads of these processes made; and what `work` returned"""
    tasks = _tasks(pids)
    _write(SYS_ENTER + "/trigger", BY_TASK)
    try:
        result = work()
        rows = re.findall(r"common_pid:\s*(\d+) }\s*hitcount:\s*(\d+)", _read(SYS_ENTER + "/hist"))
    finally:
        _write(SYS_ENTER + "/trigger", "!" + BY_TASK)
    tasks |= _tasks(pids)
    return sum(int(n) for task, n in rows if int(task) in tasks), result
