"""Progress of a build on standard error: the phase and the seconds so far, from a thread of its own.

The build is one call that may take minutes. TensorRT's bindings release the interpreter's lock meanwhile, so a
thread can draw. From TensorRT 9 on the builder says which phase it is in; before, only time passes.
"""
import threading
import time
from types import TracebackType
from typing import IO, Optional, Type

_REDRAW_S = 0.25
_REPEAT_S = 30.0
_FRAMES = "|/-\\"


class BuildProgress:
    """Shows a spinner on a terminal, and a line every half minute anywhere else.

    Args:
        stream: where to write, such as ``sys.stderr``.
        what: what is being done.
    """

    def __init__(self, stream: IO[str], what: str) -> None:
        self._stream = stream
        self._what = what
        self._phase = ""
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._terminal = stream.isatty()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def phase(self, name: str) -> None:
        """Note the phase that the builder has begun."""
        self._phase = name

    def __enter__(self) -> "BuildProgress":
        self._thread.start()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self._stop.set()
        self._thread.join()
        if self._terminal:
            self._write("\r\033[K")

    def _run(self) -> None:
        count = 0
        while not self._stop.wait(_REDRAW_S if self._terminal else _REPEAT_S):
            seconds = int(time.monotonic() - self._started)
            text = "{}, {} s{}".format(self._what, seconds, ": " + self._phase if self._phase else "")
            if self._terminal:
                self._write("\r\033[K{} {}".format(_FRAMES[count % len(_FRAMES)], text[:110]))
            else:
                self._write(text + "\n")
            count += 1

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads any more; the build goes on
            self._stop.set()
