"""One board, as a command sees it: its connection, its environment, what was done there and how long that took."""
import contextlib
import getpass
import json
import os
import socket
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

from edgenext_deploy.commands.word_files import READ_WORDS, write_words
from edgenext_deploy.errors import BadInputError, EdgeNextError, MissingRuntimeError, UsageError
from edgenext_deploy.files import shown
from edgenext_deploy.foreign_text import visible
from edgenext_deploy.remote.board_facts import BoardFacts, read_facts
from edgenext_deploy.remote.fleet import FleetBoard
from edgenext_deploy.remote.link.connection import Connection, Event, field
from edgenext_deploy.remote.link.jobs import Job, Watcher, require_success, run_job
from edgenext_deploy.remote.pushing import Bundle
from edgenext_deploy.remote.setting_up.environment import (
    environment_for,
    keys_for,
    launcher,
    pycuda_job,
    setup_job,
)
from edgenext_deploy.remote.target_choice import require_device, require_model

_FACTS_S, _DOCTOR_S, _QUESTION_S = 60.0, 300.0, 20.0
_WANTS_PYCUDA = ("from importlib.util import find_spec; import sys; "
                 "sys.exit(find_spec('tensorrt') is None or find_spec('pycuda') is not None)")
_KEPT_LINES = 20
# What an environment takes, and pip while it unpacks wheels: with Python 3.6, 108 MB remain.
_ROOM_BYTES = 300 << 20


class Step(NamedTuple):
    """Something that was done for a board.

    Attributes:
        title: for people.
        seconds: wall time.
        skipped: it was done already.
    """

    title: str
    seconds: float
    skipped: bool = False


class Session:
    """What is done on one board, over one connection or, if that is lost, over several.

    Args:
        board: the board.
        watcher: who is told.
        batch: nobody can answer a question of ssh.
        wait: wait until the board is free, or else fail.
        forwards: what ``-L`` of ssh gets.
    """

    def __init__(self, board: FleetBoard, watcher: Watcher, batch: bool = True, wait: bool = True,
                 forwards: Sequence[str] = ()) -> None:
        self.board = board
        self.steps: List[Step] = []
        self.job: Optional[Job] = None
        # What is shown of a line of the board's; a forwarded port has another number here.
        self.shown: Callable[[str], str] = str
        self._watcher = watcher._replace(step=self._done)
        self._told = watcher
        self._batch, self._wait, self._forwards = batch, wait, forwards
        self._connections: List[Connection] = []
        self._key: Optional[str] = None
        self._facts: Optional[BoardFacts] = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        for connection in self._connections:
            connection.close()

    @property
    def sent_bytes(self) -> int:
        """Number of bytes sent so far, before ssh encrypted them."""
        return sum(connection.sent_bytes for connection in self._connections)

    @property
    def received_bytes(self) -> int:
        """Number of bytes received so far."""
        return sum(connection.received_bytes for connection in self._connections)

    def connect(self) -> Connection:
        """Return the connection, a new one if the last has ended, or was left in the middle of an answer."""
        if not self._connections or not self._connections[-1].usable:
            self.close()
            with self.timed("connect"):
                connection = Connection(self.board.route, self._batch, self._forwards)
            self._connections.append(connection)
            skew = connection.clock_skew_s
            if skew and len(self._connections) == 1:
                self._told.say("note: its clock is {:.0f} minutes {}; times in its files are its own".format(
                    abs(skew) / 60, "ahead" if skew > 0 else "behind"))
        return self._connections[-1]

    @property
    def hello(self) -> Event:
        """What the far side said at its start."""
        return self.connect().hello

    @property
    def python(self) -> Sequence[int]:
        """Numbers of the version of the Python there."""
        numbers: Sequence[int] = self.hello["python"]
        return numbers

    def there(self, path: str) -> str:
        """Return the whole path there of a path below the folder."""
        return "{}/{}".format(self.hello["folder"], path)

    def command(self, name: str) -> str:
        """Return the whole path there of one of our commands."""
        return self.there(launcher(self.key, name))

    def step(self, title: str, command: str, words: Sequence[str]) -> Dict[str, Any]:
        """Return the step of a job that runs one of our commands.

        Everybody on the board can read the command lines there, and a camera's address holds its password. So the words
        go over standard input, and are kept nowhere.
        """
        return {"title": title, "run": [self.command(command), READ_WORDS], "input": write_words(words)}

    @property
    def key(self) -> str:
        """Key of the environment with our code that the board needs."""
        if self._key is None:
            self._key = keys_for(self.hello).code
        return self._key

    @contextlib.contextmanager
    def timed(self, title: str) -> Iterator[None]:
        """Count what happens inside as a step."""
        began = time.monotonic()
        self._told.now(title)
        yield
        self._done(title, time.monotonic() - began)

    def skip(self, title: str) -> None:
        """Count a step that was done already."""
        self.steps.append(Step(title, 0.0, True))
        self._told.say("{}: there already".format(title))

    def say(self, text: str) -> None:
        """Tell something."""
        self._told.say(text)

    def require_ready(self, offline: bool = False) -> None:
        """Set the board up unless that was done; raise IncompatibleError for another device than was asked for."""
        require_model(self.board.device, self.hello["model"], self.board.name)
        if self.key in self.hello["ready"]:
            self.skip("environment")
        else:
            self.setup(offline)
        require_device(self.board.device, self.facts().environment, self.board.name)

    def setup(self, offline: bool = False) -> None:
        """Make the environment there; what an interrupted setup left is used or made again.

        Args:
            offline: the board fetches nothing; all wheels are copied.

        Raises:
            EdgeNextError: wheels could not be fetched, or the board could not install them.
        """
        if self.key not in self.hello["ready"]:
            self._make_environment(offline)
        else:
            self.skip("environment")
            if not offline and self._lacks_pycuda(self.command("python")):
                self.run(pycuda_job(self.hello, keys_for(self.hello)))
        if self._lacks_pycuda(self.command("python")):
            self.say("note: pycuda is missing, so no plan can be built or run{}".format(
                "; it is compiled with internet only" if offline else
                ": it could not be compiled; the log says why; setup tries again"))

    def _make_environment(self, offline: bool) -> None:
        free = field(self.hello, "free", int)
        if not self.hello["packages"] and free < _ROOM_BYTES:
            raise UsageError("{}: {} MB are free in {}, {} MB needed".format(
                self.board.name, free >> 20, shown(self.hello["folder"]), _ROOM_BYTES >> 20),
                "free some space on the board, or choose another disk with --folder")
        with self.timed("wheels, fetched here"):
            environment = environment_for(self.hello, offline)
        self._copy("wheels", [(path, here, digest) for path, here, digest in environment.files])
        job = setup_job(self.hello, environment, not offline and self._lacks_pycuda(self.hello["executable"]))
        try:
            self.run(job)
        except EdgeNextError as error:
            if not offline and "find a version" in error.message:
                raise MissingRuntimeError(error.message, "where the board has no internet: --offline") from error
            raise
        self.hello["ready"].append(environment.keys.code)
        self.hello["packages"].append(environment.keys.packages)

    def _lacks_pycuda(self, python: str) -> bool:
        """Return whether a Python there has TensorRT and could compile pycuda, which it does not have."""
        return bool(self.hello["cuda"]) and self.connect().ask(
            "ask", argv=[python, "-c", _WANTS_PYCUDA], timeout_s=_QUESTION_S).get("code") == 0

    def facts(self) -> BoardFacts:
        """Return what decides what can be run there; the environment is ready."""
        if self._facts is None:
            answer = self.connect().ask("ask", timeout_s=_FACTS_S, argv=[
                self.command("python"), "-m", "edgenext_deploy.remote.board_facts"])
            self._facts = read_facts(_text(answer), "{}: its facts".format(self.board.name))
        return self._facts

    def doctor(self) -> Dict[str, Any]:
        """Return what ``edgenext-doctor --json`` says there.

        Raises:
            BadInputError: it said something else.
        """
        with self.timed("doctor"):
            answer = self.connect().ask("ask", argv=[self.command("edgenext-doctor"), "--json"], timeout_s=_DOCTOR_S)
        try:
            found = json.loads(_text(answer))
            checks = [{key: visible(str(check[key])) if check[key] is not None else None
                       for key in ("name", "status", "found", "fix")} for check in found["checks"]]
            return {"inference_possible": bool(found["inference_possible"]), "checks": checks}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadInputError("{}: its doctor said: {}".format(self.board.name, shown(_text(answer), 200)),
                                "set it up again: edgenext-remote {} setup --remove".format(
                                    self.board.name)) from error

    def push(self, bundle: Bundle) -> str:
        """Copy a bundle unless it is there; return the whole path there."""
        self._copy(bundle.name, [("{}/{}".format(bundle.folder, name), path, digest)
                                 for name, path, digest in bundle.files])
        return self.there(bundle.path)

    def run(self, job: Job, on_output: Any = None, check: bool = True) -> Event:
        """Run a job to its end; return its last state.

        Args:
            job: what is to be done.
            on_output: called with each line of its standard output, in place of the watcher.
            check: raise for an exit code other than 0.

        Raises:
            EdgeNextError: it failed.
        """
        lines: List[str] = []

        def on_line(stream: str, line: str) -> None:
            if stream == "log":
                lines.append(line)
                del lines[:-_KEPT_LINES]
            if stream == "output" and on_output is not None:
                on_output(self.shown(line))
            else:
                self._told.line(stream, self.shown(line))

        self.job = job
        found = run_job(self.connect, job, self._watcher._replace(line=on_line), who_am_i(), self._wait)
        if found.get("skipped"):
            self.skip(job.title)
        return require_success(found, job, lines) if check else found

    def follow(self, name: str, on_line: Optional[Callable[[str], Any]] = None) -> Event:
        """Follow a job that was started before; return its last state. Ctrl-C leaves it running.

        Args:
            name: of the job.
            on_line: called with each line of its output and its log.

        Raises:
            LostConnectionError: the connection was lost for two minutes, or the job ended without a result.
            JobLeftError: Ctrl-C.
        """
        watcher = self._watcher._replace(line=lambda stream, line: on_line and on_line(line), leave=lambda title: True)
        return run_job(self.connect, Job(name, name, []), watcher, who_am_i(), self._wait)

    def stop_job(self) -> None:
        """Have the last job end early, over a connection of its own."""
        if self.job is not None:
            with Connection(self.board.route, self._batch) as connection:
                connection.ask("stop", name=self.job.name)

    def fetch(self, path: str, most_bytes: int) -> bytes:
        """Return the content of a file below the folder there."""
        return self.connect().get(path, most_bytes)

    def _copy(self, title: str, files: Sequence[Any]) -> None:
        began = time.monotonic()
        answer = self.connect().ask("missing", files=[(there, digest) for there, _, digest in files])
        wanted = field(answer, "missing", list)
        chosen = [file for file in files if file[0] in wanted]
        if not chosen:
            self.skip("copy " + title)
            return
        size = sum(os.path.getsize(path) for _, path, _ in chosen)
        done = 0

        def on_bytes(count: int) -> None:
            nonlocal done
            done += count
            self._told.now("copy {}: {:.1f} of {:.1f} MB".format(title, done / 1e6, size / 1e6))

        for there, path, digest in chosen:
            self.connect().put(there, path, digest, on_bytes)
        self._done("copy {}, {:.1f} MB".format(title, size / 1e6), time.monotonic() - began)

    def _done(self, title: str, seconds: float) -> None:
        self.steps.append(Step(title, seconds))
        self._told.step(title, seconds)


def who_am_i() -> str:
    """Return ``USER@MACHINE``, for others who wait for a board."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = "somebody"
    return "{}@{}".format(user, socket.gethostname())


def nobody_answers(hosts: int) -> bool:
    """Return whether ssh must not ask: there are several hosts, or no terminal."""
    return hosts > 1 or not sys.stdin or not sys.stdin.isatty() or not sys.stderr.isatty()


def _text(answer: Event) -> str:
    return str(answer.get("output", "")).encode("latin-1", "replace").decode("utf-8", "replace")
