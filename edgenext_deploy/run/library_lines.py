"""Keeps the lines of OpenCV, FFmpeg, GStreamer and GLib off the terminal, or lets them through without passwords.

They write to the process's standard error from threads of their own, some whatever their log level says, and some with
the address of the stream.
"""
import os
import sys
import threading

from edgenext_deploy.camera.address import without_password
from edgenext_deploy.foreign_text import VisibleStream, visible_lines

_STDERR = 2
_LEVELS = {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}


def quiet_libraries(debug: bool) -> None:
    """Take what libraries write to standard error from now on; Python's own lines go on to where they went.

    Nothing is done where Python's standard error is not the process's, as in a test or a notebook.

    Args:
        debug: show the lines, with passwords masked; else they are shown where the user has set one of OpenCV's own
            variables for that.
    """
    shown = debug or any(name in os.environ for name in _LEVELS)
    if not shown:
        # Both are read at the first use; what is not written costs nothing.
        os.environ.update(_LEVELS)
    try:
        if sys.stderr.fileno() != _STDERR:
            return
    except (AttributeError, OSError, ValueError):
        return
    sys.stderr.flush()
    own = os.dup(_STDERR)
    # For the rest of the process: libraries write in their last moments, too.
    stream = open(own, "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)  # noqa: SIM115
    sys.stderr = VisibleStream(stream)  # type: ignore[assignment]
    if shown:
        reading, writing = os.pipe()
        threading.Thread(target=_pass_on, args=(reading, own), name="library lines", daemon=True).start()
    else:
        writing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(writing, _STDERR)
    os.close(writing)


def _pass_on(reading: int, own: int) -> None:
    with open(reading, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            os.write(own, visible_lines(without_password(line)).encode("utf-8"))
