"""The timing cache: kernel times measured by earlier builds, one file per TensorRT version and GPU.

With it a second build takes a fraction of the time and picks the same kernels. The file has TensorRT's own
format (``trtexec --timingCacheFile`` reads it too) and is shared by all builds. When two builds run at the same
time, the cache of the one that finishes last is kept. Losing it costs only time, so no error in reading or
writing it stops a build.
"""
import os
import re
import stat
from typing import Optional, Tuple

from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import cache_folder, write_files_atomically

# A cache of one network is some hundred kB; anything far larger is not read into a Nano's memory.
_MAX_BYTES = 256 << 20


def default_path(version: str, gpu: Optional[str], compute_capability: Optional[str]) -> str:
    """Return the cache file for a TensorRT version and a GPU; times of one are wrong on another."""
    parts = ["tensorrt-" + version, "sm" + (compute_capability or "unknown").replace(".", ""), gpu or "unknown-gpu"]
    name = "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part).strip("-") for part in parts)
    return os.path.join(cache_folder(), "timing", name + ".cache")


def read(path: str) -> Tuple[bytes, Optional[str]]:
    """Return the cache's content, empty if there is none, and a warning if it is there and cannot be read."""
    if not os.path.lexists(path):
        return b"", None
    try:
        if not os.path.isfile(path):
            raise OSError("not a regular file")
        if os.path.getsize(path) > _MAX_BYTES:
            raise OSError("{} bytes are too large for one".format(os.path.getsize(path)))
        with open(path, "rb") as stream:
            _require_own(os.fstat(stream.fileno()))
            return stream.read(), None
    except OSError as error:
        return b"", "timing cache {} is ignored: {}".format(path, error.strerror or error)


def _require_own(found: os.stat_result) -> None:
    """Raise OSError if another user could have made the file up: TensorRT's own code parses it."""
    if found.st_uid not in (0, os.geteuid()):
        raise OSError("it belongs to another user")
    if found.st_mode & stat.S_IWOTH:
        raise OSError("every user may change it")


def write(path: str, content: bytes) -> Optional[str]:
    """Replace the cache file in one step; return a warning if that is not possible."""
    try:
        write_files_atomically({path: content})
    except UsageError as error:
        return "timing cache not kept: {}".format(error.message)
    return None
