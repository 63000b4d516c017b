# SPDX-License-Identifier: LGPL-2.1-or-later
"""Write a filter for Sluice: sluice-python(7) is the manual.

    import sluice

    class Hello(sluice.Filter):
        def new_flow(self, flow):
            flow.drop("by name") if flow.host == "blocked.example" else flow.allow()

    sluice.main(Hello())
"""
from .errors import (BadRule, DaemonGone, Error, Full, Misuse, NotStarted, ProtocolError, Refusal,
                     Stopped)
from .filter import Filter, main
from .flow import (BYTES_MAX, PEEK_MAX, Data, Direction, Flow, HostReading, HostSource, Report, ReportEvent, Scope,
                   Verdict, Watch)
from .lists import List, Unusable
from .rules import Rule, RuleAction, RuleDirection

__all__ = ["BYTES_MAX", "BadRule", "DaemonGone", "Data", "Direction", "Error", "Filter", "Flow", "Full",
           "HostReading", "HostSource", "List", "Misuse", "NotStarted", "PEEK_MAX", "ProtocolError", "Refusal",
           "Report", "ReportEvent", "Rule", "RuleAction", "RuleDirection", "Scope", "Stopped", "Unusable", "Verdict",
           "Watch", "main"]
