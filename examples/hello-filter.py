#!/usr/bin/python3
"""Denies one host, prints every flow: sluice-python(7) explains it."""
import sluice

class Hello(sluice.Filter):
    def new_flow(self, flow):
        print(flow.exe, flow.host, flow.remote_address, flush=True)
        flow.drop("hello") if flow.host == "blocked.example" else flow.allow("hello")

sluice.main(Hello())
