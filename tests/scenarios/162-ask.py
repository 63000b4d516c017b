#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""162 — a person is asked about each program (LULU-2)

   [ client ns: curl, nc, flowgen ]──uplink──│count│──[ server ns: echo :7, HTTP :80, DNS :53 ]
        └ ask:answers=FIFO ◀── y, n, anything else, nothing, the end
"""
import contextlib
import os

from lib import main
from lib.wait import wait_for

WEB, ECHO = "10.79.62.1", "10.79.62.2"


class Person:
    """who reads the log, and has the other end of the answers"""

    def __init__(self, lab):
        self.path = lab.new_file("answers")
        os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDWR)

    def say(self, text):
        os.write(self._fd, text.encode() + b"\n")

    def leave(self):
        os.close(self._fd)


@contextlib.contextmanager
def person(lab):
    someone = Person(lab)
    try:
        yield someone
    finally:
        someone.leave()


def ask(lab, **options):
    return lab.path("providers/ask") + ":" + ",".join(f"{key}={value}" for key, value in options.items())


def questions(run):
    return [line[line.index("may "):] for line in run.stderr.splitlines() if "? y or n" in line]


def await_question(run, n):
    return wait_for(lambda: len(questions(run)) >= n and questions(run), 20, f"question {n}")[n - 1]


def fetch(n):
    return f"for i in $(seq {n}); do curl -q -sS -m 30 -o /dev/null http://shop.example/ & done; wait"


def check_answers(t, lab):
    """two programs, one question each; what has not been allowed does not leave"""
    with person(lab) as someone, lab.capture() as wire:
        command = f"{fetch(3)}; echo hello | nc -N -w 10 {ECHO} 7; echo nc: $?; curl -q -sS -m 10 http://shop.example/; true"
        run = lab.start([ask(lab, answers=someone.path)], ["sh", "-c", command])
        question = await_question(run, 1)
        t.check("/curl (pid" in question and f"shop.example, {WEB}, port 80" in question, f"the question: {question}")
        wait_for(lambda: lab.status(f"r{run.pid}")["flows_held"] >= 3, 10, "all of them to wait")
        t.equal(wire.count(lambda p: p.dst == WEB), 0, "packets that left before the answer")
        someone.say("what?")
        t.equal(await_question(run, 2), question, "an answer that is none: the question once more")
        someone.say("y")
        question = await_question(run, 3)
        t.check(f"talk to {ECHO}, port 7" in question, f"the next program: {question}")
        someone.say("no")
        t.equal(run.wait(30), 0, "exit status")
    t.check("nc: 1" in run.stdout and "hello" in run.stdout, f"nc is refused, curl is not: {run.stdout}")
    t.equal(wire.count(lambda p: p.dst == ECHO), 0, "packets of nc that left")
    t.equal(len(questions(run)), 3, "one question for all flows of a program, and no more later")
    t.equal({(f["verdict"], f["reason"]) for f in run.flows(dst=WEB, event="new")}, {("allow", "allowed when asked")}, "curl")
    t.equal({(f["verdict"], f["reason"]) for f in run.flows(dst=ECHO, event="new")}, {("drop", "refused when asked")}, "nc")
    t.equal({f["reason"] for f in run.flows(dport=53, event="new")}, {"a name server"}, "DNS")


def check_silence(t, lab, otherwise, is_there):
    """nobody answers in time, or nobody is there: it is said, and holds for the program"""
    with person(lab) as someone:
        path = someone.path if is_there else os.devnull
        run = lab.run([ask(lab, answers=path, patience=1, otherwise=otherwise)], ["sh", "-c", fetch(2)])
    reason = "nobody has answered" if is_there else "nobody is there to ask"
    title = f"{otherwise}, {reason}"
    t.equal({(f["verdict"], f["reason"]) for f in run.flows(dst=WEB, event="new")}, {(otherwise, reason)}, title)
    word = {"allow": "allowed", "drop": "dropped"}[otherwise]
    t.equal(run.stderr.count(f"{reason}, {word}"), 1, f"{title}: told once: {run.stderr}")
    t.equal(len(questions(run)), int(is_there), f"{title}: questions")


def check_wrong(t, lab):
    for text, told in ((":patience=60", "answers"), (f":answers={lab.new_file('a', '')},patience=soon", "patience"),
                       (f":answers={lab.new_file('a', '')},otherwise=perhaps", "neither allow nor drop"),
                       (f":answers={lab.new_file('a', '')},color=red", "color"),
                       (f":answers={lab.folder}/nothing", "nothing")):
        run = lab.run([lab.path("providers/ask") + text], ["true"])
        t.equal(run.popen.returncode, 125, f"{text}: exit status")
        t.check(told in run.stderr, f"{text}: {run.stderr}")


def scenario(t):
    t.needs("curl", "nc", "providers/ask")
    with t.lab() as lab:
        lab.dns().add("shop.example", "A", WEB)
        lab.http()
        lab.tcp_echo(7)
        check_answers(t, lab)
        for otherwise in ("allow", "drop"):
            for is_there in (True, False):
                check_silence(t, lab, otherwise, is_there)
        check_wrong(t, lab)


if __name__ == "__main__":
    main(scenario)
