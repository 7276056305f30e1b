"""A board over SSH, for programs."""
import os
from typing import Any, Callable, Dict, Optional, Union

from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.remote.board_work import OUTPUT, BoardMeasurement, BoardPlan, Wanted, bench_there, build_there
from edgenext_deploy.remote.fleet import choose_boards, find_fleet_file, read_fleet
from edgenext_deploy.remote.link.jobs import Watcher
from edgenext_deploy.remote.pushing import bundle_of
from edgenext_deploy.remote.session import Session, nobody_answers, who_am_i

Path = Union[str, "os.PathLike[str]"]


class Board:
    """A board that is reached with the system's ssh; use it in a ``with`` block, or close it.

    Each method sets the board up first if that was not done. What is there already is not copied, built or installed
    again. The connection is made at the first call.

    Args:
        host: ``[USER@]HOST`` as ssh takes it, or the name of a board in ``boards.toml``.
        device: what it has to be, such as ``nano``; by default what ``boards.toml`` says, or anything.
        folder: folder there, by default ``~/.local/share/edgenext-deploy``.
        python: Python there, by default ``python3``.
        wait: wait while somebody else uses the board, or else raise MissingRuntimeError.
        progress: called with each line about what is done.

    Raises:
        UsageError: no host, folder or Python that could be one.
        BadInputError: ``boards.toml`` is broken.
    """

    def __init__(self, host: str, *, device: Optional[str] = None, folder: Optional[str] = None,
                 python: Optional[str] = None, wait: bool = True,
                 progress: Optional[Callable[[str], Any]] = None) -> None:
        path = find_fleet_file()
        changes = {name: value for name, value in (("folder", folder), ("python", python)) if value}
        (board,) = choose_boards([host], (), read_fleet(path) if path else (), changes)
        say = progress or _nothing
        watcher = Watcher(say=say, now=_nothing, line=lambda stream, line: say(line), leave=lambda title: True,
                          step=lambda title, seconds: say("{}: {:.1f} s".format(title, seconds)))
        self._session = Session(board._replace(device=device or board.device), watcher, nobody_answers(1), wait)

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._session.close()

    def setup(self, *, offline: bool = False) -> None:
        """Make the environment there.

        Args:
            offline: copy every wheel from here; the board fetches nothing.

        Raises:
            EdgeNextError: the board cannot be reached, or cannot install what is needed.
        """
        self._session.require_ready(offline)

    def doctor(self) -> Dict[str, Any]:
        """Return what the doctor finds there: ``inference_possible``, and ``checks`` as ``edgenext-doctor --json``.

        Raises:
            EdgeNextError: the board cannot be reached or set up.
        """
        self._session.require_ready()
        return self._session.doctor()

    def push(self, path: Path) -> str:
        """Copy a file or folder, an engine with its manifest; return its path there.

        Args:
            path: here.

        Raises:
            BadInputError: it is missing or unreadable.
            EdgeNextError: the board cannot be reached, or its disk is full.
        """
        return self._session.push(bundle_of(os.fspath(path)))

    def build(self, engine: Path, *, output: Path = OUTPUT) -> BoardPlan:
        """Build a TensorRT plan there, prove its precision and test it.

        Args:
            engine: an ONNX file with its manifest next to it.
            output: folder here for the sidecar and the timing cache.

        Raises:
            IncompatibleError: there is no TensorRT, or the graph cannot be built.
            VerificationError: the plan answers wrongly.
            EdgeNextError: the board cannot be reached or set up.
        """
        self._session.require_ready()
        if not self._session.facts().has_tensorrt:
            raise IncompatibleError("{} cannot build plans: TensorRT, its GPU or pycuda is missing".format(
                self._session.board.name), "look at what its doctor says")
        return build_there(self._session, os.fspath(engine), (), os.fspath(output))[1]

    def bench(self, engine: Optional[Path] = None, *, variant: Optional[str] = None, fp16: bool = False,
              target: Optional[str] = None, duration_s: Optional[float] = None,
              output: Path = OUTPUT) -> BoardMeasurement:
        """Measure an engine there, the whole way: a plan is built from a graph where there is TensorRT.

        Args:
            engine: an ONNX file or plan, with its manifest next to it.
            variant: in place of `engine`, a network that is exported for the board's own target.
            fp16: export for an FP16 engine.
            target: export for another target than the board's own.
            duration_s: seconds of measurement for each engine.
            output: folder here for the report, the sidecar and the timing cache.

        Raises:
            UsageError: neither `engine` nor `variant`.
            EdgeNextError: the board cannot be reached or set up, or what a command raised there.
        """
        wanted = Wanted(None if engine is None else os.fspath(engine), variant, target, ("--fp16",) if fp16 else ())
        words = [] if duration_s is None else ["--duration", str(duration_s)]
        return bench_there(self._session, wanted, words, (), os.fspath(output))

    def remove(self) -> None:
        """Remove the folder there, with all that was copied and built.

        Raises:
            MissingRuntimeError: somebody uses the board.
        """
        self._session.connect().ask("remove", who={"who": who_am_i(), "title": "remove"})
        self._session.close()


def _nothing(line: str) -> None:
    """Show nothing."""
