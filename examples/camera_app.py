"""Print once a second what the camera sees: the best class, object or area.

Run it with an engine and a source: ``python3 camera_app.py xxs.plan csi://0`` on a Jetson (or /dev/video0,
rtsp://HOST/PATH, a video file), ``python3 camera_app.py xxs.onnx synthetic://`` anywhere.
"""
import sys
from typing import Any

import click

from edgenext_deploy import Camera, EdgeNextError, open_network


def best_of(answer: Any) -> str:
    found = answer.shares() if hasattr(answer, "shares") else answer  # a segmenter's answer has the shares of the frame
    return "{} {:.1%}".format(*found[0][1:3]) if found else "nothing"


if len(sys.argv) != 3:
    sys.exit(__doc__)
try:
    with open_network(sys.argv[1]) as network, Camera(sys.argv[2]) as camera:
        due = 0.0
        for result in network.stream(camera):
            if result.frame.captured_at >= due:
                due = result.frame.captured_at + 1.0
                click.echo("{}, {:.1f} ms after the frame".format(best_of(result.answer), result.timings.latency_ms))
except EdgeNextError as error:
    sys.exit("error: {}".format(error))
except KeyboardInterrupt:
    sys.exit(130)
