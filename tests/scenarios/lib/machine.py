# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads the machine: processes, cgroups, mounts; and what a run left behind."""

import ctypes
import os
import re
import signal

CLONE_NEWNS = 0x20000
_libc = ctypes.CDLL(None, use_errno=True)
_top = os.getpid()  # of the tree of processes that are ours; a fork of it is part of it
FRESH = "/sluice-fresh-"  # in the path of a root of tests/fresh, which may run beside
OURS = ("sluice", "sluiced", "sluice-keeper", "sluice-names", "sluice-canary")


def cgroup_root():
    """mount point of the cgroup v2 tree, wherever it is; None without one"""
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            words = line.split()
            if words[2] == "cgroup2":
                return words[1]
    return None


def unpacked(package):
    """folder of a package that is there without being installed: tools/unpack"""
    return f"/var/cache/sluice-unpacked/{package}"


def exe_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""


def true_path(path):
    """the file's path from the root of the mount namespace, which is what Sluice
    says: a chroot, such as that of tests/fresh, changes nothing for it"""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        root = os.open("/", os.O_PATH)
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        _libc.setns(own, CLONE_NEWNS)  # back to the true root
        os.write(writer, os.readlink(f"/proc/self/fd/{root}").encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        prefix = file.read().rstrip("/")
    os.waitpid(child, 0)
    return prefix + os.path.realpath(path)


def status_of(pid):
    """/proc/PID/status as a dict of strings"""
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def netns_of(pid):
    return os.stat(f"/proc/{pid}/ns/net").st_ino


def cgroup_of(pid):
    """path below the v2 root"""
    with open(f"/proc/{pid}/cgroup") as file:
        for line in file:
            if line.startswith("0::"):
                return line[3:].strip()
    return ""


def is_alive(pid):
    """false also for a zombie"""
    try:
        return status_of(pid)["State"][0] not in "ZX"
    except (OSError, KeyError):
        return False


def is_sanitized(build):
    with open(os.path.join(build, "sluiced"), "rb") as file:
        return b"libasan.so" in file.read()


def parent_of(pid):
    return int(status_of(pid)["PPid"])


def descends(pid, top):
    """whether @top, or what it started, started it, and all in between live"""
    climber = pid
    while climber > 1:
        if climber == top:
            return True
        try:
            climber = parent_of(climber)
        except (OSError, KeyError):  # it has ended, and its children have another parent
            if climber == pid:
                return False
            climber = pid
    return False


def is_ours(pid):
    """whether the test, or what it started, started it: lib/guardian.py adopts orphans"""
    return descends(pid, _top)


def processes(build):
    """pid → executable of everything of ours that runs from the build folder"""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and exe_of(name).startswith(build + "/") and is_ours(int(name)):
            found[int(name)] = exe_of(name)
    return found


def keeper_of(command, build):
    """pid of the sluice-keeper that @command, a `sluice`, has started; None: not yet"""
    for pid, exe in processes(build).items():
        try:
            if os.path.basename(exe) == "sluice-keeper" and parent_of(pid) == command:
                return pid
        except OSError:
            pass  # another one, which has ended meanwhile
    return None


def processes_in(namespace_inode):
    """pid → executable of everything in that network namespace"""
    found = {}
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and netns_of(name) == namespace_inode and is_alive(name):
                found[int(name)] = exe_of(name)
        except OSError:
            pass  # it has ended meanwhile
    return found


def has_strangers():
    """somebody else's Sluice runs on this machine: its cgroups are not our leftovers"""
    return any(name.isdigit() and os.path.basename(exe_of(name)) in OURS and not is_ours(int(name))
               for name in os.listdir("/proc"))


def traces():
    """what an instance may leave on the machine, as a set of lines"""
    found = set()
    root = cgroup_root()
    for top, label in ((root, "cgroup"), ("/run/sluice", "file"), ("/sys/fs/bpf", "pin")):
        for folder, folders, files in os.walk(top or "/nonexistent"):
            names = folders + files if label == "file" else folders
            found |= {f"{label} {folder}/{name}" for name in names
                      if label == "file" or "sluice" in name}
    with open("/proc/self/mounts") as mounts:
        found |= {"mount " + line.split()[1] for line in mounts
                  if ("sluice" in line or line.split()[2] == "bpf") and FRESH not in line}
    return found


def kill(pid, number=signal.SIGKILL):
    """of several that end together, any may be gone and buried before its turn"""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def traces_of(instance, lines=None):
    """those that carry its name"""
    name = re.compile(rf"/(run/sluice/|sluice-){instance}(\.providers)?(/|$)")
    return {line for line in (traces() if lines is None else lines) if name.search(line)}
