"""Files of the plain route have the opset of their row; torch's newer exporter may keep 18 where less was asked for."""
import numpy as np
import pytest
import torch
from sweeps import sweep

from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.export import plain
from edgenext_deploy.models import create_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxsim")


@pytest.mark.parametrize("opset", sweep([13, 17, 20], always=[]))
def test_the_file_has_the_opset_that_was_asked_for(opset):
    model = onnx.load_model_from_string(plain.export_plain("xxs", 64, opset))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]


def test_a_variant_with_weights_and_a_size_of_its_own_is_the_one_that_an_export_writes():
    """Icons at 256x256 with random weights was compared with icons at 96x96, trained."""
    runtime = pytest.importorskip("onnxruntime")
    image = np.random.RandomState(0).normal(size=(1, 3, 96, 96)).astype(np.float32)
    session = runtime.InferenceSession(plain.export_plain("icons", opset=17), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image})
    model = create_model("icons", pretrained=True).eval()
    with torch.no_grad():
        np.testing.assert_allclose(found, model(torch.from_numpy(image)).numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("variant, size, opset, error, message", [
    ("xxs", 64, 3, IncompatibleError, "does not write opset 3"), ("xxs", 0, None, UsageError, "image size 0x0"),
    ("s_ssdlite", None, None, UsageError, "is for detection")])
def test_what_cannot_be_written_is_no_bug(variant, size, opset, error, message):
    with pytest.raises(error, match=message):
        plain.export_plain(variant, size, opset)


@pytest.mark.parametrize("opset", sweep([13], always=[]))
def test_another_opset_is_refused(monkeypatch, opset):
    monkeypatch.setattr(plain, "_NEWER_EXPORTER", 0)
    with pytest.raises(IncompatibleError, match="wrote opset 18, 13 was asked for"):
        plain.export_plain("xxs", 64, opset)
