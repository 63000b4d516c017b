#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The conformance suite's proxy, with the Python binding: the same as puppet-proxy.c

    puppet-proxy.py [app] [udp]
"""
import errno
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../python"))
import sluice  # noqa: E402

LOG_ERR, LOG_INFO = 3, 6


class Puppet(sluice.Proxy):
    name = "puppet"
    at_start = at_stop = ""
    is_app, takes_udp = "app" in sys.argv, "udp" in sys.argv

    def obey(self, flow_id, text):
        """Return: does it take the flow?"""
        takes = False
        for order in filter(None, (order.strip(" ") for order in text.split(";"))):
            name, *words = order.split()
            try:
                takes |= bool(self.obey_one(flow_id, name, words))
            except sluice.Error as failure:
                why = f": {failure}" if isinstance(failure, (sluice.BadRule, sluice.Unsupported)) else ""
                number = "EOPNOTSUPP" if failure.errno == errno.EOPNOTSUPP else errno.errorcode[failure.errno]
                self.log(f"{name}: {number}{why}", LOG_ERR)
        return takes

    def obey_one(self, flow_id, name, words):
        if name == "take":
            return True
        if name == "open":
            self.open_flow(flow_id, int(words[0]), words[1] if words[1:] else "")
        elif name == "ask":
            self.ask_end(flow_id)
        elif name == "upstream":
            with socket.socket() as connection:
                self.upstream(flow_id, connection)
        elif name == "flows":
            self.set_flows([sluice.Rule(sluice.RuleAction.DROP, remote_port=int(words[0]))],
                           [sluice.Rule(sluice.RuleAction.ASK, remote_address=words[1] if words[1:] else "")])
        elif name == "unsupported":
            self.set_flows([], dns_servers=["192.0.2.53"])
        return False

    def option(self, key, value, file):
        if key == "refuse":
            raise sluice.Refusal(value, errno.EACCES)
        setattr(self, key.replace("-", "_"), value)

    def start(self):
        self.obey(0, self.at_start)

    def new_flow(self, flow):
        if flow.through:
            self.log(f"through {flow.through} for {flow.on_behalf_of} of {flow.origin_pid} {flow.origin_uid} {flow.origin_exe}", LOG_INFO)
        return self.obey(flow.id, flow.host)

    def flow_opened(self, flow_id, connection):
        try:
            text = connection.recv(63).decode()
        except BlockingIOError:
            text = "nothing"
        self.log(f"opened {flow_id}: {text}", LOG_INFO)
        sluice.close_flow(connection)

    def flow_cancelled(self, flow_id):
        self.log(f"cancelled {flow_id}", LOG_INFO)

    def flow_ended(self, flow_id, end):
        self.log(f"ended {flow_id}: {end:d}", LOG_INFO)

    def flow_datagram(self, flow_id, data):
        self.log(f"datagram of {flow_id}: {len(data)} {data[:20].decode()}", LOG_INFO)

    def rules_done(self, error, number):
        self.log(f"rules done: {error} {number}", LOG_INFO)

    def stop(self):
        self.log("stop", LOG_INFO)
        self.obey(1, self.at_stop)


sluice.main(Puppet())
