#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""121 — an instance's name is taken once: a second one of that name is refused

   cgroup A: sluice run --instance ID --filter deny-all    stays in force
   cgroup B: sluice run --instance ID --filter permissive  refused, changes nothing
   and instances begin while the end of others removes the folder of all
"""
import contextlib
import os
import subprocess
import sys

from lib import machine, main
from lib.wait import wait_for


@contextlib.contextmanager
def another_cgroup():
    """what is started meanwhile is in a cgroup of its own"""
    home = machine.cgroup_root() + machine.cgroup_of("self")
    other = f"{home.rstrip('/')}/other-t{os.getpid()}"

    def enter(folder):
        with open(folder + "/cgroup.procs", "w") as file:
            file.write("0")

    os.mkdir(other)
    try:
        enter(other)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.rmdir(other)


def expect_refused(t, lab, instance, title):
    run = lab.run([lab.test_filter()], ["true"], 20, options=["--instance", instance])
    t.equal(run.popen.returncode, 125, f"{title}: exit status; {run.stderr}")
    t.check(instance in run.stderr, f"{title}: the message names it: {run.stderr!r}")


# in a /run of its own, where no other instance keeps the folder
PRIVATE_RUN = """import ctypes, os, sys
NEWNS, PRIVATE = 0x20000, 0x4000 | 1 << 18
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(NEWNS) == 0
root, here = os.open("/", os.O_PATH), os.open(".", os.O_PATH)
assert libc.setns(os.open("/proc/self/ns/mnt", os.O_RDONLY), NEWNS) == 0  # out of a chroot, whose root is no mount
assert libc.mount(None, b"/", None, PRIVATE, None) == 0
os.fchdir(root)
os.chroot(".")
os.fchdir(here)
assert libc.mount(b"tmpfs", b"/run", b"tmpfs", 0, b"mode=0755") == 0
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "detect_leaks=0") + ":verify_asan_link_order=0"
os.environ["LD_PRELOAD"] = sys.argv[1]
os.execv(sys.argv[2], sys.argv[2:])
"""
# the end of another instance, just before ours has its folder
ENDS = """#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int mkdir(const char *path, mode_t mode)
{
	static int n;
	int (*really)(const char *, mode_t) = (int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "mkdir");

	if (strncmp(path, "/run/sluice/", 12) == 0 && !n++ && rmdir("/run/sluice") == 0)
		(void)!write(2, "ended\\n", 6);
	return really(path, mode);
}
"""


def check_folder_of_all(t, lab):
    """whose end is the last one removes it: at any moment for one that begins"""
    library = lab.new_file("so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, lab.new_file("c", ENDS)], check=True)
    run = lab.plain([sys.executable, "-c", PRIVATE_RUN, library, lab.path("sluice"), "run", "--", "true"])
    t.check("ended" in run.stderr, f"the folder of all was removed: {run.report()}")
    t.equal(run.popen.returncode, 0, f"it begins all the same: {run.report()}")


def scenario(t):
    t.needs("cc")
    with t.lab() as lab:
        check_folder_of_all(t, lab)
        lab.tcp_echo(7)
        instance = f"t{os.getpid()}"
        go = lab.new_file("go")
        flow = " ".join(lab.flowgen("tcp", "10.79.21.1", 7, 1, 1, 20000))
        first = lab.start([lab.test_filter(deny_all=1)],
                          ["sh", "-c", f"touch {go}.not; while [ ! -e {go} ]; do sleep 0.02; done;"
                                       f" {flow}"],
                          fail="closed", options=["--instance", instance])
        wait_for(lambda: os.path.exists(go + ".not"), 15, "the first instance")
        daemon = first.wait_pid("sluiced")
        expect_refused(t, lab, instance, "from the same cgroup")
        with another_cgroup():
            expect_refused(t, lab, instance, "from another cgroup")
        t.check(machine.is_alive(daemon), "the first one's sluiced runs on")
        with lab.capture() as wire:
            open(go, "w").close()
            t.equal(first.wait(20), 0, f"the first one: exit status; {first.stderr}")
        t.equal(first.json()["errors"], {"ECONNREFUSED": 1}, "the first one still denies")
        t.equal(wire.count(lambda p: p.dst == "10.79.21.1"), 0, "packets on the uplink")


if __name__ == "__main__":
    main(scenario)
