#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that scenarios govern. It carries out one act and prints one JSON object.

    actor.py ACT [ARGUMENT…]

An act is a function act_NAME of a file in acts/.
"""

import json
import sys

from acts import carry, corners, datagrams, early, echo, endure, ends, fetch, honest, local, many, obey, states, steady, talk, whose


PARTS = (carry, corners, datagrams, early, echo, endure, ends, fetch, honest, local, many, obey, states, steady, talk, whose)


def find(name):
    found, = (vars(part)["act_" + name] for part in PARTS if "act_" + name in vars(part))  # one part has it
    return found


if __name__ == "__main__":
    # one write, whatever the environment says of buffers: several actors may share a pipe
    sys.stdout.write(json.dumps(find(sys.argv[1])(*sys.argv[2:])) + "\n")
    sys.stdout.flush()
