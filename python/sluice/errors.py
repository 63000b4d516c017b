# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can go wrong, each with its errno as libsluice would return it."""
import errno
import os


class Error(Exception):
    """@errno: as sluice_filter(3) has it, positive"""
    errno = errno.EINVAL

    def __init__(self, text="", number=None):
        self.errno = number or self.errno
        super().__init__(text or os.strerror(self.errno))


class NotStarted(Error):
    """descriptor 3 is not a provider channel: the program was not started by Sluice"""
    errno = errno.ENOTCONN


class DaemonGone(Error):
    """the daemon went away without a stop"""
    errno = errno.EPIPE


class ProtocolError(Error):
    """the daemon sent what it may not"""
    errno = errno.EPROTO


class Stopped(Error):
    """the session is over: no answer is taken any more"""
    errno = errno.ESHUTDOWN


class Full(Error):
    """4096 answers are queued already: poll and process before answering more"""
    errno = errno.ENOBUFS


class Misuse(Error, ValueError):
    """a value out of range, or a call at the wrong time"""


class Unsupported(Misuse):
    """a setting that is not supported; its text names it"""
    errno = errno.EOPNOTSUPP


class BadRule(Misuse):
    """a rule that cannot be; its text begins with its number, counted from 1"""


class Refusal(Error):
    """to be raised by option() or start(): for people, the thing, the reason, the next step"""

    def __init__(self, text="", number=None):
        super().__init__(text, number)
        self.has_text = bool(text)
