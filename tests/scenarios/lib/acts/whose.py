# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whose a socket is: made, passed on and used by threads, children, other programs, cgroups, users."""

import json
import os
import socket
import sys
import threading

import machine
from sockets import family_of, hand_over, take_over

from .calls import connect, errno_of, flow_to


def act_connect(address, port):
    return {"pid": os.getpid(), "error": connect(address, port)}


def act_forked(address, port):
    """the child of a child connects"""
    reader, writer = os.pipe()
    if not os.fork():
        if not os.fork():
            os.write(writer, json.dumps(act_connect(address, port)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        return json.load(file)


def act_thread(address, port):
    result = {}
    thread = threading.Thread(target=lambda: result.update(act_connect(address, port)))
    thread.start()
    thread.join()
    return result


def act_passed(address, port):
    """a socket made here is connected by a child that got it over SCM_RIGHTS"""
    ours, theirs = socket.socketpair()
    made = socket.socket(family_of(address), socket.SOCK_STREAM)
    child = os.fork()
    if not child:
        made.close()
        take_over(theirs).connect((address, int(port)))
        os._exit(0)
    hand_over(ours, made)
    _, status = os.waitpid(child, 0)
    return {"pid": child, "owner_pid": os.getpid(), "status": status}


def act_exec(address, port):
    """socket(), then exec of another program that connects it"""
    s = socket.socket(family_of(address), socket.SOCK_STREAM)
    os.set_inheritable(s.fileno(), True)
    os.execv("/bin/bash", ["bash", "-c", f"exec {sys.executable} {sys.argv[0]} exec2 {s.fileno()} {address} {port}"])


def act_exec2(fd, address, port):
    socket.socket(fileno=int(fd)).connect((address, int(port)))
    return {"pid": os.getpid()}


def act_join(path):
    """joins a new cgroup, `path` below its own"""
    folder = machine.cgroup_root() + machine.cgroup_of("self")
    for part in path.split("/"):
        folder = os.path.join(folder, part)
        os.makedirs(folder, exist_ok=True)
    with open(folder + "/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))


def act_moved(path, address, port):
    """joins a new cgroup, then connects"""
    act_join(path)
    return act_connect(address, port)


def _request(host, port, name):
    """a flow that says @name in its first bytes, to a server that says what it got"""
    request = f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
    with socket.create_connection((host, int(port)), 10) as s:
        s.sendall(request)
        return "0" if s.recv(len(request)) else "end"


def _answer(proto, host, port, name=""):
    try:
        if name:
            return errno_of(lambda: _request(host, port, name))
        return flow_to(proto, host, port)
    except socket.gaierror:
        return "unresolved"


def act_connect_as_told(path, uid="0", unit=""):
    """connects as told over the Unix socket `path`: lines of PROTO HOST PORT [NAME]; answers with errno names"""
    if unit:
        act_join(unit)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    "x".encode("idna")  # loaded while it can be read
    os.setresuid(*[int(uid)] * 3)
    server.listen()  # whoever gets through meets that user
    while True:
        client = server.accept()[0]
        with client, client.makefile("rw") as lines:
            for line in lines:
                lines.write(_answer(*line.split()) + "\n")
                lines.flush()
