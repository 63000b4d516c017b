#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The conformance suite's filter, with the Python binding: the same as puppet.c

    puppet.py [--without CALLBACK]…
"""
import errno
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../python"))
import sluice  # noqa: E402

LOG_ERR, LOG_INFO = 3, 6


def number(text):
    return sluice.BYTES_MAX if text == "max" else int(text)


def ports(text):
    return tuple(int(part) for part in text.split("-")) if "-" in text else int(text)


RULE_WORDS = {"action": int, "direction": int, "protocol": int, "uid": int, "remote": ports, "local": ports}
RULE_NAMES = {"remote": "remote_port", "local": "local_port", "address": "remote_address",
              "local-address": "local_address"}


def rule(words):
    values = dict(word.split("=", 1) for word in words)
    return sluice.Rule(**{"action": 0, **{RULE_NAMES.get(key, key): RULE_WORDS.get(key, str)(value)
                                          for key, value in values.items()}})


def split_rules(words):
    some = []
    for word in [*words, "|"]:
        if word != "|":
            some.append(word)
        elif some:
            yield rule(some)
            some = []


class Puppet(sluice.Filter):
    name = "puppet"
    at_start = at_stop = ""
    repeated_with = n_descriptors = None

    def say(self, text, level=LOG_INFO):
        self.log(text, level)

    def obey(self, flow_id, text):
        for order in filter(None, (order.strip(" ") for order in text.split(";"))):
            words = order.split()
            try:
                self.obey_one(flow_id, words[0], words[1:], order)
            except sluice.Error as failure:
                why = f": {failure}" if isinstance(failure, sluice.BadRule) else ""
                self.say(f"{words[0]}: {errno.errorcode[failure.errno]}{why}", LOG_ERR)

    def obey_one(self, flow_id, name, words, order):
        def rest(n):
            return order.split(" ", n + 1)[n + 1] if len(words) > n else ""
        if name == "answer":
            self.answer(flow_id, int(words[0]), int(words[1]), rest(2))
        elif name == "peek":
            sides = [None if word == "-" else number(word) for word in words[:2]]
            self.peek(flow_id, *sides, rest(2))
        elif name == "name":
            self.read_name(flow_id, rest(0))
        elif name == "pass":
            self.pass_bytes(flow_id, int(words[0]), number(words[1]), number(words[2]))
        elif name == "need":
            self.need_rules(flow_id, rest(0))
        elif name == "watch":
            self.watch(flow_id, int(words[0]))
        elif name == "update":
            self.update(flow_id, int(words[0]), rest(1))
        elif name in ("pause", "resume"):
            getattr(self, name)(flow_id)
        elif name in ("forget", "rejudge"):
            getattr(self, name)()
        elif name == "log":
            self.log(rest(1), int(words[0]))
        elif name == "list":
            self.list(sluice.List(int(words[0]), rest(2), words[1], n_names=int(words[2]), n_exceptions=2,
                                  unusable={sluice.Unusable.LONG: 3, sluice.Unusable.ZONE: 4}, is_exceptions=True,
                                  changed_s=5, loaded_s=6))
        elif name == "rules":
            self.set_rules(split_rules(words[1:]), int(words[0]))
        elif name == "repeat":
            self.repeat(flow_id, int(words[0]))
        elif name == "said" and self.repeated_with:
            raise self.repeated_with
        elif name == "descriptors":
            self.descriptors()
        elif name == "die":
            os._exit(7)

    def repeat(self, flow_id, n):
        """answers, until one of them fails, which `said` tells later: the channel is full then, for a LOG as well"""
        try:
            for _ in range(n):
                self.answer(flow_id, 0)
        except sluice.Error as failure:
            self.repeated_with = failure
        print("repeated", file=sys.stderr, flush=True)

    def descriptors(self):
        """how many more are open than when this was first asked"""
        n = sum(os.path.exists(f"/proc/self/fd/{fd}") for fd in range(256))
        if self.n_descriptors is not None:
            self.say(f"descriptors: {n - self.n_descriptors}")
        self.n_descriptors = n

    def option(self, key, value, file):
        self.say(f"option {key}={value}" + (f": file of \"{file.read().decode()}\"" if file else ""))
        if key in ("at-start", "at-stop"):
            setattr(self, key.replace("-", "_"), value)
        if key == "refuse":
            raise sluice.Refusal(value, errno.EACCES)
        if key == "refuse-mutely":
            raise sluice.Refusal(number=errno.ENOENT)

    def start(self):
        if self.at_start.startswith("refuse "):
            raise sluice.Refusal(self.at_start[7:])
        self.obey(0, self.at_start)

    def new_flow(self, flow):
        if flow.host != "show":
            self.obey(flow.id, flow.host)
            return
        self.say(f"flow {flow.id}: direction {flow.direction:d} protocol {flow.protocol} ports {flow.local_port} "
                 f"{flow.remote_port} source {flow.host_source:d} pids {flow.pid} {flow.owner_pid} ids {flow.uid} "
                 f"{flow.gid} {flow.owner_uid} exe {flow.exe_inode} {flow.exe_device} ifindex {flow.ifindex} "
                 f"cut {flow.is_cut:d} again {flow.is_again:d} reading {flow.host_reading:d} "
                 f"bound {flow.is_bound:d} socket {flow.socket}")
        self.say(f"from {flow.local_address} to {flow.remote_address} by {flow.interface}, {flow.interface_kind}")
        self.say("|".join((flow.exe, flow.command, flow.cgroup, flow.unit, flow.container)))

    def flow_data(self, data):
        self.say(f"data of {data.flow_id}: direction {data.direction:d} offset {data.offset} n {len(data.bytes)} "
                 f"end {data.is_end:d} most {data.most}")
        if data.bytes.startswith(b":") and len(data.bytes) < 512:
            self.obey(data.flow_id, data.bytes[1:].decode())

    def flow_closed(self, flow_id, bytes_in, bytes_out):
        self.say(f"closed {flow_id}: {bytes_in} {bytes_out}")

    def report(self, report):
        self.say(f"report of {report.flow_id}: event {report.event:d} verdict {report.verdict:d} looked at "
                 f"{report.is_looked_at:d} bytes {report.bytes_in} {report.bytes_out} age {report.age_us} "
                 f"lost {report.n_lost}")

    def refused(self, flow_id, error):
        self.say(f"refused {flow_id}: {error}: {self.error_text}")

    def rules_done(self, error, number):
        self.say(f"rules done: {error} {number}" + (f": {self.error_text}" if error else ""))

    def stop(self):
        self.say("stop")
        self.obey(1, self.at_stop)


# as if it had never been defined
for word in sys.argv[1:]:
    if word in ("option", "flow_closed", "flow_data", "report", "refused"):
        delattr(Puppet, word)
sluice.main(Puppet())
