# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian packages that are there without being installed: tools/unpack --peers."""

import glob
import os

from lib import machine

from .figures import Absent


def folder(package):
    path = os.path.realpath(machine.unpacked(package))
    if not os.path.isdir(path):
        raise Absent(f"Debian's package {package} is not unpacked, see tools/unpack --peers")
    return path


def library_path(*packages):
    """for LD_LIBRARY_PATH"""
    return ":".join(path for package in packages
                    for path in glob.glob(folder(package) + "/usr/lib/*-linux-gnu*"))
