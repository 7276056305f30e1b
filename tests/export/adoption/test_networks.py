"""Networks of torchvision's definitions, as both of PyTorch's exporters write them, through the whole adoption."""
import collections

import numpy as np
import onnx
import pytest
from adoption_files import FOLDER, NETWORKS, TASKS, adopted_network, answers
from sweeps import sweep

from edgenext_deploy import open_network, open_session
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.data import path_of
from edgenext_deploy.export.verdict.check import check_onnx

FILES = [f"{name}_{opset}" for name in NETWORKS for opset in (17, 20)]
ALWAYS = ["mobilenet_v2_17", "mobilenet_v3_20", "shufflenet_v2_20", "convnext_17", "vit_20",
          "deeplabv3_mobilenet_v3_17", "ssdlite_mobilenet_v3_20"]


def test_the_networks_are_small():
    sizes = {path.name: path.stat().st_size for path in FOLDER.glob("*.onnx")}
    assert len(sizes) == 2 * len(NETWORKS) and max(sizes.values()) < 1 << 20


def expected(name, answers):
    """Return what the manifest's outputs are for PyTorch's answers."""
    if "output" not in answers:
        return [answers["boxes"], answers["scores"]]
    output = answers["output"]
    return [output.argmax(1)] if TASKS.get(name) == "segmentation" else [output]


@pytest.mark.parametrize("file", sweep(FILES, always=ALWAYS))
def test_the_graph_gives_what_pytorch_gives(file, tmp_path):
    result = adopted_network(file, tmp_path, fp16=True)
    name = file.rpartition("_")[0]
    image, recorded = answers(name)
    with open_session(result.onnx_path) as session:
        found = session.infer_all(image)
    for value, wanted in zip(found, expected(name, recorded), strict=True):
        assert value.shape == wanted.shape
        if value.dtype.kind == "f":
            np.testing.assert_allclose(value, wanted, atol=2e-5 * max(1, float(np.abs(wanted).max())))
        else:
            assert (value == wanted).mean() > 0.999
    assert "nano" in check_onnx(result.onnx_path).targets
    model = onnx.load(result.onnx_path)
    assert model.opset_import[0].version == result.manifest.graph.opset == 13
    assert model.ir_version == result.manifest.graph.ir_version


@pytest.mark.parametrize("file", sweep(FILES, always=ALWAYS))
def test_typed_in_fp16_it_stays_close(file, tmp_path):
    result = adopted_network(file, tmp_path, fp16=True, target="a100")
    assert result.manifest.precision.mode == "typed"
    assert result.manifest.parity.max_relative_error < 1e-2
    types = collections.Counter(tensor.data_type for tensor in onnx.load(result.onnx_path).graph.initializer
                                if len(tensor.dims) > 1 and tensor.data_type != onnx.TensorProto.INT64)
    assert types[onnx.TensorProto.FLOAT16] > types[onnx.TensorProto.FLOAT]


@pytest.mark.parametrize(("file", "word", "least"), [
    ("convnext_17", "norm", 7 * 5), ("convnext_20", "norm", 7 * 5), ("vit_17", "softmax", 2), ("vit_20", "norm", 7 * 5),
    ("ssdlite_mobilenet_v3_20", "exponential", 2)])
def test_norms_and_exponentials_stay_in_fp32(file, word, least, tmp_path):
    pins = adopted_network(file, tmp_path, fp16=True).manifest.precision.fp32_pins
    assert sum(len(nodes) for reason, nodes in pins.items() if word in reason.lower()) >= least


@pytest.mark.parametrize("file", sweep(FILES, always=["convnext_20", "vit_17"]))
def test_every_operator_is_known_to_the_emulation(file, tmp_path):
    result = adopted_network(file, tmp_path, fp16=True, drift=True)
    assert not any("not known" in warning for warning in result.warnings)
    assert result.precision.drift.effect.error < 0.05


@pytest.mark.parametrize("file", ["mobilenet_v3_17", "deeplabv3_mobilenet_v3_20", "ssdlite_mobilenet_v3_17"])
def test_a_photo_gets_an_answer(file, tmp_path):
    result = adopted_network(file, tmp_path)
    with open_network(result.onnx_path) as network:
        network(path_of("photos", "cat.jpg"))
    manifest = manifests.read(result.manifest_path)
    assert manifest.weights.source == f"{file}.onnx (adopted)" and not manifest.weights.random
