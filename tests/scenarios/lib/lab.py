# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab every scenario works in.

    client namespace                         server namespace
    COMMAND under `sluice run`               servers (threads of the test), capture
      10.77.0.1, fd00:77::1  uplink ───── wire  10.77.0.2, fd00:77::2
                                                and every address of
                                                10.79.0.0/16 and fd00:79::/64

Programs see a resolv.conf that names the lab's DNS server, through a private
mount namespace: the machine's own file is never touched.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile

from . import machine, programs, proxies, servers, site
from .capture import Capture
from .dns import Zone
from .ns import Namespace
from .run import Program, SluiceRun
from .trap import put_away, undisturbed
from .wait import Timeout, wait_for

CLIENT4, CLIENT6 = "10.77.0.1", "fd00:77::1"
SERVER4, SERVER6 = "10.77.0.2", "fd00:77::2"
MAC = {CLIENT4: "02:00:00:00:00:01", CLIENT6: "02:00:00:00:00:01",
       SERVER4: "02:00:00:00:00:02", SERVER6: "02:00:00:00:00:02"}
WIDE4, WIDE6 = "10.79.0.0/16", "fd00:79::/64"


class Lab:
    def __init__(self, build):
        self.build = os.path.realpath(build)
        self._prefix = None
        self.folder = tempfile.mkdtemp(prefix=f"sluice-t{os.getpid()}-")
        os.chmod(self.folder, 0o755)
        self._n_files = 0
        self.programs = []
        self.instances = set()  # names of those that programs of this lab may have made
        self._servers = []
        self._traces = machine.traces()
        self._processes = set(machine.processes(self.build))
        self.zone = self.local_zone = None
        self.client, self.server = Namespace("client"), Namespace("server")
        self._connect()

    def _connect(self):
        self.client.ip(f"link add uplink address {MAC[CLIENT4]} type veth "
                       f"peer name wire address {MAC[SERVER4]} netns {self.server.path}")
        for namespace, interface, four, six in (
                (self.client, "uplink", CLIENT4, CLIENT6),
                (self.server, "wire", SERVER4, SERVER6)):
            namespace.sysctl(f"ipv6/conf/{interface}/accept_dad", 0)
            namespace.sysctl(f"ipv6/conf/{interface}/accept_ra", 0)
            namespace.sysctl(f"ipv6/conf/{interface}/router_solicitations", 0)
            namespace.ip(f"address add {four}/24 dev {interface}")
            namespace.ip(f"address add {six}/64 dev {interface} nodad")
            namespace.ip(f"link set {interface} up")
            namespace.sysctl("ipv4/ping_group_range", "0 2147483647")
        self._introduce()
        for wide, gateway in ((WIDE4, SERVER4), (WIDE6, SERVER6)):
            self.client.ip(f"route add {wide} via {gateway} dev uplink")
            self.server.ip(f"route add local {wide} dev lo")

    def _introduce(self):
        """each end knows the other's link address: the first flow waits for no discovery"""
        for namespace, interface, peers in ((self.client, "uplink", (SERVER4, SERVER6)),
                                            (self.server, "wire", (CLIENT4, CLIENT6))):
            for peer in peers:
                namespace.ip(f"neighbour add {peer} lladdr {MAC[peer]} dev {interface} nud permanent")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            for program in self.programs[-4:]:
                print(program.report())
        try:
            for program in self.programs:
                program.end()
            if not kind:
                self.expect_nothing_left()
        finally:
            with undisturbed():
                self._close()

    def put_away(self):
        """what a test that fails or is stopped leaves"""
        traces = machine.traces() - self._traces
        with self.client:  # where the tables are
            for name in self.instances:
                if machine.traces_of(name, traces):
                    put_away(self.path("sluice"), name)
        for pid in machine.processes_in(self.client.inode):
            machine.kill(pid)

    def _close(self):
        for program in self.programs:
            program.end()
        self.put_away()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self.client.close()
        self.server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # files

    def path(self, name):
        """a file of the build folder"""
        return os.path.join(self.build, name)

    def new_file(self, suffix, text=None):
        """path of a new file of the lab; without a text it does not exist yet"""
        self._n_files += 1
        path = os.path.join(self.folder, f"{self._n_files}.{suffix}")
        if text is not None:
            with open(path, "w") as file:
                file.write(text)
        return path

    # servers

    def serve(self, server):
        """one of the scenario's own; Return: it, ended with the lab"""
        self._servers.append(server)
        return server

    def dns(self):
        """starts the DNS server; Return: its zone, to be filled"""
        self.zone = Zone()
        self._servers += servers.dns_servers(self.server, self.zone)
        return self.zone

    def local_dns(self):
        """the same on the loopback of the client, for programs that are told so; Return: its zone"""
        self.local_zone = Zone()
        self._servers += servers.dns_servers(self.client, self.local_zone)
        return self.local_zone

    def http(self, port=80):
        self._servers.append(servers.http_server(self.server, port))
        return self._servers[-1]

    def make_certificate(self, name, *settings):
        """Return: a file with it and its key; that with .crt behind its name has no key"""
        path = self.new_file("pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=" + name, *settings, "-days", "2", "-keyout", path, "-out", path + ".crt"],
                       check=True, capture_output=True)
        with open(path, "a") as file, open(path + ".crt") as certificate:
            file.write(certificate.read())
        return path

    def make_proxy_certificate(self):
        """for a proxy of proxies.py"""
        return self.make_certificate("proxy", "-addext", f"subjectAltName=IP:{SERVER4}")

    def https(self, port=443):
        """with a certificate that it makes for itself"""
        path = self.make_certificate("example.com")
        self._servers.append(servers.https_server(self.server, port, path))
        return path

    def proxy(self, kind, *words, **settings):
        """an upstream proxy, as a function of proxies.py that has this name; Return: it"""
        self._servers.append(getattr(proxies, kind)(self.server, *words, **settings))
        return self._servers[-1]

    def site(self, port, folder):
        self._servers.append(site.site(self.server, port, folder))

    def resets(self, port):
        self._servers.append(servers.resets(self.server, port))
        return self._servers[-1]

    def greeter(self, port):
        self._servers.append(servers.greeter(self.server, port))

    def halves(self, port):
        self._servers.append(servers.halves(self.server, port))
        return self._servers[-1]

    def acceptor(self, port):
        return servers.acceptor(self.server, port)

    def ends(self, port):
        self._servers.append(servers.ends(self.server, port))
        return self._servers[-1]

    def deaf(self, port):
        self._servers.append(servers.deaf(self.server, port))

    def tcp_echo(self, port, namespace=None):
        self._servers.append(servers.tcp_echo(namespace or self.server, port))

    def udp_echo(self, port, namespace=None, **settings):
        self._servers.append(servers.UdpServer(namespace or self.server, port, lambda data: data, **settings))
        return self._servers[-1]

    def capture(self):
        """counts what leaves the client, on the far end of the wire"""
        return Capture(self.server, "wire")

    def connect_in(self, port, address=CLIENT4, within=5):
        """a TCP connection from the server namespace to a program of the client's"""
        with self.server:
            return socket.create_connection((address, port), within)

    # programs

    def _in_place(self, command):
        """the command, seeing the lab's resolver"""
        if not self.zone:
            return command
        resolver = os.path.join(self.folder, "resolv.conf")
        if not os.path.exists(resolver):
            with open(resolver, "w") as file:
                file.write(f"nameserver {SERVER4}\noptions timeout:2 attempts:2\n")
        return [self.path("tests/providers/with-resolver"), resolver, *command]

    def start_plain(self, command, **settings):
        """a program without Sluice, in the same place: the positive control"""
        self.programs.append(Program(self, self._in_place(command), **settings))
        return self.programs[-1]

    def plain(self, command, within=60):
        program = self.start_plain(command)
        program.wait(within)
        return program

    def sluice(self, *words, within=60):
        """the command line program, to its end"""
        return self.plain([self.path("sluice"), *words], within)

    def status(self, instance):
        """what `sluice status` says, once its sluiced answers: one that has just been started does not yet"""
        def ask():
            answer = self.sluice("status", "--json", "--instance", instance).stdout
            return answer and json.loads(answer)
        return wait_for(ask, 15, f"instance {instance} to answer")

    def start(self, filters, command, **settings):
        """`sluice run` with these filters; Return: it, running"""
        self.programs.append(SluiceRun(self, filters, self._in_place(command), **settings))
        return self.programs[-1]

    def run(self, filters, command, within=60, **settings):
        """the same, to its end"""
        program = self.start(filters, command, **settings)
        program.wait(within)
        return program

    def seen_path(self, path):
        """as flow records have it: in a chroot, from the root outside of it"""
        if self._prefix is None:
            words = self.flowgen("tcp", SERVER4, 9, 1)
            self._prefix = self.run([], words).wait_flow(event="new")["exe"][:-len(words[0])]
        return self._prefix + path

    def flowgen(self, *words):
        """the command line of the flow generator"""
        return [self.path("tests/providers/flowgen"), *[str(word) for word in words]]

    def actor(self, *words):
        """the command line of one act of actor.py"""
        return programs.command("actor", *words)

    def test_filter(self, **options):
        """--filter argument for the test filter; deny_port=80 is deny-port=80, lists repeat"""
        pairs = [(key.replace("_", "-"), value) for key, values in options.items()
                 for value in (values if isinstance(values, list) else [values])]
        text = ",".join(f"{key}={value}" for key, value in pairs)
        return self.path("tests/providers/test-filter") + (":" + text if text else "")

    def n_held(self):
        """packets in the client namespace's queues, as the kernel counts them"""
        try:
            lines = self.client.read_proc("netfilter/nfnetlink_queue").splitlines()
        except FileNotFoundError:
            return 0
        return sum(int(line.split()[2]) for line in lines)

    def counter(self, name):
        """a counter of /proc/net/snmp or netstat of the client namespace: "Tcp.RetransSegs" """
        group, field = name.split(".")
        for source in ("snmp", "netstat"):
            lines = [line.split() for line in self.client.read_proc(source).splitlines()]
            for names, values in zip(lines[::2], lines[1::2]):
                if names[0] == group + ":" and field in names:
                    return int(values[names.index(field)])
        raise KeyError(name)

    # the end

    def end_governed(self, instance):
        """what is left of an instance without a keeper: its programs, and what is in force"""
        for pid in machine.processes_in(self.client.inode):
            machine.kill(pid)
        wait_for(lambda: not machine.processes_in(self.client.inode), 5, "the governed programs to end")
        panic = self.sluice("panic", "--instance", instance)
        if panic.popen.returncode:
            raise AssertionError(f"panic: {panic.stdout} {panic.stderr}")

    def _leftovers(self, instance=None):
        tables = self.plain(["nft", "list", "tables"], 10).stdout
        left = {f"process {pid} {exe}" for pid, exe in machine.processes(self.build).items()
                if pid not in self._processes and machine.is_alive(pid)}
        left |= {f"process {pid} {exe}" for pid, exe in machine.processes_in(self.client.inode).items()}
        left |= {"nft " + line for line in tables.splitlines() if "sluice" in line}
        if instance:
            left |= machine.traces_of(instance)
        else:
            traces = machine.traces() - self._traces
            mine = set().union(*(machine.traces_of(name, traces) for name in self.instances))
            left |= mine if machine.has_strangers() else traces
        return left

    def expect_nothing_left(self, within=15, instance=None):
        """fails when an instance of this lab left anything on the machine; @instance: looks for this
        name alone, and what others leave does not matter"""
        try:
            wait_for(lambda: not self._leftovers(instance), within, "everything removed")
        except Timeout:
            left = self._leftovers(instance)
            if left:
                raise Timeout("left behind: " + "; ".join(sorted(left))) from None
