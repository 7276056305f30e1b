"""Print once a second what the camera sees.

Run it with an engine and a source: ``python3 camera_app.py xxs.plan csi://0`` on a Jetson (or /dev/video0,
rtsp://HOST/PATH, a video file), ``python3 camera_app.py xxs.onnx synthetic://`` anywhere.
"""
import sys

import click

from edgenext_deploy import Camera, Classifier, EdgeNextError

if len(sys.argv) != 3:
    sys.exit(__doc__)
try:
    with Classifier(sys.argv[1]) as classify, Camera(sys.argv[2]) as camera:
        due = 0.0
        for result in classify.stream(camera):
            if result.frame.captured_at >= due:
                due = result.frame.captured_at + 1.0
                best = result.answer[0]
                click.echo("{} {:.1%}, {:.1f} ms after the frame".format(
                    best.label, best.probability, result.timings.latency_ms))
except EdgeNextError as error:
    sys.exit("error: {}".format(error))
except KeyboardInterrupt:
    sys.exit(130)
