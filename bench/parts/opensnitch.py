# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenSnitch's daemon as Debian packages it, in the client namespace of a lab.

Nothing is installed: tools/unpack --peers has put its packages aside. It runs in a mount
namespace of its own, where /etc is a folder of the lab with the package's configuration, but
for where it writes and how much; nobody is at its user interface. Its iptables is the one
over nf_tables, which is what Debian's alternatives choose.

A rule by program path allows the benchmark; everything without a rule is allowed too, as the
package has it. So that a daemon which decides nothing is not taken for a fast one: a program
that a rule denies has to fail, and each connection counted must have been in its queue.

In its eBPF mode, the default, it knows the program from kprobes. Without its BPF object or
without kprobes it says so, and asks sock_diag for each connection's socket, then /proc for
that socket's owner. The first is a dump, for which the kernel walks its whole table of TCP
connections: those of all network namespaces, in a table made as large as the memory suggests.
On one machine half of the connections took more than 500 to 990 us with its 262,144 buckets,
230 us with 1,024 (net.ipv4.tcp_child_ehash_entries).
No package of Debian 12 has that object: its opensnitch 1.5.8.1 is built without, and opensnitch-ebpf-modules
came with Debian 13. Those work on Debian 12's kernel, and the daemon beside them with its libraries.
"""

import glob
import json
import os
import re
import shutil
import subprocess

from lib.wait import Timeout, wait_for

from . import packages
from .figures import Absent
from .places import ADDRESS, PORT, Place

QUEUE = 0  # its default
ETC = "opensnitchd"
READY = "Running on netfilter queue"
LIBRARIES = "iptables", "libnetfilter-queue1", "libnfnetlink0"
TRIXIE = "trixie/opensnitch", "trixie/opensnitch-ebpf-modules"
PACKAGES = TRIXIE + LIBRARIES  # of ByProc and ByEbpf
INFO = 1  # level of its log: says mode and when it is ready, nothing for each connection


def _rule(name, action, program):
    operator = {"type": "simple", "operand": "process.path", "sensitive": False, "data": program, "list": []}
    return {"created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z", "name": name, "enabled": True,
            "precedence": False, "action": action, "duration": "always", "operator": operator}


def _write(path, value):
    with open(path, "w") as file:
        json.dump(value, file)


class OpenSnitch(Place):
    """@version; @mode: as it says itself; @why: of the mode; @objects: that it says to have loaded"""

    PACKAGE, OBJECTS = "opensnitch", None
    METHOD = None  # the package's own setting

    def prepare(self, ends):
        package = packages.folder(self.PACKAGE)
        self.version = os.path.basename(package).split("_", 1)[1]
        self.mode = self.why = None
        daemon = self.lab.start_plain(self._command(package, packages.folder(LIBRARIES[0])))
        ends.callback(self._flush)  # its rules go with it, and what it leaves of its tables
        ends.callback(daemon.end)
        self._daemon = daemon
        self._wait_ready(daemon)
        self._expect_denial()
        self.objects = re.findall(r"module loaded: \S*/(\S+\.o)", _plain(daemon.stdout))

    def deciders(self):
        return [self._daemon.pid]

    def said(self):
        return "\n".join(_plain(self._daemon.stdout).splitlines()[-20:])

    def _flush(self):
        with self.lab.client:
            subprocess.run(["nft", "flush", "ruleset"], check=True)

    def _configure(self, package):
        """Return: what it sees as /etc"""
        etc = self.lab.new_file("etc")
        rules = os.path.join(etc, ETC, "rules")
        os.makedirs(rules)
        for path in glob.glob(os.path.join(package, "etc", ETC, "*.json")):
            with open(path) as file:
                settings = json.load(file)
            if "ProcMonitorMethod" in settings:
                settings["Server"] = {"Address": f"unix://{etc}/nobody", "LogFile": "/dev/stdout"}
                settings["LogLevel"] = INFO
                settings["ProcMonitorMethod"] = self.METHOD or settings["ProcMonitorMethod"]
            _write(os.path.join(etc, ETC, os.path.basename(path)), settings)
        for action, program in (("allow", "bench/cps"), ("deny", "tests/providers/flowgen")):
            _write(os.path.join(rules, action + ".json"), _rule(action, action, self.lab.path(program)))
        for path in glob.glob(packages.folder(self.OBJECTS) + "/usr/lib/opensnitchd/ebpf/*.o") if self.OBJECTS else ():
            shutil.copy(path, os.path.join(etc, ETC))  # where it looks for them too
        return etc

    def _command(self, package, iptables):
        etc, programs = self._configure(package), self.lab.new_file("bin")
        os.mkdir(programs)
        for name in ("iptables", "ip6tables"):
            os.symlink(os.path.join(iptables, "usr/sbin/xtables-nft-multi"), os.path.join(programs, name))
        return ["env", "LD_LIBRARY_PATH=" + packages.library_path(*LIBRARIES[1:]),
                "XTABLES_LIBDIR=" + ":".join(glob.glob(iptables + "/usr/lib/*/xtables")),
                f"PATH={programs}:{os.environ['PATH']}",
                "unshare", "--mount", "--propagation", "private", "sh", "-c",
                'mount --bind "$1" /etc && exec "$2" -rules-path "/etc/$3/rules"', "sh",
                etc, os.path.join(package, "usr/bin/opensnitchd"), ETC]

    def _wait_ready(self, daemon):
        try:
            wait_for(lambda: READY in daemon.stdout, 20, READY)
        except Timeout:
            raise Absent("opensnitchd did not start: " + _last_line(daemon.stdout + daemon.stderr)) from None
        text = _plain(daemon.stdout)
        mode = re.findall(r"Process monitor method (\S+)", text)[-1:]
        self.mode = "proc (fallback)" if mode == ["/proc"] else "".join(mode)
        self.why = ": ".join(re.findall(r"error starting ebpf monitor method: (.*)", text)[:1])

    def _expect_denial(self):
        """at another port of the server: in eBPF mode it may take a later connection between the same
        two ends for one of the program that it denied here"""
        if not self.lab.plain(["timeout", "1", *self.lab.flowgen("tcp", ADDRESS, PORT + 1, 1)], 20).popen.returncode:
            raise Absent("opensnitchd let a program through that a rule denies")

    def measure(self):
        before = self._n_queued()
        result = super().measure()
        if self._n_queued() - before < result["n"]:
            raise RuntimeError("opensnitchd did not see all connections")
        return result

    def _n_queued(self):
        """packets that its queue has had so far"""
        rows = [line.split() for line in self.lab.client.read_proc("netfilter/nfnetlink_queue").splitlines()]
        return sum(int(row[7]) for row in rows if int(row[0]) == QUEUE)


class ByProc(OpenSnitch):
    """Debian 13's, told to work as it does without its objects"""
    PACKAGE, METHOD = TRIXIE[0], "proc"


class ByEbpf(OpenSnitch):
    """Debian 13's in its default mode"""
    PACKAGE, OBJECTS, METHOD = *TRIXIE, "ebpf"


def _plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _last_line(text):
    return ([line.strip() for line in _plain(text).splitlines() if line.strip()] or ["it said nothing"])[-1]
