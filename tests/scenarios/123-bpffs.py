#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""123 — pins go where sluiced, which is not root, may write: /sys/fs/bpf as systemd
mounts it, for root alone, is left alone

   mode of /sys/fs/bpf    pins
   0700                   /run/sluice/ID/bpf, mounted for them
   0755                   /sys/fs/bpf/sluice-ID
"""
import os

from lib import Skip, main

PLACES = {"0700": "/run/sluice/{}/bpf", "0755": "/sys/fs/bpf/sluice-{}"}


def scenario(t):
    t.needs("unshare")
    if not os.path.isdir("/sys/fs/bpf"):
        raise Skip("no /sys/fs/bpf to mount on")
    with t.lab() as lab:
        lab.tcp_echo(7)
        flow = " ".join(lab.flowgen("tcp", "10.79.1.1", 7, 1))
        for mode, place in PLACES.items():
            # in a mount namespace of its own: the machine's stays as it is
            # (in a chroot / is no mount whose propagation could be changed; /sys is)
            run = lab.plain(["unshare", "-m", "--propagation", "unchanged", "sh", "-c",
                             f"mount --make-rprivate /sys && mount -t bpf -o mode={mode} bpf /sys/fs/bpf && "
                             f"exec {lab.path('sluice')} run --filter {lab.test_filter()} --fail closed"
                             f" -- sh -c 'grep -h ^bpffs= /run/sluice/*/instance; {flow}'"])
            t.equal(run.popen.returncode, 0, f"{mode}: exit status")
            t.check('"errors": {"0": 1}' in run.stdout, f"{mode}: the flow is judged: {run.stdout}")
            wanted = "bpffs=" + place.format(f"r{run.pid}")
            t.check(wanted in run.stdout.splitlines(), f"{mode}: {wanted} in {run.stdout}")


if __name__ == "__main__":
    main(scenario)
