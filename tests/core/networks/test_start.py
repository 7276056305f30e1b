"""From the start of Python to the first answer: what the toolkit adds to numpy, Pillow and ONNX Runtime."""
import os
import subprocess
import sys

import pytest
from cpu_time import cpu_seconds
from paths import CAT, ROOT, TINY

pytest.importorskip("onnxruntime")

OURS = """
import sys
from edgenext_deploy import Classifier
classify = Classifier(sys.argv[1])
classify(sys.argv[2])
"""
BARE = """
import sys
import numpy as np
from PIL import Image
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
image = Image.open(sys.argv[2]).convert("RGB").resize((32, 32))
pixels = (np.asarray(image).transpose(2, 0, 1)[np.newaxis] / np.float32(255)).astype(np.float32)
session.run(None, {session.get_inputs()[0].name: pixels})
"""
# Needed for a plan, for a labels file, to write files, to draw, for a stream, for other photos, or for an error.
NOT_NEEDED = [
    "edgenext_deploy.artifacts.plan_header", "edgenext_deploy.artifacts.plan_sidecar",
    "edgenext_deploy.machine.environment", "edgenext_deploy.targets", "edgenext_deploy.networks.label_formats",
    "edgenext_deploy.networks.pipelined_stream", "edgenext_deploy.camera.reader", "edgenext_deploy.runtime.trt",
    "edgenext_deploy.runtime.profile", "edgenext_deploy.scratch", "edgenext_deploy.preprocess.cpu",
    "edgenext_deploy.preprocess.taps", "edgenext_deploy.runtime.ort_errors", "PIL.PngImagePlugin", "PIL.GifImagePlugin",
    "click", "rich", "tempfile", "shutil", "shlex"]


def test_a_first_answer_imports_only_what_it_needs():
    """The libraries themselves import some of the standard library: what they import is not ours."""
    names = "\nprint(sorted(set({!r}) & set(sys.modules)))".format(NOT_NEEDED)
    found = [eval(subprocess.run([sys.executable, "-c", code + names, TINY, CAT], cwd=ROOT, check=True,
                                 stdout=subprocess.PIPE, universal_newlines=True).stdout) for code in (OURS, BARE)]
    assert set(found[0]) - set(found[1]) == set()


@pytest.mark.serial
def test_a_first_answer_costs_little_more_than_the_libraries():
    """Processor time, as the clock counts what other programs do. Measured with it: 1.3 to 1.6.

    tests/start_up.py measures it with a network of yours.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    commands = [[sys.executable, "-c", code, TINY, CAT] for code in (OURS, BARE)]
    times = [[cpu_seconds(command, 1, cwd=ROOT, env=environment) for command in commands] for _ in range(5)]
    ours, bare = (min(column) for column in zip(*times))
    assert ours < 2.0 * bare
