"""Files of the plain route have the opset of their row; torch's newer exporter may keep 18 where less was asked for."""
import pytest
from sweeps import sweep

from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.export import plain

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxsim")


@pytest.mark.parametrize("opset", sweep([13, 17, 20], always=[]))
def test_the_file_has_the_opset_that_was_asked_for(opset):
    model = onnx.load_model_from_string(plain.export_plain("xxs", 64, opset))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]


@pytest.mark.parametrize("opset", sweep([13], always=[]))
def test_another_opset_is_refused(monkeypatch, opset):
    monkeypatch.setattr(plain, "_NEWER_EXPORTER", 0)
    with pytest.raises(IncompatibleError, match="wrote opset 18, 13 was asked for"):
        plain.export_plain("xxs", 64, opset)
