# SPDX-License-Identifier: LGPL-2.1-or-later
"""Servers as Debian has them, in the server namespace: git, rsync, SSH, SMB, HTTP/2, QUIC; OpenSSH, iperf3.

All serve one folder, which holds the file `data` and the repository `repository.git`.
None of them knows a file of the machine: their settings and keys are in that folder's lab.
"""

import os
import random
import shutil
import socket
import subprocess

from . import machine
from .wait import wait_for

N_DATA = 400_000
H2, QUIC, IPERF3 = 8443, 4433, 5201
NO_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}  # of the machine or its user
SMBD = os.path.join(machine.unpacked("samba"), "usr/sbin/smbd")
SSHD = os.path.join(machine.unpacked("openssh-server"), "usr/sbin/sshd")
LIBWRAP = os.path.join(machine.unpacked("libwrap0"), "usr/lib", os.uname().machine + "-linux-gnu")
QUIC_SERVER = os.path.join(machine.unpacked("ngtcp2-server"), "usr/sbin/gtlsserver")
RSYNC = """use chroot = no
uid = root
gid = root
log file = {log}
pid file = {log}.pid
[files]
path = {files}
read only = no
"""
SMB = """[global]
server role = standalone server
smb ports = 445
disable netbios = yes
load printers = no
map to guest = Bad User
guest account = nobody
log file = {private}/log
lock directory = {private}
state directory = {private}
cache directory = {private}
private dir = {private}
pid directory = {private}
ncalrpc dir = {private}/ncalrpc
[files]
path = {files}
guest ok = yes
read only = no
"""
OPENSSH = """Port 22
HostKey {private}/host-key
AuthorizedKeysFile {key}.pub
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PidFile none
"""
# whom it knows: root, who may log in, and who it is itself before that
USERS = {"passwd": "root:x:0:0::/root:/bin/sh\nsshd:x:74:65534::/run/sshd:/usr/sbin/nologin\n",
         "shadow": "root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n"}


def _quietly(*words):
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, **NO_SETTINGS})


def wait_for_udp(pid, port):
    """until somebody in its network namespace has bound it"""
    def is_bound():
        with open(f"/proc/{pid}/net/udp") as file:
            return any(line.split()[1].endswith(f":{port:04X}") for line in file)
    wait_for(is_bound, 20, f"the server at UDP port {port}")


def is_listening(namespace, port):
    """@port: of TCP"""
    lines = [line.split() for name in ("tcp", "tcp6") for line in namespace.read_proc(name).splitlines()[1:]]
    return any(line[1].endswith(f":{port:04X}") and line[3] == "0A" for line in lines)


class _Servers:
    """several, each begun by a function of `BEGINS`, which listen at `PORTS`"""

    BEGINS, PORTS = (), ()

    def __init__(self, lab, address, certificate=None):
        self._lab, self._address, self._certificate = lab, address, certificate
        self._running = []
        self.folder, self.key = lab.new_file("files"), lab.new_file("key")
        self._private = lab.new_file("private")
        for folder in (self.folder, self._private):
            os.mkdir(folder)
            os.chmod(folder, 0o777)
        with open(os.path.join(self.folder, "data"), "wb") as file:
            file.write(random.Random(154).randbytes(N_DATA))
        _quietly("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        self._make_repository()

    def __enter__(self):
        try:
            for begin in self.BEGINS:
                begin(self)
            for port in self.PORTS:
                wait_for(lambda port=port: self._answers(port), 20, f"the server at port {port}")
            self._wait_more()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_more(self):
        pass

    def __exit__(self, *_):
        for popen in self._running:
            popen.stdin.close()
        for popen in self._running:
            popen.wait()

    def _answers(self, port):
        try:
            with self._lab.server:
                socket.create_connection((self._address, port), 1).close()
            return True
        except OSError:
            return False

    def _start(self, *words, **environment):
        """in a process namespace, whose first process ends, and with it all of them, when its
        input does: some have children, or lose their parent-death signal with their uid"""
        with self._lab.server, open(os.path.join(self._private, "output"), "ab") as output:
            self._running.append(subprocess.Popen(
                ["unshare", "--pid", "--fork", "sh", "-c", '"$@" </dev/null & read -r _', "sh", *words],
                stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True,
                env={**os.environ, **NO_SETTINGS, **environment}))

    def _make_repository(self):
        git = ["git", "-c", "user.name=lab", "-c", "user.email=lab@example.com", "-c", "init.defaultBranch=main"]
        work = self._lab.new_file("work")
        _quietly(*git, "init", work)
        for number in range(20):
            with open(os.path.join(work, f"file-{number}"), "wb") as file:
                file.write(random.Random(number).randbytes(10_000))
        _quietly(*git, "-C", work, "add", ".")
        _quietly(*git, "-C", work, "commit", "-m", "all of it")
        _quietly(*git, "clone", "--bare", work, os.path.join(self.folder, "repository.git"))


class QuicServer(_Servers):
    def _quic(self):
        self._start(QUIC_SERVER, "-q", "-d", self.folder, self._address, str(QUIC), self._certificate,
                    self._certificate + ".crt")

    def _wait_more(self):
        wait_for_udp(self._running[-1].pid, QUIC)

    BEGINS = (_quic,)


class RealServers(QuicServer):
    def _git(self):
        self._start("git", "-c", "safe.directory=*", "daemon", f"--base-path={self.folder}", "--export-all",
                    "--reuseaddr")

    def _rsync(self):
        settings = os.path.join(self._private, "rsyncd.conf")
        with open(settings, "w") as file:
            file.write(RSYNC.format(files=self.folder, log=settings + ".log"))
        self._start("rsync", "--daemon", "--no-detach", "--config", settings)

    def _ssh(self):
        """the home of root is a folder of the lab, for this server alone"""
        home = os.path.join(self._private, "home")
        os.makedirs(os.path.join(home, ".ssh"), mode=0o700)
        os.chmod(home, 0o700)
        shutil.copy(self.key + ".pub", os.path.join(home, ".ssh/authorized_keys"))
        host_key = os.path.join(self._private, "host-key")
        _quietly("dropbearkey", "-t", "ed25519", "-f", host_key)
        self._start("unshare", "-m", "sh", "-c", 'mount --bind "$1" "$2" && exec dropbear -F -E -s -r "$3" -P "$3.pid" -p 22',
                    "sh", home, os.path.expanduser("~root"), host_key)

    def _smb(self):
        settings = os.path.join(self._private, "smb.conf")
        with open(settings, "w") as file:
            file.write(SMB.format(files=self.folder, private=self._private))
        libraries = os.path.join(machine.unpacked("samba"), "usr/lib", os.uname().machine + "-linux-gnu")
        self._start(SMBD, "-F", "--no-process-group", "-s", settings, "-l", self._private,
                    LD_LIBRARY_PATH=f"{libraries}:{libraries}/samba")

    def _h2(self):
        self._start("nghttpd", "-d", self.folder, str(H2), self._certificate, self._certificate + ".crt")

    BEGINS = (_git, _rsync, _ssh, _smb, _h2, *QuicServer.BEGINS)
    PORTS = (9418, 873, 22, 445, H2)


class MoreServers(_Servers):
    """OpenSSH's sshd, which sees users of its own, and iperf3"""

    def _sshd(self):
        settings = os.path.join(self._private, "sshd_config")
        with open(settings, "w") as file:
            file.write(OPENSSH.format(private=self._private, key=self.key))
        _quietly("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(self._private, "host-key"))
        for name, text in USERS.items():
            with open(os.path.join(self._private, name), "w") as file:
                file.write(text)
        script = ('for name in passwd shadow; do mount --bind "$1/$name" "/etc/$name" || exit; done; '
                  'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && shift && exec "$@"')
        # mounts that nobody else sees; of the resolver it needs nothing
        self._start(self._lab.path("tests/providers/with-resolver"), "/dev/null", "sh", "-c", script, "sh", self._private,
                    SSHD, "-D", "-E", settings + ".log", "-f", settings, LD_LIBRARY_PATH=LIBWRAP)

    def _iperf3(self):
        self._start("iperf3", "-s", "-p", str(IPERF3))

    BEGINS = (_sshd, _iperf3)
    PORTS = (22,)  # iperf3 takes whoever connects for its client

    def _wait_more(self):
        wait_for(lambda: is_listening(self._lab.server, IPERF3), 20, "iperf3")
