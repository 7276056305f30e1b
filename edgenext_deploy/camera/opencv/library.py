"""OpenCV itself: its import, and what the one installed can do."""
import re
import shlex
from typing import Any

from edgenext_deploy.errors import MissingRuntimeError
from edgenext_deploy.install import opencv_package
from edgenext_deploy.machine.facts import is_jetson
from edgenext_deploy.machine.tree import Tree

JETPACK_FIX = ("install JetPack's own: sudo apt-get install nvidia-opencv; in a virtual environment, one made with "
               "--system-site-packages")


def load_cv2() -> Any:
    """Import OpenCV.

    Raises:
        MissingRuntimeError: it is not there, or one of its libraries is not.
    """
    try:
        import cv2
    except ImportError as error:
        missing = getattr(error, "name", None) == "cv2"
        raise MissingRuntimeError(
            "cameras and videos need OpenCV, which is not installed" if missing
            else "OpenCV cannot be loaded: {}".format(error), _fix_of(str(error))) from error
    return cv2


def _fix_of(text: str) -> str:
    # OpenCV comes last, behind TensorRT and CUDA, which on a Jetson may leave too little of what the loader keeps for
    # the thread-local data of libraries (opencv/opencv#14884). What is loaded first finds room.
    late = re.search(r"(/\S+): cannot allocate memory in static TLS block", text)
    if late:
        return "export LD_PRELOAD={}, and start again".format(shlex.quote(late.group(1)))
    return JETPACK_FIX if on_jetson() else "pip install " + shlex.quote(opencv_package())


def on_jetson() -> bool:
    """Return whether this machine is a Jetson, whose hardware converts and decodes."""
    return is_jetson(Tree())


def has_gstreamer(cv2: Any) -> bool:
    """Return whether this OpenCV was built with GStreamer; those of PyPI are not."""
    return any("GStreamer" in line and "YES" in line for line in cv2.getBuildInformation().splitlines())
