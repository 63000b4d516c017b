# SPDX-License-Identifier: LGPL-2.1-or-later
"""Records over the provider channel, descriptor 3: one a datagram, and never waiting."""
import errno
import os
import socket
import sys

from .errors import DaemonGone, Error, NotStarted
from .records import RECORD_MAX
from .wire import Malformed

CHANNEL_FD = 3

_FULL = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)  # the kernel lacks memory for it now: the same
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


class Channel:
    def __init__(self):
        """an open file or another socket that happens to be descriptor 3 is not ours"""
        try:
            self._socket = socket.socket(fileno=CHANNEL_FD)
        except OSError:
            raise NotStarted() from None
        try:
            self._socket.getpeername()
            if (self._socket.family, self._socket.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
                raise OSError
        except OSError:
            self._socket.detach()
            raise NotStarted() from None
        # what the filter starts must not keep the channel open, or speak on it
        self._socket.set_inheritable(False)
        self.fileno, self.close = self._socket.fileno, self._socket.close

    def send(self, record):
        """Return: False: there is no place for it now. DaemonGone: nor ever again"""
        try:
            self._socket.send(record, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError as failure:
            if failure.errno in _FULL:
                return False
            if failure.errno in _GONE:
                raise DaemonGone() from None
            raise Error(f"cannot send: {failure.strerror}", failure.errno) from None
        return True

    def receive(self):
        """Return: a record's bytes and the open file that came along, or None; None: nothing is there"""
        try:
            data, extra, flags, _ = self._socket.recvmsg(
                RECORD_MAX, socket.CMSG_SPACE(16), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
        except OSError as failure:
            if failure.errno == errno.EAGAIN:
                return None
            if failure.errno in _GONE:
                raise DaemonGone("the daemon went away") from None
            raise Error(f"cannot receive: {failure.strerror}", failure.errno) from None
        fds = [int.from_bytes(some[at:at + 4], sys.byteorder) for level, kind, some in extra
               if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
               for at in range(0, len(some) - 3, 4)]
        files = [os.fdopen(fd, "rb") for fd in fds]
        for file in files[1:]:  # at most one may travel with a record
            file.close()
        if not data:
            raise DaemonGone("the daemon went away")
        if flags & socket.MSG_TRUNC:
            raise Malformed("unexpected or oversized tail")
        return data, files[0] if files else None
