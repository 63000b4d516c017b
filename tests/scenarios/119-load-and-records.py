#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""119 — neither many flows, nor a reader that does not read, nor a provider that talks for
ever stops sluiced: it is the same process afterwards, and no record is missing

   12,000 sockets closed at once ──▶ sluiced ──▶ flow records ──▶ a FIFO that nobody reads
   a provider that only logs     ──▶
"""
import os
import signal
import subprocess
import sys
import time

from lib import main
from lib.wait import SLOW, Timeout, wait_for

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
# an emulated machine gets fewer: for sluiced a second of silence is a second there too
N_PROCESSES, N_EACH = 6, int(4000 / SLOW)
N_SOCKETS = N_PROCESSES * N_EACH
N_UNREAD = 400  # records of so many flows are more than a pipe holds

MANY = """import os, resource, socket, sys, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
reader, writer = os.pipe()
for process in range(%d):
    if not os.fork():
        os.close(writer)
        keep = []
        for i in range(%d):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.sendto(b"x", (f"10.79.{process * 20 + i // 250}.{i %% 250 + 1}", 9))
            keep.append(s)
            if i %% 10 == 0:
                time.sleep(0.02)  # the queue holds 16,384: sanitizers are slow
        os.read(reader, 1)
        os._exit(0)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
os.close(writer)  # all of them end, and all their sockets, at one moment
time.sleep(1000)
""" % (N_PROCESSES, N_EACH)

FLOOD = """#include <sluice/filter.h>

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	(void)flow;
	(void)data;
	for (;;)
		sluice_filter_log(filter, 3, "and so on");
}

int main(void)
{
	struct sluice_filter_ops ops = { .size = sizeof(ops), .name = "flood", .new_flow = on_flow };

	return sluice_filter_main(&ops, 0);
}
"""


def check_many(t, lab):
    """every flow has its two records"""
    go = lab.new_file("go")
    run = lab.start([], [sys.executable, "-c", MANY, go], fail="closed")
    first = run.wait_pid("sluiced")
    wait_for(lambda: run.n_records() >= N_SOCKETS, 120, f"{N_SOCKETS} flows")
    open(go, "w").close()
    began = time.monotonic()
    try:
        wait_for(lambda: run.n_records() >= 2 * N_SOCKETS, 30, "the records of their ends")
    except Timeout:
        pass  # the check below says how many are missing
    t.note(f"{N_SOCKETS} sockets closed at once: recorded after {time.monotonic() - began:.1f} s")
    t.equal(run.pids("sluiced"), [first], "many: the same sluiced")
    for event in ("new", "closed"):
        ids = [record["id"] for record in run.flows(event=event)]
        t.equal((len(ids), len(set(ids))), (N_SOCKETS, N_SOCKETS), f"many: {event} records, ids")
    run.kill(signal.SIGTERM)
    run.wait(15)


def check_unread(t, lab):
    """records go to a FIFO whose reader sleeps: traffic does not wait for it"""
    fifo = lab.new_file("fifo")
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        run = lab.start([lab.test_filter()],
                        lab.flowgen("udp", "10.79.1.1", 7, N_UNREAD, N_UNREAD, 20000),
                        fail="closed", options=["--flows", fifo])
        first = run.wait_pid("sluiced")
        t.equal(run.wait(30), 0, f"unread: exit status; {run.stderr[-500:]}")
        t.equal(run.json()["errors"], {"0": N_UNREAD}, "unread: what the application got")
        t.check(os.read(reader, 100), "the FIFO got records")
        t.check("sluiced" not in run.stderr or str(first) not in run.stderr,
                f"unread: sluiced was not replaced: {run.stderr[-500:]}")
    finally:
        os.close(reader)


def compile_flood(lab):
    exe, library = os.path.join(lab.folder, "flood"), lab.path("lib")
    needed = subprocess.run(["readelf", "-d", library + "/libsluice.so.0"], check=True,
                            capture_output=True, text=True).stdout
    # a sanitized library needs its run time in the program as well
    extra = ["-fsanitize=address,undefined"] if "libasan" in needed else []
    subprocess.run(["cc", *extra, lab.new_file("c", FLOOD), f"-I{TOP}/include", f"-L{library}",
                    f"-Wl,-rpath,{library}", "-lsluice", "-o", exe], check=True)
    return exe


def check_flood(t, lab):
    """a provider that logs without end: its flow is refused, sluiced stays and answers"""
    flow = " ".join(lab.flowgen("tcp", "10.79.1.1", 7, 1, 1, 3500))
    run = lab.start([compile_flood(lab)], ["sh", "-c", f"{flow}; exec sleep 1000"], fail="closed")
    first = run.wait_pid("sluiced")
    wait_for(lambda: run.stdout, 60, "the flow's end")
    t.equal(run.pids("sluiced"), [first], "flood: the same sluiced")
    t.check('"0"' not in run.stdout, f"flood: a flow without a verdict passed: {run.stdout}")
    answer = lab.sluice("status", "--instance", f"r{run.pid}", "--json")
    t.equal(answer.popen.returncode, 0, f"flood: status answers; {answer.stderr}")
    t.check(len(run.stderr) < 1 << 20, f"flood: {len(run.stderr)} bytes of messages")
    run.kill(signal.SIGTERM)
    run.wait(15)


def scenario(t):
    t.needs("cc", "readelf", "lib/libsluice.so.0")
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        check_many(t, lab)
        check_unread(t, lab)
        check_flood(t, lab)


if __name__ == "__main__":
    main(scenario)
