"""The files of a machine, or of a recorded one."""
import glob
import os
import subprocess
from typing import List, Optional, Sequence

_MAX_BYTES = 1 << 16


class Tree:
    """Files below a root.

    Args:
        root: where absolute paths are looked up; another folder than ``/`` holds a recorded tree, in which no
            command can be run.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = root

    def read(self, path: str) -> str:
        """Return a file's text, its first 64 KiB.

        Raises:
            OSError: it cannot be read; PermissionError if that is for want of permission.
        """
        with open(self._at(path), "rb") as stream:
            return stream.read(_MAX_BYTES).decode("utf-8", "replace")

    def glob(self, pattern: str) -> List[str]:
        """Return the absolute paths that match a pattern, sorted; a folder that cannot be listed has none."""
        start = len(self.root.rstrip("/"))
        return sorted(path[start:] for path in glob.glob(self._at(pattern)))

    def output_of(self, command: Sequence[str], timeout_s: float = 5.0) -> Optional[str]:
        """Return what a command prints; None if it cannot be run, fails, or takes longer than `timeout_s`."""
        if self.root != "/":
            return None
        try:
            done = subprocess.run(list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=timeout_s)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None

    def _at(self, path: str) -> str:
        return os.path.join(self.root, path.lstrip("/"))
