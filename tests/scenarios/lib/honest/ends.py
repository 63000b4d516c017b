# SPDX-License-Identifier: LGPL-2.1-or-later
"""How connections end: as one side ends them, and as the other one sees it."""

import socket

from .look import drain, error, events, few, more, state, taken, upload, write, writes
from .steps import WORD, Case, abort, by_each, close, end, send, shut, take, tell, wait, wait_acknowledged

# ---- the end, and a reset right behind it ----

SAYS_100 = (wait(1), send(WORD * 100))  # to who has written a word, which is never read: a close is a reset
BEHIND_ENDS = {
    "end_then_reset": Case((send(WORD), wait(2), tell(drain, error, more, more)), (*SAYS_100, end, close)),
    "end_then_reset_back": Case((*SAYS_100, end, close), (send(WORD), wait(3), tell(drain, more, more))),
    "large_end_then_reset": Case((send(WORD), tell(drain)),
                                 (wait(1), send(WORD * 300000), end, wait_acknowledged, abort)),
    "end_later_reset": Case((wait(1), tell(drain, events, state), wait(2), tell(events, state, few, error, more)),
                            (send(WORD), end, wait(2), abort)),
}

# ---- resets ----

RESETS = {
    **by_each("unread_reset", (send(WORD), wait(2), tell(events, drain, events, state, few, more)), (*SAYS_100, close)),
    **by_each("abort_after_bytes", (wait(2), tell(events, error, drain, more)),
              (send(WORD * 100), wait(1), abort)),  # connect(2) could tell of it already, without the pause
    "reset_behind_half_close": Case((end, wait(2), tell(events, state, drain, error, more)), (tell(drain), wait(1), abort)),
    **by_each("reset_in_a_stream", (tell(upload, few, more),), (take(300000), abort)),
    **by_each("close_in_a_stream", (tell(upload, few, more),), (take(300000), close)),
}

# ---- one side goes, and the other writes on ----

WRITES_ON = {
    **by_each("leaving", (wait(1), tell(events, state, writes, events, state, few, error)), (close,)),
    **by_each("leaving_with_a_word", (wait(1), tell(events, writes, drain, error)), (send(WORD * 100), close)),
    **by_each("shutting_both", (wait(1), tell(writes, few, error)),
              (shut(socket.SHUT_RDWR), wait(5), tell(few, error, more))),
    **by_each("shutting_reading", (wait(1), tell(writes, taken(10), error)),
              (shut(socket.SHUT_RD), wait(5), tell(write(WORD), drain))),
    "half_then_leaves": Case((end, wait(2), close),
                             (tell(drain, write(b"early")), wait(3), tell(events, writes, error))),
    "both_end_at_once": Case(*2 * [(send(WORD), end, wait(2), tell(events, drain, state, more))]),
}

CASES = BEHIND_ENDS | RESETS | WRITES_ON
