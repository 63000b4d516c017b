#!/usr/bin/python3
"""Answers what goes to port 80 itself, and lets the rest go directly: sluice-python(7) explains it."""
import sluice

PAGE = b"HTTP/1.0 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nnot from here\n"

class Hello(sluice.Proxy):
    def start(self):
        self.set_flows([sluice.Rule(sluice.RuleAction.ASK, protocol=6, remote_port=80)])

    def new_flow(self, flow):
        print(flow.exe, flow.host, flow.remote_address, flush=True)
        flow.open()

    def flow_opened(self, flow_id, connection):
        connection.setblocking(True)
        connection.settimeout(1)  # a real one has a loop of its own: self.fileno()
        try:
            connection.recv(65536)
            connection.sendall(PAGE)
            sluice.close_flow(connection)
        except OSError:
            connection.close()

sluice.main(Hello())
