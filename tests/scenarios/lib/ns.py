# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network namespaces without names.

A namespace lives as long as its descriptor here and the processes in it, so
nothing is left even when a test is killed. `with namespace:` moves the
calling *thread* in: sockets made and programs started there belong to it.
`ip netns exec` is never used: it mounts another /sys and hides the cgroups.

To look around by hand: nsenter --net=/proc/TEST_PID/fd/FD
"""

import ctypes
import json
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_here = threading.local()


def _call(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _own_namespace():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    def __init__(self, name):
        self.name = name
        home = _own_namespace()
        try:
            _call(_libc.unshare(CLONE_NEWNET))
            self.fd = _own_namespace()
            _call(_libc.setns(home, CLONE_NEWNET))
        finally:
            os.close(home)
        self.inode = os.fstat(self.fd).st_ino
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        self.ip("link set lo up")

    def __enter__(self):
        if not hasattr(_here, "homes"):
            _here.homes = []
        _here.homes.append(_own_namespace())
        _call(_libc.setns(self.fd, CLONE_NEWNET))
        return self

    def __exit__(self, *_):
        home = _here.homes.pop()
        _call(_libc.setns(home, CLONE_NEWNET))
        os.close(home)

    def ip(self, words):
        """runs ip(8) inside; `words` is one line of its arguments"""
        with self:
            subprocess.run(["ip", *words.split()], check=True)

    def ask_ip(self, words):
        """what ip(8) says of this, from JSON"""
        with self:
            done = subprocess.run(["ip", "-j", *words.split()], check=True, capture_output=True)
        return json.loads(done.stdout or "[]")

    def sysctl(self, name, value):
        with self, open("/proc/sys/net/" + name, "w") as file:
            file.write(str(value))

    def read_proc(self, name):
        """text of /proc/net/NAME of this namespace"""
        with self, open("/proc/thread-self/net/" + name) as file:
            return file.read()

    def close(self):
        os.close(self.fd)
