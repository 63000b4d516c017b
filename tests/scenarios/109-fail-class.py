#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""109 — a provider that gives no verdict: the fail class decides, and nobody hangs

   [ client ns: flowgen ]──uplink──[ server ns: echo :7 ]
        └ test-filter: mute (lives, never judges), hang (reads nothing), crash (dies each time)
          × open, closed
"""

from lib import main
from lib.still import Still

DEADLINE_MS = 5000  # of a held flow
AFTER_MS = 300  # it, with restarts

FAILURES = {"mute": {"mute": 1}, "hang": {"hang_after": 1}, "crash": {"crash_after": 1}}
OUTCOME = {"open": ("0", "allow"), "closed": ("ECONNREFUSED", "drop")}


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        for failure, options in FAILURES.items():
            for fail, (error, verdict) in OUTCOME.items():
                title, still = f"{failure}, fails {fail}", Still()
                tcp = " ".join(lab.flowgen("tcp", "10.79.9.1", 7, 1, 1, 20000))
                udp = " ".join(lab.flowgen("udp", "10.79.9.2", 7, 1, 1, 20000))
                run = lab.run([lab.test_filter(**options)], ["sh", "-c", f"{tcp} & {udp} & wait"],
                              fail=fail)
                results = run.jsons()
                slowest = max(result["max_us"] for result in results)
                t.note(f"{title}: {slowest // 1000} ms")
                for result in results:
                    t.equal(result["errors"], {error: 1}, f"{title}: what the application got")
                still.check(t, slowest / 1000, AFTER_MS, title, free_ms=DEADLINE_MS)
                for address in ("10.79.9.1", "10.79.9.2"):
                    record = run.wait_flow(dst=address, event="new")
                    t.equal(record["verdict"], verdict, f"{title}: record of {address}")


if __name__ == "__main__":
    main(scenario)
