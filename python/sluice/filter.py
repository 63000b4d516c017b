# SPDX-License-Identifier: LGPL-2.1-or-later
"""A filter's session with the daemon: libsluice's filter.c, in Python.

    NEW ──WELCOME──▶ WELCOMED ──START──▶ STARTED ──STOP──▶ STOPPING ──▶ ENDED
                         └─────START────▶ REFUSED ──STOP──────┘

What leaves goes straight to the channel, or waits while that is full; order is
kept. When 4096 answers wait nothing more is read, so that a filter which answers
inside new_flow() never sees Full, and the daemon feels the back-pressure.
"""
import enum
import errno
import os
import select
import sys
from collections import deque

from . import rules as static_rules
from . import wire
from .answers import Answers
from .channel import Channel
from .errors import DaemonGone, Error, Full, Misuse, NotStarted, ProtocolError, Refusal, Stopped
from .flow import Data, Flow, Report
from .records import VERSION
from .rules import RuleAction

ANSWERS_MAX = 4096
CONTROL_MAX = 64  # READY, PONG, STOPPED behind them
BATCH = 256       # records per process(): other descriptors live too

class State(enum.IntEnum):
    NEW, WELCOMED, STARTED, REFUSED, STOPPING, ENDED = range(6)


class Filter(Answers):
    """A content filter. Derive from it, and define new_flow() at least:

        option(key, value, file)   one option; @file: open binary file of a file option, or None
        start()                    all options are there
        new_flow(flow)             judge a Flow
        flow_data(data)            judge Data of a flow that peek() was called for
        flow_closed(flow_id, bytes_in, bytes_out)
        report(report)             a Report of a flow that watch() was called for
        refused(flow_id, error)    need_rules() was no answer; @error is an errno
        rules_done(error, number)  outcome of set_rules(): errno or 0, the rule that is wrong or 0
        stop()                     the session ends

    option() and start() refuse by raising Refusal, OSError or ValueError; any other
    exception leaves process() and ends the program, which is then started again.
    """
    name = None  # for people and logs; the program's if not set
    error_text = "nothing has failed"  # the last failure in words
    _channel = None
    _kind, _word = 1, "filter"

    # callbacks

    def option(self, key, value, file):
        raise Refusal(f"{self.name} takes no options: leave out \"{key}\"")

    def start(self):
        pass

    def new_flow(self, flow):
        raise NotImplementedError("a filter has a new_flow()")

    def flow_data(self, data):
        pass

    def flow_closed(self, flow_id, bytes_in, bytes_out):
        pass

    def report(self, report):
        pass

    def refused(self, flow_id, error):
        pass

    def rules_done(self, error, number):
        pass

    def stop(self):
        pass

    def _has(self, callback):
        return getattr(type(self), callback) is not getattr(Filter, callback, None)

    # the session

    def open(self):
        """begins the session on descriptor 3; run() does it itself"""
        self.name = self.name or os.path.basename(sys.argv[0])
        if not 0 < len(self.name.encode()) < 32:
            raise Misuse(f"the name \"{self.name}\" has not 1 to 31 bytes")
        self.is_refused = False
        self._behalf = None  # FLOW_NEW of that flow is to follow
        self._wants_upstreams = False  # of a proxy: what it connects to are flows
        self._broken = None
        self._state = State.NEW
        self._out, self._n_answers, self._is_corked = deque(), 0, False
        self._rules, self._set = deque(), 0
        self._channel = Channel()
        self._send_now(wire.encode("HELLO", version=VERSION, kind=self._kind, name=self.name))

    def close(self):
        if self._channel:
            self._channel.close()
            self._channel = None

    def fileno(self):
        """the descriptor to poll"""
        return self._channel.fileno()

    def events(self):
        """what to poll it for, as in poll(2)"""
        return ((select.POLLIN if self._may_read() else 0) |
                (select.POLLOUT if self._out or self._rules else 0))

    def process(self):
        """reads what is there and runs callbacks; never blocks. Return: False after an orderly stop"""
        if self._broken:
            raise self._broken
        self._flush()
        for _ in range(BATCH):
            if not self._may_read() or not self._process_one():
                break
            if self._broken:  # found in an answer
                raise self._broken
        if self._state == State.STOPPING:
            self._flush()
        return self._state != State.ENDED

    def run(self):
        """poll and process until an orderly stop"""
        self.open()
        try:
            poll = select.poll()
            while self.process():
                poll.register(self, self.events())
                poll.poll()
        finally:
            self.close()

    # answers that are not about a flow

    def set_rules(self, rules, otherwise=RuleAction.ASK):
        """replaces the rules in force by these, as a whole; in start() or at any later time"""
        if not self._is_alive():
            raise Stopped()
        self._check(otherwise in RuleAction.__members__.values(), "otherwise is out of range")
        records = static_rules.encode_all(rules)
        self._set += 1
        self._rules = deque([wire.encode("RULES_BEGIN", set=self._set), *records,
                             wire.encode("RULES_COMMIT", otherwise=otherwise)])

    def list(self, told):
        """tells of a List, or of its new version; Full: call it again later"""
        if not self._is_alive():
            raise Stopped()
        try:
            record = told.encode()
        except ValueError as problem:
            raise Misuse(str(problem)) from None
        if not self._send_now(record):
            raise Full()
        if self._broken:
            raise self._broken

    def log(self, text, level=6):
        """a line for people, level as in syslog(3); lost when the channel is full"""
        if self._broken or self._state == State.ENDED:
            return
        try:
            self._channel.send(wire.encode("LOG", level=max(0, min(level, 7)), text=text))
        except Error:
            pass  # process() finds it

    def _check(self, is_good, text):
        if not is_good and self._is_alive():
            raise Misuse(text)

    def _is_alive(self):
        return not self._broken and self._state < State.STOPPING

    def _say(self, kind, /, **fields):
        if not self._is_alive():
            raise Stopped()
        self._check(self._state == State.STARTED, "the filter has not started yet")
        try:
            record = wire.encode(kind, **fields)
        except ValueError as problem:
            raise Misuse(str(problem)) from None
        self._send(record, is_answer=True)

    # sending

    def _send_now(self, record):
        """Return: False: no place for it now"""
        try:
            return self._channel.send(record)
        except DaemonGone:
            self._drop()  # it may have left a STOP: the reader finds that, or the end
        except Error as failure:
            self._drop()
            self._broken, self.error_text = failure, str(failure)
        return True

    def _send(self, record, is_answer):
        # what waits goes first: the daemon relies on READY before any verdict
        if not self._out and not self._is_corked and self._send_now(record):
            return
        if is_answer and self._n_answers == ANSWERS_MAX:
            raise Full()
        if len(self._out) == ANSWERS_MAX + CONTROL_MAX:
            self._fail("PING", "sent, but its answers are not read")
        self._out.append((record, is_answer))
        self._n_answers += is_answer

    def _drop(self):
        self._out.clear()
        self._rules.clear()
        self._n_answers, self._is_corked = 0, False

    def _send_rules(self):
        for _ in range(BATCH if self._state == State.STARTED else 0):
            if not self._rules or not self._send_now(self._rules[0]):
                break
            if self._rules:  # else the channel has broken
                self._rules.popleft()
        if not self._rules:
            self._is_corked = False

    def _flush(self):
        self._send_rules()
        while self._out and not self._is_corked and self._send_now(self._out[0][0]):
            if self._out:
                self._n_answers -= self._out.popleft()[1]
        if self._broken:
            raise self._broken
        if self._state == State.STOPPING and not self._out:
            self._state, self.error_text = State.ENDED, "stopped by the daemon"

    # receiving

    def _may_read(self):
        return self._state < State.STOPPING and self._n_answers < ANSWERS_MAX

    def _break(self, error):
        self._drop()
        self._broken, self.error_text = error, str(error)
        raise error

    def _fail(self, record, why):
        self._break(ProtocolError(f"the daemon broke the protocol: {record}: {why}"))

    def _process_one(self):
        try:
            got = self._channel.receive()
            if not got:
                return False
            data, file = got
            record, fields, tail = wire.decode(0, data)
        except wire.Malformed as problem:
            self._fail("a record", problem)
        except Error as failure:
            self._break(failure)
        states, take = _RECORDS.get(record.name, (set(), None))
        if self._state not in states:
            self._fail(record.name, "not expected now")
        take = getattr(self, take.__name__)  # a proxy has its own
        if record.name in ("OPTION", "FLOW_SOCKET"):
            take(fields, file)
            return True
        if file:
            file.close()
        take(fields, tail)
        return True

    def _take_welcome(self, fields, _):
        if fields["version"] != VERSION:
            self._fail("WELCOME", "a version that this library cannot speak")
        self._state = State.WELCOMED

    def _try(self, callback, what, *arguments):
        try:
            callback(*arguments)
        except Refusal as refusal:
            text = str(refusal) if refusal.has_text else f"{what}: {os.strerror(refusal.errno)}"
            self._refuse(refusal.errno, text)
        except OSError as failure:
            place = f": {failure.filename}" if failure.filename else ""
            self._refuse(failure.errno or errno.EIO, f"{what}: {failure.strerror or failure}{place}")
        except Error as problem:
            self._refuse(problem.errno, str(problem))
        except ValueError as problem:
            self._refuse(errno.EINVAL, f"{what}: {problem}")

    def _refuse(self, number, text):
        self.is_refused, self.error_text, self._error = True, text, number

    def _take_option(self, fields, file):
        if not self.is_refused:  # the first refusal is the one to tell
            key = fields["key"]
            if file and file.seekable():
                file.seek(0)  # after a restart the same open file comes again
            self._try(self.option, f"option {key}", key, fields["value"], file)

    def _take_upstreams(self, fields, _):
        self._wants_upstreams = bool(fields["wanted"])

    def _take_start(self, *_):
        if not self.is_refused:
            self._try(self.start, "cannot start")
        ready = self._wants()
        if self.is_refused:
            self._state = State.REFUSED
            self._rules.clear()
            ready.update(error=min(self._error, 4095), text=self.error_text)
        else:
            self._state = State.STARTED
        self._is_corked = bool(self._rules)  # READY says that the rules are there
        self._send(wire.encode("READY", **ready), is_answer=False)

    def _wants(self):
        return {"data": self._has("flow_data"), "closed": self._has("flow_closed")}

    def _take_ping(self, fields, _):
        self._send(wire.encode("PONG", token=fields["token"]), is_answer=False)

    def _take_stop(self, *_):
        was_started = self._state == State.STARTED
        # held flows are no longer ours: late answers would be counted against us
        self._drop()
        self._state = State.STOPPING
        if was_started:
            self.stop()
        self._send(wire.encode("STOPPED"), is_answer=False)

    def _take_flow_behalf(self, fields, _):
        self._behalf = fields

    def _take_behalf(self, flow_id):
        """what was said of it just before, or None"""
        behalf, self._behalf = self._behalf, None
        return behalf if behalf and behalf["id"] == flow_id else None

    def _take_flow_new(self, fields, _):
        self.new_flow(Flow(self, fields, self._take_behalf(fields["id"])))

    def _take_flow_data(self, fields, tail):
        if not self._has("flow_data"):
            self._fail("FLOW_DATA", "nobody has asked for it")
        self.flow_data(Data(self, fields, tail))

    def _take_flow_closed(self, fields, _):
        self.flow_closed(fields["id"], fields["bytes_in"], fields["bytes_out"])

    def _take_flow_report(self, fields, tail):
        if not self._has("report"):
            self._fail("FLOW_REPORT", "nobody has asked for it")
        size = wire.size_of("FLOW_REPORT")
        reports = [fields]
        try:
            for at in range(0, len(tail), size):
                record, more, _ = wire.decode(0, tail[at:at + size])
                if record.name != "FLOW_REPORT":
                    raise wire.Malformed("type unknown or not for this direction")
                reports.append(more)
        except wire.Malformed as problem:
            self._fail("a report", problem)
        for report in reports:
            self.report(Report(report))

    def _take_flow_refused(self, fields, _):
        self.error_text = f"flow {fields['id']}: {fields['text']}"
        self.refused(fields["id"], fields["error"])

    def _take_rules_done(self, fields, _):
        if fields["set"] != self._set:
            return  # another set was committed since
        if fields["rule"]:
            self.error_text = f"rule {fields['rule']}: {fields['text']}"
        elif fields["error"]:
            self.error_text = f"the rules are not in force: {fields['text']}"
        self.rules_done(fields["error"], fields["rule"])


    # what only a Proxy gets

    def _take_flow_socket(self, *_):
        self._fail("FLOW_SOCKET", "nobody has asked for it")

    def _take_flow_cancel(self, *_):
        self._fail("FLOW_CANCEL", "not for a filter")

    def _take_flow_end(self, *_):
        self._fail("FLOW_END", "not for a filter")

    def _take_flow_datagram(self, *_):
        self._fail("FLOW_DATAGRAM", "nobody has asked for it")


# every record the daemon may send, and in which states
_RECORDS = {
    "WELCOME": ({State.NEW}, Filter._take_welcome),
    "OPTION": ({State.WELCOMED}, Filter._take_option),
    "UPSTREAMS": ({State.WELCOMED}, Filter._take_upstreams),
    "START": ({State.WELCOMED}, Filter._take_start),
    "PING": ({State.WELCOMED, State.STARTED, State.REFUSED}, Filter._take_ping),
    "STOP": ({State.NEW, State.WELCOMED, State.STARTED, State.REFUSED}, Filter._take_stop),
    "FLOW_BEHALF": ({State.STARTED}, Filter._take_flow_behalf),
    "FLOW_NEW": ({State.STARTED}, Filter._take_flow_new),
    "FLOW_CLOSED": ({State.STARTED}, Filter._take_flow_closed),
    "RULES_DONE": ({State.STARTED}, Filter._take_rules_done),
    "FLOW_DATA": ({State.STARTED}, Filter._take_flow_data),
    "FLOW_REPORT": ({State.STARTED}, Filter._take_flow_report),
    "FLOW_REFUSED": ({State.STARTED}, Filter._take_flow_refused),
    "FLOW_SOCKET": ({State.STARTED}, Filter._take_flow_socket),
    "FLOW_CANCEL": ({State.STARTED}, Filter._take_flow_cancel),
    "FLOW_END": ({State.STARTED}, Filter._take_flow_end),
    "FLOW_DATAGRAM": ({State.STARTED}, Filter._take_flow_datagram),
}


def main(filter):
    """runs @filter to its end and leaves the program: 0 after an orderly stop, 1 after a failure,
    which has been printed; a refused start is told to the daemon, which shows it"""
    try:
        filter.run()
    except NotStarted:
        print(f"{filter.name}: not started by Sluice: run it with `sluice run --{filter._word} "
              f"{sys.argv[0]} -- COMMAND`", file=sys.stderr)
        sys.exit(1)
    except Error as failure:
        if not filter.is_refused:
            print(f"{filter.name}: {failure}", file=sys.stderr)
        sys.exit(1)
    sys.exit(1 if filter.is_refused else 0)
