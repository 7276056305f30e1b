"""The one reader of a machine's files: ``/proc``, ``/sys``, ``/etc``, or a recorded copy of them."""
import contextlib
import glob
import os
import re
import signal
import subprocess
from typing import List, Optional, Sequence

from edgenext_deploy.files import shown

_MAX_BYTES = 1 << 18
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}\Z")


class Tree:
    """Files below a root.

    Args:
        root: where absolute paths are looked up. Another folder than ``/`` holds a recorded tree, in which no
            command can be run.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = root

    def read(self, path: str) -> str:
        """Return a file's text, its first 256 KiB.

        Raises:
            OSError: it cannot be read; PermissionError if this user may not read it.
        """
        with open(self.path(path), "rb") as stream:
            return stream.read(_MAX_BYTES).decode("utf-8", "replace")

    def integer(self, path: str) -> int:
        """Return the whole number that a file holds.

        Raises:
            OSError: it cannot be read; PermissionError if this user may not read it.
            ValueError: it holds something else, or a number that no sensor gives.
        """
        text = self.read(path).strip("\0 \t\r\n")
        if not _INTEGER.match(text):
            raise ValueError("a whole number expected, {} found".format(shown(repr(text), 40)))
        return int(text)

    def text(self, path: str) -> Optional[str]:
        """Return a file's text as `read` does, None if it cannot be read."""
        try:
            return self.read(path)
        except (OSError, ValueError):
            return None

    def line(self, path: str) -> Optional[str]:
        """Return a file's text without white space and NUL at its ends, None if nothing is left."""
        return (self.text(path) or "").strip("\0 \t\r\n") or None

    def exists(self, path: str) -> bool:
        """Return whether there is something of that name."""
        return os.path.exists(self.path(path))

    def glob(self, pattern: str) -> List[str]:
        """Return the absolute paths that match a pattern, sorted; a folder that cannot be listed has none."""
        start = len(self.root.rstrip("/"))
        return sorted(path[start:] for path in glob.glob(self.path(pattern)))

    def output_of(self, command: Sequence[str], timeout_s: float = 5.0) -> Optional[str]:
        """Return what a command prints; None if it cannot be run, fails, or takes longer than `timeout_s`."""
        if self.root != "/":
            return None
        try:
            process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, start_new_session=True)
        except OSError:
            return None
        with process.stdout:  # type: ignore[union-attr]
            try:
                output = process.communicate(timeout=timeout_s)[0]
            except BaseException as error:
                # With all that it has started: subprocess.run of Python 3.6 waits until the last of them ends.
                with contextlib.suppress(OSError):  # it has just ended
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    return None
                raise
        return output.decode("utf-8", "replace") if process.returncode == 0 else None

    def path(self, path: str) -> str:
        """Return where an absolute path of the machine lies on this one."""
        return os.path.join(self.root, path.lstrip("/"))
