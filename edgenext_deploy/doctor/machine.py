"""The machine under examination: its files, its commands and the running Python."""
import contextlib
import grp
import os
import platform
import pwd
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from typing import IO, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from edgenext_deploy.child_process import python_command
from edgenext_deploy.machine.tree import Tree

# Of what a command prints.
_MAX_BYTES = 1 << 18
_POLL_S = 0.01
# Number of imports at the same time; more would not fit into a Nano's memory.
_AT_ONCE = 4
_PROBE = "edgenext_deploy.doctor.probe"


class Interpreter(NamedTuple):
    """The Python that runs this.

    Attributes:
        version: such as ``(3, 6, 9)``.
        bits: of a pointer.
        executable: its path.
        prefix: where it is installed, or the virtual environment.
        base_prefix: where the Python is installed that a virtual environment was made from; else `prefix`.
    """

    version: Tuple[int, ...]
    bits: int
    executable: str
    prefix: str
    base_prefix: str


class Outcome(NamedTuple):
    """How a command ended.

    Attributes:
        code: exit status; None if it could not be started or was stopped; negative: the signal that killed it.
        output: what it wrote to stdout.
        errors: what it wrote to stderr.
        failure: why `code` is None or negative, in words.
    """

    code: Optional[int]
    output: str
    errors: str
    failure: Optional[str] = None


class _Running(NamedTuple):
    process: "subprocess.Popen[bytes]"
    output: IO[bytes]
    errors: IO[bytes]
    deadline: float


def present_interpreter() -> Interpreter:
    """Return the Python that runs this."""
    # virtualenv before release 20 sets real_prefix instead of base_prefix.
    base = getattr(sys, "real_prefix", getattr(sys, "base_prefix", sys.prefix))
    return Interpreter(tuple(sys.version_info[:3]), struct.calcsize("P") * 8, sys.executable or "python3",
                       sys.prefix, base)


class Machine(Tree):
    """A machine, or the recorded tree of one.

    Args:
        root: where absolute paths are looked up; another folder holds a recorded tree.
        timeout_s: how long a command may take.
        environ: environment variables; the process's own by default.
        python: by default the one that runs this.
        architecture: the processor's, such as ``aarch64``.
    """

    def __init__(self, root: str = "/", timeout_s: float = 30.0, environ: Optional[Mapping[str, str]] = None,
                 python: Optional[Interpreter] = None, architecture: Optional[str] = None) -> None:
        super().__init__(root)
        self.timeout_s = timeout_s
        self.environ: Dict[str, str] = dict(os.environ if environ is None else environ)
        self.python = present_interpreter() if python is None else python
        self.architecture = platform.machine() if architecture is None else architecture

    def usable(self, path: str) -> bool:
        """Return whether this user may read and write there."""
        return os.access(self.path(path), os.R_OK | os.W_OK)

    def which(self, name: str) -> Optional[str]:
        """Return the path of a command that PATH leads to."""
        for folder in self.environ.get("PATH", "").split(os.pathsep):
            if os.path.isabs(folder) and os.access(self.path(os.path.join(folder, name)), os.X_OK):
                return os.path.join(folder, name)
        return None

    def free_bytes(self, path: str) -> Optional[int]:
        """Return the bytes that are free for this user on the disk that holds `path`, None if unknown."""
        try:
            return shutil.disk_usage(self.path(path)).free
        except OSError:
            return None

    def is_root(self) -> bool:
        """Return whether this user is root."""
        return os.geteuid() == 0

    def groups(self) -> Optional[FrozenSet[str]]:
        """Return the names of the groups that this process belongs to; None if they cannot be found out."""
        try:
            return frozenset(grp.getgrgid(number).gr_name for number in {os.getegid(), *os.getgroups()})
        except (OSError, KeyError):
            return None

    def user(self) -> str:
        """Return the user's name, or ``$USER`` for a shell to fill in."""
        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            return "$USER"

    def probe_command(self, name: str) -> List[str]:
        """Return the command that runs one of `probe`'s functions in a child process."""
        return python_command(_PROBE, [name], self.python.executable)

    def run(self, commands: Sequence[Sequence[str]], extra: Optional[Mapping[str, str]] = None) -> List[Outcome]:
        """Run commands side by side, with no input, each for `timeout_s` at most; return how each ended.

        Args:
            commands: programs with their arguments; no shell is involved.
            extra: environment variables on top of the machine's.
        """
        environ = dict(self.environ, **(extra or {}))
        waiting = list(enumerate(commands))
        outcomes: Dict[int, Outcome] = {}
        running: Dict[int, _Running] = {}
        try:
            while waiting or running:
                while waiting and len(running) < _AT_ONCE:
                    index, command = waiting.pop(0)
                    started = self._start(command, environ)
                    if isinstance(started, Outcome):
                        outcomes[index] = started
                    else:
                        running[index] = started
                for index, job in list(running.items()):
                    if job.process.poll() is not None or time.monotonic() > job.deadline:
                        outcomes[index] = self._finish(running.pop(index))
                time.sleep(_POLL_S)
        finally:
            for job in running.values():
                _kill(job.process)
        return [outcomes[index] for index in range(len(commands))]

    def _start(self, command: Sequence[str], environ: Mapping[str, str]) -> Union[Outcome, _Running]:
        # Files, not pipes: a pipe stays open as long as any grandchild lives.
        output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed in _finish
        errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                                       env=dict(environ), start_new_session=True)
        except (OSError, ValueError) as error:
            output.close()
            errors.close()
            return Outcome(None, "", "", "could not be started: {}".format(getattr(error, "strerror", None) or error))
        return _Running(process, output, errors, time.monotonic() + self.timeout_s)

    def _finish(self, job: _Running) -> Outcome:
        code = job.process.poll()
        if code is None:
            _kill(job.process)
            failure: Optional[str] = "did not finish within {:g} s".format(self.timeout_s)
        else:
            failure = "was killed by {}".format(_signal_name(-code)) if code < 0 else None
        texts = []
        for stream in (job.output, job.errors):
            stream.seek(0)
            texts.append(stream.read(_MAX_BYTES).decode("utf-8", "replace"))
            stream.close()
        return Outcome(code, texts[0], texts[1], failure)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a command and every process that it has started."""
    with contextlib.suppress(OSError):  # it has just ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return "signal {}".format(number)
    return {"SIGILL": "SIGILL (Illegal instruction)", "SIGSEGV": "SIGSEGV (Segmentation fault)",
            "SIGKILL": "SIGKILL (the kernel does that when memory runs out)"}.get(name, name)
