# SPDX-License-Identifier: LGPL-2.1-or-later
"""Write a filter or a proxy for Sluice: sluice-python(7) is the manual.

    import sluice

    class Hello(sluice.Filter):
        def new_flow(self, flow):
            flow.drop("by name") if flow.host == "blocked.example" else flow.allow()

    sluice.main(Hello())
"""
from .errors import (BadRule, DaemonGone, Error, Full, Misuse, NotStarted, ProtocolError, Refusal,
                     Stopped, Unsupported)
from .filter import Filter, main
from .flow import (BYTES_MAX, PEEK_MAX, Data, Direction, Flow, HostReading, HostSource, ProxiedFlow, Report,
                   ReportEvent, Scope, Verdict, Watch)
from .lists import List, Unusable
from .proxy import Proxy, ProxyEnd, close_flow
from .rules import Rule, RuleAction, RuleDirection

__all__ = ["BYTES_MAX", "BadRule", "DaemonGone", "Data", "Direction", "Error", "Filter", "Flow", "Full",
           "HostReading", "HostSource", "List", "Misuse", "NotStarted", "PEEK_MAX", "ProtocolError", "ProxiedFlow",
           "Proxy", "ProxyEnd", "Refusal", "Report", "ReportEvent", "Rule", "RuleAction", "RuleDirection", "Scope",
           "Stopped", "Unsupported", "Unusable", "Verdict", "Watch", "close_flow", "main"]
