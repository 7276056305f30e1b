"""The wheel on a Nano's processor family: an emulated Cortex-A57 with numpy 1.19.5 and ONNX Runtime 1.10.

`aarch64.sh` makes the emulated Python, kept in .cache/aarch64. What runs inside is `emulated.py`, the doctor's recorded
machines, and an import of every module.
"""
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import paths
import pytest
from frame_samples import EDGENEXT, OPTIONS, frame_of, photo
from golden_exports import GOLDEN
from golden_parameters import image
from PIL import Image

from edgenext_deploy.preprocess.cpu import CpuPreprocessor

pytestmark = pytest.mark.real

HERE = Path(__file__).parent
ROOT = Path(paths.ROOT)
EMULATED = ROOT / ".cache" / "aarch64"


@pytest.fixture(scope="module")
def emulated(wheel, tmp_path_factory):
    """Return a function that runs the emulated Python with our wheel, in a folder outside the checkout."""
    pip = [sys.executable, "-m", "pip"]
    made = subprocess.run(["sh", str(HERE / "aarch64.sh"), str(EMULATED), *pip], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    if made.returncode == 3:
        pytest.skip(made.stdout.strip().splitlines()[-1])
    assert made.returncode == 0, made.stdout
    folder = tmp_path_factory.mktemp("aarch64")
    with zipfile.ZipFile(str(wheel)) as archive:
        archive.extractall(str(folder / "ours"))

    def run(*arguments, **environment):
        search = os.pathsep.join([str(folder / "ours"), str(EMULATED / "site")])
        done = subprocess.run([str(EMULATED / "python"), *map(str, arguments)], cwd=str(folder),
                              env=dict(os.environ, PYTHONPATH=search, LC_ALL="C.UTF-8", **environment),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        assert done.returncode == 0, done.stdout
        return done.stdout

    run.ours = folder / "ours"
    return run


def pytest_inside(run, folder, *what):
    return run("-m", "pytest", "-q", "-rfE", "--durations=6", "-p", "no:cacheprovider", "-c", os.devnull,
               "--rootdir", paths.TESTS, *what, EDGENEXT_EMULATED=str(folder))


def keep(folder, result, given, outputs):
    """Put an export where `emulated.py` finds it, with its input and the outputs to expect."""
    path = Path(result.onnx_path)
    for kept in (path, path.with_suffix(".json")):
        (folder / kept.name).write_bytes(kept.read_bytes())
    np.savez(str(folder / (path.stem + ".npz")), image=given,
             **{"output_{}".format(index): output for index, output in enumerate(outputs)})


def keep_golden(folder, result, variant):
    keep(folder, result, image(256, 256), [GOLDEN["{}_256x256".format(variant)]])


def test_networks_frames_commands_and_doctor(emulated, nano_export, nano_head, tmp_path):
    """In one process: it starts for seconds."""
    for variant in ("xxs", "s", "mobilevit_xxs"):
        keep_golden(tmp_path, nano_export(variant), variant)
    for variant in ("xxs_ssdlite", "xxs_deeplabv3"):
        result = nano_head(variant)
        session = onnxruntime.InferenceSession(result.onnx_path, providers=["CPUExecutionProvider"])
        keep(tmp_path, result, image(96, 96), session.run(None, {"image": image(96, 96)}))
    # Frames, not photos: JPEG decoders differ by some grey levels, with the release and not with the processor.
    Image.fromarray(photo("cat.jpg")).save(str(tmp_path / "cat.png"))
    frame = frame_of("bgr", photo("cat.jpg"))
    np.savez(str(tmp_path / "frames.npz"), frame=frame, **{
        name: CpuPreprocessor(OPTIONS.get(name, EDGENEXT))(frame) for name in ("crop", "letterbox", "lanczos")})
    doctor = ["{}::{}".format(Path(paths.TESTS, "core", "doctor", "test_doctor.py"), name) for name in (
        "test_a_nano_as_it_should_be", "test_an_orin_with_jetpack_6", "test_a_laptop_with_nothing")]
    assert "14 passed" in pytest_inside(emulated, tmp_path, HERE / "emulated.py", *doctor)


@pytest.mark.sweep
@pytest.mark.parametrize("variant", ["b", "xs_bn_hs", "s_rw", "mobilevit_s", "mobilevitv2_050"])
def test_more_networks(variant, emulated, nano_export, tmp_path):
    keep_golden(tmp_path, nano_export(variant), variant)
    assert "1 passed" in pytest_inside(emulated, tmp_path, HERE / "emulated.py", "-k", "outputs")


def test_every_module_is_imported(emulated):
    assert int(emulated(Path(paths.TESTS, "import_everything.py"), emulated.ours).split()[-1]) > 120
