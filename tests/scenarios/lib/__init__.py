# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scenarios are written with: `from lib import main`, then `def scenario(t)`.

A scenario makes a Lab (two private network namespaces and a wire), starts
servers in one and programs under `sluice run` in the other, and checks what
the programs, the wire and the flow records say. See lab.py and test.py.
"""

from .test import Failure, Skip, main

__all__ = ["Failure", "Skip", "main"]
