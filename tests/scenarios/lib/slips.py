#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that tries to send something past a filter, by one way.

    slips.py WAY ARGUMENT…

A way is a function of a file in ways/; it sends to ADDRESS, port 7. Prints "0", or the name of
the error.
"""

import errno
import sys

from ways import calls, packets, twice


def find(name):
    return next(vars(part)[name] for part in (calls, packets, twice) if name in vars(part))


if __name__ == "__main__":
    try:
        find(sys.argv[1])(*sys.argv[2:])
        print("0")
    except OSError as error:
        print(errno.errorcode.get(error.errno, error))
