"""Boards for tests: real SSH servers on this machine, each with its port, keys, home and Python 3.6.

Each server is Debian's sshd with a configuration of its own, started and ended by the test as the user that runs it. A
board's shell finds no other Python than 3.6, and nothing of the workstation's environment.
"""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import paths
import pytest

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin")
SSH = shutil.which("ssh")
PYTHON36 = os.environ.get("EDGENEXT_PYTHON36")
WHY_NOT = (None if SSHD and SSH and shutil.which("ssh-keygen") else "no sshd: apt-get install openssh-server"
           ) or (None if PYTHON36 else "EDGENEXT_PYTHON36 names no Python 3.6")
needs_boards = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
# What a board's shell, our launchers and the lines of shell-line need besides Python.
TOOLS = ("sh", "bash", "env", "uname", "sleep", "cat", "rm", "mkdir", "chmod", "ln")
_START_S = 10.0
_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {key}
PidFile {folder}/pid
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
Subsystem sftp internal-sftp
LoginGraceTime 20
MaxStartups 50
SetEnv {environment}
"""
_CLIENT = """
Host {name}
    HostName 127.0.0.1
    Port {port}
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known}
    GlobalKnownHostsFile /dev/null
"""


def base_python():
    """Return the Python 3.6 below the tests' virtual environment, which sees none of its packages."""
    found = subprocess.run([PYTHON36, "-c", "import sys; print(sys.base_prefix)"], stdout=subprocess.PIPE, check=True)
    return os.path.join(found.stdout.decode().strip(), "bin", "python3.6")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class SshBoard:
    """One server, with what a board is to its user."""

    def __init__(self, folder, name, key, environment=None, port=None):
        self.name, self.folder, self.port = name, Path(str(folder)) / name, port or free_port()
        self.home = self.folder / "home"
        self.home.mkdir(parents=True)
        tools = self.folder / "bin"
        tools.mkdir()
        for tool in TOOLS:
            if shutil.which(tool):
                (tools / tool).symlink_to(shutil.which(tool))
        (tools / "python3").write_text("#!/bin/sh\nexec {} \"$@\"\n".format(base_python()))
        (tools / "python3").chmod(0o755)
        host_key = self.folder / "host_key"
        make_key(host_key)
        self.host_line = "[127.0.0.1]:{} {}".format(self.port, host_key.with_suffix(".pub").read_text())
        shutil.copy(str(key.with_suffix(".pub")), str(self.folder / "authorized_keys"))
        settings = dict({"HOME": str(self.home), "PATH": str(tools), "OMP_NUM_THREADS": "1"}, **(environment or {}))
        (self.folder / "config").write_text(_CONFIG.format(
            port=self.port, key=host_key, folder=self.folder,
            environment=" ".join('"{}={}"'.format(*item) for item in settings.items())))
        self.process = None

    @property
    def root(self):
        """Return the folder that everything of ours lies in."""
        return self.home / ".local" / "share" / "edgenext-deploy"

    def start(self):
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        log = (self.folder / "sshd.log").open("ab")
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(self.folder / "config")], stdout=log, stderr=log,
                                        stdin=subprocess.DEVNULL)
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self.process.poll() is None, (self.folder / "sshd.log").read_text()
            time.sleep(0.02)
        raise AssertionError((self.folder / "sshd.log").read_text())

    def children(self):
        """Return the ids of the server's processes that serve a connection."""
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], stdout=subprocess.PIPE)
        return [int(word) for word in found.stdout.split()]

    def cut(self):
        """End every connection as a cable that is pulled does: the server's children die."""
        for child in self.children():
            below = subprocess.run(["ps", "-o", "pid=", "--ppid", str(child)], stdout=subprocess.PIPE).stdout.split()
            for number in [child, *map(int, below)]:
                if "sshd" in process_name(number):
                    end_process(number)

    def die(self):
        """End the server and every connection, as a board does that is switched off."""
        children = self.children()
        self.process.terminate()
        for number in [*children, *self.jobs()]:
            end_process(number)

    def jobs(self):
        """Return the ids of the processes that work on the board: their home is this board's."""
        mark = "HOME={}\0".format(self.home).encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes() + b"\0":
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def stop(self):
        if self.process is not None:
            self.cut()
            self.process.terminate()
            self.process.wait()
            self.process = None
        for number in self.jobs():
            end_process(number)


def process_name(number):
    try:
        return Path("/proc", str(number), "comm").read_text()
    except OSError:
        return ""


def end_process(number):
    with contextlib.suppress(OSError):
        os.kill(number, signal.SIGKILL)


def make_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)


class Desk:
    """The workstation: its ssh configuration, and our command as a user calls it."""

    def __init__(self, folder):
        self.folder = Path(str(folder))
        self.key = self.folder / "key"
        make_key(self.key)
        self.config, self.known = self.folder / "ssh_config", self.folder / "known_hosts"
        self.config.write_text("")
        self.known.write_text("")
        self.environ = dict(os.environ, EDGENEXT_SSH="ssh -F {}".format(self.config), PYTHONPATH=paths.ROOT,
                            EDGENEXT_CACHE=str(self.folder / "cache"), XDG_CONFIG_HOME=str(self.folder / "settings"))
        self.boards = []

    def add(self, name, port=None, **options):
        """Return a new board that answers, known to ssh by its name; another port leads to it through a proxy."""
        board = SshBoard(self.folder, name, self.key, **options).start()
        self.boards.append(board)
        self.know(board, port or board.port)
        return board

    def know(self, board, port):
        with self.config.open("a") as config:
            config.write(_CLIENT.format(name=board.name, port=port, key=self.key, known=self.known))
        with self.known.open("a") as known:
            known.write(board.host_line.replace("]:{} ".format(board.port), "]:{} ".format(port)))

    def know_only(self, name):
        """Write the configuration for a board that is not there."""
        with self.config.open("a") as config:
            config.write(_CLIENT.format(name=name, port=1, key=self.key, known=self.known))

    def command(self, *words, module="edgenext_deploy.remote.commands.cli"):
        return [sys.executable, "-m", module, *map(str, words)]

    def run(self, *words, module="edgenext_deploy.remote.commands.cli", timeout=300, **environ):
        """Run one of our commands; return exit code, standard output and standard error."""
        done = subprocess.run(self.command(*words, module=module), cwd=str(self.folder), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                              env=dict(self.environ, **environ))
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def start(self, *words):
        """Return the process of one of our commands."""
        return subprocess.Popen(self.command(*words), cwd=str(self.folder), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environ)

    def close(self):
        for board in self.boards:
            board.stop()
