"""What can be told of a file, device or server in better words than OpenCV has."""
import os
import shlex

from edgenext_deploy.camera.address import Address
from edgenext_deploy.camera.source import SourceLostError
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_file


def check_there(address: Address) -> None:
    """Raise for what can be told without opening it.

    Raises:
        BadInputError: a file that is missing, empty, or no file.
        SourceLostError: a device that is missing, or may not be opened.
    """
    kind, target = address.kind, address.target
    if kind == "file":
        require_file(target, "video", "pass a video file, or a camera such as /dev/video0 or csi://0")
    elif kind == "v4l2" and not os.path.exists(target):
        there = sorted(name for name in os.listdir("/dev") if name.startswith("video"))
        raise SourceLostError(
            "no camera at {}; found {}".format(target, ", ".join("/dev/" + name for name in there) or "none"),
            "plug it in, or pass another one")
    elif kind == "v4l2" and not os.access(target, os.R_OK | os.W_OK):
        raise SourceLostError("{} cannot be opened (permission denied)".format(target),
                              "sudo usermod -aG video $USER, then log in again")


def cannot_open(address: Address, name: str, after_s: float = 0.0) -> BadInputError:
    """Return the error for what no way opens.

    Args:
        address: that was tried.
        name: of the source, for the message.
        after_s: seconds after which it was given up; 0 if it failed by itself.
    """
    kind = address.kind
    within = " within {:g} s".format(after_s) if after_s else ""
    if kind == "file":
        return BadInputError("{} is not a video that can be read{}".format(name, within),
                             "pass one that plays, for example in ffplay; --debug shows what was tried")
    fix = {"csi": "check the ribbon cable and that nvargus-daemon runs: sudo systemctl restart nvargus-daemon",
           "v4l2": "see what it offers: v4l2-ctl --device {} --list-formats-ext".format(shlex.quote(address.target)),
           "rtsp": "check that the camera sends, and a key frame every few seconds (its GOP or I-frame interval)"
           if after_s else "check that its page shows a picture; --debug shows what was tried"}[kind]
    return SourceLostError("cannot open {}{}".format(name, within), fix)
