"""What test_aarch64.py runs in the emulated Python, with ``pytest emulated.py``. Not for the host.

EDGENEXT_EMULATED names a folder of exports. Beside each lies an .npz file with its input and the outputs to expect.
"""
import json
import os
import platform

import numpy as np
import pytest
from command_lines import run_here
from frame_samples import EDGENEXT, OPTIONS, grey_levels
from paths import CAT, TINY

from edgenext_deploy.preprocess.cpu import CpuPreprocessor
from edgenext_deploy.run import cli
from edgenext_deploy.runtime.open import open_session

FOLDER = os.environ["EDGENEXT_EMULATED"]
EXPORTS = sorted(name[:-len(".onnx")] for name in os.listdir(FOLDER) if name.endswith(".onnx"))
TOLERANCE = 1e-4
# On x86-64, with ONNX Runtime 1.31 and Pillow 12.
PROBABILITY_OF_CAT = 0.715929


def test_this_is_the_other_processor():
    assert platform.machine() == "aarch64"


@pytest.mark.parametrize("name", EXPORTS)
def test_outputs(name):
    expected = np.load(os.path.join(FOLDER, name + ".npz"))
    with open_session(os.path.join(FOLDER, name + ".onnx")) as session:
        found = session.infer_all(expected["image"])
    assert len(found) == len(expected.files) - 1
    for index, output in enumerate(found):
        wanted = expected["output_{}".format(index)]
        assert np.abs(output - wanted).max() < TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["crop", "letterbox", "lanczos"])
def test_frames_are_prepared_as_on_the_host(name):
    preprocessing = OPTIONS.get(name, EDGENEXT)
    expected = np.load(os.path.join(FOLDER, "frames.npz"))
    found = CpuPreprocessor(preprocessing)(expected["frame"])
    difference = np.abs(grey_levels(found, preprocessing) - grey_levels(expected[name], preprocessing))
    assert difference.max() <= 1.001 and (difference > 0.001).mean() < 0.01


def test_a_photo(capsys):
    """The same pixels give the same probability; a JPEG is decoded by the Pillow that is there."""
    png = os.path.join(FOLDER, "cat.png")
    code, out, err = run_here(capsys, cli.command, "--engine", TINY, CAT, png, "--json", "--top-k", "1")
    assert code == 0, err
    for image, tolerance in zip(json.loads(out)["images"], (2e-3, 1e-5)):
        (found,) = image["predictions"]
        assert found["label"] == "brown" and abs(found["probability"] - PROBABILITY_OF_CAT) < tolerance


def test_a_stream(capsys):
    code, out, err = run_here(capsys, cli.command, "--engine", TINY, "synthetic://64x48@60?frames=2&color=blue",
                              "--every-frame", "--json", "--top-k", "1")
    assert code == 0, err
    frames = [json.loads(line) for line in out.splitlines()][1:-1]
    assert [frame["predictions"][0]["label"] for frame in frames] == ["blue", "blue"]
