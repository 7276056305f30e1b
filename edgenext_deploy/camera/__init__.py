"""Cameras, streams, files and test patterns as one thing: a `Camera` that gives the newest frame.

::

    with Camera("csi://0", width=1280, height=720, fps=30) as camera:
        frame = camera.read(timeout=1.0)

See ``docs/camera.md`` for the addresses and the rules.
"""
from edgenext_deploy.camera.address import Address, is_stream, parse_address
from edgenext_deploy.camera.reader import Backoff, Camera, Clock, Counters, Frame
from edgenext_deploy.camera.sources import FrameSource, SourceLostError
from edgenext_deploy.camera.stream import StreamResult, StreamTimings
from edgenext_deploy.camera.synthetic import number_in

__all__ = [
    "Address",
    "Backoff",
    "Camera",
    "Clock",
    "Counters",
    "Frame",
    "FrameSource",
    "SourceLostError",
    "StreamResult",
    "StreamTimings",
    "is_stream",
    "number_in",
    "parse_address",
]
