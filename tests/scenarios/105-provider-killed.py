#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""105 — kill -9 of a provider: decided flows do not notice, new ones are judged again

   [ client ns: a download of 24 MB in about 3 s ]──uplink──[ server ns: HTTP :80 ]
        └ test-filter is killed in the middle and is started again
"""
import hashlib
import json
import os
import signal

from lib import main
from lib.servers import PATTERN
from lib.still import Still
from lib.wait import wait_for

SIZE = 24 << 20
LONGEST_MS = 200  # what the project promises


def scenario(t):
    with t.lab() as lab:
        lab.http()
        download = lab.actor("download", "10.79.5.1", 80, f"/slow/{SIZE}/65536/8")
        then, still = " ".join(lab.flowgen("tcp", "10.79.5.2", 80, 1)), Still()
        run = lab.start([lab.test_filter(deny_port=81)], ["sh", "-c", f"{' '.join(download)}; {then}"])
        wait_for(lambda: "connected" in run.stderr, 10, "the download to begin")
        first = run.wait_pid("test-filter")
        os.kill(first, signal.SIGKILL)
        second = run.wait_pid("test-filter", other_than=first)
        t.check(second != first, "the provider runs again")
        t.equal(run.wait(), 0, "exit status")

        lines = run.stdout.splitlines()
        result = json.loads(lines[0])
        t.note(f"longest gap in the download: {result['longest_gap_ms']} ms")
        t.equal(result["size"], SIZE, "bytes received")
        t.equal(result["sha256"], hashlib.sha256(PATTERN * (SIZE // len(PATTERN))).hexdigest(),
                "digest of what was received")
        still.check(t, result["longest_gap_ms"], LONGEST_MS, "the gap in the download")
        t.check('"errors": {"0": 1}' in lines[1], f"a new flow is allowed: {lines[1]}")


if __name__ == "__main__":
    main(scenario)
