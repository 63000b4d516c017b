# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs in this folder that scenarios govern: actor.py, ends.py, slips.py."""

import os
import sys

FOLDER = os.path.dirname(os.path.realpath(__file__))


def command(name, *words, python=sys.executable):
    """the command line of one act; `python`: a copy of it is another program to Sluice"""
    return [python, os.path.join(FOLDER, name + ".py"), *map(str, words)]
