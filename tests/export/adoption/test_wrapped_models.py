"""An attack on adopt: onnx's own models as networks of one image are refused with a reason, or answer as their file."""
import random

import numpy as np
import onnx
import onnxruntime
import pytest
from adoption_files import adopted
from sweeps import sweep
from wrapped_models import cases, wrapped

from edgenext_deploy import open_session
from edgenext_deploy.errors import EdgeNextError

MODES = {"fp32": {"target": "nano"}, "newest": {"target": "onnxruntime"}, "opset17": {"target": "orin"},
         "flag": {"target": "nano", "fp16": True}, "typed": {"target": "a100", "fp16": True},
         "drift": {"target": "nano", "fp16": True, "drift": True},
         "pinned": {"target": "a100", "fp16": True, "auto_pin": True}}
SAMPLE = 60


@pytest.fixture(autouse=True)
def _quiet_runtime():
    onnxruntime.set_default_logger_severity(4)
    yield
    onnxruntime.set_default_logger_severity(2)


@pytest.mark.parametrize("mode", sweep(MODES, always=[]))
@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_refused_with_a_reason_or_answers_as_the_file(mode, seed, tmp_path):
    names = random.Random(f"{mode} {seed}").sample(sorted(cases()), SAMPLE)
    ended = [name for name in names if adopted_right(name, MODES[mode], seed, tmp_path)]
    assert len(ended) > SAMPLE // 6


def adopted_right(name, options, seed, folder):
    """Adopt a model and compare it with its file; return whether it was adopted. A traceback fails the test."""
    model = wrapped(name, seed, product="fp16" in options)
    if model is None:
        return False
    path = folder / "net.onnx"
    onnx.save(model, path)
    try:
        result = adopted(path, folder, name="out", force=True, **options)
    except EdgeNextError as error:
        assert error.exit_code in (2, 3, 4, 5) and error.fix, name
        return False
    # What is typed in FP16 is compared by adopt itself: thresholds and rounding may fall to either side here.
    exact = result.manifest.precision.mode != "typed"
    source = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(seed).standard_normal((1, 3, 16, 16), dtype=np.float32)
    (expected,) = source.run(None, {"wrap.image": image})
    with open_session(result.onnx_path) as session:
        (found,) = session.infer_all(image)
    assert found.shape == expected.shape, name
    if exact:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected[np.isfinite(
            expected)]).max(initial=0)), err_msg=name)
    return True
