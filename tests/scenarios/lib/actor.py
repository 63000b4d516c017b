#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that scenarios govern, one function each. Prints one JSON object.

    actor.py ACT [ARGUMENT…]
"""

import array
import errno
import hashlib
import json
import os
import select
import socket
import sys
import threading
import time


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _connect(address, port):
    """errno name of a TCP connect, "0" when it worked"""
    with socket.socket(_family(address), socket.SOCK_STREAM) as s:
        try:
            s.connect((address, int(port)))
        except OSError as error:
            return errno.errorcode[error.errno]
    return "0"


def _ask(address, port, within=5):
    """errno name of a connected datagram's answer"""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as s:
        s.settimeout(within)
        try:
            s.connect((address, int(port)))
            s.send(b"x")
            s.recv(100)
        except TimeoutError:
            return "ETIMEDOUT"
        except OSError as error:
            return errno.errorcode[error.errno]
    return "0"


def act_connect(address, port):
    return {"pid": os.getpid(), "error": _connect(address, port)}


def act_names(name, port, count):
    """resolves `name`, then `count` flows to it: TCP and UDP, over both families"""
    ends = {info[4][0] for info in socket.getaddrinfo(name, int(port))}
    makers = [(make, end) for make in (_connect, _ask) for end in sorted(ends)]
    errors, took = {}, []
    for i in range(int(count)):
        make, end = makers[i % len(makers)]
        began = time.monotonic()
        error = make(end, port)
        took.append(int((time.monotonic() - began) * 1e6))
        errors[error] = errors.get(error, 0) + 1
    took.sort()
    return {"errors": errors, "count": len(took), "p99_us": took[len(took) * 99 // 100],
            "max_us": took[-1]}


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
    made = socket.socket(_family(address), socket.SOCK_STREAM)
    child = os.fork()
    if not child:
        made.close()
        _, extra, _, _ = theirs.recvmsg(1, 64)
        fd = array.array("i", extra[0][2])[0]
        socket.socket(fileno=fd).connect((address, int(port)))
        os._exit(0)
    ours.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [made.fileno()]))])
    _, status = os.waitpid(child, 0)
    return {"pid": child, "owner_pid": os.getpid(), "status": status}


def act_exec(address, port):
    """socket(), then exec of another program that connects it"""
    s = socket.socket(_family(address), socket.SOCK_STREAM)
    os.set_inheritable(s.fileno(), True)
    os.execv("/bin/bash", ["bash", "-c", f"exec {sys.executable} {__file__} exec2 {s.fileno()} {address} {port}"])


def act_exec2(fd, address, port):
    socket.socket(fileno=int(fd)).connect((address, int(port)))
    return {"pid": os.getpid()}


def act_join(path):
    """joins a new cgroup, `path` below its own"""
    with open("/proc/self/mounts") as mounts:
        root = next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2")
    with open("/proc/self/cgroup") as file:
        own = next(line[3:].strip() for line in file if line.startswith("0::"))
    folder = root + own
    for part in path.split("/"):
        folder = os.path.join(folder, part)
        os.makedirs(folder, exist_ok=True)
    with open(folder + "/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))


def act_moved(path, address, port):
    """joins a new cgroup, then connects"""
    act_join(path)
    return act_connect(address, port)


def act_download(address, port, path):
    """Return: size, digest, and the longest time without a byte"""
    s = socket.create_connection((address, int(port)))
    s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    print("connected", file=sys.stderr, flush=True)
    head, digest, size, longest = b"", hashlib.sha256(), 0, 0.0
    while b"\r\n\r\n" not in head:
        head += s.recv(1)
    last = time.monotonic()
    while data := s.recv(65536):
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        digest.update(data)
        size += len(data)
    return {"size": size, "sha256": digest.hexdigest(), "longest_gap_ms": int(longest * 1000)}


def act_serve(port):
    """answers one TCP connection and one datagram on `port`, then ends"""
    stream = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    datagram = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagram.bind(("::", int(port)))
    print("listening", file=sys.stderr, flush=True)
    connection, _ = stream.accept()
    got = connection.recv(100)
    connection.sendall(got)
    connection.close()
    data, peer = datagram.recvfrom(100)
    datagram.sendto(data, peer)
    return {"pid": os.getpid()}


def act_crowd(address, port, count):
    """`count` connected sockets send at once. Return: what each was told, and the slowest"""
    poll, told, began = select.poll(), {}, {}
    sockets = {}
    for _ in range(int(count)):
        s = socket.socket(_family(address), socket.SOCK_DGRAM)
        s.connect((address, int(port)))
        sockets[s.fileno()] = s
        poll.register(s, select.POLLIN)
    for fd, s in sockets.items():
        began[fd] = time.monotonic()
        s.send(b"x")
    took = []
    while sockets:
        ready = poll.poll(5000)
        if not ready:
            told["nothing"] = len(sockets)
            break
        for fd, _ in ready:
            error = sockets[fd].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            took.append(int((time.monotonic() - began[fd]) * 1e6))
            name = errno.errorcode.get(error, "0")
            told[name] = told.get(name, 0) + 1
            poll.unregister(fd)
            sockets.pop(fd).close()
    took.sort()
    return {"told": told, "count": len(took), "p99_us": took[len(took) * 99 // 100], "max_us": took[-1]}


class _Stream:
    """a flow that runs all the time: the longest time without anything from it"""

    def __init__(self, work, *words):
        self._last, self._longest, self.error, self.n = time.monotonic(), 0.0, None, 0
        threading.Thread(target=self._run, args=(work, *words), daemon=True).start()

    def _run(self, work, *words):
        try:
            work(self._beat, *words)
        except Exception as error:
            self.error = repr(error)

    def _beat(self):
        now = time.monotonic()
        self._longest, self._last, self.n = max(self._longest, now - self._last), now, self.n + 1

    def gap_ms(self):
        """the longest one since the last call"""
        longest, self._longest = max(self._longest, time.monotonic() - self._last), 0.0
        return int(longest * 1000)


def _receive(beat, address, port, path):
    """a download of which each byte is known: see servers.PATTERN"""
    s = socket.create_connection((address, int(port)))
    s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    got, pattern = b"", bytes(range(256)) * 257
    while b"\r\n\r\n" not in got:
        got += s.recv(1)
    at = 0
    while data := s.recv(65536):
        if data != pattern[at % 256:at % 256 + len(data)]:
            raise ValueError(f"other bytes than were sent, after {at}")
        at += len(data)
        beat()
    raise ValueError(f"ended after {at} bytes")


def _echo(beat, address, port):
    """a datagram each 10 ms; each that comes back counts"""
    s = socket.socket(_family(address), socket.SOCK_DGRAM)
    s.connect((address, int(port)))
    s.settimeout(0.01)
    while True:
        s.send(b"x")
        try:
            s.recv(100)
            beat()
        except TimeoutError:
            continue
        time.sleep(0.01)


class _Load:
    """connects at a steady rate, to each end in turn; a new socket each"""

    def __init__(self, per_s, port, *ends):
        self._wait, self._port, self._ends = 1 / float(per_s), int(port), ends
        self._poll, self._open = select.epoll(), {}
        self._errors, self._slowest, self._is_ending = {end: {} for end in ends}, 0.0, False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _begin(self, end):
        s = socket.socket(_family(end), socket.SOCK_STREAM)
        s.setblocking(False)
        s.connect_ex((end, self._port))
        self._open[s.fileno()] = (s, end, time.monotonic())
        self._poll.register(s.fileno(), select.EPOLLOUT)

    def _end(self, fd):
        s, end, began = self._open.pop(fd)
        error = errno.errorcode.get(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "0")
        self._errors[end][error] = self._errors[end].get(error, 0) + 1
        self._slowest = max(self._slowest, time.monotonic() - began)
        self._poll.unregister(fd)
        s.close()

    def _run(self):
        n, due = 0, time.monotonic()
        while self._open or not self._is_ending:
            while due <= time.monotonic() and not self._is_ending:
                self._begin(self._ends[n % len(self._ends)])
                n, due = n + 1, due + self._wait
            for fd, _ in self._poll.poll(max(0.001, due - time.monotonic())):
                self._end(fd)

    def stop(self):
        """the last ones are waited for"""
        self._is_ending = True
        self._thread.join(20)
        return {"errors": self._errors, "left": len(self._open), "slowest_ms": int(self._slowest * 1000)}


def _flow_of(proto, end, port):
    """to an address or, asking for it first, a name"""
    address = socket.getaddrinfo(end, int(port), socket.AF_INET)[0][4][0]
    return _connect(address, port) if proto == "tcp" else _ask(address, port, 9)


def _obey(streams, number, kind, *words):
    began = time.monotonic()
    if kind in ("receive", "echo"):
        streams[kind] = _Stream({"receive": _receive, "echo": _echo}[kind], *words)
        answer = {}
    elif kind == "load":
        streams[kind], answer = _Load(*words), {}
    elif kind == "unload":
        answer = streams.pop("load").stop()
    elif kind == "gaps":
        answer = {name: {"gap_ms": s.gap_ms(), "error": s.error, "n": s.n} for name, s in streams.items() if isinstance(s, _Stream)}
    else:
        answer = {"error": _flow_of(kind, *words), "took_ms": (time.monotonic() - began) * 1000,
                  "ended": time.monotonic()}
    os.write(1, (json.dumps({"id": int(number), **answer}) + "\n").encode())  # whole, among threads


def act_obey(path):
    """orders, one a line of a FIFO, each carried out at once: see orders.py"""
    streams = {}
    with open(path) as orders:
        for line in orders:
            threading.Thread(target=_obey, args=(streams, *line.split()), daemon=True).start()
    return {"id": 0}


def _ask_unconnected(address, port):
    """errno name of an addressed datagram's answer; a refusal is not told to the first one"""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        try:
            s.sendto(b"x", (address, int(port)))
            s.recv(100)
        except TimeoutError:
            return "ETIMEDOUT"
        except OSError as error:
            return errno.errorcode[error.errno]
    return "0"


def act_steady(end, *targets):
    """flows to `targets` (tcp|udp|sendto,ADDRESS,PORT) until the file `end` is there.
    Return: how often each target got which errno, and how long all took"""
    makers = {"tcp": _connect, "udp": _ask, "sendto": _ask_unconnected}
    told, began = {target: {} for target in targets}, time.monotonic()

    def repeat(target):
        kind, address, port = target.split(",")
        while not os.path.exists(end):
            error = makers[kind](address, port)
            told[target][error] = told[target].get(error, 0) + 1
            time.sleep(0.02)

    threads = [threading.Thread(target=repeat, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    print("steady", file=sys.stderr, flush=True)
    for thread in threads:
        thread.join()
    return {"told": told, "took_s": time.monotonic() - began}


IP_RECVERR, IPV6_RECVERR, UDP_SEGMENT, SOL_UDP = 11, 25, 103, 17
ECHO = {socket.AF_INET: b"\x08\0\0\0\0\0\0\1", socket.AF_INET6: b"\x80\0\0\0\0\0\0\1"}


def _told(call):
    """errno name of a call, "0" when it worked"""
    try:
        call()
    except TimeoutError:
        return "nothing"
    except OSError as error:
        return errno.errorcode[error.errno]
    return "0"


def act_told(kind, address, port):
    """two datagrams of one connected socket. Return: what send and the call after it said, of each"""
    family, payload = _family(address), {"empty": b"", "large": b"x" * 20000}.get(kind, b"x" * 3000)
    if kind == "raw":
        s = socket.socket(family, socket.SOCK_RAW, 253)
    elif kind == "ping":
        proto = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
        s, payload = socket.socket(family, socket.SOCK_DGRAM, proto), ECHO[family]
    else:
        s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(2)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if kind == "errors":
        s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    if kind == "segmented":
        s.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
    s.connect((address, int(port)))
    steps = [(_told(lambda: s.send(payload)), _told(lambda: s.recv(100))) for _ in range(2)]
    return {"fresh": steps[0], "remembered": steps[1]}


def act_connect_as_told(path, uid="0", unit=""):
    """connects as told over the Unix socket `path`: lines of PROTO HOST PORT; answers with errno names"""
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
                proto, host, port = line.split()
                lines.write(_connect_one(proto, host, int(port)) + "\n")
                lines.flush()


def _connect_one(proto, host, port):
    try:
        address = host if ":" in host else socket.getaddrinfo(host, port, socket.AF_INET)[0][4][0]
    except socket.gaierror:
        return "unresolved"
    return (_ask if proto == "udp" else _connect)(address, port)


def _fill(s):
    while True:
        s.send(b"x" * 65536)


def _keep_sending(s, peer):
    while True:
        s.sendto(b"x", peer)
        time.sleep(0.005)


def _poll(s):
    poll = select.poll()
    poll.register(s, select.POLLIN)
    poll.poll(5000)
    error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def act_cut(kind, call, address, port):
    """a conversation, then a call that blocks. Return: what it said, and the calls after it"""
    s = socket.socket(_family(address), socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(10)
    peer = (address, int(port))
    if kind == "unconnected":
        s.sendto(b"first", peer)
    else:
        s.connect(peer)
        s.send(b"first")
    got = s.recv(100)
    print("connected", file=sys.stderr, flush=True)
    s.setblocking(True)
    calls = {"read": lambda: s.recv(100), "write": lambda: _fill(s), "poll": lambda: _poll(s),
             "sendto": lambda: _keep_sending(s, peer)}
    told = _told(calls[call])
    s.settimeout(2)
    after = [_told(lambda: s.sendto(b"x", peer) if kind == "unconnected" else s.send(b"x"))]
    after.append("skipped" if call == "sendto" else _told(lambda: s.recv(100)))
    return {"got": len(got), "told": told, "after": after}


def act_many(network, count, trigger, port, path):
    """one UDP socket with `count` peers, each answers once; `trigger`: a TCP connect, on which a
    filter judges all again; then connects are timed until `path` is there"""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    s.settimeout(5)
    n = answered = 0
    while answered < int(count):
        while n < int(count) and n - answered < 64:
            s.sendto(b"x", (f"{network}.{n // 250}.{n % 250 + 1}", 7))
            n += 1
        s.recvfrom(100)
        answered += 1
    before = [_timed_connect(trigger, port) for _ in range(50)]
    _connect(trigger, int(port) + 1)
    print("asked", file=sys.stderr, flush=True)
    during = []
    while not os.path.exists(path):
        during.append(_timed_connect(trigger, port))
        time.sleep(0.002)
    during.sort()
    return {"answered": answered, "before_max_ms": max(before), "n_during": len(during),
            "median_ms": during[len(during) // 2], "p95_ms": during[len(during) * 95 // 100],
            "max_ms": during[-1]}


def _timed_connect(address, port):
    began = time.monotonic()
    error = _connect(address, port)
    if error != "0":
        raise OSError(error)
    return round((time.monotonic() - began) * 1e3, 2)


def act_recv(address, port):
    """a TCP conversation that is read until its end, a line when it stands"""
    with socket.create_connection((address, int(port)), 5) as s:
        s.sendall(b"first")
        s.recv(100)
        print("connected", file=sys.stderr, flush=True)
        return {"told": _told(lambda: s.recv(100))}


def act_accept(port):
    """two connections, one after the other: an echo, then a read until something happens"""
    listener = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    print("listening", file=sys.stderr, flush=True)
    told = []
    for _ in range(2):
        s, _ = listener.accept()
        with s:
            s.settimeout(5)
            s.sendall(s.recv(100))
            told.append(_told(lambda: s.recv(100)))
    return {"told": told}


def act_echoes(address, port, count):
    """`count` datagrams of one connected socket, each is answered. Return: what they were told"""
    s = socket.socket(_family(address), socket.SOCK_DGRAM)
    s.settimeout(2)
    s.connect((address, int(port)))
    told = {}
    for _ in range(int(count)):
        sent = _told(lambda: s.send(b"x"))
        result = _told(lambda: s.recv(100)) if sent == "0" else sent
        if not told:
            print("begun", file=sys.stderr, flush=True)
        told[result] = told.get(result, 0) + 1
        time.sleep(0.004)
    return {"told": told}


def act_older(address, denied, port):
    """opens a TCP conversation and UDP sockets, connected or not, at the first line of its input;
    at the second it uses them on, and connects anew to `denied`"""
    peer = (address, int(port))
    print("waiting", file=sys.stderr, flush=True)
    sys.stdin.readline()
    stream = socket.socket(_family(address), socket.SOCK_STREAM)
    connected = socket.socket(_family(address), socket.SOCK_DGRAM)
    loose = socket.socket(_family(address), socket.SOCK_DGRAM)
    for s in (stream, connected, loose):
        s.settimeout(2)

    def use():
        stream.send(b"stream")
        told = {"stream": _told(lambda: stream.recv(100))}
        connected.send(b"datagram")
        told["connected"] = _told(lambda: connected.recv(100))
        told["loose"] = _told(lambda: loose.sendto(b"datagram", peer))
        if told["loose"] == "0":
            told["loose"] = _told(lambda: loose.recv(100))
        return told

    try:
        stream.connect(peer)
        connected.connect(peer)
        before = use()
    except OSError as error:
        before = errno.errorcode[error.errno]
    print(json.dumps(before), file=sys.stderr, flush=True)
    sys.stdin.readline()
    return {"before": before, "after": use(), "new": _connect(denied, port)}


def act_allowed(address, port):
    """an unconnected socket that sends until it is answered. Return: what it was told before"""
    s = socket.socket(_family(address), socket.SOCK_DGRAM)
    s.settimeout(0.05)
    told = []
    while len(told) < 1000 and "0" not in told:
        told.append(_told(lambda: s.sendto(b"x", (address, int(port)))))
        if told[-1] == "0":
            told[-1] = _told(lambda: s.recv(100))
        else:
            time.sleep(0.02)
    return {"told": told}


if __name__ == "__main__":
    print(json.dumps(globals()["act_" + sys.argv[1]](*sys.argv[2:])), flush=True)
