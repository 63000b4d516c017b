# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a filter says of flows: each is one record, sent or queued."""
from .flow import BYTES_MAX, Direction, Scope, Verdict, Watch


class Answers:
    """of a Filter, whose session sends them"""

    def answer(self, flow_id, verdict, scope=Scope.THIS_FLOW, reason=""):
        self._check(verdict in Verdict.__members__.values(), "the verdict is out of range")
        self._check(scope in Scope.__members__.values(), "the scope is out of range")
        self._say("FLOW_VERDICT", id=flow_id, verdict=verdict, scope=scope, reason=reason)

    def peek(self, flow_id, outbound=None, inbound=None, reason=""):
        self._check(self._has("flow_data"), "a filter that looks has a flow_data()")
        self._check((outbound, inbound) != (None, None), "no direction is looked at")
        self._say("FLOW_PEEK", id=flow_id, outbound=outbound is not None, inbound=inbound is not None,
                  peek_out=outbound or 0, peek_in=inbound or 0, reason=reason)

    def read_name(self, flow_id, reason=""):
        self._say("FLOW_NAME", id=flow_id, reason=reason)

    def pass_bytes(self, flow_id, direction, count=BYTES_MAX, peek=0):
        self._check(direction in Direction.__members__.values(), "the direction is out of range")
        self._say("FLOW_PASS", id=flow_id, direction=direction, peek=peek, **{"pass": count})

    def pause(self, flow_id):
        self._say("FLOW_PAUSE", id=flow_id, pause=1)

    def resume(self, flow_id):
        self._say("FLOW_PAUSE", id=flow_id, pause=0)

    def update(self, flow_id, verdict, reason=""):
        self._check(verdict in Verdict.__members__.values(), "the verdict is out of range")
        self._say("FLOW_UPDATE", id=flow_id, verdict=verdict, reason=reason)

    def need_rules(self, flow_id, reason=""):
        self._say("FLOW_NEED_RULES", id=flow_id, reason=reason)

    def watch(self, flow_id, rate):
        self._check(self._has("report"), "a filter that watches has a report()")
        self._check(rate in Watch.__members__.values(), "the rate is out of range")
        self._say("FLOW_WATCH", id=flow_id, rate=rate)

    def forget(self):
        self._say("FLOW_FORGET")

    def rejudge(self):
        self._say("FLOW_FORGET", again=1)
